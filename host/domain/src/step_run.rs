//! A step of a run: how it stands, what it made, its tries.

use crate::{Address, Identity, Name, ReuseVerdict, Step, StepState, Swap, Value};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How one try of a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub number: u32,
    pub state: StepState,
    pub workload: Option<String>,
    pub runnable: Option<Address>,
    pub note: Option<String>,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

pub(crate) fn first() -> u32 {
    1
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRun {
    pub name: Name,
    pub state: StepState,
    /// Counts its tries from 1.
    #[serde(default = "first")]
    pub attempt: u32,
    /// Counts what was changed of it beside its events: an event that was worked out before is refused.
    #[serde(default)]
    pub version: u32,
    /// Key of its workload at the agent, once staged.
    pub workload: Option<String>,
    /// Which runnable it runs, fixed when it is staged.
    pub runnable: Option<Address>,
    pub outputs: BTreeMap<String, Value>,
    /// What people should know: why an environment was reused, why it failed or was skipped.
    pub note: Option<String>,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// It is not begun again before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// It goes on although the run is paused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
    /// What a person chose instead of what the template says (S70).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap: Option<Swap>,
    /// Whether its result is an earlier one, and why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<ReuseVerdict>,
    /// What decides its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Box<Identity>>,
    /// Its tries before this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Attempt>,
}

impl StepRun {
    pub(crate) fn new(step: &Step) -> Self {
        Self {
            name: step.name.clone(),
            state: if step.needs().is_empty() { StepState::Ready } else { StepState::Waiting },
            attempt: 1,
            version: 0,
            workload: None,
            runnable: None,
            outputs: BTreeMap::new(),
            note: None,
            started: None,
            ended: None,
            not_before: None,
            released: false,
            swap: None,
            reuse: None,
            identity: None,
            earlier: Vec::new(),
        }
    }

    /// Begins it anew: the next try of the same step. Where it stands next, whoever calls this says.
    pub(crate) fn begin_again(&mut self) {
        let try_before = Attempt {
            number: self.attempt,
            state: self.state,
            workload: self.workload.take(),
            runnable: self.runnable.take(),
            note: self.note.take(),
            started: self.started.take(),
            ended: self.ended.take(),
        };
        if try_before.started.is_some() {
            self.earlier.push(try_before);
            self.attempt += 1;
        }
        self.version += 1;
        self.state = StepState::Waiting;
        self.outputs.clear();
        self.reuse = None;
        self.identity = None;
        self.not_before = None;
        self.released = false;
    }
}
