//! Metadata files as clients name them, and what they lead to.

use fuseml_domain::{Error, Result};
use serde_json::Value;

/// What a namespace's metadata is made of.
pub(super) enum MetadataFile {
    Timestamp,
    Root(u64),
    /// A snapshot or targets.
    Numbered(u64, &'static str),
}

impl std::str::FromStr for MetadataFile {
    type Err = Error;
    fn from_str(file: &str) -> Result<Self> {
        let unknown = || Error::not_found("metadata", format!("there is no metadata `{}`", file.escape_debug()));
        if file == "timestamp.json" {
            return Ok(Self::Timestamp);
        }
        let (number, role) = file.split_once('.').ok_or_else(unknown)?;
        let version: u64 = number.parse().map_err(|_| unknown())?;
        match role {
            _ if version.to_string() != number => Err(unknown()),
            "root.json" => Ok(Self::Root(version)),
            "snapshot.json" => Ok(Self::Numbered(version, "snapshot.json")),
            "targets.json" => Ok(Self::Numbered(version, "targets.json")),
            _ => Err(unknown()),
        }
    }
}

/// Refuses to keep for ever what something between here and the origin made up.
pub(super) fn check_version(version: u64, bytes: &[u8]) -> Result<()> {
    let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
    match document["signed"]["version"].as_u64() {
        Some(own) if own == version => Ok(()),
        _ => Err(Error::unavailable("origin", format!("the origin says something else than version {version}"))),
    }
}

/// The version of what a metadata file leads to, and its hash.
pub(super) fn named(bytes: &[u8], file: &str) -> Result<(u64, Option<String>)> {
    let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let meta = &document["signed"]["meta"][file];
    let version = meta["version"].as_u64();
    let version =
        version.ok_or_else(|| Error::invalid("metadata", format!("the origin's metadata does not lead to {file}")))?;
    Ok((version, meta["hashes"]["sha256"].as_str().map(ToOwned::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_has_one_spelling() {
        for file in ["timestamp.json", "1.root.json", "12.snapshot.json", "3.targets.json"] {
            assert!(file.parse::<MetadataFile>().is_ok(), "{file}");
        }
        for file in ["01.root.json", "+1.root.json", "root.json", "1.timestamp.json", "1.root.json.x", "1", ""] {
            assert!(file.parse::<MetadataFile>().is_err(), "{file}");
        }
    }
}
