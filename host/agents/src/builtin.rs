//! The agents of this server as one: each workload goes to the one that runs its like.

use crate::{ProcessAgent, WasmAgent};
use async_trait::async_trait;
use fuseml_domain::{CollectedOutput, LogChunk, Result, Workload, WorkloadStatus, port::RuntimeAgent};
use std::time::Duration;

/// Components go to the sandbox, everything else becomes a process.
pub struct BuiltInAgents {
    process: ProcessAgent,
    wasm: WasmAgent,
}

impl BuiltInAgents {
    pub fn new(process: ProcessAgent, wasm: WasmAgent) -> Self {
        Self { process, wasm }
    }

    fn of(&self, key: &str) -> &dyn RuntimeAgent {
        if self.wasm.knows(key) { &self.wasm } else { &self.process }
    }

    fn for_workload(&self, workload: &Workload) -> &dyn RuntimeAgent {
        if workload.component.is_some() { &self.wasm } else { &self.process }
    }
}

#[async_trait]
impl RuntimeAgent for BuiltInAgents {
    async fn submit(&self, workload: &Workload) -> Result<()> {
        self.for_workload(workload).submit(workload).await
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
        Ok(keys)
    }

    async fn tidy(&self, key: &str) -> Result<()> {
        self.of(key).tidy(key).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.of(key).delete(key).await
    }
}
