//! What runtime agents run: runnable + inputs + parameters = workload (S113).

use crate::{Attributes, Digest, Environment, Image, Kind, Location, Name, OutputReport, Resources, Tree};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadKind {
    /// Ends by itself.
    Job,
    /// Answers until stopped.
    Service,
    /// Makes an environment ready on this agent, so that jobs and services in it start at once.
    Environment,
}

/// Contents to be staged into the working directory before the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadInput {
    pub name: String,
    /// Relative to the working directory.
    pub path: String,
    /// Its one file is at that path, not a folder.
    #[serde(default)]
    pub is_file: bool,
    pub contents: Contents,
}

/// Contents as the stager needs them: where, and for trees kept by tools every file's address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    pub location: Location,
    /// What must be there, file by file, where the location is not a store of ours.
    pub tree: Option<Tree>,
    /// `(path, uri)` of each file, where a tool serves them one by one.
    pub files: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadOutput {
    pub name: String,
    pub path: String,
    pub report: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// `[a-z0-9.-]`, at most 120 bytes; submitting it twice makes one workload.
    pub key: String,
    pub kind: WorkloadKind,
    pub environment: Option<Environment>,
    /// For a workload that makes an environment: the image that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builds: Option<ImageBuild>,
    /// The extension's instance whose engine runs it; this server if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Name>,
    /// What it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// The digest of the component that it is. Such a job reaches nothing but its own folder, so it may be run again:
    /// another workload under the same key replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Digest>,
    /// Of a component: its arguments, behind its own name.
    pub command: Vec<String>,
    pub variables: Attributes,
    /// Path and text of scripts and parameter files.
    pub files: Vec<(String, String)>,
    pub inputs: Vec<WorkloadInput>,
    pub outputs: Vec<WorkloadOutput>,
    /// Services: the path that answers 200 once ready.
    pub readiness_path: Option<String>,
    /// Jobs: killed after this long; services: must be ready within it.
    pub timeout: Option<Duration>,
    /// What it needs, and may use at most.
    #[serde(default)]
    pub resources: Resources,
    /// Project, pipeline, run, step.
    pub labels: Attributes,
}

/// An image to be built of a codeset (S46): its context is the input [`ImageBuild::CONTEXT`], its output
/// [`ImageBuild::IMAGE`] reports where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageBuild {
    /// Of this server's registry.
    pub repository: String,
    pub dockerfile: String,
}

impl ImageBuild {
    pub const CONTEXT: &str = "context";
    pub const IMAGE: &str = "image";
    /// The report of the output, beside it.
    pub const REPORT: &str = "image.json";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Pending,
    Running,
    /// A service that answers.
    Ready,
    Succeeded,
    Failed,
    Cancelled,
    /// The engine no longer knows it.
    Lost,
}

impl Phase {
    pub fn ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Lost)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadStatus {
    pub phase: Phase,
    /// Why, for people: `exited with code 1`, `stopped after its time limit of 30 s`.
    pub message: Option<String>,
    pub exit_code: Option<i32>,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

impl WorkloadStatus {
    pub fn new(phase: Phase) -> Self {
        Self { phase, message: None, exit_code: None, started: None, ended: None }
    }
}

/// Part of a workload's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    pub text: String,
    /// Byte offset to go on from.
    pub cursor: u64,
    /// Nothing more will come.
    pub ended: bool,
}

/// Where a job leaves artifacts beside its outputs, in its working directory: each in a folder `<kind>/<name>`, with an
/// [`OutputReport`] in `<kind>/<name>.json` if there is more to say of it (S44, S60).
pub const ARTIFACTS_BESIDE: &str = ".fuseml/artifacts";

/// An output that a finished workload left behind.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectedOutput {
    pub name: String,
    /// Of an artifact beside the outputs, which nobody declared.
    pub beside: Option<Kind>,
    /// The directory, on this machine.
    pub path: PathBuf,
    pub report: OutputReport,
}
