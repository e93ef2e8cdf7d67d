//! `${inputs.<name>}`, `${inputs.<name>.attributes.<attribute>}` and `${steps.<step>.<output>}`: how templates
//! connect what they take, do and give.

use crate::{Error, Name, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reference {
    Input { name: Name },
    Attribute { input: Name, attribute: String },
    Output { step: Name, output: String },
}

impl Reference {
    /// Whether a text means to be a reference.
    pub fn is(text: &str) -> bool {
        text.starts_with("${")
    }
}

impl FromStr for Reference {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let inner = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let parts: Vec<_> = inner.unwrap_or_default().trim().splitn(4, '.').collect();
        match parts.as_slice() {
            ["inputs", name] => Ok(Self::Input { name: name.parse()? }),
            ["inputs", input, "attributes", attribute] => {
                Ok(Self::Attribute { input: input.parse()?, attribute: (*attribute).to_owned() })
            }
            ["steps", step, output] if !output.is_empty() => {
                Ok(Self::Output { step: step.parse()?, output: (*output).to_owned() })
            }
            _ => Err(Error::invalid(
                "reference",
                format!(
                    "`{text}` is not a reference; the forms are ${{inputs.<name>}}, ${{inputs.<name>.attributes.<attribute>}} and ${{steps.<step>.<output>}}"
                ),
            )),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input { name } => write!(f, "${{inputs.{name}}}"),
            Self::Attribute { input, attribute } => write!(f, "${{inputs.{input}.attributes.{attribute}}}"),
            Self::Output { step, output } => write!(f, "${{steps.{step}.{output}}}"),
        }
    }
}

impl TryFrom<String> for Reference {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}
