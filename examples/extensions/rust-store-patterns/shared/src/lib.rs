//! Pattern: shared back end. FuseML and whatever else uses the registry read and write the same storage: a model is a
//! manifest over the blobs that are there, which any client pulls by its tag, with the descriptor in an annotation.

#[path = "../../records.rs"]
#[allow(dead_code)]
mod records;
#[path = "../../registry.rs"]
#[allow(dead_code)]
mod registry;

use fuseml_extension::store::{Change, Contents, Draft, EVERY_OPERATION, Info, Pattern, Query, Results};
use fuseml_extension::{ArtifactStore, Descriptor, Error, Page, Result, export_artifact_store};
use records::{Record, missing};
use registry::{Manifest, Registry, is_repository};
use serde_json::{Value, json};

const KIND: &str = "model";
const ANNOTATION: &str = "org.fuseml.example.record";
/// What its tags begin with; other tags are other people's.
const TAG: &str = "fuseml-";

/// One registry.
#[derive(Debug)]
pub struct Store {
    registry: Registry,
}

/// Repository and tag of `<repository>:<tag>`.
fn check(id: &str) -> Result<(&str, &str)> {
    let is_tag = |tag: &str| {
        tag.starts_with(TAG)
            && tag.len() <= 128
            && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    id.split_once(':')
        .filter(|(repository, tag)| is_repository(repository) && is_tag(tag))
        .ok_or_else(|| Error::invalid("id", "an id is <repository>:fuseml-<key>"))
}

/// The record in a manifest's annotation, if it has one.
fn record_of(manifest: &Manifest) -> Result<Option<Record>> {
    let json = manifest.json()?;
    let text = json.get("annotations").and_then(|all| all.get(ANNOTATION)).and_then(Value::as_str);
    Ok(text.map(serde_json::from_str).transpose()?)
}

impl Store {
    fn find(&self, id: &str) -> Result<(Manifest, Record)> {
        let (repository, tag) = check(id)?;
        let manifest = self.registry.manifest(repository, tag)?.ok_or_else(|| missing(id))?;
        let record = record_of(&manifest)?.ok_or_else(|| missing(id))?;
        Ok((manifest, record))
    }

    /// The manifest with this record, under the record's own tag.
    fn write(&self, manifest: &Manifest, record: &Record) -> Result<()> {
        let (repository, tag) = check(&record.id)?;
        let mut json = manifest.json()?;
        if json.get("annotations").is_none_or(|annotations| !annotations.is_object())
            && let Some(object) = json.as_object_mut()
        {
            object.insert("annotations".to_owned(), json!({}));
        }
        if let Some(annotations) = json.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.insert(ANNOTATION.to_owned(), serde_json::to_string(record)?.into());
        }
        self.registry.put_manifest(repository, tag, &manifest.media_type, serde_json::to_vec(&json)?)
    }

    /// Every model of the registry, by its id.
    fn ids(&self) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for repository in self.registry.list("_catalog", "repositories")? {
            let tags = self.registry.list(&format!("{repository}/tags/list"), "tags")?;
            ids.extend(tags.iter().filter(|tag| tag.starts_with(TAG)).map(|tag| format!("{repository}:{tag}")));
        }
        ids.sort();
        Ok(ids)
    }
}

impl ArtifactStore for Store {
    fn new() -> Result<Self> {
        Ok(Self { registry: Registry::configured()? })
    }

    fn describe() -> Info {
        Info {
            kinds: vec![KIND.to_owned()],
            pattern: Pattern::SharedBackend,
            schemes: vec!["oci".to_owned()],
            operations: EVERY_OPERATION.map(str::to_owned).to_vec(),
        }
    }

    fn health(&self) -> Result<()> {
        self.registry.health()
    }

    fn register(&self, draft: Draft) -> Result<Descriptor> {
        let (repository, digest) = self.registry.place(&draft.contents)?;
        let unfit = |c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c));
        // The key is the tag, so the same key is the same version.
        let id = format!("{repository}:{TAG}{}", draft.idempotency_key.replace(unfit, "-"));
        check(&id)?;
        match self.find(&id) {
            Err(error) if error.code == "unknown" => {}
            there => return Ok(there?.1.descriptor()),
        }
        let unknown = || Error::not_found("contents", format!("{repository} has no manifest {digest}"));
        let manifest = self.registry.manifest(repository, digest)?.ok_or_else(unknown)?;
        let record = Record::of(&draft, id);
        self.write(&manifest, &record)?;
        Ok(record.descriptor())
    }

    fn get(&self, id: String) -> Result<Descriptor> {
        Ok(self.find(&id)?.1.descriptor())
    }

    fn search(&self, query: Query, page: Page) -> Result<Results> {
        let unapplied = query.conditions;
        if query.kind != KIND {
            return Ok(Results { items: Vec::new(), next: None, unapplied });
        }
        // The cursor is the last id of the page before.
        let mut ids = self.ids()?;
        ids.retain(|id| page.cursor.as_ref().is_none_or(|cursor| id > cursor));
        let limit = usize::try_from(page.limit.clamp(1, 50)).unwrap_or(50);
        let next = ids.get(limit - 1).filter(|_| ids.len() > limit).cloned();
        let mut items = Vec::new();
        for id in ids.iter().take(limit) {
            match self.find(id) {
                Ok((_, record)) => items.push(record.descriptor()),
                // Deleted meanwhile.
                Err(error) if error.code == "unknown" => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Results { items, next, unapplied })
    }

    fn update(&self, id: String, change: Change) -> Result<Descriptor> {
        let (before, mut record) = self.find(&id)?;
        record.change(&change);
        self.write(&before, &record)?;
        // What the tag named before is named by nobody now.
        let (repository, tag) = check(&id)?;
        if self.registry.manifest(repository, tag)?.is_some_and(|after| after.digest != before.digest) {
            self.registry.delete_manifest(repository, &before.digest)?;
        }
        Ok(record.descriptor())
    }

    fn delete(&self, id: String) -> Result<()> {
        let (repository, _) = check(&id)?;
        match self.find(&id) {
            Ok((manifest, _)) => self.registry.delete_manifest(repository, &manifest.digest),
            Err(error) if error.code == "unknown" => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn locate(&self, id: String) -> Result<Contents> {
        let (repository, _) = check(&id)?;
        let (manifest, _) = self.find(&id)?;
        Ok(Contents { root: self.registry.location(repository, &manifest.digest), files: Vec::new() })
    }
}

export_artifact_store!(Store);
