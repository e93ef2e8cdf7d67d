//! What a tool has, as artifacts of a project (S88–S95): the rule by which one becomes the other.

use crate::{
    Address, Attributes, Descriptor, Digest, Error, Kind, Location, Name, Origin, Result, Store, StoredArtifact,
    external::check_facts,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Of a store's own ids, in bytes.
const LONGEST_ID: usize = 1024;

/// How an instance's store is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreSync {
    pub instance: Name,
    /// Whose artifacts they become.
    pub project: Name,
    /// How often it is looked at; only when somebody asks if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<SignedDuration>,
    /// Where the store's feed goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    pub last: StoreLook,
}

/// How a look through a store ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreLook {
    pub at: Timestamp,
    /// Versions that were new here, that had other labels or tags, and that are gone.
    pub registered: u64,
    pub changed: u64,
    pub deleted: u64,
    /// What could not become an artifact, and why; the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl StoreLook {
    pub fn new(at: Timestamp) -> Self {
        Self { at, registered: 0, changed: 0, deleted: 0, skipped: Vec::new(), error: None }
    }

    /// One that could not become an artifact: the first are named, or nobody could read it.
    pub fn skip(&mut self, id: &str, why: &Error) {
        const NAMED: usize = 20;
        if self.skipped.len() < NAMED {
            self.skipped.push(format!("{}: {}", id.escape_debug(), why.message));
        }
    }
}

impl StoredArtifact {
    /// Its descriptor in a project. Nobody here saw its contents, so its identity is the store's name of it, and what it
    /// was then cannot be verified.
    ///
    /// # Errors
    /// `invalid` for what is no artifact of a known kind, or says more than anybody reads.
    pub fn describe(&self, project: &Name, instance: &Name) -> Result<Descriptor> {
        let kind: Kind = self.kind.parse()?;
        if self.id.is_empty() || self.id.len() > LONGEST_ID {
            return Err(Error::invalid("id", format!("its id is empty, or has more than {LONGEST_ID} bytes")));
        }
        let name = artifact_name(&self.name)?;
        let identity = Digest::of(format!("{instance}\n{kind}\n{}", self.id).as_bytes());
        let id: Name = identity.hex().parse()?;
        let mut attributes = self.attributes.clone();
        attributes.insert("version".to_owned(), self.version.clone());
        if *name != *self.name {
            attributes.insert("store-name".to_owned(), self.name.clone());
        }
        check_facts(&attributes, &self.metrics)?;
        let mut location = Location::new("store", format!("{instance}:{}", self.id));
        location.digest.clone_from(&self.digest);
        let created = i64::try_from(self.created).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
        let mut descriptor = Descriptor {
            address: Address::of_version(kind, project, &name, &id),
            name,
            id,
            digest: None,
            created: created.unwrap_or_default(),
            attributes,
            metrics: self.metrics.clone(),
            labels: Attributes::new(),
            tags: Vec::new(),
            location,
            store: Store::Extension { instance: instance.clone(), id: self.id.clone() },
            runnable: None,
            origin: Origin::Registered { by: instance.to_string() },
        };
        // A tool's labels may be longer than ours: those stay in the tool.
        for (label, value) in &self.labels {
            let _ = descriptor.relabel(&[(label.clone(), Some(value.clone()))]);
        }
        Ok(descriptor)
    }
}

/// A tool's name as an artifact's: what does not fit becomes a dash.
fn artifact_name(text: &str) -> Result<Name> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let mut name = String::new();
    for c in text.chars().flat_map(char::to_lowercase).map(|c| if fits(c) { c } else { '-' }) {
        if !(matches!(c, '-' | '.') && name.ends_with(['-', '.'])) {
            name.push(c);
        }
    }
    let name: String = name.trim_matches(['-', '.', '_']).chars().take(Name::MAX).collect();
    name.trim_end_matches(['-', '.', '_']).parse().map_err(|_: Error| {
        Error::invalid("name", format!("its name `{}` leaves nothing that could be a name here", text.escape_debug()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(id: &str, name: &str) -> StoredArtifact {
        StoredArtifact {
            id: id.to_owned(),
            kind: "model".to_owned(),
            name: name.to_owned(),
            version: "3".to_owned(),
            digest: None,
            created: 1_700_000_000_000,
            attributes: Attributes::new(),
            metrics: Default::default(),
            labels: [("team".to_owned(), "red".to_owned()), ("a b".to_owned(), "x".to_owned())].into(),
            tags: Vec::new(),
            parents: Vec::new(),
        }
    }

    #[test]
    fn what_a_tool_has_becomes_an_artifact_that_says_where_it_lies() {
        let name = |text: &str| text.parse::<Name>().expect(text);
        let made = stored("My Model/3", "My Model (v2)").describe(&name("shop"), &name("mlflow")).expect("artifact");
        assert_eq!((&*made.name, made.attributes["store-name"].as_str()), ("my-model-v2", "My Model (v2)"));
        assert_eq!(made.store, Store::Extension { instance: name("mlflow"), id: "My Model/3".to_owned() });
        assert_eq!((made.labels.len(), made.digest.as_ref()), (1, None));
        let other = stored("My Model/3", "My Model (v2)").describe(&name("shop"), &name("other")).expect("artifact");
        assert_ne!(made.id, other.id);
        assert!(stored("x", "ÄÖ!").describe(&name("shop"), &name("mlflow")).is_err());
        assert!(stored(&"x".repeat(2_000), "x").describe(&name("shop"), &name("mlflow")).is_err());
        let wrong = StoredArtifact { kind: "banana".to_owned(), ..stored("x", "x") };
        assert!(wrong.describe(&name("shop"), &name("mlflow")).is_err());
    }

    proptest! {
        #[test]
        fn a_tools_name_becomes_one_or_is_refused(text in ".{0,100}") {
            if let Ok(name) = artifact_name(&text) {
                prop_assert_eq!(artifact_name(&name), Ok(name));
            }
        }
    }
}
