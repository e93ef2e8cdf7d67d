//! Names of projects, codesets, pipelines, steps and instances.

use crate::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Deref, str::FromStr};

/// One to 64 lower-case letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit:
/// safe as a folder, in a URL and in an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("maxLength" = 64, "pattern" = "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$"))]
pub struct Name(String);

impl Name {
    /// The longest a name may be, in bytes.
    pub const MAX: usize = 64;
}

impl FromStr for Name {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let bytes = text.as_bytes();
        let fits = bytes.len() <= Self::MAX
            && edge(bytes.first().copied())
            && edge(bytes.last().copied())
            && bytes.iter().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_.".contains(c))
            && !text.contains("..");
        if fits {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::invalid(
            "name",
            format!(
                "`{}` is not a name; use 1 to {} lower-case letters, digits, `-`, `_` or `.`, beginning and ending with a letter or digit",
                text.escape_debug(),
                Self::MAX
            ),
        ))
    }
}

impl TryFrom<String> for Name {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
