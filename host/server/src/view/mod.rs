//! The JSON of the REST interface where it is not a domain record: shared by server and CLI.

mod event;
mod extension;

pub use event::{EndpointRequest, EventRequest, EventView, NewWebhookView, ReceivedView, WebhookRequest, WebhookView};
pub use extension::{
    AuditView, ComparisonView, ConfigureRequest, DifferenceView, EnableRequest, ExtensionView, GrantRequest,
    ImportRequest, ImportView, InstallOptions, InstanceRequest, InstanceView, MarketplaceRequest, MarketplaceView,
    PackageView, ReplayView, SecretRequest, UpgradeOptions, UpgradeOutcome, UpgradeView, VerifiedFile, VersionView,
};

use fuseml_contents::LoggedCommit;
use fuseml_domain::{
    Attributes, CodesetImport, Descriptor, Error, InstanceChoice, Kind, Name, Reuse, Run, RunCommand, Starts,
    StoreAbilities, StorePattern, StoreSync, Template, Unstarted,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProjectView {
    pub name: String,
    pub created: jiff::Timestamp,
}

/// A server among those that share the catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerView {
    pub url: String,
    pub pid: u32,
    pub started: jiff::Timestamp,
    /// That it drives.
    pub open_runs: u64,
    /// Whether it is the one that syncs, audits and delivers for all: the longest there.
    pub keeps_house: bool,
}

/// A codeset: what there is of it, and where it comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CodesetView {
    pub newest: Option<Descriptor>,
    /// For git.
    pub url: String,
    /// Name and commit of each.
    pub branches: Vec<(String, String)>,
    pub import: Option<CodesetImport>,
}

/// A codeset's history, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogView {
    pub commits: Vec<LoggedView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// A commit, and whether it is an artifact.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoggedView {
    #[serde(flatten)]
    pub commit: LoggedCommit,
    pub registered: bool,
    pub tags: Vec<String>,
}

/// A place where artifacts are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoreView {
    /// The instance, or a built-in one.
    pub store: String,
    pub kinds: Vec<String>,
    /// `None` for a built-in one.
    pub pattern: Option<StorePattern>,
    pub operations: Vec<String>,
    pub schemes: Vec<String>,
    pub abilities: StoreAbilities,
    /// Known here; `None` where nobody counts.
    pub artifacts: Option<u64>,
    pub sync: Option<StoreSync>,
    /// Whether its tool answers, if that was asked.
    pub answers: Option<bool>,
    /// Why it is of no use now.
    pub trouble: Option<String>,
    pub place: Option<String>,
}

impl StoreView {
    fn empty(store: &str) -> Self {
        Self {
            store: store.to_owned(),
            kinds: Vec::new(),
            pattern: None,
            operations: Vec::new(),
            schemes: Vec::new(),
            abilities: StoreAbilities::default(),
            artifacts: None,
            sync: None,
            answers: None,
            trouble: None,
            place: None,
        }
    }

    /// Git and the content store, which lies there.
    pub(crate) fn built_in(contents: String) -> Vec<Self> {
        let kinds = |kinds: &[Kind]| kinds.iter().map(ToString::to_string).collect();
        let git = Self { kinds: kinds(&[Kind::Codeset]), schemes: vec!["git".to_owned()], ..Self::empty("git") };
        let oci = Self {
            kinds: kinds(&[Kind::Runnable, Kind::Model, Kind::Dataset]),
            schemes: vec!["contents".to_owned(), "oci".to_owned()],
            place: Some(contents),
            ..Self::empty("oci")
        };
        vec![git, oci]
    }

    pub(crate) fn unusable(instance: &Name, error: &Error) -> Self {
        Self { trouble: Some(error.message.clone()), ..Self::empty(instance) }
    }
}

/// To look through a store.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncRequest {
    /// Whose artifacts they become; as before if `None`.
    #[serde(default)]
    pub project: Option<Name>,
    /// How often from here on; as before if `None`.
    #[serde(default)]
    pub every: Option<jiff::SignedDuration>,
    /// Delete here what is gone there.
    #[serde(default)]
    pub prune: bool,
}

/// What came back from the built-in stores.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RecoveredView {
    pub registered: u64,
    pub codesets: u64,
    pub tags: u64,
    pub skipped: u64,
    /// The first of those, and why.
    pub left_out: Vec<String>,
}

/// Where a person looks at something.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PageView {
    pub url: String,
}

/// To follow an outside repository.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowRequest {
    pub url: String,
    #[serde(default)]
    pub branches: Vec<String>,
    #[serde(default)]
    pub every_seconds: Option<u32>,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub token: Option<String>,
    pub by: String,
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
    /// Its name, or the file that `text` came from.
    pub template: String,
    /// A template of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Templates of one's own that are parts of it, by the names that they have there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
    pub name: Name,
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    #[serde(default)]
    pub parameters: BTreeMap<Name, Attributes>,
    #[serde(default)]
    pub starts: Starts,
    /// The extension's instance whose engine runs its jobs, and those of single steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<InstanceChoice>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<Name, InstanceChoice>,
}

/// To change a pipeline; what is not said stays.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineUpdate {
    /// The version that is changed; a newer one is not overwritten.
    pub of_version: u32,
    /// The template that it moves to: its name, or the file that `text` came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
    /// It becomes what it was then; nothing else is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_version: Option<u32>,
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    #[serde(default)]
    pub parameters: BTreeMap<Name, Attributes>,
    /// Parameters, by step, that are what the runnable says again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unset: BTreeMap<Name, BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Starts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<InstanceChoice>,
    /// By step; null for one that runs on the server again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<Name, Option<InstanceChoice>>,
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl PipelineUpdate {
    /// Refuses what would be said for nothing.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::invalid("update", why.to_owned()));
        if self.template.is_none() && (self.text.is_some() || !self.parts.is_empty()) {
            return refuse("`text` and `parts` are those of a `template`, which is not named");
        }
        let says_more = self.template.is_some()
            || self.starts.is_some()
            || self.agent.is_some()
            || !(self.inputs.is_empty()
                && self.parameters.is_empty()
                && self.unset.is_empty()
                && self.agents.is_empty());
        if self.as_version.is_some() && says_more {
            return refuse("a pipeline that becomes what it was in `as_version` can take nothing else");
        }
        Ok(())
    }
}

/// To start a run by hand, or to ask what one would do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    #[serde(default)]
    pub inputs: BTreeMap<Name, String>,
    #[serde(default)]
    pub parameters: BTreeMap<Name, Attributes>,
    /// Instead of what the steps say.
    #[serde(default)]
    pub reuse: Option<Reuse>,
    /// Begin with nothing until it is told to go on.
    #[serde(default)]
    pub paused: bool,
    #[serde(default)]
    pub by: Option<String>,
}

/// To do a run again as it was.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RerunRequest {
    /// With the pipeline as it is now instead of as it was then.
    #[serde(default)]
    pub current: bool,
    #[serde(default)]
    pub reuse: Option<Reuse>,
    #[serde(default)]
    pub by: Option<String>,
}

/// What a person tells a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CommandRequest {
    #[serde(flatten)]
    pub command: RunCommand,
    pub by: String,
    #[serde(default)]
    pub reason: Option<String>,
}

/// What followed from an artifact so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActivityView {
    /// Nothing more will follow.
    pub settled: bool,
    /// Nothing more follows unless those runs that are open make something.
    pub quiet: bool,
    /// Oldest first.
    pub runs: Vec<Run>,
    /// Why pipelines that select the artifact were not started by it.
    pub unstarted: Vec<Unstarted>,
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

/// Whether an artifact's contents are what was registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationView {
    pub artifact: fuseml_domain::Address,
    pub whole: bool,
    /// What is wrong, a line each.
    pub faults: Vec<String>,
    /// Who signed how it was made, and how; `None` for what no run made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<ProvenanceView>,
}

/// Signed provenance, verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenanceView {
    /// `<pipeline>/<number>`.
    pub run: String,
    pub step: String,
    /// The key that signed.
    pub key: String,
}
