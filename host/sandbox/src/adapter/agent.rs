//! A runtime-agent component as the domain's `EngineAgent`.

use super::functions;
use crate::{
    api::v0_1::{RuntimeAgentPre, agent, running},
    call::Call,
    run::Bound,
};
use async_trait::async_trait;
use fuseml_domain::{EngineInfo, EngineLog, EngineStatus, EngineWorkload, Result, port::EngineAgent};

pub(crate) struct ComponentAgent(pub(crate) Bound<RuntimeAgentPre<Call>>);

#[async_trait]
impl EngineAgent for ComponentAgent {
    async fn describe(&self) -> Result<EngineInfo> {
        self.0.call(Describe, None).await
    }

    async fn health(&self) -> Result<()> {
        self.0.call(Health, None).await
    }

    async fn check(&self, workload: &EngineWorkload) -> Result<Vec<String>> {
        self.0.call(Check(running::workload(workload)?), None).await
    }

    async fn submit(&self, workload: &EngineWorkload) -> Result<String> {
        self.0.call(Submit(running::workload(workload)?), None).await
    }

    async fn status(&self, id: &str) -> Result<EngineStatus> {
        self.0.call(Status(id.to_owned()), None).await
    }

    async fn logs(&self, id: &str, cursor: Option<&str>) -> Result<EngineLog> {
        self.0.call(Logs { id: id.to_owned(), cursor: cursor.map(str::to_owned) }, None).await
    }

    async fn cancel(&self, id: &str) -> Result<()> {
        self.0.call(Cancel(id.to_owned()), None).await
    }

    async fn delete(&self, id: &str) -> Result<()> {
        self.0.call(Delete(id.to_owned()), None).await
    }
}

struct Describe;
struct Health;
struct Check(agent::Workload);
struct Submit(agent::Workload);
struct Status(String);
struct Logs {
    id: String,
    cursor: Option<String>,
}
struct Cancel(String);
struct Delete(String);

functions! {
    RuntimeAgentPre.fuseml_runtime_agent_agent:
    Describe "describe" -> EngineInfo, |self, guest, store| guest.call_describe(&mut *store), running::info;
    Health "health" -> (), |self, guest, store| guest.call_health(&mut *store), Ok;
    Check "check" -> Vec<String>, |self, guest, store| guest.call_check(&mut *store, &self.0), running::complaints;
    Submit "submit" -> String, |self, guest, store| guest.call_submit(&mut *store, &self.0), running::submitted;
    Status "status" -> EngineStatus, |self, guest, store| guest.call_status(&mut *store, &self.0), running::status;
    Logs "logs" -> EngineLog,
        |self, guest, store| guest.call_logs(&mut *store, &self.id, self.cursor.as_deref()), running::log;
    Cancel "cancel" -> (), |self, guest, store| guest.call_cancel(&mut *store, &self.0), Ok;
    Delete "delete" -> (), |self, guest, store| guest.call_delete(&mut *store, &self.0), Ok;
}
