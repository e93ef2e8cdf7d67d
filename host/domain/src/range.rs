//! Which values a parameter takes beside its type, in the words of JSON Schema: a range, or a list (S28).

use crate::{Error, Result, ValueType, scalar::Scalar};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Any value where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Of numbers; the value itself is one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Scalar>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Scalar>,
    /// No other values.
    #[serde(rename = "enum", default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<Scalar>,
}

impl Range {
    pub(crate) fn is_any(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses a range of what has no order, one without values, and values of another type.
    ///
    /// # Errors
    /// `invalid`, naming the parameter.
    pub(crate) fn check_itself(&self, name: &str, of: ValueType) -> Result<()> {
        let refuse = |why: &str| Err(Error::invalid("parameter-range", format!("the parameter `{name}` {why}")));
        let is_ordered = matches!(of, ValueType::Integer | ValueType::Number);
        if (self.minimum.is_some() || self.maximum.is_some()) && !is_ordered {
            return refuse("has a `minimum` or `maximum`, and only numbers have");
        }
        for value in self.minimum.iter().chain(&self.maximum).chain(&self.one_of) {
            of.check(name, &value.0)?;
        }
        if let (Some(minimum), Some(maximum)) = (&self.minimum, &self.maximum)
            && number(minimum) > number(maximum)
        {
            return refuse("has a `minimum` above its `maximum`");
        }
        Ok(())
    }

    /// The value in its canonical text, or why it is none of these.
    ///
    /// # Errors
    /// `invalid`, naming the parameter and what it takes.
    pub(crate) fn check(&self, name: &str, of: ValueType, text: &str) -> Result<String> {
        let value = of.check(name, text)?;
        let read = value.parse::<f64>().ok();
        let is_within = self.minimum.as_ref().is_none_or(|minimum| read >= number(minimum))
            && self.maximum.as_ref().is_none_or(|maximum| read <= number(maximum))
            && (self.one_of.is_empty() || self.one_of.iter().any(|one| is_same(of, &one.0, &value)));
        if is_within {
            return Ok(value);
        }
        let message = format!("the parameter `{name}` takes {of}{self}, not `{}`", text.escape_debug());
        Err(Error::invalid("parameter-range", message))
    }
}

fn number(value: &Scalar) -> Option<f64> {
    value.0.parse().ok()
}

fn is_same(of: ValueType, one: &str, other: &str) -> bool {
    match of {
        ValueType::Number => one.parse::<f64>().ok() == other.parse::<f64>().ok(),
        ValueType::Integer => one.parse::<i64>().ok() == other.parse::<i64>().ok(),
        ValueType::Text | ValueType::Boolean => one == other,
    }
}

/// To follow what the type is called: ` from 0 to 1`, `: adam or sgd`.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.minimum, &self.maximum) {
            (Some(minimum), Some(maximum)) => write!(f, " from {} to {}", minimum.0, maximum.0)?,
            (Some(minimum), None) => write!(f, " of at least {}", minimum.0)?,
            (None, Some(maximum)) => write!(f, " of at most {}", maximum.0)?,
            (None, None) => {}
        }
        match self.one_of.as_slice() {
            [] => Ok(()),
            [most @ .., last] => {
                let most: Vec<_> = most.iter().map(|value| value.0.as_str()).collect();
                let or = if most.is_empty() { "" } else { " or " };
                write!(f, ": {}{or}{}", most.join(", "), last.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(text: &str) -> Scalar {
        Scalar(text.to_owned())
    }

    fn range(minimum: Option<&str>, maximum: Option<&str>, one_of: &[&str]) -> Range {
        Range {
            minimum: minimum.map(scalar),
            maximum: maximum.map(scalar),
            one_of: one_of.iter().copied().map(scalar).collect(),
        }
    }

    #[test]
    fn a_value_outside_of_its_range_is_refused_and_the_range_said() {
        let fraction = range(Some("0"), Some("1"), &[]);
        for fits in ["0", "1", "0.5", "1e-3"] {
            assert_eq!(fraction.check("alpha", ValueType::Number, fits).expect(fits), fits);
        }
        let refused = fraction.check("alpha", ValueType::Number, "1.01").expect_err("too much");
        assert_eq!(refused.message, "the parameter `alpha` takes a number from 0 to 1, not `1.01`");
        let natural = range(Some("1"), None, &[]);
        let refused = natural.check("depth", ValueType::Integer, "0").expect_err("too little");
        assert_eq!(refused.message, "the parameter `depth` takes an integer of at least 1, not `0`");
        let refused = natural.check("depth", ValueType::Integer, "1.5").expect_err("no integer");
        assert_eq!(refused.code, "parameter-type");
        let optimizer = range(None, None, &["adam", "sgd"]);
        let refused = optimizer.check("optimizer", ValueType::Text, "lion").expect_err("not listed");
        assert_eq!(refused.message, "the parameter `optimizer` takes text: adam or sgd, not `lion`");
        assert!(range(None, None, &["1.0"]).check("alpha", ValueType::Number, "1").is_ok());
    }

    #[test]
    fn a_range_of_what_has_none_is_refused() {
        for (range, of) in [
            (range(Some("a"), None, &[]), ValueType::Text),
            (range(Some("2"), Some("1"), &[]), ValueType::Integer),
            (range(None, None, &["1.5"]), ValueType::Integer),
            (range(Some("low"), None, &[]), ValueType::Number),
        ] {
            assert!(range.check_itself("alpha", of).is_err(), "{range:?}");
        }
        assert!(range(Some("1"), Some("1"), &[]).check_itself("alpha", ValueType::Number).is_ok());
    }
}
