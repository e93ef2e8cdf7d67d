//! How far a run is: what the catalog has of it, and what happened since and is not saved yet.
//!
//! Choosing what a step runs, taking an earlier result and jobs of components go on from what is not saved: whoever takes the
//! run over does the same again. What goes outside waits until the catalog has the state from which it begins.

use crate::{
    driver::{Extras, Outcome},
    layer::Layer,
};
use async_trait::async_trait;
use fuseml_domain::{
    Address, Descriptor, Digest, ErrorKind, Kind, Name, Result, Run, StepEvent, StepResult, StepRun,
    port::{Catalog, Change},
};
use jiff::Timestamp;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// So many transitions are not saved at the most, and so many are saved together.
const MOST: usize = 64;
/// How long one that nobody waits for is not saved, so that more come.
const GATHERING: Duration = Duration::from_millis(2);

/// What came of acting on a step.
struct Happened {
    /// As it was acted on.
    step: StepRun,
    events: Vec<(StepEvent, Timestamp)>,
    extras: Option<Extras>,
}

impl Happened {
    /// What becomes of the run as it is by now; nothing where the step is not as it was acted on: what was worked out for it
    /// is void.
    fn to(&self, run: &Run) -> Result<Option<Change>> {
        if !is_as_acted_on(run, &self.step) {
            return Ok(None);
        }
        let next = run.after(&self.step.name, self.step.version, self.events.iter().cloned())?;
        let mut change = Change::of(run, next);
        if let Some(extras) = &self.extras {
            extras(&mut change);
        }
        Ok(Some(change))
    }
}

/// Whether the step of a run is still as it was acted on.
fn is_as_acted_on(run: &Run, step: &StepRun) -> bool {
    let is = |now: &StepRun| (now.version, now.attempt, now.state) == (step.version, step.attempt, step.state);
    run.step(&step.name).is_some_and(is)
}

/// A transition that is not saved yet.
pub(crate) struct Unsaved {
    happened: Arc<Happened>,
    pub(crate) change: Change,
}

impl Unsaved {
    pub(crate) fn step(&self) -> &StepRun {
        &self.happened.step
    }

    /// What happened last.
    pub(crate) fn event(&self) -> Option<&StepEvent> {
        self.happened.events.last().map(|(event, _)| event)
    }

    /// Whether the run has it already.
    fn is_in(&self, stored: &Run) -> bool {
        let name = &self.step().name;
        stored.revision >= self.change.run.revision && stored.step(name) == self.change.run.step(name)
    }

    /// Whether all that a choice may look for can be told without the catalog.
    fn is_plain(&self) -> bool {
        let Change { artifacts, build, service, marks, .. } = &self.change;
        let no_runnable = artifacts.iter().all(|artifact| artifact.kind() != Kind::Runnable);
        no_runnable && build.is_none() && service.is_none() && marks.is_empty()
    }
}

/// From what a step is acted on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// From what the catalog has.
    Saved,
    /// From what is not saved yet, after so much of that was void.
    Unsaved(u64),
}

struct State {
    /// With what is not saved yet.
    run: Arc<Run>,
    /// As the catalog has it.
    saved: Arc<Run>,
    unsaved: VecDeque<Arc<Unsaved>>,
    /// Something is saved, and those who have to know do not know it yet.
    follows_up: bool,
    /// The catalog does not take what is not saved.
    is_stuck: bool,
    /// Counts the times at which something that was not saved was void.
    voids: u64,
    /// The newest revision that was seen in the catalog.
    seen: u64,
}

/// Shared by a driver and the catalog as its steps see it. Nobody holds the state while waiting for anything.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// There is something to save.
    pushed: Notify,
    /// Somebody waits until it is.
    awaited: Notify,
    /// Something is saved, or void, or somebody else changed the run.
    moved: Notify,
}

impl Progress {
    pub(crate) fn of(run: Run) -> Self {
        let run = Arc::new(run);
        let seen = run.revision;
        let (saved, unsaved) = (run.clone(), VecDeque::new());
        let state = Mutex::new(State { run, saved, unsaved, follows_up: false, is_stuck: false, voids: 0, seen });
        Self(Arc::new(Inner { state, pushed: Notify::new(), awaited: Notify::new(), moved: Notify::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run with what is not saved yet.
    pub(crate) fn run(&self) -> Arc<Run> {
        self.state().run.clone()
    }

    /// Notes what came of acting on a step as it was then; nothing where that is void.
    ///
    /// # Errors
    /// When that cannot happen to it.
    pub(crate) fn push(&self, step: &StepRun, basis: Basis, outcome: Outcome) -> Result<()> {
        let events = outcome.earlier.into_iter().chain([(outcome.event, Timestamp::now())]).collect();
        let happened = Arc::new(Happened { step: step.clone(), events, extras: outcome.extras });
        let mut state = self.state();
        // What it was made of may be void.
        if basis != Basis::Saved && basis != Basis::Unsaved(state.voids) {
            return Ok(());
        }
        if let Some(change) = happened.to(&state.run)? {
            state.run = Arc::new(change.run.clone());
            state.unsaved.push_back(Arc::new(Unsaved { happened, change }));
            self.0.pushed.notify_one();
        }
        Ok(())
    }

    /// What is to be saved next, together: waits until there is something, and for more unless somebody waits for that.
    pub(crate) async fn next(&self) -> Vec<Arc<Unsaved>> {
        while self.state().unsaved.is_empty() {
            self.0.pushed.notified().await;
        }
        // Whether anybody came in time or not: what is there by then is saved.
        let _ = tokio::time::timeout(GATHERING, self.0.awaited.notified()).await;
        self.state().unsaved.iter().take(MOST).cloned().collect()
    }

    /// The oldest so many are saved, and something is to be done for that.
    pub(crate) fn saved(&self, count: usize) {
        let mut state = self.state();
        (state.follows_up, state.is_stuck) = (true, false);
        let last = state.unsaved.drain(..count).next_back();
        if let Some(last) = last {
            state.saved = Arc::new(last.change.run.clone());
        }
        drop(state);
        self.0.moved.notify_waiters();
    }

    /// All is done for what is saved. Answers whether somebody changed the run meanwhile.
    pub(crate) fn followed_up(&self) -> bool {
        let mut state = self.state();
        state.follows_up = false;
        let is_changed = state.unsaved.is_empty() && state.seen > state.saved.revision;
        drop(state);
        self.0.moved.notify_waiters();
        is_changed
    }

    /// Until it can, nothing goes on from what is not saved.
    pub(crate) fn cannot_be_saved(&self) {
        self.state().is_stuck = true;
    }

    /// Somebody else changed the run: what is not saved happens to it as it is by now. Of the oldest that cannot be saved,
    /// `instead` happens to its step. Answers what was saved although nobody could say so.
    pub(crate) fn rebase(&self, stored: Run, mut instead: Option<StepEvent>) -> Vec<Arc<Unsaved>> {
        let mut saved = Vec::new();
        let mut state = self.state();
        let voids = state.voids;
        (state.follows_up, state.is_stuck) = (true, false);
        state.saved = Arc::new(stored);
        state.run = state.saved.clone();
        for unsaved in std::mem::take(&mut state.unsaved) {
            if unsaved.is_in(&state.saved) {
                saved.push(unsaved);
                continue;
            }
            // Its result may be of what is void.
            if state.voids > voids && matches!(unsaved.event(), Some(StepEvent::Reused { .. })) {
                continue;
            }
            let step = unsaved.step().clone();
            let name = step.name.clone();
            let happened = match instead.take() {
                Some(event) => Arc::new(Happened { step, events: vec![(event, Timestamp::now())], extras: None }),
                None => unsaved.happened.clone(),
            };
            match happened.to(&state.run) {
                Ok(Some(change)) => {
                    state.run = Arc::new(change.run.clone());
                    state.unsaved.push_back(Arc::new(Unsaved { happened, change }));
                }
                void => {
                    state.voids += 1;
                    let why = void.err();
                    tracing::debug!(run = %state.run.label(), step = %name, ?why, "done again: the run was changed");
                }
            }
        }
        drop(state);
        self.0.moved.notify_waiters();
        saved
    }

    /// Takes over what is in the catalog, where nothing is unsaved: else it is seen once that is saved, or cannot be.
    pub(crate) fn reload(&self, stored: Run) {
        let mut state = self.state();
        state.seen = state.seen.max(stored.revision);
        if state.unsaved.is_empty() && stored.revision > state.saved.revision {
            state.saved = Arc::new(stored);
            state.run = state.saved.clone();
            drop(state);
            self.0.moved.notify_waiters();
        }
    }

    /// The revision that the catalog has.
    pub(crate) fn saved_revision(&self) -> u64 {
        self.state().saved.revision
    }

    /// Whether all is saved, and everybody knows it.
    pub(crate) fn is_saved(&self) -> bool {
        let state = self.state();
        state.unsaved.is_empty() && !state.follows_up
    }

    /// Resolves when something is saved, or void; at once where all is saved already.
    pub(crate) async fn moved(&self) {
        let mut moved = std::pin::pin!(self.0.moved.notified());
        moved.as_mut().enable();
        if !self.is_saved() {
            self.0.awaited.notify_one();
            moved.await;
        }
    }

    /// Resolves when a step is not as it was acted on any more.
    pub(crate) async fn until_void(&self, step: &StepRun) {
        loop {
            let mut moved = std::pin::pin!(self.0.moved.notified());
            moved.as_mut().enable();
            if !is_as_acted_on(&self.run(), step) {
                return;
            }
            moved.await;
        }
    }

    /// From what a step may be acted on now: the catalog has it as it is, or what is done can be done from what is not saved as
    /// well. Nothing where it has to wait.
    pub(crate) fn basis(&self, step: &StepRun, goes_outside: bool) -> Option<Basis> {
        let state = self.state();
        if state.unsaved.is_empty() || state.saved.step(&step.name) == Some(step) {
            return Some(Basis::Saved);
        }
        let has_room = state.unsaved.len() < MOST && !state.is_stuck;
        let runs_ahead = !goes_outside && has_room && state.unsaved.iter().all(|unsaved| unsaved.is_plain());
        runs_ahead.then_some(Basis::Unsaved(state.voids))
    }
}

/// What is not saved yet, for steps that follow it.
#[async_trait]
impl Layer for Progress {
    /// Whoever was there before counts: the same contents are the same artifact.
    async fn artifact(&self, catalog: &dyn Catalog, address: &Address) -> Result<Descriptor> {
        // Looked for before the catalog is asked: it may be saved in between.
        let made = {
            let state = self.state();
            let mut made = state.unsaved.iter().flat_map(|unsaved| &unsaved.change.artifacts);
            made.find(|artifact| artifact.address == *address).cloned()
        };
        match (catalog.artifact(address).await, made) {
            (Err(error), Some(made)) if error.kind == ErrorKind::NotFound => Ok(made),
            (found, _) => found,
        }
    }

    async fn result(&self, catalog: &dyn Catalog, project: &Name, identity: &Digest) -> Result<Option<StepResult>> {
        let newest = {
            let state = self.state();
            let mut results = state.unsaved.iter().rev().filter_map(|unsaved| unsaved.change.result.as_ref());
            results.find(|result| result.identity.digest() == *identity).cloned()
        };
        match newest {
            Some(result) => Ok(Some(result)),
            None => catalog.result(project, identity).await,
        }
    }
}
