//! What the host and an engine behind a runtime-agent component say to each other (S113–S116). Other than the
//! host's own agents, such an engine stages contents itself, so everything is a location here.

use crate::{Attributes, Location, Resources, WorkloadKind, WorkloadStatus};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What an engine runs and what its workloads can reach by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    pub kinds: Vec<WorkloadKind>,
    /// Location schemes.
    pub reads: Vec<String>,
    pub writes: Vec<String>,
    /// `gpu`, `arch=amd64`, …
    pub capabilities: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInput {
    pub name: String,
    /// Relative to the working directory.
    pub path: String,
    pub contents: Location,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineOutput {
    pub name: String,
    /// Relative to the working directory.
    pub path: String,
    /// JSON file with an [`crate::OutputReport`].
    pub report: Option<String>,
    /// Where the engine is to leave it; `None` leaves it for the host to collect.
    pub target: Option<Location>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineWorkload {
    /// Submitting it twice makes one workload.
    pub key: String,
    pub kind: WorkloadKind,
    /// An image by digest, or a prepared environment.
    pub image: Location,
    pub command: Vec<String>,
    pub variables: Attributes,
    /// Variable and name of the secret, which the engine delivers its own way.
    pub secret_variables: Attributes,
    /// Path and text.
    pub files: Vec<(String, String)>,
    pub inputs: Vec<EngineInput>,
    pub outputs: Vec<EngineOutput>,
    /// Services: where they listen, and the path that answers once ready.
    pub port: Option<u16>,
    pub readiness_path: Option<String>,
    pub resources: Resources,
    pub timeout: Option<Duration>,
    /// Project, pipeline, run, step.
    pub labels: Attributes,
}

/// How a workload is doing, and what it reported so far (S57).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineStatus {
    pub status: WorkloadStatus,
    pub results: Attributes,
}

/// Part of a workload's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineLog {
    pub lines: Vec<String>,
    /// Where to go on; the engine's own words.
    pub cursor: Option<String>,
    /// Nothing more will come.
    pub ended: bool,
}
