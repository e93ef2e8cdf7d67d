//! What a person says of an artifact beside its contents.

use crate::command::pairs;
use clap::Args;
use fuseml_domain::{Attributes, Error, Result};
use std::collections::BTreeMap;

#[derive(Args)]
pub(crate) struct FactArguments {
    /// Such as framework=sklearn
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
    /// Such as accuracy=0.93
    #[arg(long = "metric", value_name = "NAME=NUMBER")]
    metrics: Vec<String>,
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
}

/// The same, read.
pub(crate) struct Facts {
    pub(crate) attributes: Attributes,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) labels: Attributes,
}

impl FactArguments {
    pub(crate) fn read(&self) -> Result<Facts> {
        let number = |(name, value): (String, String)| match value.parse::<f64>() {
            Ok(number) => Ok((name, number)),
            Err(_) => Err(Error::invalid("argument", format!("the metric {name} is `{value}`, no number"))),
        };
        Ok(Facts {
            attributes: pairs(&self.attributes, "an attribute")?,
            metrics: pairs(&self.metrics, "a metric")?.into_iter().map(number).collect::<Result<_>>()?,
            labels: pairs(&self.labels, "a label")?,
        })
    }
}
