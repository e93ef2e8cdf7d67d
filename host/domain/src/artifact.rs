//! Descriptors: what is known of an artifact (S2–S7, S84–S85), and where its contents lie.

use crate::{Address, Digest, Kind, Name};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names and text values.
pub type Attributes = BTreeMap<String, String>;

/// Where contents lie and how to reach them. Contents themselves never pass through the server's control path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// `file`, `git`, `contents` (the built-in store), `http`, `https`, …, or a tool's own.
    pub scheme: String,
    pub uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

impl Location {
    pub fn new(scheme: &str, uri: impl Into<String>) -> Self {
        Self { scheme: scheme.to_owned(), uri: uri.into(), digest: None }
    }

    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }
}

/// Which store keeps an artifact, and the store's own id of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Store {
    /// Git for codesets, the content store for everything else.
    BuiltIn,
    /// An artifact-store component of an instance.
    Extension { instance: Name, id: String },
    /// Nobody that FuseML knows: only the reference is recorded (S104). It is neither fetched nor verified, deleting it
    /// here deletes the reference alone, and nobody notices when the contents change.
    External,
    /// The local space of the run that made it: it is anonymous, and gone once that has ended (S76).
    Local,
}

/// Who made an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Origin {
    /// Pushed through git.
    Push { reference: String, subject: String },
    /// Left by a step of a run: `<pipeline>/<number>`.
    Run {
        run: String,
        step: Name,
        /// Whose run that was, where the artifact is another project's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        project: Option<Name>,
    },
    /// Registered by a person or a program.
    Registered { by: String },
}

/// One immutable artifact version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Canonical.
    pub address: Address,
    /// The series that this is a version of: a codeset's repository, the codeset that a model was trained from.
    pub name: Name,
    /// Immutable identity: a commit, or the hex digits of `digest`.
    pub id: Name,
    /// Of the contents: of the [`crate::Tree`] for directories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    pub created: Timestamp,
    pub attributes: Attributes,
    pub metrics: BTreeMap<String, f64>,
    #[serde(default)]
    pub labels: Attributes,
    #[serde(default)]
    pub tags: Vec<String>,
    pub location: Location,
    pub store: Store,
    /// What a runnable is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runnable: Option<Box<crate::Runnable>>,
    pub origin: Origin,
}

impl Descriptor {
    pub fn kind(&self) -> Kind {
        self.address.kind
    }

    pub fn project(&self) -> &Name {
        &self.address.project
    }

    /// Whether every attribute that a slot requires is there with that value (S26).
    pub fn satisfies(&self, requires: &Attributes) -> bool {
        requires.iter().all(|(name, value)| self.attributes.get(name) == Some(value))
    }
}
