//! One module a noun.

pub(crate) mod artifact;
pub(crate) mod codeset;
pub(crate) mod contents;
pub(crate) mod extension;
mod graph;
pub(crate) mod lineage;
pub(crate) mod marketplace;
pub(crate) mod outside;
pub(crate) mod pipeline;
pub(crate) mod project;
pub(crate) mod run;
pub(crate) mod runnable;
mod schema;
pub(crate) mod server;
pub(crate) mod store;
pub(crate) mod template;
mod watch;

use fuseml_domain::{Error, Result};
use jiff::{SignedDuration, Span};
use std::collections::BTreeMap;

/// `name=value` arguments.
pub(crate) fn pairs(arguments: &[String], what: &str) -> Result<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    for argument in arguments {
        let (name, value) = argument
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Error::invalid("argument", format!("`{argument}` is not {what}; write name=value")))?;
        if pairs.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Error::invalid("argument", format!("{what} `{name}` is given twice")));
        }
    }
    Ok(pairs)
}

/// `step.parameter=value` arguments, by step.
pub(crate) fn parameters(arguments: &[String]) -> Result<BTreeMap<fuseml_domain::Name, fuseml_domain::Attributes>> {
    let mut by_step = BTreeMap::<_, fuseml_domain::Attributes>::new();
    for (name, value) in pairs(arguments, "a parameter")? {
        let (step, parameter) = name.split_once('.').ok_or_else(|| {
            Error::invalid(
                "argument",
                format!("`{name}` does not say whose parameter it is; write step.parameter=value"),
            )
        })?;
        by_step.entry(step.parse()?).or_default().insert(parameter.to_owned(), value);
    }
    Ok(by_step)
}

/// `10m`, `1h`.
pub(crate) fn interval(text: &str) -> Result<SignedDuration> {
    let refuse = || Error::invalid("argument", format!("`{text}` is not a length of time such as 10m, 1h or 1d"));
    let span: Span = text.parse().map_err(|_| refuse())?;
    // A day is 24 hours here.
    span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| refuse())
}
