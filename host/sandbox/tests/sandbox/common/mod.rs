//! The world of these tests: a sandbox in a temporary folder, guests written as WAT, instances that remember
//! what they were told.

pub mod guest;
pub mod server;

use async_trait::async_trait;
use fuseml_domain::{
    Attributes, Capability, Component, Error, Name, Request, Result, Rights, SecretText,
    port::{
        ArtifactEvent, ArtifactEvents, ArtifactStore, Builder, CodesetFiles, CodesetToBuild, FileEntry, InstanceState,
        Secrets,
    },
};
use fuseml_sandbox::{
    CompilerCommand, InstanceContext, Limits, Live, LogLine, LogSink, Receipt, ReceiptSink, Sandbox, SandboxConfig,
};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;

pub const BUILDER: &str = "fuseml:builder/builder@0.1.0";
pub const AGENT: &str = "fuseml:runtime-agent/runtime-agent@0.1.0";
pub const STORE: &str = "fuseml:artifact-store/artifact-store@0.1.0";
pub const STORE_0_2: &str = "fuseml:artifact-store/artifact-store@0.2.0";

/// A sandbox whose folder goes with it.
pub struct World {
    pub sandbox: Arc<Sandbox>,
    pub folder: TempDir,
    pub sinks: Arc<Sinks>,
}

/// Small limits, so that hostile guests are soon done.
pub fn limits() -> Limits {
    Limits { cpu: Duration::from_millis(200), wall: Duration::from_secs(10), ..Limits::default() }
}

pub fn compiler() -> CompilerCommand {
    CompilerCommand { program: env!("CARGO_BIN_EXE_fuseml-component-compiler").into(), arguments: Vec::new() }
}

pub fn sandbox_in(folder: &Path, compiler: CompilerCommand, limits: Limits) -> Arc<Sandbox> {
    Sandbox::new(SandboxConfig { cache: folder.join("code"), compiler, limits }).expect("sandbox")
}

pub fn world(limits: Limits) -> World {
    let folder = tempfile::tempdir().expect("folder");
    World { sandbox: sandbox_in(folder.path(), compiler(), limits), folder, sinks: Arc::default() }
}

impl World {
    pub async fn builder(&self, guest: &[u8]) -> Arc<dyn Builder> {
        let component = entry(BUILDER, &Capability::ALL);
        let loaded = self.sandbox.load(guest, &component).await.expect("loads");
        loaded.builder(self.instance("tool", rights(&[]))).expect("a builder")
    }

    pub async fn store(&self, guest: &[u8], rights: Rights) -> Arc<dyn ArtifactStore> {
        let component = entry(STORE, &Capability::ALL);
        let loaded = self.sandbox.load(guest, &component).await.expect("loads");
        loaded.artifact_store(self.instance("tool", rights)).expect("a store")
    }

    pub fn instance(&self, name: &str, rights: Rights) -> Arc<InstanceContext> {
        Arc::new(InstanceContext {
            extension: "hostile".to_owned(),
            version: "0.1.0".to_owned(),
            instance: name.parse().expect("name"),
            component: "part".parse().expect("name"),
            settings: Attributes::from([("endpoint".to_owned(), "http://tool.example".to_owned())]),
            rights,
            budget: Default::default(),
            record: false,
            state: self.sinks.clone(),
            secrets: self.sinks.clone(),
            project: None,
            events: self.sinks.clone(),
            log: self.sinks.clone(),
            receipts: self.sinks.clone(),
            live: Live::default(),
        })
    }

    pub fn receipts(&self) -> Vec<Receipt> {
        self.sinks.receipts.lock().unwrap().clone()
    }
}

/// All capabilities, and these hosts.
pub fn rights(hosts: &[&str]) -> Rights {
    Rights {
        capabilities: Capability::ALL.into(),
        hosts: hosts.iter().map(|host| host.parse().expect("host")).collect(),
        ..Rights::default()
    }
}

/// The manifest entry of a component that requests these capabilities.
pub fn entry(world: &str, capabilities: &[Capability]) -> Component {
    let request =
        |capability| Request { capability, reason: "because".to_owned(), hosts: Vec::new(), secrets: Vec::new() };
    Component {
        name: "part".parse().expect("name"),
        world: world.to_owned(),
        file: "part.wasm".to_owned(),
        needs: Vec::new(),
        kinds: Vec::new(),
        requests: capabilities.iter().copied().map(request).collect(),
    }
}

pub fn codeset() -> CodesetToBuild {
    CodesetToBuild {
        address: "code://project/app/f3b0924".parse().expect("address"),
        name: "app".parse().expect("name"),
        files: Arc::new(NoFiles),
        changed_files: vec!["train.py".to_owned()],
    }
}

struct NoFiles;

impl CodesetFiles for NoFiles {
    fn find(&self, _: &str, _: Option<&str>) -> Result<Vec<FileEntry>> {
        Ok(Vec::new())
    }
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        Err(Error::not_found("file", path))
    }
}

/// Log, receipts and state, in memory.
#[derive(Default)]
pub struct Sinks {
    pub lines: Mutex<Vec<LogLine>>,
    pub receipts: Mutex<Vec<Receipt>>,
    pub state: Mutex<BTreeMap<(Name, String), Vec<u8>>>,
    /// Which events were asked for: project, after, limit.
    pub asked_events: Mutex<Vec<(Option<Name>, u64, u32)>>,
}

impl LogSink for Sinks {
    fn line(&self, _: &InstanceContext, line: LogLine) {
        self.lines.lock().unwrap().push(line);
    }
}

impl ReceiptSink for Sinks {
    fn record(&self, receipt: Receipt) {
        self.receipts.lock().unwrap().push(receipt);
    }
}

/// The value of every secret but `unset`.
pub const SECRET: &str = "s3cret-value";

#[async_trait]
impl Secrets for Sinks {
    async fn secret(&self, _: &Name, name: &str) -> Result<Option<SecretText>> {
        Ok((name != "unset").then(|| SecretText::new(SECRET)))
    }
}

#[async_trait]
impl ArtifactEvents for Sinks {
    async fn since(&self, project: Option<&Name>, after: u64, limit: u32) -> Result<Vec<ArtifactEvent>> {
        self.asked_events.lock().unwrap().push((project.cloned(), after, limit));
        Ok(Vec::new())
    }
}

#[async_trait]
impl InstanceState for Sinks {
    async fn get(&self, instance: &Name, key: &str) -> Result<Option<Vec<u8>>> {
        if key == "forever" {
            std::future::pending::<()>().await;
        }
        Ok(self.state.lock().unwrap().get(&(instance.clone(), key.to_owned())).cloned())
    }
    async fn set(&self, instance: &Name, key: &str, value: Option<&[u8]>) -> Result<()> {
        let (mut state, key) = (self.state.lock().unwrap(), (instance.clone(), key.to_owned()));
        match value {
            Some(value) => drop(state.insert(key, value.to_vec())),
            None => drop(state.remove(&key)),
        }
        Ok(())
    }
    async fn compare_and_set(&self, instance: &Name, key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool> {
        if self.get(instance, key).await?.as_deref() != expected {
            return Ok(false);
        }
        self.set(instance, key, Some(value)).await?;
        Ok(true)
    }
    async fn list_keys(&self, instance: &Name, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
        let state = self.state.lock().unwrap();
        let keys = state.keys().filter(|(owner, key)| owner == instance && key.starts_with(prefix));
        let keys = keys.filter(|(_, key)| after.is_none_or(|after| key.as_str() > after));
        Ok(keys.take(limit as usize).map(|(_, key)| key.clone()).collect())
    }
}
