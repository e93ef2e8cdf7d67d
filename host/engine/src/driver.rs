//! Takes one run from its present state to its end.
//!
//! Each step goes alone through its states; what it does in each is repeatable, so a driver that takes over
//! after a crash begins with the state that the catalog holds.

use crate::{
    Engine, Ports, build, calling, choice, condition, keeping,
    layer::Layered,
    leftovers::{self, Removed},
    pool::Share,
    prepare,
    progress::Progress,
    reuse, service, sprint, waiting,
    work::{self, Job},
};
use fuseml_domain::{
    Action, Error, ErrorKind, Name, Phase, Resources, Result, Run, StepEvent, StepRun, StepState, Value,
    WorkloadStatus, port::Change,
};
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long nobody looks whether a clock was set.
const LONGEST: Duration = Duration::from_secs(60);
/// How long one question to an agent may hang before it is asked again.
const WATCH: Duration = Duration::from_secs(3600);

pub(crate) struct Driver {
    pub(crate) engine: Arc<Engine>,
    /// The engine's, the catalog with what is not saved yet.
    pub(crate) ports: Ports,
    pub(crate) progress: Progress,
    pub(crate) told: Told,
    pub(crate) removed: Removed,
}

/// How a driver learns of what people told its run.
#[derive(Clone, Default)]
pub(crate) struct Told {
    pub(crate) cancelled: CancellationToken,
    pub(crate) news: Arc<Notify>,
    /// Another server holds the run.
    pub(crate) lost: CancellationToken,
    /// Up to which the driver knows the run.
    pub(crate) revision: Arc<AtomicU64>,
}

/// What a transition brings besides itself.
pub(crate) type Extras = Box<dyn Fn(&mut Change) + Send + Sync>;

/// The outcome of acting on one state: the event, and what is saved with it.
pub(crate) struct Outcome {
    /// Events of the same step before it that are not saved yet, and when they happened.
    pub(crate) earlier: Vec<(StepEvent, Timestamp)>,
    pub(crate) event: StepEvent,
    pub(crate) extras: Option<Extras>,
    /// What a step that is staged runs, for this driver if it goes on: it need not look for that again.
    pub(crate) job: Option<Job>,
}

impl From<StepEvent> for Outcome {
    fn from(event: StepEvent) -> Self {
        Self { earlier: Vec::new(), event, extras: None, job: None }
    }
}

impl Outcome {
    /// A success that brings more than itself.
    pub(crate) fn succeeded(
        outputs: BTreeMap<String, Value>,
        note: Option<String>,
        extras: impl Fn(&mut Change) + Send + Sync + 'static,
    ) -> Self {
        Self { extras: Some(Box::new(extras)), ..StepEvent::Succeeded { outputs, note }.into() }
    }
}

impl Driver {
    pub(crate) fn new(engine: Arc<Engine>, run: Run, told: Told) -> Self {
        told.revision.store(run.revision, Ordering::Relaxed);
        let progress = Progress::of(run);
        let catalog = Arc::new(Layered { catalog: engine.ports.catalog.clone(), layer: progress.clone() });
        let ports = Ports { catalog, ..engine.ports.clone() };
        Self { engine, ports, progress, told, removed: Removed::default() }
    }

    /// Returns once the run has ended, is another server's, or needs another driver.
    pub(crate) async fn drive(&self) {
        tokio::select! {
            () = self.keep_saving() => {}
            () = self.advance_all() => {}
        }
    }

    async fn advance_all(&self) {
        let mut advancing = FuturesUnordered::new();
        let mut begun = BTreeSet::new();
        loop {
            let (run, now) = (self.snapshot(), Timestamp::now());
            // Also where the word of that was lost.
            if run.cancel_requested {
                self.told.cancelled.cancel();
            }
            // One that was cancelled and then resumed goes on with another driver: this one would cancel whatever it began.
            let is_over = run.state.ended() || self.told.cancelled.is_cancelled() && !run.cancel_requested;
            for step in run.active(now).filter(|_| !is_over) {
                if begun.insert(step.name.clone()) {
                    let name = step.name.clone();
                    advancing.push(async { (self.advance(&name).await, name) });
                }
            }
            if is_over && advancing.is_empty() && self.progress.is_saved() {
                if run.state.ended() {
                    leftovers::clear(&self.engine, run.clone(), self.removed.clone());
                    tracing::info!(run = %run.label(), project = %run.project, state = %run.state, "run ended");
                }
                return;
            }
            tokio::select! {
                Some((result, name)) = advancing.next() => {
                    begun.remove(&name);
                    if let Err(error) = result {
                        // The catalog does not answer, or what was worked out cannot happen any more.
                        tracing::error!(run = %run.label(), %error, "a step cannot go on; trying again");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        self.reload().await;
                    }
                }
                () = self.told.news.notified() => self.reload().await,
                () = self.progress.moved(), if is_over && !self.progress.is_saved() => {}
                // What is under way here is let go of: whoever holds the run takes it up. Of one that has ended
                // whoever saves it finds that out.
                () = self.told.lost.cancelled(), if !run.state.ended() => return,
                () = until(run.next_due(now)) => {}
            }
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Run> {
        self.progress.run()
    }

    async fn reload(&self) {
        let run = self.snapshot();
        match self.engine.ports.catalog.run(run.id).await {
            Ok(stored) => {
                self.progress.reload(stored);
                self.told.revision.store(self.progress.saved_revision(), Ordering::Relaxed);
            }
            Err(error) => tracing::error!(run = %run.label(), %error, "the run could not be read again"),
        }
    }

    /// Takes one step to its end, so that steps beside it do not wait for its every state.
    async fn advance(&self, name: &Name) -> Result<()> {
        let step_kind =
            self.snapshot().template.step(name).filter(|it| it.engine().is_none()).map(|it| it.action.clone());
        // Jobs and environments share the machine, unless an engine has them elsewhere; a service that waits to be ready does not hold others up.
        let is_job = matches!(step_kind, Some(Action::Run(_)));
        let mut _share = match step_kind {
            Some(Action::Run(_) | Action::Build { .. }) => self.share(&Resources::default()).await,
            _ => None,
        };
        let mut has_all = !is_job;
        // What it runs, chosen for this try of it.
        let mut chosen: Option<((u32, u32), Job)> = None;
        loop {
            let run = self.snapshot();
            let Some(step) = run.active(Timestamp::now()).find(|step| step.name == *name) else { return Ok(()) };
            let Some(basis) = self.progress.basis(step, goes_outside(&run, step)) else {
                self.progress.moved().await;
                continue;
            };
            let this_try = (step.version, step.attempt);
            let job = chosen.as_ref().filter(|(of, _)| *of == this_try).map(|(_, job)| job);
            // What it runs is chosen: it takes all that needs, at once, having let go of what it had.
            // One that runs already, taken over from a server that died, goes on with what it has.
            if !has_all && step.state == StepState::Staging {
                has_all = true;
                let needed = prepare::needed(&self.ports, &run, step, job).await?;
                if needed != Resources::default() {
                    drop(_share.take());
                    _share = self.share(&needed).await;
                }
            }
            let collecting = AtomicBool::new(step.state == StepState::Collecting);
            let mut outcome = tokio::select! {
                biased;
                () = self.cancelled_before(&collecting) => {
                    self.abandon(&run, step).await;
                    StepEvent::Cancelled.into()
                }
                // What it waits for is another thing by now, and the old one may never come.
                () = self.progress.until_void(step), if step.state == StepState::AwaitingEvent => continue,
                outcome = self.act_with_patience(&run, step, job, &collecting) => outcome,
            };
            chosen = outcome.job.take().map(|job| (this_try, job));
            self.progress.push(step, basis, outcome)?;
        }
    }

    /// What a job has of the machine, once it is free; nothing for a run that is cancelled.
    async fn share(&self, needed: &Resources) -> Option<Share> {
        tokio::select! {
            share = self.engine.pool.take(needed) => Some(share),
            () = self.told.cancelled.cancelled() => None,
        }
    }

    /// Resolves when the run is cancelled, unless a result is being collected by then: that is there already, and is
    /// registered rather than thrown away.
    async fn cancelled_before(&self, collecting: &AtomicBool) {
        self.told.cancelled.cancelled().await;
        if collecting.load(Ordering::Relaxed) {
            std::future::pending().await
        }
    }

    /// Acts on a step's state; an unavailable tool is asked again some times before the step fails.
    async fn act_with_patience(
        &self,
        run: &Run,
        step: &StepRun,
        job: Option<&Job>,
        collecting: &AtomicBool,
    ) -> Outcome {
        let mut pause = self.engine.config.retry;
        for attempt in 1.. {
            match self.act(run, step, job, collecting).await {
                Ok(outcome) => return outcome,
                Err(error)
                    if error.kind == ErrorKind::Unavailable
                        && attempt < self.engine.config.attempts
                        && !is_call(run, step) =>
                {
                    tracing::warn!(run = %run.label(), step = %step.name, %error, "trying again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(error) => {
                    self.abandon(run, step).await;
                    let may_pass = matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Internal);
                    return StepEvent::Failed { message: error.message, may_pass }.into();
                }
            }
        }
        unreachable!("the loop ends only by returning")
    }

    /// A step that ends beside its workload must not leave it running; of some it is not saved yet that they have one.
    async fn abandon(&self, run: &Run, step: &StepRun) {
        // Who slept too long must not end what another drives by now.
        if self.engine.has_others() && !self.engine.ports.replicas.claim(run.id).await.unwrap_or(false) {
            return;
        }
        let key = key_of(run, step);
        if let Err(error) = self.engine.ports.agent.cancel(&key).await {
            tracing::error!(%key, %error, "the workload of a step that ended could not be cancelled");
        }
    }

    async fn act(&self, run: &Run, step: &StepRun, job: Option<&Job>, collecting: &AtomicBool) -> Result<Outcome> {
        let planned = work::planned(run, step)?;
        if let (StepState::Ready, Some(when)) = (step.state, &planned.when)
            && let Some(reason) = condition::unmet(&*self.ports.catalog, run, when).await?
        {
            return Ok(StepEvent::Skipped { reason }.into());
        }
        let action = &planned.action;
        match (step.state, action) {
            (StepState::Ready, Action::Approve(approval)) => {
                let message = approval.message.filled(|reference| work::shown(run, reference))?;
                Ok(StepEvent::ApprovalAsked { message }.into())
            }
            (StepState::Ready, Action::Wait { wait, .. }) => waiting::begin(&self.ports, run, step, wait).await,
            (StepState::AwaitingEvent, Action::Wait { wait, timeout }) => {
                waiting::until_met(self, run, step, wait, *timeout).await
            }
            (StepState::Ready, Action::Call { call, timeout }) => {
                calling::call(&self.ports, run, step, call, *timeout).await
            }
            (StepState::Ready, Action::Notify(notify)) => calling::notify(&self.ports, run, step, notify).await,
            (StepState::Ready, Action::Keep { keep, timeout }) => {
                let _turn = self.engine.keeping.acquire().await;
                keeping::keep(&self.ports, run, step, keep, *timeout).await
            }
            (StepState::Ready, Action::Choose(choice)) => choice::collect(&self.ports, run, choice).await,
            (StepState::Ready, Action::Build { .. }) => build::stage(self, run, step).await,
            (StepState::Ready, Action::Run(_)) => reuse::stage(self, run, step, collecting).await,
            (StepState::Ready, Action::Serve(_)) => service::stage(self, run, step).await,
            (StepState::Staging, Action::Run(_)) => sprint::from_staging(self, run, step, job, collecting).await,
            (StepState::Staging, Action::Build { .. }) => build::submit(self, run, step).await,
            (StepState::Staging, Action::Serve(_)) => {
                let job = Job::of(&self.ports, run, step).await?;
                let workload = work::workload(self, run, step, &job).await?;
                self.ports.agent.submit(&workload).await?;
                Ok(StepEvent::Submitted.into())
            }
            (StepState::Running, _) => self.watch(step).await,
            (StepState::Collecting, Action::Build { .. }) => build::collect(self, run, step).await,
            (StepState::Collecting, Action::Run(_)) => {
                let job = Job::of(&self.ports, run, step).await?;
                let workload = work::workload(self, run, step, &job).await?;
                work::collect(self, run, step, &job, &workload).await
            }
            (StepState::Collecting, Action::Serve(_)) => service::collect(self, run, step).await,
            _ => Err(nothing_to_do(step)),
        }
    }

    async fn watch(&self, step: &StepRun) -> Result<Outcome> {
        let key = workload_key(step)?;
        loop {
            let status = self.ports.agent.wait(key, WATCH).await?;
            match status.phase {
                Phase::Succeeded | Phase::Ready => return Ok(StepEvent::Ended.into()),
                Phase::Pending | Phase::Running => {}
                Phase::Failed | Phase::Cancelled | Phase::Lost => {
                    return Ok(StepEvent::Failed { message: explain(&status), may_pass: true }.into());
                }
            }
        }
    }
}

/// Whether acting on a step does more than to look and to run a component, so that the catalog has to have it as it is. What
/// a condition asks for is looked up in all that is there.
fn goes_outside(run: &Run, step: &StepRun) -> bool {
    let planned = run.template.step(&step.name);
    let chooses = planned.is_some_and(|it| matches!(it.action, Action::Run(_)) && it.when.is_none());
    step.state != StepState::Ready || !chooses
}

async fn until(due: Option<Timestamp>) {
    match due {
        // A moment later, so that it is due for whoever looks at the clock then.
        Some(due) => {
            let left = due.duration_since(Timestamp::now()) + jiff::SignedDuration::from_millis(1);
            tokio::time::sleep(Duration::try_from(left).unwrap_or_default().min(LONGEST)).await;
        }
        None => std::future::pending().await,
    }
}

/// Whether trying it again is the template's to say: whoever is called may have done it.
fn is_call(run: &Run, step: &StepRun) -> bool {
    let action = run.template.step(&step.name).map(|step| &step.action);
    matches!(action, Some(Action::Call { .. } | Action::Notify(_)))
}

fn nothing_to_do(step: &StepRun) -> Error {
    Error::internal("state", format!("nothing is to be done about {} while {}", step.name, step.state))
}

pub(crate) fn workload_key(step: &StepRun) -> Result<&str> {
    step.workload.as_deref().ok_or_else(|| Error::internal("state", format!("step {} has no workload", step.name)))
}

/// The key under which the workload of a step's try is known, the same after every restart.
pub(crate) fn key_of(run: &Run, step: &StepRun) -> String {
    step.workload.clone().unwrap_or_else(|| key_of_try(run, &step.name, step.attempt))
}

/// The key of a try that begins in the run as it stands. What a run that had ended left under another is not touched by one
/// that goes on.
pub(crate) fn key_of_try(run: &Run, step: &Name, attempt: u32) -> String {
    match (attempt, run.round) {
        (1, 1) => format!("{}.{step}", run.id),
        (attempt, 1) => format!("{}.{step}.{attempt}", run.id),
        (attempt, round) => format!("{}.{step}.{attempt}-{round}", run.id),
    }
}

pub(crate) fn explain(status: &WorkloadStatus) -> String {
    match (&status.message, status.phase) {
        (Some(message), _) => message.clone(),
        (None, Phase::Lost) => "the agent no longer knows the workload".to_owned(),
        (None, phase) => format!("the workload ended {phase:?}").to_lowercase(),
    }
}
