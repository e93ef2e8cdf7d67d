//! Extensions, their instances, packages and marketplaces.

use fuseml_catalog::RefusalCount;
use fuseml_domain::{Attributes, Capability, Digest, Instance, Manifest, Name, PackageOrigin, Scope, Widening};
use fuseml_marketplace::{Advisory, Deprecation};
use fuseml_sandbox::Replayed;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

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
