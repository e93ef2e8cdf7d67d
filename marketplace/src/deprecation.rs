//! Deprecation: an extension that still works and that nobody should begin with any more.

use fuseml_domain::{Error, Name, Result};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

const LONGEST_REASON: usize = 200;

/// What is said instead of a recommendation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deprecation {
    pub extension: Name,
    /// One line, for people.
    pub reason: String,
    /// `<namespace>/<extension>` to use instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
    pub since: Timestamp,
}

impl Deprecation {
    /// Refuses what people could not read or follow.
    ///
    /// # Errors
    /// `invalid`, with what is wrong.
    pub fn check(&self) -> Result<()> {
        let invalid = |why: &str| Err(Error::invalid("deprecation", why.to_owned()));
        let reason = &self.reason;
        if reason.trim().is_empty() || reason.len() > LONGEST_REASON || reason.chars().any(char::is_control) {
            return invalid("a deprecation's reason is one line of at most 200 bytes");
        }
        let named = |text: &String| {
            let parts = text.split_once('/');
            parts.is_some_and(|(space, name)| space.parse::<Name>().is_ok() && name.parse::<Name>().is_ok())
        };
        if self.instead.as_ref().is_some_and(|instead| !named(instead)) {
            return invalid("what is used instead is named as <namespace>/<extension>");
        }
        Ok(())
    }
}

/// In a line, for people.
impl fmt::Display for Deprecation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.trim_end_matches('.'))?;
        self.instead.as_ref().map_or(Ok(()), |instead| write!(f, "; use {instead} instead"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_could_read_or_follow_is_refused() {
        let deprecation = |reason: &str, instead: Option<&str>| Deprecation {
            extension: "tool".parse().expect("name"),
            reason: reason.to_owned(),
            instead: instead.map(ToOwned::to_owned),
            since: Timestamp::UNIX_EPOCH,
        };
        let fine = deprecation("It is too slow.", Some("acme/tool2"));
        assert_eq!(fine.check(), Ok(()));
        assert_eq!(fine.to_string(), "It is too slow; use acme/tool2 instead");
        for (reason, instead) in [("", None), ("a\nb", None), ("fine", Some("tool2")), ("fine", Some("../x"))] {
            assert!(deprecation(reason, instead).check().is_err(), "{reason} {instead:?}");
        }
        assert!(deprecation(&"x".repeat(201), None).check().is_err());
    }
}
