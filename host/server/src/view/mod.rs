//! The JSON of the REST interface where it is not a domain record: shared by server and CLI.

mod event;

pub use event::{EndpointRequest, EventRequest, EventView, NewWebhookView, ReceivedView, WebhookRequest, WebhookView};

use fuseml_catalog::RefusalCount;
use fuseml_contents::LoggedCommit;
use fuseml_domain::{
    Attributes, Capability, CodesetImport, Descriptor, Digest, Error, Instance, Kind, Manifest, Name, PackageOrigin,
    Reuse, Run, RunCommand, Scope, Starts, StoreAbilities, StorePattern, StoreSync, Template, Unstarted, Widening,
};
use fuseml_marketplace::{Advisory, Deprecation};
use fuseml_sandbox::Replayed;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProjectView {
    pub name: String,
    pub created: jiff::Timestamp,
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
    pub agent: Option<Name>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<Name, Name>,
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
    pub agent: Option<Name>,
    /// By step; null for one that runs on the server again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<Name, Option<Name>>,
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

/// What an admin decided at install.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallOptions {
    /// A package that was fetched from a marketplace, instead of the part `package`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Digest>,
    pub granted: BTreeSet<Capability>,
    pub settings: Attributes,
    /// The extension's own name when not given.
    #[serde(default)]
    pub instance: Option<Name>,
    #[serde(default)]
    pub scope: Scope,
    #[serde(default)]
    pub zone: Option<Name>,
}

/// Another instance of an installed extension.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceRequest {
    pub name: Name,
    #[serde(default)]
    pub granted: BTreeSet<Capability>,
    #[serde(default)]
    pub settings: Attributes,
    #[serde(default)]
    pub scope: Scope,
    #[serde(default)]
    pub zone: Option<Name>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigureRequest {
    #[serde(default)]
    pub settings: Attributes,
    /// Limits of a call, by name: a number, or `default` for the server's.
    #[serde(default)]
    pub budget: BTreeMap<String, String>,
    /// Whether calls are recorded from now on.
    #[serde(default)]
    pub record: Option<bool>,
}

/// To give a capability of an instance.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    /// For `http`: only these; empty gives what the manifest requests.
    #[serde(default)]
    pub hosts: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRequest {
    pub value: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnableRequest {
    pub enabled: bool,
}

/// What an admin decided at an upgrade.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpgradeOptions {
    /// A package that was fetched from a marketplace, instead of the part `package`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Digest>,
    /// Grant what the new version asks for beyond the old one.
    #[serde(default)]
    pub approve: bool,
    /// Run it beside the active version, for comparison.
    #[serde(default)]
    pub shadow: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpgradeOutcome {
    Active,
    /// Waits for approval; the version before still runs.
    Held,
    Shadowing,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpgradeView {
    pub outcome: UpgradeOutcome,
    pub from: String,
    pub to: String,
    /// What the new version asks for that the old one did not.
    pub asks: Vec<Widening>,
}

/// How the shadow's answers compare with the active version's since the server started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparisonView {
    pub calls: u64,
    pub different: u64,
    /// The newest differences, oldest first.
    pub examples: Vec<DifferenceView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferenceView {
    pub function: String,
    pub subject: String,
    /// The beginning of each answer.
    pub active: String,
    pub shadow: String,
}

/// What became of a recorded call that was run again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplayView {
    pub call: String,
    pub function: String,
    /// Of the extension that ran it now.
    pub version: String,
    #[serde(flatten)]
    pub replayed: Replayed,
    /// The answer on the tape.
    pub recorded: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionView {
    pub version: String,
    pub digest: String,
}

/// One component's file, and what is wrong with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerifiedFile {
    pub file: String,
    pub digest: String,
    pub problem: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstanceView {
    #[serde(flatten)]
    pub instance: Instance,
    /// Names of the secrets that have a value.
    pub secrets: Vec<String>,
    /// What the health check of its store said: `ok`, or why not; absent without an active store.
    pub health: Option<String>,
    /// What was refused to it in the last 24 hours.
    pub refusals: Vec<RefusalCount>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExtensionView {
    pub manifest: Manifest,
    pub digest: String,
    /// The marketplace's package that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<PackageOrigin>,
    /// Why it runs no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
    pub enabled: bool,
    pub previous: Option<VersionView>,
    pub held: Option<VersionView>,
    pub shadow: Option<VersionView>,
    pub comparison: Option<ComparisonView>,
    /// What the held version asks for beyond the active one.
    pub asks: Vec<Widening>,
    pub instances: Vec<InstanceView>,
}

/// What the marketplaces say of one installed extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditView {
    pub name: Name,
    pub installed: String,
    /// A newer version that may be chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    /// `<marketplace>:<namespace>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// `ok`, `yanked`, `vulnerable`, `revoked`, `unsigned`, `unlisted` when its marketplace does not know it any more, or
    /// `unknown` when its marketplace does not answer.
    pub state: String,
    pub findings: Vec<String>,
    /// It must not run.
    pub dangerous: bool,
}

/// A marketplace to install from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketplaceRequest {
    pub name: Name,
    pub url: String,
    /// Id of its root key; what it shows is believed when not given.
    #[serde(default)]
    pub root_key: Option<String>,
    pub priority: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketplaceView {
    pub name: Name,
    pub url: String,
    pub root_key: String,
    /// The smallest is asked first.
    pub priority: u32,
}

/// A package that was fetched and verified.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PackageView {
    pub origin: PackageOrigin,
    pub manifest: Manifest,
    /// Its known vulnerabilities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advisories: Vec<Advisory>,
    /// Why nobody should begin with it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecation: Option<Deprecation>,
}

/// A bundle that is taken in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportRequest {
    /// What to call its marketplace.
    pub name: Option<Name>,
    pub root_key: Option<String>,
}

/// What a bundle brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportView {
    pub marketplace: Name,
    /// `<namespace>/<extension> <version>`.
    pub packages: Vec<String>,
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
