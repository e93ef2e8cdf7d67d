//! What a call of the host costs a component: configuration, log, state, and HTTP through the policy.

use crate::{
    figures::{heading, line, ratio, spread, timed},
    guest,
    stand::{self, Nothing},
};
use anyhow::{Context as _, Result};
use fuseml_catalog::Catalog;
use fuseml_domain::{Capability, Rights, port::InstanceState};
use fuseml_sandbox::{Limits, LoadedComponent, Sandbox};
use std::{path::Path, sync::Arc, time::Duration};
use wasmtime::{
    Store,
    component::{Linker, Val},
};

/// Host calls in one call of the component.
const TIMES: u32 = 500;
const REQUESTS: u32 = 200;
const CALLS: usize = 200;

/// `health` calls the host so often.
fn caller(work: &str, times: u32, more: &str) -> Vec<u8> {
    let health = format!(
        "(local $n i32) (local.set $n (i32.const {times}))
         (block $done (loop $again
           (br_if $done (i32.eqz (local.get $n)))
           (local.set $n (i32.sub (local.get $n) (i32.const 1)))
           {work}
           (global.set $top (i32.const 65536))
           (br $again)))
         (i32.const 32768)"
    );
    let data = format!(r#"(data (i32.const 40960) "endpoint") (data (i32.const 40976) "GET") {more}"#);
    guest::store(&[("health", &health)], &data)
}

/// Of one host call: what a component with them takes longer than one without.
async fn per_call(
    sandbox: &Arc<Sandbox>,
    work: &str,
    rights: Rights,
    state: Arc<dyn InstanceState>,
) -> Result<Duration> {
    let (with, without) =
        (median(sandbox, work, TIMES, &rights, &state).await?, median(sandbox, work, 0, &rights, &state).await?);
    Ok(with.saturating_sub(without) / TIMES)
}

async fn median(
    sandbox: &Arc<Sandbox>,
    work: &str,
    times: u32,
    rights: &Rights,
    state: &Arc<dyn InstanceState>,
) -> Result<Duration> {
    let loaded = sandbox.load(&caller(work, times, ""), &stand::entry(stand::STORE)?).await?;
    let store = loaded.artifact_store(stand::instance("bench", rights.clone(), state.clone())?)?;
    let mut all = Vec::new();
    for _ in 0..CALLS {
        let (time, answer) = timed(store.health()).await;
        answer?;
        all.push(time);
    }
    Ok(spread(all).median)
}

/// The same `configuration.get`, answered by a host that checks nothing.
async fn raw(loaded: &LoadedComponent) -> Result<Duration> {
    let (engine, component) = loaded.raw();
    let mut linker: Linker<()> = Linker::new(engine);
    linker
        .instance("fuseml:configuration/configuration@0.1.0")?
        .func_wrap("get", |_, (_name,): (String,)| Ok((Some("http://tool.example".to_owned()),)))?;
    let ready = linker.instantiate_pre(component)?;
    let mut all = Vec::new();
    for _ in 0..CALLS {
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = ready.instantiate_async(&mut store).await?;
        let interface = instance.get_export_index(&mut store, None, "fuseml:artifact-store/store@0.1.0");
        let health = instance.get_export_index(&mut store, interface.as_ref(), "health").context("no `health`")?;
        let health = instance.get_func(&mut store, health).context("no `health`")?;
        let mut answer = [Val::Bool(false)];
        let (time, called) = timed(health.call_async(&mut store, &[], &mut answer)).await;
        called?;
        all.push(time);
    }
    Ok(spread(all).median)
}

pub(crate) async fn measure(program: &Path) -> Result<()> {
    heading("One host call out of a component");
    let folder = tempfile::tempdir()?;
    let sandbox = stand::sandbox(program, &folder.path().join("code"), Limits::default())?;
    let entry = stand::entry(stand::STORE)?;
    let setting = "(call $setting (i32.const 40960) (i32.const 8) (i32.const 32000))";
    let (with, without) = (caller(setting, TIMES, ""), caller(setting, 0, ""));
    let with = raw(&*sandbox.load(&with, &entry).await?).await?;
    let without = raw(&*sandbox.load(&without, &entry).await?).await?;
    let bare = with.saturating_sub(without) / TIMES;
    line("bare wasmtime: a function that answers a string", &format!("{bare:.1?}"));
    let all = || stand::rights(&Capability::ALL);
    let nothing: Arc<dyn InstanceState> = Arc::new(Nothing);
    let got = per_call(&sandbox, setting, all(), nothing.clone()).await?;
    let more = got.saturating_sub(bare);
    line("configuration.get", &format!("{got:.1?}  {more:.1?} more (goal 0.5µs)"));
    let log = "(call $log (i32.const 0) (i32.const 40960) (i32.const 8) (i32.const 0) (i32.const 0))";
    let logged = per_call(&sandbox, log, all(), nothing).await?;
    line("logging.log", &format!("{logged:.1?}  {:.1?} more (goal 0.5µs)", logged.saturating_sub(bare)));
    let catalog = Catalog::open(&folder.path().join("catalog.db").as_path().into()).await?;
    let state = "(call $state-get (i32.const 40960) (i32.const 8) (i32.const 32000))";
    let read = per_call(&sandbox, state, all(), Arc::new(catalog)).await?;
    line("state.get, from SQLite", &format!("{read:.1?}  {:.1?} more (goal 5µs)", read.saturating_sub(bare)));
    http(&sandbox).await
}

/// Requests to a server of this process, through the policy and without.
async fn http(sandbox: &Arc<Sandbox>) -> Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "ok" }));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let length = url.len();
    let fetch = format!(
        "(call $fetch (i32.const 40976) (i32.const 3) (i32.const 41000) (i32.const {length}) (i32.const 0) (i32.const 0)
           (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
           (i32.const 32000))
         (if (i32.load8_u (i32.const 32000)) (then (unreachable)))"
    );
    let place = format!(r#"(data (i32.const 41000) "{url}")"#);
    let rights = Rights { hosts: vec![url.trim_end_matches('/').parse()?], ..stand::rights(&Capability::ALL) };
    let mut medians = Vec::new();
    for times in [0, REQUESTS] {
        let loaded = sandbox.load(&caller(&fetch, times, &place), &stand::entry(stand::STORE)?).await?;
        let store = loaded.artifact_store(stand::instance("bench", rights.clone(), Arc::new(Nothing))?)?;
        let mut all = Vec::new();
        for _ in 0..20 {
            let (time, answer) = timed(store.health()).await;
            answer?;
            all.push(time);
        }
        medians.push(spread(all).median);
    }
    let through = medians.last().copied().unwrap_or_default().saturating_sub(medians[0]) / REQUESTS;
    // On a thread of the runtime, as the sandbox's own client is.
    let without = tokio::spawn(async move {
        let (client, mut all) = (reqwest::Client::new(), Vec::new());
        for _ in 0..20 * REQUESTS {
            let (time, answer) = timed(async { client.get(&url).send().await?.bytes().await }).await;
            answer?;
            all.push(time);
        }
        anyhow::Ok(spread(all).median)
    });
    let without = without.await??;
    server.abort();
    line("the same client without policy: one request", &format!("{without:.1?}"));
    let more = through.saturating_sub(without);
    line(
        "http.fetch, connection reused",
        &format!("{through:.1?}  {}, {more:.1?} more (goal 15µs)", ratio(through, without)),
    );
    Ok(())
}
