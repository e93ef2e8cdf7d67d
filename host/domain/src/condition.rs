//! Conditions on artifacts (S11, S26): one language for searches, selectors and programs.
//!
//! ```text
//! condition = all { "or" all }
//! all       = one { "and" one }
//! one       = { "not" } ( "(" condition ")" | test )
//! test      = "has" field | field "in" "(" value { "," value } ")" | field operator value
//! operator  = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~"
//! field     = "kind" | "project" | "name" | "version" | "tag" | "created" | "origin" | "input" | "output" | "text"
//!           | ( "attribute" | "metric" | "label" ) "." name | name
//! ```
//!
//! A name alone is a metric where it is compared by `<` and its like, and an attribute otherwise. `~` means that the
//! text is contained, whatever its case. A value stands in quotes where it is more than letters, digits and `_-./:+@*`.
//! An artifact without a field fails every test of it, so that `not` finds it.

mod matching;
mod parsing;

pub use matching::{Fact, facts, origin_name, texts};

use crate::{Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Longest condition, in bytes: longer ones are written by no person.
pub const LONGEST_CONDITION: usize = 4096;

/// What is asked of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Is(Test),
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    pub field: Field,
    pub comparison: Comparison,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// It has the field at all.
    Has,
    Equals(String),
    Differs(String),
    /// One of these.
    In(Vec<String>),
    /// Contains this, whatever its case.
    Contains(String),
    Ordered(Order, Limit),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// What is compared by size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    Number(f64),
    Time(Timestamp),
}

/// Numbers of conditions are finite: nothing else can be written.
impl Eq for Limit {}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    Kind,
    Project,
    /// Of the series that it is a version of.
    Name,
    /// Its immutable identity; `=` compares beginnings.
    Version,
    Tag,
    Created,
    /// `push`, `run` or `registered`.
    Origin,
    /// A kind of artifact that a runnable takes, that it makes.
    Input,
    Output,
    /// Name, attributes, labels and tags together.
    Text,
    Attribute(String),
    Metric(String),
    Label(String),
}

impl Field {
    /// As it is written, and as facts are named.
    pub fn path(&self) -> String {
        match self {
            Self::Kind => "kind".to_owned(),
            Self::Project => "project".to_owned(),
            Self::Name => "name".to_owned(),
            Self::Version => "version".to_owned(),
            Self::Tag => "tag".to_owned(),
            Self::Created => "created".to_owned(),
            Self::Origin => "origin".to_owned(),
            Self::Input => "input".to_owned(),
            Self::Output => "output".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Attribute(name) => format!("attribute.{name}"),
            Self::Metric(name) => format!("metric.{name}"),
            Self::Label(name) => format!("label.{name}"),
        }
    }
}

impl Order {
    pub fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }

    /// Whether `one` stands so to `other`.
    pub fn holds<T: PartialOrd>(self, one: &T, other: &T) -> bool {
        match self {
            Self::Less => one < other,
            Self::AtMost => one <= other,
            Self::Greater => one > other,
            Self::AtLeast => one >= other,
        }
    }
}

impl FromStr for Condition {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        parsing::parse(text)
    }
}

impl TryFrom<String> for Condition {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Condition> for String {
    fn from(condition: Condition) -> Self {
        condition.to_string()
    }
}

/// A value as it can be read again.
struct Value<'a>(&'a str);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if parsing::is_plain(self.0) {
            return f.write_str(self.0);
        }
        write!(f, "'{}'", self.0.replace('\\', "\\\\").replace('\'', "\\'"))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(name) => write!(f, "attribute.{}", Value(name)),
            Self::Metric(name) => write!(f, "metric.{}", Value(name)),
            Self::Label(name) => write!(f, "label.{}", Value(name)),
            other => f.write_str(&other.path()),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = &self.field;
        match &self.comparison {
            Comparison::Has => write!(f, "has {field}"),
            Comparison::Equals(value) => write!(f, "{field} = {}", Value(value)),
            Comparison::Differs(value) => write!(f, "{field} != {}", Value(value)),
            Comparison::Contains(value) => write!(f, "{field} ~ {}", Value(value)),
            Comparison::In(values) => {
                let values: Vec<_> = values.iter().map(|value| Value(value).to_string()).collect();
                write!(f, "{field} in ({})", values.join(", "))
            }
            Comparison::Ordered(order, Limit::Number(number)) => write!(f, "{field} {} {number}", order.sign()),
            Comparison::Ordered(order, Limit::Time(time)) => write!(f, "{field} {} {time}", order.sign()),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What binds less than its neighbours stands in parentheses.
        let inner = |one: &Self, f: &mut fmt::Formatter<'_>| match one {
            Self::Is(_) | Self::Not(_) => write!(f, "{one}"),
            _ => write!(f, "({one})"),
        };
        let (list, word) = match self {
            Self::Is(test) => return write!(f, "{test}"),
            Self::Not(one) => {
                f.write_str("not ")?;
                return inner(one, f);
            }
            Self::All(list) => (list, " and "),
            Self::Any(list) => (list, " or "),
        };
        for (at, one) in list.iter().enumerate() {
            if at > 0 {
                f.write_str(word)?;
            }
            inner(one, f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "condition/tests.rs"]
mod tests;
