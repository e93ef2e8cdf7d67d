//! One call into a component beside bare wasmtime, and compiled code from the cache beside compiling.

use crate::figures::{heading, line, ratio, spread, timed};
use anyhow::{Context as _, Result};
use async_trait::async_trait;
use fuseml_domain::{
    Attributes, Capability, Digest, Manifest, Name, Rights, SecretText,
    port::{ArtifactEvent, ArtifactEvents, CodesetFiles, CodesetToBuild, FileEntry, InstanceState, Secrets},
};
use fuseml_sandbox::{
    CompilerCommand, InstanceContext, Limits, LogLine, LogSink, Receipt, ReceiptSink, Sandbox, SandboxConfig,
};
use std::{path::Path, sync::Arc};

const CALLS: usize = 5000;

/// A codeset of one file, in memory.
struct OneFile;

impl CodesetFiles for OneFile {
    fn find(&self, _: &str, _: Option<&str>) -> fuseml_domain::Result<Vec<FileEntry>> {
        Ok(vec![FileEntry { path: "MLproject".into(), size_bytes: 8, digest: "git:0".into(), executable: false }])
    }

    fn read(&self, _: &str) -> fuseml_domain::Result<Vec<u8>> {
        Ok(b"name: x\n".to_vec())
    }
}

/// Keeps nothing: what is measured is the call.
struct Nothing;

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

fn sandbox(program: &Path, cache: &Path) -> Result<Arc<Sandbox>> {
    let compiler = CompilerCommand { program: program.to_owned(), arguments: vec!["component-compiler".into()] };
    Ok(Sandbox::new(SandboxConfig { cache: cache.to_owned(), compiler, limits: Limits::default() })?)
}

pub(crate) async fn measure(program: &Path, extension: &Path) -> Result<()> {
    let manifest = Manifest::parse(&std::fs::read_to_string(extension.join("extension.toml"))?)?;
    let component = manifest.components.iter().find(|c| *c.name == *"builder").context("no builder")?;
    let path = extension.join(&component.file);
    let digest = Digest::of(&std::fs::read(&path)?);
    let cache = tempfile::tempdir()?;

    heading("Loading the mlflow builder");
    let (cold, loaded) = timed(sandbox(program, cache.path())?.load_file(&path, &digest, component)).await;
    drop(loaded?);
    let second = sandbox(program, cache.path())?;
    let (warm, loaded) = timed(second.load_file(&path, &digest, component)).await;
    let loaded = loaded?;
    line("first start: compiled in a child process", &format!("{cold:.1?}"));
    line(
        "second start: from the cache",
        &format!("{warm:.1?}  {:.2}% of the first", 100.0 * warm.as_secs_f64() / cold.as_secs_f64()),
    );

    heading("One call of the mlflow builder's `detect`, fresh instance");
    let context = |capabilities: &[Capability]| {
        Arc::new(InstanceContext {
            extension: manifest.name.to_string(),
            version: manifest.version.to_string(),
            instance: manifest.name.clone(),
            component: component.name.clone(),
            settings: Attributes::new(),
            rights: Rights { capabilities: capabilities.iter().copied().collect(), ..Rights::default() },
            budget: Default::default(),
            record: false,
            state: Arc::new(Nothing),
            secrets: Arc::new(Nothing),
            project: None,
            events: Arc::new(Nothing),
            log: Arc::new(Nothing),
            receipts: Arc::new(Nothing),
            live: Default::default(),
        })
    };
    let name: Name = "bench".parse()?;
    let question = CodesetToBuild {
        address: "code://bench/bench/0000000".parse()?,
        name,
        files: Arc::new(OneFile),
        changed_files: Vec::new(),
    };
    let instance = context(&[]);
    let builder = loaded.builder(instance.clone())?;
    let (mut bare, mut full) = (Vec::new(), Vec::new());
    // In turns, so that whatever else the machine does falls on both.
    for _ in 0..CALLS {
        let (time, result) = timed(loaded.bare_call(&instance)).await;
        result.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        bare.push(time);
        // Without the capability the same guest code runs up to the same refused question.
        let (time, _) = timed(builder.detect(&question)).await;
        full.push(time);
    }
    let granted = loaded.builder(context(&[Capability::Files]))?;
    let mut reading = Vec::new();
    for _ in 0..CALLS {
        let (time, result) = timed(granted.detect(&question)).await;
        result?;
        reading.push(time);
    }
    let (bare, full, reading) = (spread(bare), spread(full), spread(reading));
    line("bare wasmtime: instantiate, call, drop", &format!("{:.1?}  p99 {:.1?}", bare.median, bare.p99));
    let against = ratio(full.median, bare.median);
    line(
        "through the sandbox: limits, clocks, receipt",
        &format!("{:.1?}  p99 {:.1?}  {against} bare (goal 1.3x)", full.median, full.p99),
    );
    line("the same with a granted host call", &format!("{:.1?}  p99 {:.1?}", reading.median, reading.p99));
    Ok(())
}
