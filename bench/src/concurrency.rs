//! A thousand callers at once over fifty extensions, alone and beside one that spins.

use crate::{
    figures::{heading, line, spread},
    guest,
    stand::{self, Nothing},
};
use anyhow::Result;
use fuseml_domain::port::ArtifactStore;
use fuseml_sandbox::{Limits, LoadedComponent, Sandbox};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const EXTENSIONS: usize = 50;
const CALLERS: usize = 1000;
const ROUNDS: usize = 100;

pub(crate) async fn measure(program: &Path) -> Result<()> {
    heading(&format!("{CALLERS} concurrent callers over {EXTENSIONS} extensions"));
    let folder = tempfile::tempdir()?;
    // Nobody is turned away: what is measured is the whole load.
    let limits = Limits { queue: Duration::from_secs(60), ..Limits::default() };
    let sandbox = stand::sandbox(program, folder.path(), limits)?;
    let component = stand::entry(stand::STORE)?;
    let mut stores: Vec<Arc<dyn ArtifactStore>> = Vec::new();
    let mut first = None;
    for n in 0..EXTENSIONS {
        let loaded =
            sandbox.load(&guest::store(&[], &format!(r#"(data (i32.const 50000) "{n}")"#)), &component).await?;
        stores.push(loaded.artifact_store(stand::instance(
            &format!("i{n}"),
            stand::rights(&[]),
            Arc::new(Nothing),
        )?)?);
        first.get_or_insert(loaded);
    }
    let raw = match &first {
        Some(loaded) => raw(loaded).await?,
        None => 0.0,
    };
    line("bare wasmtime, a loop on each processor", &format!("{raw:.0} calls/s"));
    let (alone, p99) = load(&stores).await?;
    line(
        "all callers at once",
        &format!("{alone:.0} calls/s  {:.0} % of bare (goal 70 %), p99 {p99:.1?}", 100.0 * alone / raw),
    );

    let spinner = spinner(&sandbox).await?;
    let spinning = tokio::spawn(async move {
        loop {
            // Ends at its limit each time, until its instance rests.
            let _ = spinner.health().await;
        }
    });
    let (beside, p99) = load(&stores).await?;
    spinning.abort();
    line(
        "the same beside a spinning neighbour",
        &format!("{beside:.0} calls/s  {:.0} % of before, p99 {p99:.1?} (goal 20ms)", 100.0 * beside / alone),
    );
    Ok(())
}

/// One that never answers and uses all that it may.
async fn spinner(sandbox: &Arc<Sandbox>) -> Result<Arc<dyn ArtifactStore>> {
    let bytes = guest::store(&[("health", "(loop $for-ever (br $for-ever)) (unreachable)")], "");
    let loaded = sandbox.load(&bytes, &stand::entry(stand::STORE)?).await?;
    Ok(loaded.artifact_store(stand::instance("spinner", stand::rights(&[]), Arc::new(Nothing))?)?)
}

/// Calls a second of wasmtime alone, on two threads.
async fn raw(loaded: &Arc<LoadedComponent>) -> Result<f64> {
    const EACH: usize = 20_000;
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let loaded = loaded.clone();
        tasks.push(tokio::spawn(async move {
            let instance = stand::instance("raw", stand::rights(&[]), Arc::new(Nothing))?;
            for _ in 0..EACH {
                loaded.bare_call(&instance).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok((2 * EACH) as f64 / begun.elapsed().as_secs_f64())
}

/// Calls a second, and the 99th percentile from the moment when all callers ask at once to an answer.
async fn load(stores: &[Arc<dyn ArtifactStore>]) -> Result<(f64, Duration)> {
    let begun = Instant::now();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let asked = Instant::now();
        let tasks: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let store = stores[caller % stores.len()].clone();
                tokio::spawn(async move { store.health().await.map(|()| asked.elapsed()) })
            })
            .collect();
        for task in tasks {
            times.push(task.await??);
        }
    }
    let throughput = times.len() as f64 / begun.elapsed().as_secs_f64();
    Ok((throughput, spread(times).p99))
}
