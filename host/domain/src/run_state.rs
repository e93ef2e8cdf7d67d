//! How runs and their steps stand, what happens to steps, and what may follow what.

use crate::{Address, Identity, ReuseVerdict, Value};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// For steps that it needs.
    Waiting,
    Ready,
    /// A person is asked (S72).
    AwaitingApproval,
    /// Something has to happen elsewhere (S72).
    AwaitingEvent,
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
    /// An earlier run of its pipeline has to end first.
    Queued,
    Running,
    /// What was begun goes on, nothing else begins (S69).
    Paused,
    Succeeded,
    Failed,
    Cancelled,
}

impl RunState {
    pub fn ended(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Paused)
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
        /// What decides its result, and why that is not an earlier one; for jobs.
        reuse: Option<(Option<Box<Identity>>, ReuseVerdict)>,
    },
    /// It was done before: the earlier result is taken.
    Reused {
        runnable: Address,
        outputs: BTreeMap<String, Value>,
        reuse: ReuseVerdict,
    },
    /// A person has to say whether it goes on.
    ApprovalAsked {
        message: String,
    },
    /// What it waits for did not happen yet.
    WaitBegan {
        message: String,
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
        /// It may go well the next time: a workload failed, or a tool did not answer.
        may_pass: bool,
    },
    Skipped {
        reason: String,
    },
    Cancelled,
}

/// The table of transitions; `None` where there is none.
pub(crate) fn next_state(state: StepState, event: &StepEvent) -> Option<StepState> {
    use StepState as S;
    Some(match (state, event) {
        (S::Ready, StepEvent::Staged { .. }) => S::Staging,
        (S::Ready, StepEvent::Reused { .. }) => S::Succeeded,
        (S::Ready, StepEvent::ApprovalAsked { .. }) => S::AwaitingApproval,
        (S::Ready, StepEvent::WaitBegan { .. }) => S::AwaitingEvent,
        (S::Staging, StepEvent::Submitted) => S::Running,
        (S::Running, StepEvent::Ended) => S::Collecting,
        // A step without a workload succeeds from ready.
        (S::Ready | S::AwaitingApproval | S::AwaitingEvent | S::Collecting, StepEvent::Succeeded { .. }) => {
            S::Succeeded
        }
        (
            S::Ready | S::AwaitingApproval | S::AwaitingEvent | S::Staging | S::Running | S::Collecting,
            StepEvent::Failed { .. },
        ) => S::Failed,
        (S::Ready | S::Staging | S::Running | S::Collecting, StepEvent::Skipped { .. }) => S::Skipped,
        (
            S::Waiting | S::Ready | S::AwaitingApproval | S::AwaitingEvent | S::Staging | S::Running,
            StepEvent::Cancelled,
        ) => S::Cancelled,
        _ => return None,
    })
}
