//! The catalog and the codesets as they would be if a codeset had been pushed: what a plan of that push looks into.

use async_trait::async_trait;
use fuseml_domain::{
    Address, Attributes, Descriptor, Digest, Error, Name, Pipeline, ReceivedEvent, Result, Run, RunCommand, Runnable,
    Selector, StepResult, Unstarted,
    port::{ArtifactEvent, Build, Catalog, Change, CodesetFiles, Codesets, Service, Started},
};
use jiff::Timestamp;
use std::sync::Arc;
use uuid::Uuid;

/// The catalog with one codeset more, the newest of all. Nothing can be saved through it.
pub(crate) struct ForeseenCatalog {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) codeset: Descriptor,
}

/// The codesets with one version more, whose files are elsewhere.
pub(crate) struct ForeseenCodesets {
    pub(crate) codesets: Arc<dyn Codesets>,
    pub(crate) unpushed: Arc<dyn Codesets>,
    pub(crate) codeset: Address,
}

#[async_trait]
impl Codesets for ForeseenCodesets {
    async fn files(&self, codeset: &Descriptor) -> Result<Arc<dyn CodesetFiles>> {
        let has = if codeset.address == self.codeset { &self.unpushed } else { &self.codesets };
        has.files(codeset).await
    }

    async fn changed_files(&self, from: &Descriptor, to: &Descriptor) -> Result<Vec<String>> {
        let has = if [&from.address, &to.address].contains(&&self.codeset) { &self.unpushed } else { &self.codesets };
        has.changed_files(from, to).await
    }
}

impl ForeseenCatalog {
    /// Whether an address means the codeset: this version of it, or its newest.
    fn is_meant(&self, address: &Address) -> bool {
        let is_newest = address.version.is_none() && address.tag.is_none();
        let newest = Address { version: None, tag: None, ..self.codeset.address.clone() };
        *address == self.codeset.address || is_newest && *address == newest
    }
}

fn saves_nothing<T>() -> Result<T> {
    Err(Error::internal("plan", "a plan saves nothing"))
}

#[async_trait]
impl Catalog for ForeseenCatalog {
    async fn artifact(&self, address: &Address) -> Result<Descriptor> {
        if self.is_meant(address) {
            return Ok(self.codeset.clone());
        }
        self.catalog.artifact(address).await
    }

    async fn newest(&self, project: &Name, selector: &Selector) -> Result<Option<Descriptor>> {
        if project == self.codeset.project() && selector.matches(&self.codeset) {
            return Ok(Some(self.codeset.clone()));
        }
        self.catalog.newest(project, selector).await
    }

    async fn scheduled(&self) -> Result<Vec<(Pipeline, Timestamp)>> {
        self.catalog.scheduled().await
    }

    async fn last_input(&self, project: &Name, pipeline: &Name, input: &Name, name: &Name) -> Result<Option<Address>> {
        self.catalog.last_input(project, pipeline, input, name).await
    }

    async fn run(&self, id: Uuid) -> Result<Run> {
        self.catalog.run(id).await
    }

    async fn open_runs(&self) -> Result<Vec<Run>> {
        self.catalog.open_runs().await
    }

    async fn first_open_run(&self, project: &Name, pipeline: &Name) -> Result<Option<Run>> {
        self.catalog.first_open_run(project, pipeline).await
    }

    async fn result(&self, project: &Name, identity: &Digest) -> Result<Option<StepResult>> {
        self.catalog.result(project, identity).await
    }

    async fn results(&self, project: &Name, pipeline: &Name, step: &Name, limit: u32) -> Result<Vec<StepResult>> {
        self.catalog.results(project, pipeline, step, limit).await
    }

    async fn pipelines(&self, project: &Name) -> Result<Vec<Pipeline>> {
        self.catalog.pipelines(project).await
    }

    async fn runnable(&self, address: &Address) -> Result<Runnable> {
        self.catalog.runnable(address).await
    }

    async fn runnables(&self, project: &Name, kind: &str) -> Result<Vec<Descriptor>> {
        self.catalog.runnables(project, kind).await
    }

    async fn last_build(&self, project: &Name, codeset: &Name) -> Result<Option<Build>> {
        self.catalog.last_build(project, codeset).await
    }

    async fn service(&self, project: &Name, pipeline: &Name, name: &Name) -> Result<Option<Service>> {
        self.catalog.service(project, pipeline, name).await
    }

    async fn services(&self) -> Result<Vec<Service>> {
        self.catalog.services().await
    }

    async fn pending_events(&self, limit: u32) -> Result<Vec<ArtifactEvent>> {
        self.catalog.pending_events(limit).await
    }

    async fn pending_received(&self, limit: u32) -> Result<Vec<ReceivedEvent>> {
        self.catalog.pending_received(limit).await
    }

    async fn received_since(
        &self,
        project: &Name,
        since: Timestamp,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ReceivedEvent>> {
        self.catalog.received_since(project, since, after, limit).await
    }

    async fn settle_received(&self, _event: i64, _runs: Vec<Run>, _unstarted: Vec<Unstarted>) -> Result<Started> {
        saves_nothing()
    }

    /// What the files of another artifact are is a fact whoever asks.
    async fn record(&self, address: &Address, digest: &Digest, attributes: &Attributes) -> Result<Descriptor> {
        self.catalog.record(address, digest, attributes).await
    }

    async fn settle(&self, _event: &ArtifactEvent, _runs: Vec<Run>, _unstarted: Vec<Unstarted>) -> Result<Started> {
        saves_nothing()
    }

    async fn start(&self, _run: Run) -> Result<Started> {
        saves_nothing()
    }

    async fn start_scheduled(&self, _run: Run, _due: Timestamp) -> Result<Started> {
        saves_nothing()
    }

    async fn pass_schedule(&self, _project: &Name, _pipeline: &Name, _due: Timestamp) -> Result<()> {
        saves_nothing()
    }

    async fn begin_next(&self, _project: &Name, _pipeline: &Name) -> Result<Option<Run>> {
        saves_nothing()
    }

    async fn command(&self, _id: Uuid, _command: RunCommand, _by: &str, _reason: Option<String>) -> Result<Run> {
        saves_nothing()
    }

    async fn save(&self, _change: &Change) -> Result<()> {
        saves_nothing()
    }

    async fn left_behind(&self, _limit: u32) -> Result<Vec<Run>> {
        saves_nothing()
    }

    async fn nothing_left(&self, _runs: &[(Uuid, u64)]) -> Result<()> {
        saves_nothing()
    }

    async fn has_project(&self, project: &Name) -> Result<()> {
        self.catalog.has_project(project).await
    }

    async fn restart_service(&self, _service: &Service, _ended: &str) -> Result<bool> {
        saves_nothing()
    }
}
