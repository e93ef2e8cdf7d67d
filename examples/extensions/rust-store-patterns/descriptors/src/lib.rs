//! Pattern: adapter with descriptors. The registry knows nothing of datasets: a record of each is kept here, contents
//! stay where they are.

#[path = "../../records.rs"]
mod records;
#[path = "../../registry.rs"]
#[allow(dead_code)]
mod registry;

use fuseml_extension::store::{Change, Contents, Draft, EVERY_OPERATION, Info, Pattern, Query, Report, Results};
use fuseml_extension::{
    ArtifactStore, Descriptor, Error, Maintenance, Page, Result, export_artifact_store, export_maintenance,
};
use records::Record;
use registry::{Registry, split_id};

const KIND: &str = "dataset";

/// One registry.
#[derive(Debug)]
pub struct Store {
    registry: Registry,
}

fn check(id: &str) -> Result<(&str, &str)> {
    split_id(id).ok_or_else(|| Error::invalid("id", "an id is <repository>@sha256:<digest>"))
}

impl ArtifactStore for Store {
    fn new() -> Result<Self> {
        Ok(Self { registry: Registry::configured()? })
    }

    fn describe() -> Info {
        Info {
            kinds: vec![KIND.to_owned()],
            pattern: Pattern::AdapterWithDescriptors,
            schemes: vec!["oci".to_owned()],
            operations: EVERY_OPERATION.map(str::to_owned).to_vec(),
        }
    }

    fn health(&self) -> Result<()> {
        self.registry.health()
    }

    fn register(&self, draft: Draft) -> Result<Descriptor> {
        let (repository, digest) = self.registry.place(&draft.contents)?;
        if self.registry.manifest(repository, digest)?.is_none() {
            return Err(Error::not_found("contents", format!("{repository} has no manifest {digest}")));
        }
        Ok(records::add(Record::of(&draft, format!("{repository}@{digest}")))?.descriptor())
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

    /// The record goes; contents are the registry's affair.
    fn delete(&self, id: String) -> Result<()> {
        check(&id)?;
        records::remove(&id)
    }

    fn locate(&self, id: String) -> Result<Contents> {
        let (repository, digest) = check(&id)?;
        records::get(&id)?;
        Ok(Contents { root: self.registry.location(repository, digest), files: Vec::new() })
    }
}

impl Maintenance for Store {
    /// Removes records whose contents are gone.
    fn collect_garbage(&self, cursor: Option<String>, dry_run: bool) -> Result<Report> {
        let (found, next) = records::page(&Page { cursor, limit: 20 })?;
        let mut report = Report { examined: 0, removed: 0, freed_bytes: 0, next };
        for record in found {
            report.examined += 1;
            let (repository, digest) = check(&record.id)?;
            if self.registry.manifest(repository, digest)?.is_none() {
                report.removed += 1;
                if !dry_run {
                    records::remove(&record.id)?;
                }
            }
        }
        Ok(report)
    }
}

export_artifact_store!(Store);
export_maintenance!(Store);
