//! The catalog with something over it that is not saved: what a plan foresees, or what a run just made.

use async_trait::async_trait;
use fuseml_domain::{
    Address, Attributes, Descriptor, Digest, Error, Name, Pipeline, ReceivedEvent, Result, Run, RunCommand, Runnable,
    Selector, StepResult, Unstarted,
    port::{ArtifactEvent, Build, Catalog, Change, Service, Started},
};
use jiff::Timestamp;
use std::sync::Arc;
use uuid::Uuid;

/// What lies over the catalog.
#[async_trait]
pub(crate) trait Layer: Send + Sync {
    async fn artifact(&self, catalog: &dyn Catalog, address: &Address) -> Result<Descriptor>;

    async fn newest(&self, catalog: &dyn Catalog, project: &Name, selector: &Selector) -> Result<Option<Descriptor>> {
        catalog.newest(project, selector).await
    }

    async fn result(&self, catalog: &dyn Catalog, project: &Name, identity: &Digest) -> Result<Option<StepResult>> {
        catalog.result(project, identity).await
    }
}

/// The catalog as it would be with the layer. Nothing can be saved through it.
pub(crate) struct Layered<L> {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) layer: L,
}

fn saves_nothing<T>() -> Result<T> {
    Err(Error::internal("layer", "nothing is saved through a catalog with a layer over it"))
}

#[async_trait]
impl<L: Layer> Catalog for Layered<L> {
    async fn artifact(&self, address: &Address) -> Result<Descriptor> {
        self.layer.artifact(&*self.catalog, address).await
    }

    async fn newest(&self, project: &Name, selector: &Selector) -> Result<Option<Descriptor>> {
        self.layer.newest(&*self.catalog, project, selector).await
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
        self.layer.result(&*self.catalog, project, identity).await
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

    async fn save(&self, _changes: &[&Change]) -> Result<()> {
        saves_nothing()
    }

    async fn left_behind(&self, _after: Option<Uuid>, _limit: u32) -> Result<Vec<Run>> {
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
