//! Servers beside this one on the same catalog: each drives the runs that it holds, and takes over those of who died.

use crate::Engine;
use fuseml_domain::{Result, Run, RunState, Signal};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};
use uuid::Uuid;

/// Renews this server's lease and hears what others tell, for ever.
pub(crate) async fn follow(engine: Arc<Engine>) {
    tokio::join!(beat(&engine), hear(&engine));
}

async fn beat(engine: &Arc<Engine>) {
    loop {
        if engine.stopping.run_until_cancelled(tokio::time::sleep(engine.config.beat)).await.is_none() {
            return;
        }
        if let Err(error) = look(engine).await {
            tracing::error!(%error, "the servers beside this one could not be looked at; trying again");
        }
    }
}

async fn look(engine: &Arc<Engine>) -> Result<()> {
    let replicas = &engine.ports.replicas;
    let others = replicas.renew().await?;
    // Whoever was alone is alone no more, or the other way round: what was told in between was not heard.
    let before = engine.others.swap(others, Ordering::Relaxed);
    let taken = replicas.take_over().await?;
    if !taken.is_empty() || others < before {
        tracing::info!(runs = taken.len(), others, "a server is gone; going on with what it left");
        engine.wake();
        engine.wake_schedules();
    }
    take_up(engine, taken).await;
    if others > 0 || before > 0 {
        check_drivers(engine).await?;
    }
    Ok(())
}

/// Drives what this server holds from now on.
pub(crate) async fn take_up(engine: &Arc<Engine>, taken: Vec<Run>) {
    for run in &taken {
        engine.drive(run.clone()).await;
    }
    for run in taken.iter().filter(|run| run.state == RunState::Queued) {
        engine.begin_next(run).await;
    }
}

/// Whatever was not heard: drivers of runs that others hold by now end, those whose run was changed look, and runs that
/// nobody drives here get a driver.
async fn check_drivers(engine: &Arc<Engine>) -> Result<()> {
    // Before what is held is read, so that who began meanwhile is not taken for one that lost its run.
    let driven: Vec<(Uuid, u64)> = {
        let drivers = engine.drivers.lock().await;
        drivers.iter().map(|(id, told)| (*id, told.revision.load(Ordering::Relaxed))).collect()
    };
    let held: HashMap<Uuid, u64> = engine.ports.replicas.held().await?.into_iter().collect();
    let drivers = engine.drivers.lock().await;
    for (id, known) in &driven {
        let Some(told) = drivers.get(id) else { continue };
        match held.get(id) {
            None => told.lost.cancel(),
            Some(revision) if revision > known => told.news.notify_one(),
            Some(_) => {}
        }
    }
    let undriven: Vec<_> = held.into_keys().filter(|id| !drivers.contains_key(id)).collect();
    drop(drivers);
    for id in undriven {
        let run = engine.ports.catalog.run(id).await?;
        if !run.state.ended() {
            engine.drive(run).await;
        }
    }
    Ok(())
}

async fn hear(engine: &Arc<Engine>) {
    while let Some(signal) = engine.stopping.run_until_cancelled(engine.ports.replicas.heard()).await {
        match signal {
            Signal::Run(id) => {
                if let Err(error) = changed_elsewhere(engine, id).await {
                    tracing::error!(run = %id, %error, "a run that another server changed could not be read");
                }
            }
            Signal::Arrived(project) => engine.arrivals.tell(&project),
            Signal::Extensions => {}
            Signal::Missed => {
                engine.wake();
                engine.wake_schedules();
                engine.arrivals.tell_all();
                if let Err(error) = check_drivers(engine).await {
                    tracing::error!(%error, "what other servers did could not be looked at");
                }
            }
        }
    }
}

/// Another server changed a run that it does not hold.
async fn changed_elsewhere(engine: &Arc<Engine>, id: Uuid) -> Result<()> {
    engine.run_moves.tell(&id);
    let is_driven = engine.drivers.lock().await.contains_key(&id);
    if is_driven || engine.ports.replicas.claim(id).await? {
        engine.let_know(engine.ports.catalog.run(id).await?).await;
    }
    Ok(())
}
