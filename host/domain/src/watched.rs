//! What of an input has to change before it starts a pipeline again (S27): files of code, attributes of data, metrics of
//! models.

use crate::{Descriptor, Error, Kind, Result};
use globset::Glob;
use std::{fmt, str::FromStr};

/// One thing that is watched of artifacts that are no code.
#[derive(Debug, Clone, PartialEq)]
enum Watched {
    /// An attribute, such as `schema`, has another value.
    Attribute(String),
    /// A metric is better by so much at least.
    Metric { name: String, rises: bool, by: f64 },
}

impl FromStr for Watched {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        let refuse = || {
            let message = format!(
                "`{text}` is nothing to watch: name an attribute such as `schema`, or say `accuracy rises by 0.01` or \
                 `loss falls by 0.1`"
            );
            Error::invalid("watch", message)
        };
        match words.as_slice() {
            [attribute] => Ok(Self::Attribute((*attribute).to_owned())),
            [name, verb @ ("rises" | "improves" | "falls"), "by", by] => {
                let by: f64 = by.parse().ok().filter(|by: &f64| by.is_finite() && *by >= 0.0).ok_or_else(refuse)?;
                Ok(Self::Metric { name: (*name).to_owned(), rises: *verb != "falls", by })
            }
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(name) => f.write_str(name),
            Self::Metric { name, rises: true, by } => write!(f, "{name} rises by {by}"),
            Self::Metric { name, rises: false, by } => write!(f, "{name} falls by {by}"),
        }
    }
}

impl Watched {
    /// Why this alone would not start it; `None` where it would.
    fn unchanged(&self, before: &Descriptor, now: &Descriptor) -> Option<String> {
        let since = before.address.short();
        match self {
            Self::Attribute(name) => {
                let (was, is) = (before.attributes.get(name), now.attributes.get(name));
                (was == is).then(|| match is {
                    Some(_) => format!("its {name} is that of {since}"),
                    None => format!("neither it nor {since} says its {name}"),
                })
            }
            Self::Metric { name, rises, by } => match (before.metrics.get(name), now.metrics.get(name)) {
                (_, None) => Some(format!("it says no {name}")),
                (None, Some(_)) => None,
                (Some(was), Some(is)) => {
                    let gain = if *rises { is - was } else { was - is };
                    // What is written with a few digits counts as what it says.
                    let is_enough = gain + f64::EPSILON * was.abs().max(is.abs()) >= *by && gain > 0.0;
                    let verb = if *rises { "above" } else { "below" };
                    (!is_enough).then(|| format!("its {name}, {is}, is not {by} {verb} the {was} of {since}"))
                }
            },
        }
    }
}

/// Refuses what cannot be watched of artifacts of a kind.
pub(crate) fn check(kind: Kind, texts: &[String]) -> Result<()> {
    for text in texts {
        match kind {
            Kind::Codeset => drop(glob(text)?),
            _ => drop(text.parse::<Watched>()?),
        }
    }
    Ok(())
}

/// Why an artifact that is no code does not start a pipeline that had another before; `None` where it does.
///
/// # Errors
/// `invalid` for what cannot be watched.
pub fn unchanged(texts: &[String], before: &Descriptor, now: &Descriptor) -> Result<Option<String>> {
    let mut reasons = Vec::new();
    for text in texts {
        match text.parse::<Watched>()?.unchanged(before, now) {
            None => return Ok(None),
            Some(reason) => reasons.push(reason),
        }
    }
    Ok(Some(reasons.join(", and ")).filter(|_| !texts.is_empty()))
}

pub(crate) fn glob(text: &str) -> Result<Glob> {
    Glob::new(text).map_err(|error| Error::invalid("glob", format!("`{text}` is no pattern of files: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(accuracy: Option<f64>, schema: Option<&str>) -> Descriptor {
        let name = |text: &str| text.parse().expect(text);
        let mut model = crate::testing::model(&name("p"), &name("wine"), &name("4c88e8f252be0a8e1e8e3"));
        model.metrics.extend(accuracy.map(|accuracy| ("accuracy".to_owned(), accuracy)));
        model.attributes.extend(schema.map(|schema| ("schema".to_owned(), schema.to_owned())));
        model
    }

    fn reason(watched: &[&str], before: &Descriptor, now: &Descriptor) -> String {
        let watched: Vec<_> = watched.iter().map(|text| (*text).to_owned()).collect();
        unchanged(&watched, before, now).expect("watched").unwrap_or_else(|| "starts".to_owned())
    }

    #[test]
    fn a_metric_starts_it_when_it_is_better_by_enough() {
        let was = model(Some(0.9), None);
        let of = |watched: &str, is: Option<f64>| reason(&[watched], &was, &model(is, None));
        assert_eq!(of("accuracy rises by 0.01", Some(0.91)), "starts", "exactly that much");
        assert_eq!(of("accuracy improves by 0.01", Some(0.95)), "starts");
        let too_little = "its accuracy, 0.905, is not 0.01 above the 0.9 of model://p/4c88e8f252be0a8e1e8e3";
        assert_eq!(of("accuracy rises by 0.01", Some(0.905)), too_little);
        assert_eq!(of("accuracy falls by 0.01", Some(0.8)), "starts");
        assert_eq!(
            of("accuracy rises by 0", Some(0.9)),
            "its accuracy, 0.9, is not 0 above the 0.9 of model://p/4c88e8f252be0a8e1e8e3"
        );
        assert_eq!(of("accuracy rises by 0.01", None), "it says no accuracy");
        assert_eq!(reason(&["accuracy rises by 1"], &model(None, None), &was), "starts", "nothing to compare with");
    }

    #[test]
    fn an_attribute_starts_it_when_it_is_another_and_one_of_several_is_enough() {
        let (was, same, other) = (model(None, Some("a:int")), model(None, Some("a:int")), model(None, Some("a:text")));
        assert_eq!(reason(&["schema"], &was, &same), "its schema is that of model://p/4c88e8f252be0a8e1e8e3");
        assert_eq!(reason(&["schema"], &was, &other), "starts");
        assert_eq!(reason(&["accuracy rises by 1", "schema"], &was, &other), "starts");
        assert!(reason(&["accuracy rises by 1", "schema"], &was, &same).contains("no accuracy, and its schema"));
    }

    #[test]
    fn what_cannot_be_watched_is_refused() {
        for text in ["", "accuracy rises", "accuracy rises by much", "accuracy grows by 1", "loss falls by -1", "a b"] {
            let refused = check(Kind::Model, &[text.to_owned()]).expect_err(text);
            assert!(refused.message.contains("is nothing to watch"), "{refused}");
        }
        assert!(check(Kind::Codeset, &["[".to_owned()]).expect_err("no glob").message.contains("no pattern of files"));
    }
}
