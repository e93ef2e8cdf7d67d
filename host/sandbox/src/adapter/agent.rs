//! A runtime-agent component as the domain's `EngineAgent`.

use super::functions;
use crate::{
    api::v0_1::{RuntimeAgentPre, agent, running},
    call::Call,
    run::{Bound, Function},
    tape::{Replayed, Tape},
};
use async_trait::async_trait;
use fuseml_domain::{EngineInfo, EngineLog, EngineStatus, EngineWorkload, Error, Result, port::EngineAgent};
use serde::{Deserialize, Serialize};

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

impl ComponentAgent {
    /// Runs a recorded call again.
    pub(crate) async fn replay(&self, tape: &Tape) -> Result<Replayed> {
        match tape.function.as_str() {
            Describe::NAME => self.0.replay::<Describe>(tape).await,
            Health::NAME => self.0.replay::<Health>(tape).await,
            Check::NAME => self.0.replay::<Check>(tape).await,
            Submit::NAME => self.0.replay::<Submit>(tape).await,
            Status::NAME => self.0.replay::<Status>(tape).await,
            Logs::NAME => self.0.replay::<Logs>(tape).await,
            Cancel::NAME => self.0.replay::<Cancel>(tape).await,
            Delete::NAME => self.0.replay::<Delete>(tape).await,
            other => Err(Error::unsupported("tape", format!("`{other}` is no function of a runtime agent"))),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Describe;
#[derive(Serialize, Deserialize)]
struct Health;
#[derive(Serialize, Deserialize)]
struct Check(agent::Workload);
#[derive(Serialize, Deserialize)]
struct Submit(agent::Workload);
#[derive(Serialize, Deserialize)]
struct Status(String);
#[derive(Serialize, Deserialize)]
struct Logs {
    id: String,
    cursor: Option<String>,
}
#[derive(Serialize, Deserialize)]
struct Cancel(String);
#[derive(Serialize, Deserialize)]
struct Delete(String);

functions! {
    RuntimeAgentPre.fuseml_runtime_agent_agent:
    Describe "describe" -> EngineInfo, about |_call| None, |self, guest, store| guest.call_describe(&mut *store), running::info;
    Health "health" -> (), about |_call| None, |self, guest, store| guest.call_health(&mut *store), Ok;
    Check "check" -> Vec<String>, about |call| Some(call.0.key.clone()), |self, guest, store| guest.call_check(&mut *store, &self.0), running::complaints;
    Submit "submit" -> String, about |call| Some(call.0.key.clone()), |self, guest, store| guest.call_submit(&mut *store, &self.0), running::submitted;
    Status "status" -> EngineStatus, about |call| Some(call.0.clone()), |self, guest, store| guest.call_status(&mut *store, &self.0), running::status;
    Logs "logs" -> EngineLog, about |call| Some(call.id.clone()), |self, guest, store| guest.call_logs(&mut *store, &self.id, self.cursor.as_deref()), running::log;
    Cancel "cancel" -> (), about |call| Some(call.0.clone()), |self, guest, store| guest.call_cancel(&mut *store, &self.0), Ok;
    Delete "delete" -> (), about |call| Some(call.0.clone()), |self, guest, store| guest.call_delete(&mut *store, &self.0), Ok;
}
