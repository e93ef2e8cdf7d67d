//! Runs: one execution of a pipeline, a state machine without clock or disk.
//!
//! Every change goes through [`Run::apply`], which refuses a transition that the table of states does not have
//! and works out what follows for the other steps and for the run. Persisting the result is one transaction.

use crate::{Address, Error, InputValue, Name, Result, Template, Value, pipeline::Pipeline};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// For steps that it needs.
    Waiting,
    Ready,
    /// Its plan is made and its key known; inputs are being brought to the workload.
    Staging,
    Running,
    /// The workload ended well; outputs are being collected and registered.
    Collecting,
    Succeeded,
    Failed,
    Cancelled,
    Skipped,
}

impl StepState {
    pub fn ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Skipped)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl RunState {
    pub fn ended(self) -> bool {
        self != Self::Running
    }
}

macro_rules! shown_as_json_name {
    ($($t:ty),*) => {$(
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.serialize(f)
            }
        }
    )*};
}
shown_as_json_name!(StepState, RunState);

/// What happened to a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepEvent {
    /// The key that its workload will have; from now on a second submission is the same workload.
    Staged {
        workload: String,
        runnable: Option<Address>,
        note: Option<String>,
    },
    Submitted,
    /// The workload ended well, or the service is ready.
    Ended,
    Succeeded {
        outputs: BTreeMap<String, Value>,
        note: Option<String>,
    },
    Failed {
        message: String,
    },
    Skipped {
        reason: String,
    },
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRun {
    pub name: Name,
    pub state: StepState,
    /// Key of its workload at the agent, once staged.
    pub workload: Option<String>,
    /// Which runnable it runs, fixed when it is staged.
    pub runnable: Option<Address>,
    pub outputs: BTreeMap<String, Value>,
    /// What people should know: why an environment was reused, why it failed or was skipped.
    pub note: Option<String>,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

/// Why a run exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// For people: `code://… was pushed`.
    pub reason: String,
    /// The artifact that started it, if one did.
    pub artifact: Option<Address>,
    /// The artifact at the beginning of the chain of runs.
    pub root: Option<Address>,
    /// Pipelines of the chain before this run: none may occur twice.
    pub chain: Vec<Name>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: Uuid,
    pub project: Name,
    pub pipeline: Name,
    /// Counts the pipeline's runs from 1.
    pub number: u64,
    pub state: RunState,
    pub cause: Cause,
    /// As it was when the run started.
    pub template: Template,
    pub inputs: IndexMap<Name, InputValue>,
    pub parameters: BTreeMap<Name, crate::Attributes>,
    pub steps: Vec<StepRun>,
    pub outputs: IndexMap<Name, Value>,
    pub created: Timestamp,
    pub ended: Option<Timestamp>,
    /// Counts transitions; the catalog refuses to save from an older one.
    pub revision: u64,
    pub cancel_requested: bool,
}

impl Run {
    /// A new run with its first steps ready. The number is given when it is saved.
    pub fn new(pipeline: &Pipeline, inputs: IndexMap<Name, InputValue>, cause: Cause, now: Timestamp) -> Self {
        let steps = pipeline.template.steps.iter().map(|step| StepRun {
            name: step.name.clone(),
            state: if step.needs().is_empty() { StepState::Ready } else { StepState::Waiting },
            workload: None,
            runnable: None,
            outputs: BTreeMap::new(),
            note: None,
            started: None,
            ended: None,
        });
        Self {
            id: Uuid::now_v7(),
            project: pipeline.project.clone(),
            pipeline: pipeline.name.clone(),
            number: 0,
            state: RunState::Running,
            cause,
            template: pipeline.template.clone(),
            inputs,
            parameters: pipeline.parameters.clone(),
            steps: steps.collect(),
            outputs: IndexMap::new(),
            created: now,
            ended: None,
            revision: 0,
            cancel_requested: false,
        }
    }

    /// `<pipeline>/<number>`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.pipeline, self.number)
    }

    pub fn step(&self, name: &Name) -> Option<&StepRun> {
        self.steps.iter().find(|step| step.name == *name)
    }

    /// One transition, with all that follows from it. An impossible one changes nothing.
    pub fn apply(&mut self, step: &Name, event: StepEvent, now: Timestamp) -> Result<()> {
        let label = self.label();
        let index = self
            .steps
            .iter()
            .position(|candidate| candidate.name == *step)
            .ok_or_else(|| Error::internal("unknown-step", format!("{label} has no step {step}")))?;
        let target = &mut self.steps[index];
        target.state = next_state(target.state, &event).ok_or_else(|| {
            Error::conflict(
                "transition",
                format!("{label}, step {step}: {event:?} cannot happen while {}", target.state),
            )
        })?;
        if target.started.is_none() {
            target.started = Some(now);
        }
        match event {
            StepEvent::Staged { workload, runnable, note } => {
                target.workload = Some(workload);
                target.runnable = runnable;
                target.note = note;
            }
            StepEvent::Succeeded { outputs, note } => {
                target.outputs = outputs;
                target.note = note.or(target.note.take());
            }
            StepEvent::Failed { message } => target.note = Some(message),
            StepEvent::Skipped { reason } => target.note = Some(reason),
            StepEvent::Submitted | StepEvent::Ended | StepEvent::Cancelled => {}
        }
        if target.state.ended() {
            target.ended = Some(now);
        }
        self.follow(now);
        self.revision += 1;
        Ok(())
    }

    /// Makes waiting steps ready or skips them, and ends the run when nothing is left.
    fn follow(&mut self, now: Timestamp) {
        // Steps stand in an order in which each follows what it needs, so one pass reaches them all.
        for index in 0..self.steps.len() {
            if self.steps[index].state != StepState::Waiting {
                continue;
            }
            let needs = self.template.step(&self.steps[index].name).map(crate::Step::needs).unwrap_or_default();
            let states: Vec<_> =
                needs.iter().filter_map(|need| self.step(need)).map(|s| (s.name.clone(), s.state)).collect();
            let step = &mut self.steps[index];
            if let Some((blocker, state)) =
                states.iter().find(|(_, state)| state.ended() && *state != StepState::Succeeded)
            {
                step.state = StepState::Skipped;
                step.note = Some(format!("step {blocker} {state}"));
                step.ended = Some(now);
            } else if states.iter().all(|(_, state)| *state == StepState::Succeeded) {
                step.state = StepState::Ready;
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

/// The table of transitions; `None` where there is none.
fn next_state(state: StepState, event: &StepEvent) -> Option<StepState> {
    use StepState as S;
    Some(match (state, event) {
        (S::Ready, StepEvent::Staged { .. }) => S::Staging,
        (S::Staging, StepEvent::Submitted) => S::Running,
        (S::Running, StepEvent::Ended) => S::Collecting,
        // A step without a workload succeeds from ready.
        (S::Ready | S::Collecting, StepEvent::Succeeded { .. }) => S::Succeeded,
        (S::Ready | S::Staging | S::Running | S::Collecting, StepEvent::Failed { .. }) => S::Failed,
        (S::Ready | S::Staging | S::Running | S::Collecting, StepEvent::Skipped { .. }) => S::Skipped,
        (S::Waiting | S::Ready | S::Staging | S::Running, StepEvent::Cancelled) => S::Cancelled,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
