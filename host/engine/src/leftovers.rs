//! What workloads worked with goes once nobody needs it any more, wherever a server dies in between.
//!
//! Each is removed as soon as its step has ended, and what steps made for each other (S76) once their run has. The catalog
//! knows of a run that it may have left something until a look says that nothing is there.

use crate::{Engine, driver::key_of_try};
use fuseml_domain::{Action, Result, Run, StepRun, StepState, port::RuntimeAgent};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Runs looked at at one time.
const TOGETHER: u32 = 100;
/// How long an engine may take to end or to remove one workload.
const LONGEST: Duration = Duration::from_secs(30);
/// Until what could not be removed is tried again.
const PAUSE: Duration = Duration::from_secs(60);

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

/// What this server knows of runs that have ended.
#[derive(Default)]
pub(crate) struct Leftovers(Mutex<Known>);

#[derive(Default)]
struct Known {
    runs: HashMap<Uuid, Left>,
    /// Up to which run the catalog was asked.
    looked_at: Option<Uuid>,
}

#[derive(Clone, Copy, PartialEq)]
enum Left {
    UnderWay,
    /// As of this revision.
    Nothing(u64),
    /// Something that could not be removed, and when it is tried again.
    Something(Instant),
}

/// Removes what is left of a run that has ended. Nobody waits for that.
pub(crate) fn clear(engine: &Arc<Engine>, run: Arc<Run>, removed: Removed) {
    let engine = engine.clone();
    locked(&engine.leftovers.0).runs.insert(run.id, Left::UnderWay);
    tokio::spawn(async move {
        removed.under_way.close();
        removed.under_way.wait().await;
        let keys = locked(&removed.keys).clone();
        let left = remove_all(&engine, &run, &keys).await;
        locked(&engine.leftovers.0).runs.insert(run.id, left);
    });
}

/// Notes of which runs nothing is left, and removes what was not, by servers that died or at the first try.
pub(crate) async fn look(engine: &Engine) -> Result<()> {
    note(engine).await?;
    let after = locked(&engine.leftovers.0).looked_at;
    let left = engine.ports.catalog.left_behind(after, TOGETHER).await?;
    // From the beginning once all were looked at.
    let last = left.last().filter(|_| left.len() == TOGETHER as usize).map(|run| run.id);
    {
        let mut known = locked(&engine.leftovers.0);
        known.looked_at = last;
        if last.is_none() {
            // Of those that went on nobody will ask; the others come back.
            let now = Instant::now();
            known.runs.retain(|_, left| !matches!(left, Left::Something(when) if *when <= now));
        }
    }
    for run in left {
        let known = locked(&engine.leftovers.0).runs.get(&run.id).copied();
        let is_due = match known {
            None => true,
            Some(Left::Something(when)) => when <= Instant::now(),
            Some(Left::UnderWay | Left::Nothing(_)) => false,
        };
        if is_due {
            let left = remove_all(engine, &run, &BTreeSet::new()).await;
            locked(&engine.leftovers.0).runs.insert(run.id, left);
        }
    }
    note(engine).await
}

async fn note(engine: &Engine) -> Result<()> {
    let nothing = |(id, left): (&Uuid, &Left)| match left {
        Left::Nothing(revision) => Some((*id, *revision)),
        Left::UnderWay | Left::Something(_) => None,
    };
    let clear: Vec<_> = locked(&engine.leftovers.0).runs.iter().filter_map(nothing).collect();
    if clear.is_empty() {
        return Ok(());
    }
    engine.ports.catalog.nothing_left(&clear).await?;
    // Unless it went on and has ended once more since.
    let noted: HashMap<_, _> = clear.into_iter().collect();
    let is_left = |id: &Uuid, now: &mut Left| noted.get(id).is_none_or(|revision| *now != Left::Nothing(*revision));
    locked(&engine.leftovers.0).runs.retain(is_left);
    Ok(())
}

async fn remove_all(engine: &Engine, run: &Run, removed: &BTreeSet<String>) -> Left {
    let mut is_clear = true;
    for Workload { key, is_saved } in workloads(run) {
        if removed.contains(&key) {
            continue;
        }
        let agent = &*engine.ports.agent;
        if is_saved {
            if remove(agent, &key).await {
                continue;
            }
            match is_service(engine, &key).await {
                Ok(false) => {}
                is_service => {
                    is_clear &= is_service.is_ok();
                    continue;
                }
            }
        }
        // What was begun before that was saved, and is not what the step became, may still run; so may what could not be
        // cancelled when its step ended.
        is_clear &= cancel(agent, &key).await && remove(agent, &key).await;
    }
    if is_clear { Left::Nothing(run.revision) } else { Left::Something(Instant::now() + PAUSE) }
}

/// Whether a service runs under this key: it goes on.
async fn is_service(engine: &Engine, key: &str) -> Result<bool> {
    let services = engine.ports.catalog.services().await?;
    Ok(services.iter().any(|service| service.workload.key == key))
}

async fn cancel(agent: &dyn RuntimeAgent, key: &str) -> bool {
    match tokio::time::timeout(LONGEST, agent.cancel(key)).await {
        Ok(Ok(())) => true,
        late => {
            tracing::warn!(%key, ?late, "what nobody asks for any more is not ended yet; trying again");
            false
        }
    }
}

async fn remove(agent: &dyn RuntimeAgent, key: &str) -> bool {
    match tokio::time::timeout(LONGEST, agent.tidy(key)).await {
        Ok(Ok(has_ended)) => has_ended,
        Ok(Err(error)) => {
            tracing::warn!(%key, %error, "what a workload worked with could not be removed; trying again");
            false
        }
        Err(_) => false,
    }
}

struct Workload {
    key: String,
    is_saved: bool,
}

/// All workloads that a run may have had, without services that go on.
fn workloads(run: &Run) -> Vec<Workload> {
    let mut all = Vec::new();
    for step in run.steps.iter() {
        let Some(planned) = run.template.step(&step.name).filter(|step| step.action.has_workloads()) else { continue };
        let of_try = |number, saved: &Option<String>| Workload {
            is_saved: saved.is_some(),
            key: saved.clone().unwrap_or_else(|| key_of_try(run, &step.name, number)),
        };
        all.extend(step.earlier.iter().map(|it| of_try(it.number, &it.workload)));
        if !goes_on(step, &planned.action) {
            all.push(of_try(step.attempt, &step.workload));
        }
    }
    all
}

fn goes_on(step: &StepRun, action: &Action) -> bool {
    step.state == StepState::Succeeded && matches!(action, Action::Serve(_))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
