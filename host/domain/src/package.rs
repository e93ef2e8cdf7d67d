//! Packages by name: how people write them, and where an installed one came from.

use crate::{Digest, Error, Name, Result};
use semver::{Comparator, Op, Version, VersionReq};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// `[<marketplace>:]<namespace>/<extension>[@<version or range>]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageReference {
    pub marketplace: Option<Name>,
    pub namespace: Name,
    pub name: Name,
    /// A version alone means exactly that one.
    pub wanted: VersionReq,
}

impl FromStr for PackageReference {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let (path, wanted) = text.split_once('@').unwrap_or((text, "*"));
        let (marketplace, path) = match path.split_once(':') {
            Some((marketplace, path)) => (Some(marketplace.parse()?), path),
            None => (None, path),
        };
        let (namespace, name) = path.split_once('/').ok_or_else(|| {
            let message = format!("`{}` is not <namespace>/<extension>[@<range>]", text.escape_debug());
            Error::invalid("package-reference", message)
        })?;
        Ok(Self { marketplace, namespace: namespace.parse()?, name: name.parse()?, wanted: wanted_of(wanted)? })
    }
}

/// The range that means one version.
pub fn exactly(version: &Version) -> VersionReq {
    let Version { major, minor, patch, ref pre, .. } = *version;
    let exactly = Comparator { op: Op::Exact, major, minor: Some(minor), patch: Some(patch), pre: pre.clone() };
    VersionReq { comparators: vec![exactly] }
}

fn wanted_of(text: &str) -> Result<VersionReq> {
    if let Ok(version) = Version::parse(text) {
        return Ok(exactly(&version));
    }
    VersionReq::parse(text).map_err(|error| {
        let message = format!("`{}` is neither a version nor a range: {error}", text.escape_debug());
        Error::invalid("version-range", message)
    })
}

impl fmt::Display for PackageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(marketplace) = &self.marketplace {
            write!(f, "{marketplace}:")?;
        }
        write!(f, "{}/{}", self.namespace, self.name)?;
        match self.wanted == VersionReq::STAR {
            true => Ok(()),
            false => write!(f, "@{}", self.wanted),
        }
    }
}

impl TryFrom<String> for PackageReference {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<PackageReference> for String {
    fn from(reference: PackageReference) -> Self {
        reference.to_string()
    }
}

/// Where an installed version came from, as it was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageOrigin {
    /// As this server calls it.
    pub marketplace: Name,
    pub namespace: Name,
    /// Of the package's index.
    pub digest: Digest,
    /// Id of the key that signed it.
    pub key: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_what_people_write() {
        for (text, expected) in [
            ("acme/tool", "acme/tool"),
            ("acme/tool@0.1.0", "acme/tool@=0.1.0"),
            ("acme/tool@^0.1", "acme/tool@^0.1"),
            ("hub:acme/tool@>=0.1, <0.3", "hub:acme/tool@>=0.1, <0.3"),
        ] {
            let reference: PackageReference = text.parse().expect(text);
            assert_eq!(reference.to_string(), expected);
            assert_eq!(expected.parse::<PackageReference>().as_ref(), Ok(&reference));
        }
        for text in ["tool", "acme/", "/tool", "acme/tool@new", "a/b/c", "../tool", "ACME/tool", "h:x:acme/tool"] {
            assert!(text.parse::<PackageReference>().is_err(), "{text}");
        }
    }
}
