//! The conformance suite: runs an extension's components in the sandbox against their contract and reports, rule by
//! rule, what holds, what does not and how to fix it.
//!
//! The suite promises to end, to judge only what it saw, and to leave in the tool at most what the samples of
//! `check.toml` name, marked with a key of its own.

mod agent;
mod builder;
mod manifest;
mod report;
mod samples;
mod stand;
mod store;
mod suite;

pub use report::{Finding, Report, Usage, Verdict};
pub use samples::{ArtifactSample, CodesetSample, Image, Samples, WorkloadSample};

use fuseml_domain::{
    Attributes, Component, Error, Grants, Manifest, Policy, Request, Result, Rights, SecretText, SettingType, World,
};
use fuseml_sandbox::{LoadedComponent, Sandbox};
use stand::Stand;
use std::{collections::BTreeMap, path::Path, sync::Arc};
use suite::Suite;

/// What the components are run with, besides their package.
#[derive(Default)]
pub struct Given {
    /// What the suite may use of the real tool; see [`Samples`].
    pub samples: Samples,
    pub secrets: BTreeMap<String, SecretText>,
    /// Nothing may be reached: the package is a stranger's, and its manifest may name any host.
    pub offline: bool,
}

/// Checks a built extension.
///
/// # Errors
/// Only where there is nothing to judge: no readable manifest, or settings that it does not know. What a component
/// does wrong is in the report.
pub async fn check(folder: &Path, sandbox: &Arc<Sandbox>, given: Given) -> Result<Report> {
    let manifest = folder.join("extension.toml");
    let text = std::fs::read_to_string(&manifest).map_err(|error| Error::io(manifest.display(), &error))?;
    let manifest = Manifest::parse(&text)?;
    let settings = known_settings(&manifest, &given.samples.settings)?;
    let mut report = Report::new(&manifest);
    report.add(None, manifest::judge(&manifest, folder));
    for component in &manifest.components {
        let stand = Arc::new(Stand::new(given.secrets.clone()));
        let mut suite = Suite::new(&stand);
        match load(folder, sandbox, component, &mut suite).await {
            None => {}
            Some(loaded) => {
                let settings = settings.as_ref().ok();
                let subject = Subject {
                    loaded,
                    manifest: &manifest,
                    component,
                    stand: stand.clone(),
                    settings,
                    offline: given.offline,
                };
                let samples = &given.samples;
                match component.world()? {
                    World::ArtifactStore => store::check(&mut suite, &subject, &samples.artifacts).await,
                    World::Builder => builder::check(&mut suite, &subject, &samples.codesets).await,
                    World::RuntimeAgent => agent::check(&mut suite, &subject, &samples.workloads).await,
                }
            }
        }
        let (findings, usage) = suite.finish();
        report.add(Some(&component.name), findings);
        report.usage.extend(usage.map(|usage| (component.name.clone(), usage)));
    }
    Ok(report)
}

/// Settings with their defaults; a missing one only keeps components from being called.
fn known_settings(manifest: &Manifest, given: &Attributes) -> Result<Result<Attributes>> {
    match manifest.check_settings(given) {
        Err(error) if error.code != "missing-setting" => Err(error.context("the settings to check with")),
        other => Ok(other),
    }
}

/// The component, if the sandbox takes it.
async fn load(
    folder: &Path,
    sandbox: &Arc<Sandbox>,
    component: &Component,
    suite: &mut Suite<'_>,
) -> Option<Arc<LoadedComponent>> {
    let path = folder.join(&component.file);
    let mut loaded = None;
    let judged = async {
        let bytes = std::fs::read(&path).map_err(|error| Error::io(path.display(), &error))?;
        loaded = Some(sandbox.load(&bytes, component).await?);
        Ok::<(), Error>(())
    };
    let judged = judged.await.map_err(|error| error.message);
    suite.judged(
        "loads",
        "build the component again for its world, and import only what the manifest requests",
        judged,
    );
    loaded
}

/// How a component is made to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// All requests granted, as in production.
    Granted,
    /// The same without any right.
    Bare,
    /// Every address that is a setting leads to a port where nobody listens.
    Unreachable,
    /// One outgoing request a call.
    OneRequest,
}

/// A component under test.
pub(crate) struct Subject<'a> {
    pub(crate) loaded: Arc<LoadedComponent>,
    pub(crate) manifest: &'a Manifest,
    pub(crate) component: &'a Component,
    stand: Arc<Stand>,
    /// `None` where a required one is missing.
    settings: Option<&'a Attributes>,
    offline: bool,
}

impl Subject<'_> {
    /// Whether its tool is there to be asked.
    pub(crate) fn configured(&self) -> bool {
        self.settings.is_some_and(|settings| self.component.active(settings))
    }

    pub(crate) fn requests(&self, capability: fuseml_domain::Capability) -> bool {
        self.component.requests.iter().any(|request| request.capability == capability)
    }

    /// Why it cannot be called with all its rights.
    pub(crate) fn why_not_called(&self) -> &'static str {
        match self.offline && self.requests(fuseml_domain::Capability::Http) {
            true => "it calls out, and nothing may be reached in this check",
            false => "its settings are missing; give them with --set or in check.toml",
        }
    }

    /// An instance to call it with; `None` when the condition cannot be made.
    pub(crate) fn instance(&self, condition: Condition) -> Option<Arc<fuseml_sandbox::InstanceContext>> {
        if self.offline && self.requests(fuseml_domain::Capability::Http) {
            return None;
        }
        let mut settings = self.settings.filter(|_| self.configured())?.clone();
        let mut budget = fuseml_domain::Budget::default();
        let mut grants = Grants::of_requests(self.manifest, &self.manifest.requested());
        match condition {
            Condition::Granted => {}
            Condition::Bare => grants = Grants::default(),
            Condition::OneRequest => budget.requests = std::num::NonZeroU64::new(1),
            Condition::Unreachable => {
                let urls = self.manifest.settings.iter().filter(|(name, setting)| {
                    setting.setting_type == SettingType::Url && self.component.requests.iter().any(names(name))
                });
                let urls: Vec<_> = urls.map(|(name, _)| name.clone()).collect();
                if urls.is_empty() {
                    return None;
                }
                settings.extend(urls.into_iter().map(|name| (name, stand::NOBODY.to_owned())));
            }
        }
        let hosts = self.offline.then(Vec::new);
        let policy = Policy { hosts, ..Policy::default() };
        let rights: Rights = grants.rights(self.manifest, self.component, &settings, &policy).ok()?;
        Some(self.stand.instance(self.manifest, self.component, settings, rights, budget))
    }
}

/// Whether a request names a setting as a host.
fn names(setting: &str) -> impl Fn(&Request) -> bool {
    let reference = format!("${{settings.{setting}}}");
    move |request| request.hosts.contains(&reference)
}
