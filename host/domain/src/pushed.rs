//! Artifacts that a person or a program sends: their files are in the content store already.

use crate::{
    Address, Attributes, Descriptor, Digest, Error, Kind, Location, Name, Origin, Result, Series, Store, Tree,
    external::check_facts,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is said of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushedArtifact {
    /// Of the list of its files.
    pub tree: Digest,
    #[serde(default)]
    pub attributes: Attributes,
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    #[serde(default)]
    pub labels: Attributes,
    /// Who sends it.
    pub by: String,
}

impl PushedArtifact {
    /// Its descriptor; `read` is what its files say of themselves, which counts less than what is said here.
    ///
    /// # Errors
    /// `invalid` for kinds that are not pushed so, and for facts that nobody could read.
    pub fn describe(
        self,
        series: &Series,
        tree: &Tree,
        location: Location,
        read: Attributes,
        created: Timestamp,
    ) -> Result<Descriptor> {
        let Self { tree: digest, attributes: said, metrics, labels, by } = self;
        check_pushed(series)?;
        check_facts(&said, &metrics)?;
        let id: Name = digest.hex().parse()?;
        let mut attributes = read;
        attributes.insert("files".to_owned(), tree.files().len().to_string());
        attributes.insert("size-bytes".to_owned(), tree.size_bytes().to_string());
        attributes.extend(said);
        let mut descriptor = Descriptor {
            address: Address::of_version(series.kind, &series.project, &series.name, &id),
            name: series.name.clone(),
            id,
            digest: Some(digest),
            created,
            attributes,
            metrics,
            labels: Attributes::new(),
            tags: Vec::new(),
            location,
            store: Store::BuiltIn,
            runnable: None,
            origin: Origin::Registered { by },
        };
        let labels: Vec<_> = labels.into_iter().map(|(name, value)| (name, Some(value))).collect();
        descriptor.relabel(&labels)?;
        Ok(descriptor)
    }
}

/// Refuses kinds whose contents are not a directory that somebody sends.
///
/// # Errors
/// `invalid`, with how it is done instead.
pub fn check_pushed(series: &Series) -> Result<()> {
    match series.kind {
        Kind::Model | Kind::Dataset => Ok(()),
        Kind::Codeset => Err(Error::invalid("kind", "code is pushed with git, or `fuseml codeset push`")),
        Kind::Runnable => {
            Err(Error::invalid("kind", "runnables are registered, or built from code; they are not pushed"))
        }
    }
}
