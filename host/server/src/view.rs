//! The JSON of the REST interface where it is not a domain record: shared by server and CLI.

use fuseml_domain::{Attributes, Capability, Manifest, Name, Run, Template};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProjectView {
    pub name: String,
    pub created: jiff::Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TemplateView {
    pub extension: String,
    pub version: String,
    pub template: Template,
}

/// To attach a pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineRequest {
    pub template: String,
    pub name: Name,
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    #[serde(default)]
    pub parameters: BTreeMap<Name, Attributes>,
}

/// To start a run by hand.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    #[serde(default)]
    pub inputs: BTreeMap<Name, String>,
    #[serde(default)]
    pub parameters: BTreeMap<Name, Attributes>,
}

/// What followed from an artifact so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActivityView {
    /// Nothing more will follow.
    pub settled: bool,
    /// Oldest first.
    pub runs: Vec<Run>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceView {
    pub project: Name,
    pub pipeline: Name,
    pub name: Name,
    pub state: String,
    pub model: String,
    pub runnable: String,
    pub run: String,
    pub url: String,
    pub updated: jiff::Timestamp,
}

/// What an admin decided at install.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallOptions {
    pub granted: BTreeSet<Capability>,
    pub settings: Attributes,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigureRequest {
    pub settings: Attributes,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExtensionView {
    pub manifest: Manifest,
    pub settings: Attributes,
    pub granted: BTreeSet<Capability>,
    /// What the health check of its store said: `ok`, or why not; absent without an active store.
    pub health: Option<String>,
}
