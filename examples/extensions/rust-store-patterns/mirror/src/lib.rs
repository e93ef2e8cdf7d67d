//! Pattern: mirror. What is registered is copied, contents included, into a repository of its own, by the registry
//! itself; the original may go.

#[path = "../../records.rs"]
mod records;
#[path = "../../registry.rs"]
#[allow(dead_code)]
mod registry;

use fuseml_extension::store::{Change, Contents, Draft, EVERY_OPERATION, Info, Pattern, Query, Results};
use fuseml_extension::{ArtifactStore, Descriptor, Error, Page, Result, export_artifact_store};
use records::Record;
use registry::{Registry, split_id};

const KIND: &str = "runnable";
const PLACE: &str = "mirror/";

/// One registry.
#[derive(Debug)]
pub struct Store {
    registry: Registry,
}

fn check(id: &str) -> Result<(&str, &str)> {
    split_id(id)
        .filter(|_| id.starts_with(PLACE))
        .ok_or_else(|| Error::invalid("id", "an id is mirror/<repository>@sha256:<digest>"))
}

impl Store {
    /// Everything that the manifest names, then the manifest: a copy is whole or is not there.
    fn copy(&self, from: &str, to: &str, digest: &str) -> Result<()> {
        let unknown = || Error::not_found("contents", format!("{from} has no manifest {digest}"));
        let manifest = self.registry.manifest(from, digest)?.ok_or_else(unknown)?;
        let json = manifest.json()?;
        let layers = json.get("layers").and_then(serde_json::Value::as_array).into_iter().flatten();
        for blob in json.get("config").into_iter().chain(layers) {
            if let Some(blob) = blob.get("digest").and_then(serde_json::Value::as_str) {
                self.registry.mount(to, blob, from)?;
            }
        }
        self.registry.put_manifest(to, digest, &manifest.media_type, manifest.bytes)
    }
}

impl ArtifactStore for Store {
    fn new() -> Result<Self> {
        Ok(Self { registry: Registry::configured()? })
    }

    fn describe() -> Info {
        Info {
            kinds: vec![KIND.to_owned()],
            pattern: Pattern::Mirror,
            schemes: vec!["oci".to_owned()],
            operations: EVERY_OPERATION.map(str::to_owned).to_vec(),
        }
    }

    fn health(&self) -> Result<()> {
        self.registry.health()
    }

    fn register(&self, draft: Draft) -> Result<Descriptor> {
        let (repository, digest) = self.registry.place(&draft.contents)?;
        let own = format!("{PLACE}{repository}");
        self.copy(repository, &own, digest)?;
        Ok(records::add(Record::of(&draft, format!("{own}@{digest}")))?.descriptor())
    }

    fn get(&self, id: String) -> Result<Descriptor> {
        check(&id)?;
        Ok(records::get(&id)?.descriptor())
    }

    fn search(&self, query: Query, page: Page) -> Result<Results> {
        records::search(query, &page, KIND)
    }

    fn update(&self, id: String, change: Change) -> Result<Descriptor> {
        check(&id)?;
        Ok(records::update(&id, &change)?.descriptor())
    }

    /// The record first: a copy that nobody knows harms nobody.
    fn delete(&self, id: String) -> Result<()> {
        let (repository, digest) = check(&id)?;
        records::remove(&id)?;
        self.registry.delete_manifest(repository, digest)
    }

    fn locate(&self, id: String) -> Result<Contents> {
        let (repository, digest) = check(&id)?;
        records::get(&id)?;
        Ok(Contents { root: self.registry.location(repository, digest), files: Vec::new() })
    }
}

export_artifact_store!(Store);
