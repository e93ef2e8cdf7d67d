//! What a pipeline would do: which steps run, which earlier results it takes, and why.

use crate::{Address, InputValue, Name, Unstarted};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub pipeline: Name,
    /// Why nothing would start it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
    pub inputs: IndexMap<Name, InputValue>,
    /// In the order in which each follows what it needs.
    pub steps: Vec<PlannedStep>,
    /// Pipelines that may start with what it would make, and those that follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Name>,
}

/// What would come of a codeset that is not pushed yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PushPlan {
    pub codeset: Address,
    /// What it would start.
    pub plans: Vec<Plan>,
    /// Pipelines that select it and would not start.
    pub unstarted: Vec<Unstarted>,
}

impl Plan {
    /// How long the steps that run took before, one after the other, in seconds; `None` when one of them never ran.
    pub fn seconds(&self) -> Option<f64> {
        self.steps.iter().filter(|step| step.prospect == Prospect::Runs).map(|step| step.seconds).sum()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    pub name: Name,
    pub prospect: Prospect,
    /// A line each.
    pub why: Vec<String>,
    /// How long it took before, in seconds: the middle of the last runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// What would become of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prospect {
    Runs,
    Reused,
    /// A person would be asked.
    Asks,
    /// It would wait for what happens elsewhere.
    Waits,
    /// An endpoint would be called or told.
    Calls,
    /// An artifact would be registered, copied or fetched.
    Keeps,
    /// What the best of a sweep made is taken.
    Chooses,
    Skipped,
    /// What comes before it decides.
    Depends,
    Fails,
}

impl fmt::Display for Prospect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
