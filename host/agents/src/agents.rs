//! The agents of this server as one: each workload goes to the one that runs its like.

use crate::{EnginesAgent, ProcessAgent, WasmAgent};
use async_trait::async_trait;
use fuseml_domain::{CollectedOutput, LogChunk, Machine, Result, Workload, WorkloadStatus, port::RuntimeAgent};
use std::{sync::Arc, time::Duration};

/// What names an engine goes there, components go to the sandbox, everything else becomes a process.
pub struct Agents {
    process: ProcessAgent,
    wasm: WasmAgent,
    engines: Arc<EnginesAgent>,
}

impl Agents {
    pub fn new(process: ProcessAgent, wasm: WasmAgent, engines: Arc<EnginesAgent>) -> Self {
        Self { process, wasm, engines }
    }

    fn of(&self, key: &str) -> &dyn RuntimeAgent {
        match () {
            () if self.wasm.knows(key) => &self.wasm,
            () if self.engines.knows(key) => &*self.engines,
            () => &self.process,
        }
    }

    fn for_workload(&self, workload: &Workload) -> &dyn RuntimeAgent {
        match (&workload.agent, &workload.component) {
            (Some(_), _) => &*self.engines,
            (None, Some(_)) => &self.wasm,
            (None, None) => &self.process,
        }
    }
}

#[async_trait]
impl RuntimeAgent for Agents {
    async fn submit(&self, workload: &Workload) -> Result<()> {
        // Before anything was saved of it, the same step may have run a component that somebody swapped since.
        if workload.component.is_none() && self.wasm.knows(&workload.key) {
            self.wasm.cancel(&workload.key).await?;
            self.wasm.delete(&workload.key).await?;
        }
        self.for_workload(workload).submit(workload).await
    }

    fn machine(&self) -> Option<Machine> {
        self.process.machine()
    }

    async fn status(&self, key: &str) -> Result<WorkloadStatus> {
        self.of(key).status(key).await
    }

    async fn wait(&self, key: &str, limit: Duration) -> Result<WorkloadStatus> {
        self.of(key).wait(key, limit).await
    }

    async fn logs(&self, key: &str, cursor: u64) -> Result<LogChunk> {
        self.of(key).logs(key, cursor).await
    }

    async fn cancel(&self, key: &str) -> Result<()> {
        self.of(key).cancel(key).await
    }

    async fn outputs(&self, workload: &Workload) -> Result<Vec<CollectedOutput>> {
        self.for_workload(workload).outputs(workload).await
    }

    async fn endpoint(&self, key: &str) -> Result<String> {
        self.of(key).endpoint(key).await
    }

    async fn running(&self) -> Result<Vec<String>> {
        let mut keys = self.process.running().await?;
        keys.extend(self.wasm.running().await?);
        keys.extend(self.engines.running().await?);
        Ok(keys)
    }

    async fn tidy(&self, key: &str) -> Result<bool> {
        self.of(key).tidy(key).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.of(key).delete(key).await
    }
}
