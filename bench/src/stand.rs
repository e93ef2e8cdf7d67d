//! A sandbox, and instances that keep nothing: what is measured is the call.

use anyhow::Result;
use async_trait::async_trait;
use fuseml_domain::{
    Attributes, Capability, Component, Name, Request, Rights, SecretText,
    port::{ArtifactEvent, ArtifactEvents, InstanceState, Secrets},
};
use fuseml_sandbox::{
    CompilerCommand, InstanceContext, Limits, LogLine, LogSink, Receipt, ReceiptSink, Sandbox, SandboxConfig,
};
use std::{path::Path, sync::Arc};

pub(crate) const STORE: &str = "fuseml:artifact-store/artifact-store@0.1.0";

pub(crate) fn sandbox(program: &Path, cache: &Path, limits: Limits) -> Result<Arc<Sandbox>> {
    let compiler = CompilerCommand { program: program.to_owned(), arguments: vec!["component-compiler".into()] };
    Ok(Sandbox::new(SandboxConfig { cache: cache.to_owned(), compiler, limits })?)
}

/// The manifest entry of a component that asks for everything.
pub(crate) fn entry(world: &str) -> Result<Component> {
    let request =
        |capability| Request { capability, reason: "measured".to_owned(), hosts: Vec::new(), secrets: Vec::new() };
    Ok(Component {
        name: "part".parse()?,
        world: world.to_owned(),
        file: "part.wasm".to_owned(),
        needs: Vec::new(),
        kinds: Vec::new(),
        requests: Capability::ALL.map(request).into(),
    })
}

/// An instance with these rights, whose state is kept by `state`.
pub(crate) fn instance(name: &str, rights: Rights, state: Arc<dyn InstanceState>) -> Result<Arc<InstanceContext>> {
    Ok(Arc::new(InstanceContext {
        extension: "bench".to_owned(),
        version: "0.1.0".to_owned(),
        instance: name.parse()?,
        component: "part".parse()?,
        settings: Attributes::from([("endpoint".to_owned(), "http://tool.example".to_owned())]),
        rights,
        budget: Default::default(),
        record: false,
        state,
        secrets: Arc::new(Nothing),
        project: None,
        events: Arc::new(Nothing),
        log: Arc::new(Nothing),
        receipts: Arc::new(Nothing),
        live: Default::default(),
    }))
}

pub(crate) fn rights(capabilities: &[Capability]) -> Rights {
    Rights { capabilities: capabilities.iter().copied().collect(), ..Rights::default() }
}

pub(crate) struct Nothing;

#[async_trait]
impl ArtifactEvents for Nothing {
    async fn since(&self, _: Option<&Name>, _: u64, _: u32) -> fuseml_domain::Result<Vec<ArtifactEvent>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Secrets for Nothing {
    async fn secret(&self, _: &Name, _: &str) -> fuseml_domain::Result<Option<SecretText>> {
        Ok(None)
    }
}

impl LogSink for Nothing {
    fn line(&self, _: &InstanceContext, _: LogLine) {}
}

impl ReceiptSink for Nothing {
    fn record(&self, _: Receipt) {}
}

#[async_trait]
impl InstanceState for Nothing {
    async fn get(&self, _: &Name, _: &str) -> fuseml_domain::Result<Option<Vec<u8>>> {
        Ok(None)
    }
    async fn set(&self, _: &Name, _: &str, _: Option<&[u8]>) -> fuseml_domain::Result<()> {
        Ok(())
    }
    async fn compare_and_set(&self, _: &Name, _: &str, _: Option<&[u8]>, _: &[u8]) -> fuseml_domain::Result<bool> {
        Ok(true)
    }
    async fn list_keys(&self, _: &Name, _: &str, _: Option<&str>, _: u32) -> fuseml_domain::Result<Vec<String>> {
        Ok(Vec::new())
    }
}
