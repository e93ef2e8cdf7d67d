//! Recorded calls, run again offline.

use super::Registry;
use crate::view::ReplayView;
use async_trait::async_trait;
use fuseml_catalog::{CallRecord, InstalledVersion};
use fuseml_domain::{
    Attributes, Error, Name, Result, Rights, SecretText,
    port::{ArtifactEvent, ArtifactEvents, InstanceState, Secrets},
};
use fuseml_sandbox::{InstanceContext, LogLine, LogSink, Receipt, ReceiptSink, Tape};
use std::sync::Arc;

impl Registry {
    /// A recorded call.
    pub(crate) async fn tape(&self, id: &str) -> Result<(CallRecord, Tape)> {
        let (call, tape) = self.catalog.call(id).await?;
        let tape = tape.ok_or_else(|| {
            Error::not_found(
                "not-recorded",
                format!(
                    "the call {} was not recorded; `fuseml extension configure {} --record on` records from then on",
                    call.id, call.instance
                ),
            )
        })?;
        let tape: Tape = serde_json::from_str(&tape)
            .map_err(|error| Error::internal("tape", format!("the tape is damaged: {error}")))?;
        Ok((call, tape))
    }

    /// With the version that was recorded while it is still kept, else with the active one.
    pub(crate) async fn replay(&self, id: &str) -> Result<ReplayView> {
        let (call, tape) = self.tape(id).await?;
        let version = self.version_of(&call).await?;
        let component = version.manifest.components.iter().find(|component| component.name == call.component);
        let component = component.ok_or_else(|| {
            Error::not_found(
                "no-component",
                format!("{} {} has no component {}", call.extension, version.manifest.version, call.component),
            )
        })?;
        let loaded = self.load(&version, component).await?;
        let replayed = loaded.replay(Arc::new(offline(&call)), &tape).await?;
        Ok(ReplayView {
            call: call.id,
            function: tape.function,
            version: version.manifest.version.to_string(),
            replayed,
            recorded: tape.answer,
        })
    }

    async fn version_of(&self, call: &CallRecord) -> Result<InstalledVersion> {
        let extension = self.catalog.extension(&call.extension.parse()?).await?;
        let others = [&extension.previous, &extension.held, &extension.shadow];
        for digest in std::iter::once(&extension.active).chain(others.into_iter().flatten()) {
            let version = self.catalog.version(&extension.name, digest).await?;
            let component = version.components.get(&call.component);
            if component.is_some_and(|component| component.to_string() == call.digest) {
                return Ok(version);
            }
        }
        self.catalog.version(&extension.name, &extension.active).await
    }
}

/// The instance of a replay: nothing but the tape answers it.
fn offline(call: &CallRecord) -> InstanceContext {
    InstanceContext {
        extension: call.extension.clone(),
        // As it was recorded: errors name it.
        version: call.version.clone(),
        instance: call.instance.clone(),
        component: call.component.clone(),
        settings: Attributes::new(),
        rights: Rights::default(),
        budget: Default::default(),
        record: false,
        state: Arc::new(Nothing),
        secrets: Arc::new(Nothing),
        project: None,
        events: Arc::new(Nothing),
        log: Arc::new(Nothing),
        receipts: Arc::new(Nothing),
        live: Default::default(),
    }
}

struct Nothing;

impl LogSink for Nothing {
    fn line(&self, _: &InstanceContext, _: LogLine) {}
}

impl ReceiptSink for Nothing {
    fn record(&self, _: Receipt) {}
}

#[async_trait]
impl Secrets for Nothing {
    async fn secret(&self, _: &Name, _: &str) -> Result<Option<SecretText>> {
        Ok(None)
    }
}

#[async_trait]
impl ArtifactEvents for Nothing {
    async fn since(&self, _: Option<&Name>, _: u64, _: u32) -> Result<Vec<ArtifactEvent>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl InstanceState for Nothing {
    async fn get(&self, _: &Name, _: &str) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
    async fn set(&self, _: &Name, _: &str, _: Option<&[u8]>) -> Result<()> {
        Ok(())
    }
    async fn compare_and_set(&self, _: &Name, _: &str, _: Option<&[u8]>, _: &[u8]) -> Result<bool> {
        Ok(false)
    }
    async fn list_keys(&self, _: &Name, _: &str, _: Option<&str>, _: u32) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
