//! Servers beside this one on the same catalog: each drives the runs that it holds, and takes over those of who died.

use crate::{Engine, leftovers};
use fuseml_domain::{Result, Run, Signal};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};
use uuid::Uuid;

/// Renews this server's lease, looks after what it holds, and hears what others tell, for ever. Nothing that takes long
/// stands before a renewal.
pub(crate) async fn follow(engine: Arc<Engine>) {
    tokio::join!(renew(&engine), look(&engine), clear_away(&engine), hear(&engine));
}

/// After one pause; false when the server stops.
async fn pause(engine: &Engine) -> bool {
    engine.stopping.run_until_cancelled(tokio::time::sleep(engine.config.beat)).await.is_some()
}

async fn renew(engine: &Arc<Engine>) {
    while pause(engine).await {
        let others = match engine.ports.replicas.renew().await {
            Ok(others) => others,
            Err(error) => {
                tracing::error!(%error, "this server's lease could not be renewed; trying again");
                continue;
            }
        };
        let before = engine.others.swap(others, Ordering::Relaxed);
        if others < before {
            tracing::info!(others, "a server is gone");
            engine.gone.notify_one();
        }
        if others != before {
            // What was told while this one was not known, or by one that died before it could tell, was not heard.
            engine.wake();
            engine.wake_schedules();
            engine.arrivals.tell_all();
        }
    }
}

async fn look(engine: &Arc<Engine>) {
    loop {
        tokio::select! {
            goes_on = pause(engine) => if !goes_on { return },
            () = engine.gone.notified() => {}
        }
        let looked = async {
            let taken = engine.ports.replicas.take_over().await?;
            if !taken.is_empty() {
                tracing::info!(runs = taken.len(), "going on with what nobody drives");
            }
            take_up(engine, taken).await;
            check_drivers(engine).await?;
            begin_stuck(engine).await
        };
        if let Err(error) = looked.await {
            tracing::error!(%error, "what this server drives could not be looked at; trying again");
        }
    }
}

async fn clear_away(engine: &Engine) {
    while pause(engine).await {
        if let Err(error) = leftovers::look(engine).await {
            tracing::error!(%error, "what ended runs left could not be looked at; trying again");
        }
    }
}

/// Drives what this server holds from now on.
pub(crate) async fn take_up(engine: &Arc<Engine>, taken: Vec<Run>) {
    for run in taken {
        engine.drive(run).await;
    }
}

/// Lets queued runs begin for which nothing is waited any more.
pub(crate) async fn begin_stuck(engine: &Arc<Engine>) -> Result<()> {
    for (project, pipeline) in engine.ports.replicas.stuck().await? {
        engine.begin_next(&project, &pipeline).await;
    }
    Ok(())
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
        match engine.ports.catalog.run(id).await {
            Ok(run) if !run.state.ended() => engine.drive(run).await,
            Ok(_) => {}
            // It keeps none of the others waiting.
            Err(error) => tracing::error!(run = %id, %error, "a run that nobody drives could not be read"),
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
