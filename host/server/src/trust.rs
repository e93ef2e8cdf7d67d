//! Whom the admin lets this server install from.

use fuseml_domain::{Error, Name, PackageOrigin, Result};
use serde::Deserialize;
use std::{fs, path::Path};

/// Who may be installed from: `trust.toml` in the data folder.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Trust {
    /// When any is given, packages from marketplaces come from these alone.
    pub(crate) namespaces: Vec<TrustedNamespace>,
    /// Refuse what comes by a path, and so without a signature, but for these names.
    pub(crate) signed_only: bool,
    pub(crate) unsigned: Vec<Name>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustedNamespace {
    pub(crate) marketplace: Name,
    pub(crate) namespace: Name,
    /// Ids of keys; all of the namespace's when empty.
    #[serde(default)]
    pub(crate) keys: Vec<String>,
}

impl Trust {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text)
                .map_err(|error| Error::invalid("trust", format!("{} is not understood: {error}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::io(path.display(), &error)),
        }
    }

    pub(crate) fn check(&self, origin: &PackageOrigin) -> Result<()> {
        let PackageOrigin { marketplace, namespace, key, .. } = origin;
        let trusted = |it: &TrustedNamespace| {
            it.marketplace == *marketplace
                && it.namespace == *namespace
                && (it.keys.is_empty() || it.keys.contains(key))
        };
        match self.namespaces.is_empty() || self.namespaces.iter().any(trusted) {
            true => Ok(()),
            false => Err(Error::denied(
                "not-trusted",
                format!("trust.toml does not list {marketplace}:{namespace} with the key {key}"),
            )),
        }
    }

    /// Refuses what came by a path where only signed packages are wanted.
    pub(crate) fn check_unsigned(&self, name: &Name) -> Result<()> {
        match !self.signed_only || self.unsigned.contains(name) {
            true => Ok(()),
            false => Err(Error::denied(
                "unsigned",
                format!(
                    "{name} comes without a signature; trust.toml takes only signed packages from marketplaces, and names listed as `unsigned`"
                ),
            )),
        }
    }
}
