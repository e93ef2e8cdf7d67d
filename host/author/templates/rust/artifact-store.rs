//! The models that `index.json` on a web server lists, as an artifact store that only reads.
//!
//! `index.json` is a list: `[{"name": "iris", "version": "1", "uri": "https://…", "created": 1700000000000}]`.

#[cfg(test)]
mod tests;

use fuseml_extension::store::{Change, Contents, Draft, Info, Pattern, Query, Results};
use fuseml_extension::{
    ArtifactStore, Credential, Descriptor, Error, Location, Page, Result, configuration, export_artifact_store, http,
};
use serde::Deserialize;

/// One model of the list.
#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    version: String,
    uri: String,
    created: u64,
}

impl Entry {
    fn id(&self) -> String {
        format!("{}/{}", self.name, self.version)
    }

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            id: self.id(),
            kind: "model".to_owned(),
            name: self.name.clone(),
            version: self.version.clone(),
            digest: None,
            created: self.created,
            attributes: Vec::new(),
            metrics: Vec::new(),
            labels: Vec::new(),
            tags: Vec::new(),
            parents: Vec::new(),
        }
    }
}

/// One web server.
#[derive(Debug)]
pub struct Store {
    endpoint: String,
}

impl Store {
    /// The list, ordered by id so that pages follow each other.
    fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = http::get_json(&format!("{}/index.json", self.endpoint))?;
        entries.sort_by_key(Entry::id);
        Ok(entries)
    }

    fn entry(&self, id: &str) -> Result<Entry> {
        self.entries()?
            .into_iter()
            .find(|entry| entry.id() == id)
            .ok_or_else(|| Error::not_found("no-such-model", format!("index.json lists no model `{id}`")))
    }

    fn read_only(what: &str) -> Error {
        Error::unsupported("read-only-store", format!("this store cannot {what}: change index.json instead"))
    }
}

impl ArtifactStore for Store {
    fn new() -> Result<Self> {
        Ok(Self { endpoint: configuration::require("endpoint")? })
    }

    fn describe() -> Info {
        let schemes = vec!["https".to_owned()];
        // What it only reads has no operations; `EVERY_OPERATION` is all of them.
        Info { kinds: vec!["model".to_owned()], pattern: Pattern::Adapter, schemes, operations: Vec::new() }
    }

    fn health(&self) -> Result<()> {
        self.entries().map(drop)
    }

    fn register(&self, _draft: Draft) -> Result<Descriptor> {
        Err(Self::read_only("register"))
    }

    fn get(&self, id: String) -> Result<Descriptor> {
        Ok(self.entry(&id)?.descriptor())
    }

    fn search(&self, query: Query, page: Page) -> Result<Results> {
        // The host applies the conditions that a store leaves in `unapplied`.
        let unapplied = query.conditions;
        if query.kind != "model" {
            return Ok(Results { items: Vec::new(), next: None, unapplied });
        }
        // The cursor is the last id of the page before.
        let later = |entry: &Entry| page.cursor.as_ref().is_none_or(|cursor| entry.id() > *cursor);
        let mut found: Vec<Entry> = self.entries()?.into_iter().filter(later).collect();
        let limit = usize::try_from(page.limit.max(1)).unwrap_or(usize::MAX);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(Entry::id);
        Ok(Results { items: found.iter().map(Entry::descriptor).collect(), next, unapplied })
    }

    fn update(&self, _id: String, _change: Change) -> Result<Descriptor> {
        Err(Self::read_only("update"))
    }

    fn delete(&self, _id: String) -> Result<()> {
        Err(Self::read_only("delete"))
    }

    fn locate(&self, id: String) -> Result<Contents> {
        let credential = Credential { kind: "none".to_owned(), secret: None, parameters: Vec::new() };
        let uri = self.entry(&id)?.uri;
        let scheme = "https".to_owned();
        let root = Location { scheme, uri, credential, digest: None, size_bytes: None, expires: None };
        Ok(Contents { root, files: Vec::new() })
    }
}

export_artifact_store!(Store);
