//! What workloads worked with goes once nobody needs it any more, wherever a server dies in between.
//!
//! Each is removed as soon as its step has ended, and what steps made for each other (S76) once their run has. The catalog
//! knows of a run that it may have left something until a look says that nothing is there.

use crate::{Engine, driver::key_of};
use fuseml_domain::{Action, Result, Run, StepRun, StepState, port::RuntimeAgent};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Runs that another server left looked at at one time.
const TOGETHER: u32 = 100;

/// The workloads of one run that its driver removed.
#[derive(Clone, Default)]
pub(crate) struct Removed {
    under_way: TaskTracker,
    keys: Arc<Mutex<BTreeSet<String>>>,
}

impl Removed {
    /// Lets the agent remove what a workload worked with. Nobody waits for that.
    pub(crate) fn remove(&self, agent: &Arc<dyn RuntimeAgent>, key: String) {
        let (agent, keys) = (agent.clone(), self.keys.clone());
        self.under_way.spawn(async move {
            if remove(&*agent, &key).await {
                locked(&keys).insert(key);
            }
        });
    }
}

/// Runs that have ended and what is left of them: nothing, as of this revision, or `None` while it is being removed.
#[derive(Default)]
pub(crate) struct Leftovers(Mutex<HashMap<Uuid, Option<u64>>>);

/// Removes what is left of a run that has ended. Nobody waits for that.
pub(crate) fn clear(engine: &Arc<Engine>, run: Arc<Run>, removed: Removed) {
    let engine = engine.clone();
    locked(&engine.leftovers.0).insert(run.id, None);
    tokio::spawn(async move {
        removed.under_way.close();
        removed.under_way.wait().await;
        let mut keys = keys(&run);
        keys.retain(|key| !locked(&removed.keys).contains(key));
        let is_clear = remove_all(&engine, keys).await;
        let mut known = locked(&engine.leftovers.0);
        match is_clear {
            true => drop(known.insert(run.id, Some(run.revision))),
            false => drop(known.remove(&run.id)),
        }
    });
}

/// Notes of which runs nothing is left, and removes what servers that died left of theirs.
pub(crate) async fn look(engine: &Engine) -> Result<()> {
    let clear = |(id, revision): (&Uuid, &Option<u64>)| revision.map(|revision| (*id, revision));
    let mut cleared: Vec<_> = locked(&engine.leftovers.0).iter().filter_map(clear).collect();
    note(engine, &cleared).await?;
    let left = engine.ports.catalog.left_behind(TOGETHER).await?;
    cleared.clear();
    for run in left {
        if !locked(&engine.leftovers.0).contains_key(&run.id) && remove_all(engine, keys(&run)).await {
            cleared.push((run.id, run.revision));
        }
    }
    note(engine, &cleared).await
}

async fn note(engine: &Engine, cleared: &[(Uuid, u64)]) -> Result<()> {
    if cleared.is_empty() {
        return Ok(());
    }
    engine.ports.catalog.nothing_left(cleared).await?;
    // Unless it went on and has ended once more since.
    locked(&engine.leftovers.0)
        .retain(|id, now| !cleared.iter().any(|(noted, revision)| noted == id && *now == Some(*revision)));
    Ok(())
}

async fn remove_all(engine: &Engine, keys: Vec<String>) -> bool {
    let mut is_clear = true;
    for key in keys {
        is_clear &= remove(&*engine.ports.agent, &key).await;
    }
    is_clear
}

async fn remove(agent: &dyn RuntimeAgent, key: &str) -> bool {
    let removed = agent.tidy(key).await;
    if let Err(error) = &removed {
        tracing::warn!(%key, %error, "what a workload worked with could not be removed; trying again");
    }
    removed.is_ok()
}

/// Keys of all workloads that a run had, without services that go on.
fn keys(run: &Run) -> Vec<String> {
    let of = |step: &StepRun| {
        let tries = step.earlier.iter().filter_map(|it| it.workload.clone());
        tries.chain(last_key(run, step)).collect::<Vec<_>>()
    };
    run.steps.iter().flat_map(of).collect()
}

fn last_key(run: &Run, step: &StepRun) -> Option<String> {
    let serves = || matches!(run.template.step(&step.name).map(|step| &step.action), Some(Action::Serve(_)));
    match step.state {
        StepState::Succeeded if serves() => None,
        // Of one that ended early it may not be saved which one it had.
        StepState::Failed | StepState::Cancelled => Some(key_of(run, step)),
        _ => step.workload.clone(),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
