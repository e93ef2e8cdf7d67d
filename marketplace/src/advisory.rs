//! Advisories: known vulnerabilities of published versions.

use fuseml_domain::{Error, Name, Result};
use jiff::Timestamp;
use schemars::JsonSchema;
use semver::{Prerelease, Version, VersionReq};
use serde::{Deserialize, Serialize};
use std::fmt;
use url::Url;

const LONGEST_ID: usize = 64;
const LONGEST_TITLE: usize = 200;

/// How bad it is, in the words of CVSS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// What is said of a vulnerability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vulnerability {
    /// The versions that have it, such as `<0.1.2`.
    #[schemars(with = "String")]
    pub affected: VersionReq,
    /// The first version without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Version>,
    pub severity: Severity,
    /// One line, for people.
    pub title: String,
    /// Where there is more to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub url: Option<Url>,
    /// It was an error, or somebody else's.
    #[serde(default)]
    pub withdrawn: bool,
}

/// A vulnerability of one extension, as its marketplace vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Advisory {
    /// As it is known elsewhere (`CVE-2026-1234`), or the publisher's own.
    pub id: String,
    pub extension: Name,
    pub published: Timestamp,
    #[serde(flatten)]
    pub vulnerability: Vulnerability,
}

impl Advisory {
    /// Refuses what people could not read or find again.
    ///
    /// # Errors
    /// `invalid`, with what is wrong.
    pub fn check(&self) -> Result<()> {
        let invalid = |why: &str| Err(Error::invalid("advisory", why.to_owned()));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if self.id.is_empty() || self.id.len() > LONGEST_ID || !self.id.chars().all(plain) {
            return invalid("an advisory's id has 1 to 64 letters, digits, `-` or `.`, such as CVE-2026-1234");
        }
        let Vulnerability { title, url, fixed, .. } = &self.vulnerability;
        if title.trim().is_empty() || title.len() > LONGEST_TITLE || title.chars().any(char::is_control) {
            return invalid("an advisory's title is one line of at most 200 bytes");
        }
        if url.as_ref().is_some_and(|url| url.scheme() != "https") {
            return invalid("an advisory's address begins with https://");
        }
        if fixed.as_ref().is_some_and(|fixed| self.affects(fixed)) {
            return invalid("the version that is said to be fixed is among the affected ones");
        }
        Ok(())
    }

    /// Whether this version has it.
    pub fn concerns(&self, extension: &Name, version: &Version) -> bool {
        !self.vulnerability.withdrawn && self.extension == *extension && self.affects(version)
    }

    fn affects(&self, version: &Version) -> bool {
        // A pre-release has what the version has that it leads to: ranges would leave it out.
        let release = Version { pre: Prerelease::EMPTY, ..version.clone() };
        let affected = &self.vulnerability.affected;
        affected.matches(version) || affected.matches(&release)
    }
}

/// In a line, for people.
impl fmt::Display for Advisory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Vulnerability { severity, title, fixed, url, .. } = &self.vulnerability;
        write!(f, "{} ({severity}): {}", self.id, title.trim_end_matches('.'))?;
        match fixed {
            Some(fixed) => write!(f, "; fixed in {fixed}")?,
            None => f.write_str("; there is no fixed version yet")?,
        }
        url.as_ref().map_or(Ok(()), |url| write!(f, "; see {url}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advisory(affected: &str, fixed: Option<&str>) -> Advisory {
        let vulnerability = Vulnerability {
            affected: affected.parse().expect("range"),
            fixed: fixed.map(|fixed| fixed.parse().expect("version")),
            severity: Severity::High,
            title: "It says too much.".to_owned(),
            url: None,
            withdrawn: false,
        };
        let extension = "tool".parse().expect("name");
        Advisory { id: "CVE-2026-1".to_owned(), extension, published: Timestamp::UNIX_EPOCH, vulnerability }
    }

    #[test]
    fn a_version_has_what_its_range_says_and_a_pre_release_what_it_leads_to() {
        let advisory = advisory(">=0.1.0, <0.1.2", Some("0.1.2"));
        let tool: Name = "tool".parse().expect("name");
        for (version, concerned) in
            [("0.1.0", true), ("0.1.1", true), ("0.1.1-rc.1", true), ("0.1.2", false), ("0.0.9", false)]
        {
            assert_eq!(advisory.concerns(&tool, &version.parse().expect("version")), concerned, "{version}");
        }
        assert!(!advisory.concerns(&"other".parse().expect("name"), &Version::new(0, 1, 0)));
        let vulnerability = Vulnerability { withdrawn: true, ..advisory.vulnerability.clone() };
        assert!(!Advisory { vulnerability, ..advisory }.concerns(&tool, &Version::new(0, 1, 0)));
    }

    #[test]
    fn what_nobody_could_read_or_find_is_refused() {
        assert_eq!(advisory("<0.1.2", Some("0.1.2")).check(), Ok(()));
        assert!(advisory("<=0.1.2", Some("0.1.2")).check().is_err(), "fixed and affected");
        for id in ["", "../x", "a b", &"x".repeat(65)] {
            assert!(Advisory { id: id.to_owned(), ..advisory("*", None) }.check().is_err(), "{id}");
        }
        for (title, url) in [("", None), ("two\nlines", None), ("fine", Some("http://plain.example"))] {
            let mut advisory = advisory("*", None);
            advisory.vulnerability.title = title.to_owned();
            advisory.vulnerability.url = url.map(|url| url.parse().expect("address"));
            assert!(advisory.check().is_err(), "{title} {url:?}");
        }
    }
}
