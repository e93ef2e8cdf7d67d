//! What happened to artifacts: registrations, and changes of labels and tags.

use crate::{Attributes, Descriptor};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Something that happened, in the order in which it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct ArtifactEvent {
    pub sequence: i64,
    /// As it is now.
    pub artifact: Descriptor,
    /// The run that registered it, or changed its labels and tags, if one did.
    pub run: Option<Uuid>,
    /// Of an artifact that was there: what its labels and tags were.
    pub before: Option<Unmarked>,
    /// How often its labels and tags changed since the event came.
    pub touched: i64,
}

/// Labels and tags of an artifact before they were changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unmarked {
    pub labels: Attributes,
    pub tags: Vec<String>,
    /// Who changed them.
    pub by: String,
}

impl Unmarked {
    /// The artifact as it was.
    pub fn of(&self, artifact: &Descriptor) -> Descriptor {
        Descriptor { labels: self.labels.clone(), tags: self.tags.clone(), ..artifact.clone() }
    }

    /// What was done to it, for people: `was tagged production by ada`.
    pub fn told(&self, artifact: &Descriptor) -> String {
        let tags: Vec<_> = artifact.tags.iter().filter(|tag| !self.tags.contains(tag)).cloned().collect();
        let labels = artifact.labels.iter().filter(|(name, value)| self.labels.get(*name) != Some(value));
        let labels: Vec<_> = labels.map(|(name, value)| format!("{name}={value}")).collect();
        let done = match (tags.is_empty(), labels.is_empty()) {
            (true, true) => "was changed".to_owned(),
            (true, false) => format!("was labelled {}", labels.join(", ")),
            (false, true) => format!("was tagged {}", tags.join(", ")),
            (false, false) => format!("was tagged {} and labelled {}", tags.join(", "), labels.join(", ")),
        };
        format!("{done} by {}", self.by)
    }
}
