//! Values as people write them in YAML: without quotes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text, a number, or true or false, kept as its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Written", into = "String")]
#[schemars(extend("type" = ["string", "number", "boolean"]))]
pub struct Scalar(pub String);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl From<Written> for Scalar {
    fn from(written: Written) -> Self {
        Self(match written {
            Written::Boolean(value) => value.to_string(),
            Written::Integer(value) => value.to_string(),
            Written::Number(value) => value.to_string(),
            Written::Text(text) => text,
        })
    }
}

impl From<Scalar> for String {
    fn from(scalar: Scalar) -> Self {
        scalar.0
    }
}
