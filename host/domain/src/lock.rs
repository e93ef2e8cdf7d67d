//! The lock file: which version of which extension is installed, from where. A server writes it at every change;
//! another server installs the same from it.

use crate::{Digest, Error, Name, PackageReference, Result, exactly};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const SCHEMA_VERSION: u32 = 1;

/// Everything that is installed, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtensionLock {
    pub schema_version: u32,
    #[serde(default, rename = "extension")]
    pub extensions: Vec<LockedExtension>,
}

/// One installed extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedExtension {
    pub name: Name,
    pub version: Version,
    /// Of what is installed: manifest, components and templates.
    pub digest: Digest,
    /// The marketplace's package that it came in; none when it came by a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<LockedPackage>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<Name, VersionReq>,
}

/// Where an installed extension came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// As the server calls it.
    pub marketplace: Name,
    pub namespace: Name,
    /// Of the package's index.
    pub digest: Digest,
    /// Id of the key that signed it.
    pub key: String,
}

impl ExtensionLock {
    pub fn new(mut extensions: Vec<LockedExtension>) -> Self {
        extensions.sort_by(|a, b| a.name.cmp(&b.name));
        Self { schema_version: SCHEMA_VERSION, extensions }
    }

    /// # Errors
    /// `invalid` for what is no lock file, or one of another schema.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |why: String| Error::invalid("lock", format!("this is no lock file of extensions: {why}"));
        let lock: Self = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        if lock.schema_version != SCHEMA_VERSION {
            return Err(invalid(format!("schema_version is {}, not {SCHEMA_VERSION}", lock.schema_version)));
        }
        Ok(lock)
    }

    /// The same extensions give the same text.
    ///
    /// # Errors
    /// When it cannot be written as TOML.
    pub fn render(&self) -> Result<String> {
        let text = toml::to_string(self).map_err(|error| Error::internal("lock", error.to_string()))?;
        Ok(format!("# Written by FuseML; `fuseml extension install --lock FILE` installs the same elsewhere.\n{text}"))
    }

    /// What is needed before what needs it.
    pub fn in_order(&self) -> Vec<&LockedExtension> {
        let mut order: Vec<&LockedExtension> = Vec::new();
        let mut left: Vec<_> = self.extensions.iter().collect();
        while !left.is_empty() {
            let names: Vec<Name> = left.iter().map(|one| one.name.clone()).collect();
            let waits = |one: &LockedExtension| one.dependencies.keys().any(|needed| names.contains(needed));
            let (waiting, ready): (Vec<_>, Vec<_>) = left.into_iter().partition(|one| waits(one));
            if ready.is_empty() {
                // They need each other: whoever installs them is told.
                order.extend(waiting);
                break;
            }
            order.extend(ready);
            left = waiting;
        }
        order
    }
}

impl LockedExtension {
    /// How a marketplace is asked for exactly this.
    ///
    /// # Errors
    /// `invalid` for what came by a path.
    pub fn reference(&self) -> Result<PackageReference> {
        let package = self.package.as_ref().ok_or_else(|| {
            let message = format!("{} {} came by a path and cannot be had from a marketplace", self.name, self.version);
            Error::invalid("lock", message)
        })?;
        Ok(PackageReference {
            marketplace: Some(package.marketplace.clone()),
            namespace: package.namespace.clone(),
            name: self.name.clone(),
            wanted: exactly(&self.version),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(name: &str, needs: &[&str]) -> LockedExtension {
        let package = LockedPackage {
            marketplace: "hub".parse().expect("name"),
            namespace: "acme".parse().expect("name"),
            digest: Digest::of(b"package"),
            key: "abc".to_owned(),
        };
        LockedExtension {
            name: name.parse().expect("name"),
            version: Version::new(0, 1, 0),
            digest: Digest::of(name.as_bytes()),
            package: Some(package),
            dependencies: needs.iter().map(|name| (name.parse().expect("name"), VersionReq::STAR)).collect(),
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_says_how_to_get_it() {
        let here = LockedExtension { package: None, ..locked("here", &[]) };
        let lock = ExtensionLock::new(vec![locked("tool", &["base"]), here, locked("base", &[])]);

        let text = lock.render().expect("text");

        assert_eq!(ExtensionLock::parse(&text), Ok(lock.clone()));
        let names: Vec<_> = lock.extensions.iter().map(|one| one.name.to_string()).collect();
        assert_eq!(names, ["base", "here", "tool"]);
        assert_eq!(lock.extensions[2].reference().expect("reference").to_string(), "hub:acme/tool@=0.1.0");
        assert!(lock.extensions[1].reference().is_err());
        for text in ["", "schema_version = 2", "schema_version = 1\nmore = 1", "schema_version = 1\n[[extension]]"] {
            assert!(ExtensionLock::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_needed_comes_first_and_a_circle_ends() {
        let names = |lock: &ExtensionLock| lock.in_order().iter().map(|one| one.name.to_string()).collect::<Vec<_>>();
        let lock = ExtensionLock::new(vec![locked("a", &["b"]), locked("b", &["c", "elsewhere"]), locked("c", &[])]);
        assert_eq!(names(&lock), ["c", "b", "a"]);
        let circle = ExtensionLock::new(vec![locked("a", &["b"]), locked("b", &["a"]), locked("c", &[])]);
        assert_eq!(names(&circle), ["c", "a", "b"]);
    }
}
