//! One call into a component of each language beside bare wasmtime, and beside plugins that are processes or
//! Extism's; compiled code from the cache beside compiling.

use crate::{
    extism,
    figures::{heading, line, ratio, spread, timed},
    peer::Peer,
    stand::{self, Nothing},
};
use anyhow::{Context as _, Result};
use fuseml_domain::{
    Capability, Digest, Manifest, Name,
    port::{CodesetFiles, CodesetToBuild, FileEntry},
};
use fuseml_sandbox::{Limits, LoadedComponent};
use std::{path::Path, sync::Arc, time::Duration};

const CALLS: usize = 5000;
/// Of guests that bring an interpreter.
const SLOW_CALLS: usize = 500;

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

/// Loads one component of a packaged extension, first cold and then from the cache.
async fn load(program: &Path, extension: &Path, which: &str, cache: &Path) -> Result<Arc<LoadedComponent>> {
    let manifest = Manifest::parse(&std::fs::read_to_string(extension.join("extension.toml"))?)?;
    let component = manifest.components.iter().find(|c| *c.name == *which).context("no such component")?;
    let path = extension.join(&component.file);
    let digest = Digest::of(&std::fs::read(&path)?);
    heading(&format!("Loading {} of {} ({} KiB)", which, manifest.name, std::fs::metadata(&path)?.len() >> 10));
    let first = stand::sandbox(program, cache, Limits::default())?;
    let (cold, loaded) = timed(first.load_file(&path, &digest, component)).await;
    drop(loaded?);
    let second = stand::sandbox(program, cache, Limits::default())?;
    let (warm, loaded) = timed(second.load_file(&path, &digest, component)).await;
    line("first start: compiled in a child process", &format!("{cold:.1?}"));
    line("second start: from the cache", &format!("{warm:.1?}  {} of the first", ratio(warm, cold)));
    Ok(loaded?)
}

pub(crate) async fn measure(program: &Path, extension: &Path, extism: &Path) -> Result<()> {
    let cache = tempfile::tempdir()?;
    let loaded = load(program, extension, "builder", cache.path()).await?;

    heading("One call of the mlflow builder's `detect` (Rust), fresh instance");
    let name: Name = "bench".parse()?;
    let question = CodesetToBuild {
        address: "code://bench/bench/0000000".parse()?,
        name,
        files: Arc::new(OneFile),
        changed_files: Vec::new(),
    };
    let instance = stand::instance("bench", stand::rights(&[]), Arc::new(Nothing))?;
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
    let granted = loaded.builder(stand::instance("bench", stand::rights(&[Capability::Files]), Arc::new(Nothing))?)?;
    let mut reading = Vec::new();
    for _ in 0..CALLS {
        let (time, result) = timed(granted.detect(&question)).await;
        result?;
        reading.push(time);
    }
    let full_median = show(bare, full, "goal 2x");
    let reading = spread(reading);
    line("the same with a granted host call", &format!("{:.1?}  p99 {:.1?}", reading.median, reading.p99));
    peers(full_median).await?;
    extism::measure(extism, full_median)
}

/// Bare and whole calls; answers the median of the whole.
fn show(bare: Vec<Duration>, full: Vec<Duration>, goal: &str) -> Duration {
    let (bare, full) = (spread(bare), spread(full));
    line("bare wasmtime: instantiate, call, drop", &format!("{:.1?}  p99 {:.1?}", bare.median, bare.p99));
    let against = ratio(full.median, bare.median);
    line(
        "through the sandbox: limits, clocks, receipt",
        &format!("{:.1?}  p99 {:.1?}  {against} bare ({goal})", full.median, full.p99),
    );
    full.median
}

/// Plugins of the other kind: a process that answers the same nothing, and checks nothing.
async fn peers(ours: Duration) -> Result<()> {
    for kind in Peer::KINDS {
        let mut peer = Peer::start(kind).await?;
        let mut times = Vec::new();
        for _ in 0..CALLS {
            let (time, answer) = timed(peer.call()).await;
            answer?;
            times.push(time);
        }
        let times = spread(times);
        line(
            kind.words(),
            &format!(
                "{:.1?}  p99 {:.1?}  ours is {} of it; {} KiB more memory",
                times.median,
                times.p99,
                ratio(ours, times.median),
                peer.memory_kib()
            ),
        );
    }
    Ok(())
}

/// A store component of a language with an interpreter: `health`, which is refused its first request.
pub(crate) async fn interpreted(program: &Path, extension: &Path, language: &str, goal: &str) -> Result<()> {
    let cache = tempfile::tempdir()?;
    let loaded = load(program, extension, "store", cache.path()).await?;
    heading(&format!("One call of `health` ({language}), fresh instance"));
    let instance = stand::instance("bench", stand::rights(&[Capability::Configuration]), Arc::new(Nothing))?;
    let store = loaded.artifact_store(instance.clone())?;
    let (mut bare, mut full) = (Vec::new(), Vec::new());
    for _ in 0..SLOW_CALLS {
        let (time, result) = timed(loaded.bare_call(&instance)).await;
        result.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        bare.push(time);
        let (time, _) = timed(store.health()).await;
        full.push(time);
    }
    show(bare, full, goal);
    Ok(())
}
