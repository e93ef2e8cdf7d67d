//! What an artifact store is asked and answers, in the contract's words (`fuseml:artifact-store`).

use crate::{Attributes, Digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a store says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreInfo {
    pub kinds: Vec<String>,
    pub pattern: StorePattern,
    /// Location schemes that `locate` can answer with.
    pub schemes: Vec<String>,
    /// Of `register`, `update-labels`, `update-tags` and `delete`, those that it has.
    pub operations: Vec<String>,
}

/// Who keeps descriptors and contents (S91–S94).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorePattern {
    Adapter,
    AdapterWithDescriptors,
    SharedBackend,
    Mirror,
}

/// Versions of a kind for which all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreQuery {
    pub kind: String,
    pub conditions: Vec<StoreCondition>,
}

/// `name`, `tag`, `label.<n>`, …; an operator such as `=`; a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreCondition {
    pub field: String,
    pub operator: String,
    pub value: String,
}

impl StoreCondition {
    /// `<field> = <value>`.
    pub fn equal(field: &str, value: &str) -> Self {
        Self { field: field.to_owned(), operator: "=".to_owned(), value: value.to_owned() }
    }
}

/// One page of the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct StorePage {
    pub artifacts: Vec<StoredArtifact>,
    /// `None` after the last page.
    pub next: Option<String>,
    /// Conditions that the tool could not apply.
    pub unapplied: Vec<StoreCondition>,
}

/// An artifact as a store gave it back.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredArtifact {
    /// The store's own.
    pub id: String,
    pub kind: String,
    pub name: String,
    pub version: String,
    pub digest: Option<Digest>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub created: u64,
    pub attributes: Attributes,
    pub metrics: BTreeMap<String, f64>,
    pub labels: Attributes,
    pub tags: Vec<String>,
    /// Ids in the same store.
    pub parents: Vec<String>,
}

/// Of what may change: labels and tags.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreChange {
    /// All labels from now on; `None` leaves them.
    pub labels: Option<Attributes>,
    pub add_tags: Vec<String>,
    pub remove_tags: Vec<String>,
}

/// What a store can do beyond its world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoreAbilities {
    /// It says what happened in the tool since a cursor (S88, S95).
    pub feed: bool,
    /// It knows the tool's own page of an artifact (S101).
    pub redirect: bool,
    /// It removes contents that nothing refers to (S90).
    pub maintenance: bool,
}

/// Something that happened in a tool.
#[derive(Debug, Clone, PartialEq)]
pub enum StoreEvent {
    /// It is so now, new or changed.
    Changed(Box<StoredArtifact>),
    /// Something about it is new or changed: the store has to be asked.
    Touched(String),
    Deleted(String),
}

/// What happened since a cursor.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreBatch {
    pub events: Vec<StoreEvent>,
    /// To be given next time.
    pub cursor: String,
    pub more: bool,
}

/// What a store removed of what nothing refers to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoreCollected {
    pub examined: u64,
    pub removed: u64,
    pub freed_bytes: u64,
    /// Where to go on; `None` at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
