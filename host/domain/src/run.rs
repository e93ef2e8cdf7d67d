//! Runs: one execution of a pipeline, a state machine without clock or disk.
//!
//! Every change goes through [`Run::apply`], which refuses a transition that the table of states does not have
//! and works out what follows for the other steps and for the run. Persisting the result is one transaction.

use crate::{
    Address, Concurrency, Course, Error, InputValue, Intervention, Name, Quota, Result, Reuse, RunState, Runs, Starts,
    Step, StepEvent, StepRun, StepRuns, StepState, Template, Value, pipeline::Pipeline, run_state::next_state,
    step_run::first,
};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Why a run exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// For people: `code://… was pushed`.
    pub reason: String,
    /// The artifact that started it, if one did.
    pub artifact: Option<Address>,
    /// The artifact at the beginning of the chain of runs.
    pub root: Option<Address>,
    /// Pipelines of the chain before this run, those of other projects as `project/pipeline`: none may occur twice.
    pub chain: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: Uuid,
    pub project: Name,
    pub pipeline: Name,
    /// Counts the pipeline's runs from 1.
    pub number: u64,
    /// Of the pipeline, when the run was made.
    #[serde(default = "first")]
    pub version: u32,
    pub state: RunState,
    pub cause: Cause,
    /// As it was when the run started.
    pub template: Course,
    pub inputs: IndexMap<Name, InputValue>,
    pub parameters: BTreeMap<Name, crate::Attributes>,
    pub steps: StepRuns,
    pub outputs: IndexMap<Name, Value>,
    pub created: Timestamp,
    pub ended: Option<Timestamp>,
    /// Counts transitions; the catalog refuses to save from an older one.
    pub revision: u64,
    pub cancel_requested: bool,
    /// Counts how often it was open: again each time that it is taken up after it ended.
    #[serde(default = "first")]
    pub round: u32,
    /// Instead of what each step says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<Reuse>,
    /// What becomes of it while an earlier run of its pipeline is open.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// It begins a while after it was started, unless another start of this like comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debounced: Option<String>,
    /// When it may have begun, where that is later than it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// Inputs whose last artifact its pipeline wants to know.
    #[serde(skip)]
    pub watched: Vec<Name>,
    /// How often its pipeline may start by itself; `None` for one that a person started.
    #[serde(skip)]
    pub quota: Option<Quota>,
    /// What people told it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interventions: Vec<Intervention>,
}

impl Run {
    /// A new run with its first steps ready. The number is given when it is saved.
    ///
    /// # Errors
    /// `invalid` where the inputs do not say what the template's sweeps vary.
    pub fn new(pipeline: &Pipeline, inputs: IndexMap<Name, InputValue>, cause: Cause, now: Timestamp) -> Result<Self> {
        let template = pipeline.template.expanded(&inputs)?.into_owned();
        let parameters = template.spread(&pipeline.parameters);
        Ok(Self {
            id: Uuid::now_v7(),
            project: pipeline.project.clone(),
            pipeline: pipeline.name.clone(),
            number: 0,
            version: pipeline.version,
            state: RunState::Running,
            cause,
            steps: template.steps.iter().map(StepRun::new).collect(),
            template: template.into(),
            inputs,
            parameters,
            outputs: IndexMap::new(),
            created: now,
            ended: None,
            revision: 0,
            cancel_requested: false,
            round: 1,
            reuse: None,
            concurrency: pipeline.starts.concurrency,
            debounced: None,
            began: None,
            quota: None,
            watched: pipeline.starts.watch.keys().cloned().collect(),
            interventions: Vec::new(),
        })
    }

    /// The same as the pipeline starts it by itself, for something of this like: counted, and held back as its starts say.
    pub fn by_itself(mut self, starts: &Starts, like: &str) -> Self {
        self.quota = Some(starts.quota.unwrap_or(Quota::STORM));
        if let Some(pause) = starts.debounce {
            self.debounced = Some(like.to_owned());
            let begins = self.created.saturating_add(pause).unwrap_or(Timestamp::MAX);
            self.began = Some(begins);
            for step in self.steps.filter_mut(|step| step.state == StepState::Ready) {
                step.not_before = Some(begins);
            }
        }
        self
    }

    /// Whether something of it was done.
    pub fn has_begun(&self) -> bool {
        self.steps.iter().any(|step| step.started.is_some() || !step.earlier.is_empty())
    }

    /// A new run of the same template with the same inputs and parameters.
    ///
    /// # Errors
    /// Never: what made one run makes another.
    pub fn again(&self, cause: Cause, now: Timestamp) -> Result<Self> {
        let pipeline = Pipeline {
            project: self.project.clone(),
            name: self.pipeline.clone(),
            template: Template::clone(&self.template),
            provider: None,
            inputs: IndexMap::new(),
            parameters: self.parameters.clone(),
            created: self.created,
            version: self.version,
            edited: None,
            starts: Starts { concurrency: self.concurrency, ..Starts::default() },
            connections: Vec::new(),
            open: Vec::new(),
            makes: Vec::new(),
            freezes: Vec::new(),
        };
        Self::new(&pipeline, self.inputs.clone(), cause, now)
    }

    /// Whom an open run waits for: nothing of it moves until somebody tells it to, or something happens elsewhere.
    pub fn waits_for(&self, now: Timestamp) -> Option<WaitsFor> {
        let is_busy = |step: &StepRun| step.state != StepState::AwaitingEvent;
        if self.state == RunState::Queued
            || self.state.ended()
            || self.next_due(now).is_some()
            || self.active(now).any(is_busy)
            || self.cancel_requested
        {
            return None;
        }
        let all = |state| {
            let such = self.steps.iter().filter(|step| step.state == state);
            such.map(|step| step.name.clone()).collect::<Vec<_>>()
        };
        let (asking, awaiting) = (all(StepState::AwaitingApproval), all(StepState::AwaitingEvent));
        Some(match (asking.is_empty(), awaiting.is_empty()) {
            (false, _) => WaitsFor::Approval(asking),
            (true, false) => WaitsFor::Event(awaiting),
            (true, true) => WaitsFor::Resume,
        })
    }

    /// Whether its steps may have left something with their agents that has to be removed once it has ended.
    pub fn leaves(&self) -> bool {
        self.template.steps.iter().any(|step| step.action.has_workloads())
    }

    /// All of it but its template and its steps.
    pub fn frame(&self) -> Self {
        Self {
            template: self.template.empty().into(),
            steps: StepRuns::default(),
            cause: self.cause.clone(),
            project: self.project.clone(),
            pipeline: self.pipeline.clone(),
            inputs: self.inputs.clone(),
            parameters: self.parameters.clone(),
            outputs: self.outputs.clone(),
            interventions: self.interventions.clone(),
            debounced: self.debounced.clone(),
            watched: Vec::new(),
            ..*self
        }
    }

    /// Positions of the steps that are not as they were in `before`, an earlier state of the same run.
    pub fn changed_since(&self, before: &Self) -> Vec<usize> {
        self.steps.changed_since(&before.steps)
    }

    /// `<pipeline>/<number>`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.pipeline, self.number)
    }

    pub fn step(&self, name: &Name) -> Option<&StepRun> {
        self.steps.get(self.template.place(name)?)
    }

    /// Steps about which something is to be done now: begun, watched, or ended because the run is cancelled.
    pub fn active(&self, now: Timestamp) -> impl Iterator<Item = &StepRun> {
        self.steps.iter().filter(move |step| match step.state {
            StepState::AwaitingEvent | StepState::Staging | StepState::Running | StepState::Collecting => true,
            StepState::Ready if self.cancel_requested => true,
            StepState::Ready => !self.holds(step) && self.due(step, now).is_none(),
            StepState::AwaitingApproval => self.cancel_requested,
            _ => false,
        })
    }

    /// When the next step is due that may not begin yet.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.steps.iter().filter(|step| step.state == StepState::Ready && !self.holds(step));
        waiting.filter_map(|step| self.due(step, now)).min()
    }

    /// When a ready step may begin, if that is not now: it failed a moment ago, or its window is closed. Whom a person
    /// told to begin does not wait for the latter.
    pub fn due(&self, step: &StepRun, now: Timestamp) -> Option<Timestamp> {
        let again = step.not_before.filter(|due| *due > now);
        let window = self.template.step(&step.name).and_then(|step| step.window.as_ref()).filter(|_| !step.released);
        again.into_iter().chain(window.and_then(|window| window.next(now))).max()
    }

    /// Whether the run's pause, or that it has to wait for another, is why the step does not begin.
    pub(crate) fn holds(&self, step: &StepRun) -> bool {
        self.state == RunState::Queued || self.state == RunState::Paused && !step.released
    }

    /// Nothing is before it any more.
    pub fn begin(&mut self, now: Timestamp) {
        if self.state == RunState::Queued {
            self.state = RunState::Running;
            self.began = self.began.max(Some(now));
            self.revision += 1;
        }
    }

    /// One transition, with all that follows from it. `version` is that of the step when the event was worked out. An
    /// impossible one changes nothing.
    ///
    /// # Errors
    /// `conflict`: `stale-step` when the step was changed meanwhile, `transition` when it cannot happen.
    pub fn apply(&mut self, step: &Name, version: u32, event: StepEvent, now: Timestamp) -> Result<()> {
        let label = self.label();
        let index = self
            .template
            .place(step)
            .filter(|place| *place < self.steps.len())
            .ok_or_else(|| Error::internal("unknown-step", format!("{label} has no step {step}")))?;
        let retry = self.template.steps[index].retry.filter(|_| !self.cancel_requested);
        let target = &mut self.steps[index];
        if target.version != version {
            return Err(Error::conflict("stale-step", format!("{label}, step {step} was changed meanwhile")));
        }
        target.state = next_state(target.state, &event).ok_or_else(|| {
            Error::conflict(
                "transition",
                format!("{label}, step {step}: {event:?} cannot happen while {}", target.state),
            )
        })?;
        if target.started.is_none() {
            target.started = Some(now);
        }
        if target.state.ended() {
            target.ended = Some(now);
        }
        match event {
            StepEvent::Staged { workload, runnable, note, reuse } => {
                target.workload = Some(workload);
                target.runnable = runnable;
                target.note = note;
                if let Some((identity, verdict)) = reuse {
                    target.identity = identity;
                    target.reuse = Some(verdict);
                }
            }
            StepEvent::Reused { runnable, outputs, reuse } => {
                target.runnable = Some(runnable);
                target.outputs = outputs;
                target.note = Some(reuse.to_string());
                target.reuse = Some(reuse);
            }
            StepEvent::Succeeded { outputs, note } => {
                target.outputs = outputs;
                target.note = note.or(target.note.take());
            }
            StepEvent::Failed { message, may_pass } => {
                target.note = Some(message);
                let retry = retry.filter(|retry| may_pass && target.attempt < retry.attempts);
                if let Some(pause) = retry.map(|retry| retry.pause(target.attempt)) {
                    target.begin_again();
                    target.not_before = Some(now.saturating_add(pause).unwrap_or(now));
                }
            }
            StepEvent::Skipped { reason } => target.note = Some(reason),
            StepEvent::ApprovalAsked { message } | StepEvent::WaitBegan { message } => target.note = Some(message),
            StepEvent::Submitted | StepEvent::Ended | StepEvent::Cancelled => {}
        }
        // Others wait for ends alone, and one that is tried again for those before it.
        if self.steps[index].state.ended() || self.steps[index].state == StepState::Waiting {
            self.follow(now);
        }
        self.revision += 1;
        Ok(())
    }

    /// The run after several transitions of one step, each at its time, that are saved as one.
    ///
    /// # Errors
    /// As for [`Run::apply`].
    pub fn after(
        &self,
        step: &Name,
        version: u32,
        events: impl IntoIterator<Item = (StepEvent, Timestamp)>,
    ) -> Result<Self> {
        let mut next = self.clone();
        for (event, at) in events {
            next.apply(step, version, event, at)?;
        }
        next.revision = self.revision + 1;
        Ok(next)
    }

    /// Makes waiting steps ready or skips them, and ends the run when nothing is left.
    pub(crate) fn follow(&mut self, now: Timestamp) {
        let template = self.template.clone();
        // Steps stand in an order in which each follows what it needs, so one pass reaches them all.
        for (index, step) in template.steps.iter().enumerate() {
            if self.steps.get(index).is_none_or(|step| step.state != StepState::Waiting) {
                continue;
            }
            match self.what_follows(step, index) {
                Follows::Nothing => {}
                Follows::Ready => self.steps[index].state = StepState::Ready,
                Follows::Skipped(reason) => {
                    let step = &mut self.steps[index];
                    step.state = StepState::Skipped;
                    step.note = Some(reason);
                    step.ended = Some(now);
                }
            }
        }
        if self.steps.iter().all(|step| step.state.ended()) {
            let any = |state| self.steps.iter().any(|step| step.state == state);
            self.state = match () {
                () if any(StepState::Failed) => RunState::Failed,
                () if any(StepState::Cancelled) => RunState::Cancelled,
                () => RunState::Succeeded,
            };
            self.ended = Some(now);
            self.outputs = self.collect_outputs();
        }
    }

    /// What becomes of a waiting step as those that it needs stand now.
    fn what_follows(&self, step: &Step, place: usize) -> Follows {
        let needs = || self.template.needs(place).iter().filter_map(|need| self.steps.get(*need));
        let all_ended = needs().all(|need| need.state.ended());
        match step.runs {
            Runs::OnSuccess => {
                let blocker = needs().find(|need| need.state.ended() && need.state != StepState::Succeeded);
                match blocker {
                    Some(blocker) => Follows::Skipped(format!("step {} {}", blocker.name, blocker.state)),
                    None if all_ended => Follows::Ready,
                    None => Follows::Nothing,
                }
            }
            _ if !all_ended => Follows::Nothing,
            _ if self.cancel_requested => Follows::Skipped("the run was cancelled".to_owned()),
            Runs::OnFailure if !self.any_failed_before(&step.name) => {
                Follows::Skipped("nothing before it failed".to_owned())
            }
            Runs::OnFailure | Runs::Always => Follows::Ready,
        }
    }

    /// Whether a step failed that this one needs, or that one of those needs, and so on.
    fn any_failed_before(&self, name: &Name) -> bool {
        let before = self.template.before(name);
        self.steps.iter().any(|step| step.state == StepState::Failed && before.contains(&step.name))
    }

    fn collect_outputs(&self) -> IndexMap<Name, Value> {
        let found = self.template.outputs.iter().filter_map(|(name, output)| match &output.from {
            crate::Reference::Output { step, output } => {
                Some((name.clone(), self.step(step)?.outputs.get(output)?.clone()))
            }
            crate::Reference::Input { name: input } => Some((name.clone(), self.inputs.get(input)?.value.clone())),
            crate::Reference::Attribute { .. } => None,
        });
        found.collect()
    }
}

/// What has to come before an open run goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    Resume,
    /// Whether these steps are approved.
    Approval(Vec<Name>),
    /// Nobody here can say it: these steps wait for something to happen elsewhere.
    Event(Vec<Name>),
}

/// What becomes of a waiting step.
enum Follows {
    Nothing,
    Ready,
    Skipped(String),
}

#[cfg(test)]
#[path = "run_tests.rs"]
pub(crate) mod tests;
