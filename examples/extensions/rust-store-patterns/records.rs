//! Records of artifacts in the instance's own state, each under its id.

use fuseml_extension::store::{Change, Draft, Query, Results};
use fuseml_extension::{Descriptor, Error, Page, Result, state};
use serde::{Deserialize, Serialize};

const PREFIX: &str = "artifact/";

/// What is remembered of an artifact.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    kind: String,
    name: String,
    version: String,
    digest: Option<String>,
    created: u64,
    attributes: Vec<(String, String)>,
    metrics: Vec<(String, f64)>,
    labels: Vec<(String, String)>,
    tags: Vec<String>,
}

impl Record {
    pub fn of(draft: &Draft, id: String) -> Self {
        let it = draft.descriptor.clone();
        Self {
            id,
            kind: it.kind,
            name: it.name,
            version: it.version,
            digest: it.digest,
            created: it.created,
            attributes: it.attributes,
            metrics: it.metrics,
            labels: it.labels,
            tags: it.tags,
        }
    }

    pub fn descriptor(self) -> Descriptor {
        Descriptor {
            id: self.id,
            kind: self.kind,
            name: self.name,
            version: self.version,
            digest: self.digest,
            created: self.created,
            attributes: self.attributes,
            metrics: self.metrics,
            labels: self.labels,
            tags: self.tags,
            parents: Vec::new(),
        }
    }

    pub fn change(&mut self, change: &Change) {
        if let Some(labels) = &change.labels {
            self.labels.clone_from(labels);
        }
        self.tags.retain(|tag| !change.remove_tags.contains(tag) && !change.add_tags.contains(tag));
        self.tags.extend(change.add_tags.iter().cloned());
        self.tags.sort();
    }
}

fn key(id: &str) -> String {
    format!("{PREFIX}{id}")
}

/// The record and its bytes, for whoever changes it.
fn read(id: &str) -> Result<Option<(Record, Vec<u8>)>> {
    match state::get(&key(id))? {
        Some(bytes) => Ok(Some((serde_json::from_slice(&bytes)?, bytes))),
        None => Ok(None),
    }
}

pub fn get(id: &str) -> Result<Record> {
    read(id)?.map(|(record, _)| record).ok_or_else(|| missing(id))
}

pub fn missing(id: &str) -> Error {
    Error::not_found("unknown", format!("there is no artifact `{id}`"))
}

/// Remembers a record, or answers the one that is there: the same contents are the same version.
pub fn add(record: Record) -> Result<Record> {
    let bytes = serde_json::to_vec(&record)?;
    match state::compare_and_set(&key(&record.id), None, &bytes)? {
        true => Ok(record),
        false => get(&record.id),
    }
}

pub fn update(id: &str, change: &Change) -> Result<Record> {
    const TRIES: usize = 5;
    for _ in 0..TRIES {
        let (mut record, before) = read(id)?.ok_or_else(|| missing(id))?;
        record.change(change);
        if state::compare_and_set(&key(id), Some(&before), &serde_json::to_vec(&record)?)? {
            return Ok(record);
        }
    }
    Err(Error::conflict("busy", format!("`{id}` is changed by somebody else again and again")))
}

pub fn remove(id: &str) -> Result<()> {
    state::delete(&key(id))
}

/// A page of records; the host applies the conditions.
pub fn page(page: &Page) -> Result<(Vec<Record>, Option<String>)> {
    let page = Page { cursor: page.cursor.clone(), limit: page.limit.clamp(1, 100) };
    let (keys, next) = state::list_keys(PREFIX, &page)?;
    let mut records = Vec::new();
    for key in keys {
        records.extend(read(key.strip_prefix(PREFIX).unwrap_or(&key))?.map(|(record, _)| record));
    }
    Ok((records, next))
}

pub fn search(query: Query, asked: &Page, kind: &str) -> Result<Results> {
    let unapplied = query.conditions;
    if query.kind != kind {
        return Ok(Results { items: Vec::new(), next: None, unapplied });
    }
    let (records, next) = page(asked)?;
    Ok(Results { items: records.into_iter().map(Record::descriptor).collect(), next, unapplied })
}
