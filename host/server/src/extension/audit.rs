//! What the marketplaces say now of what is installed, and what follows from it.

use super::Registry;
use crate::{marketplace::Marketplaces, view::AuditView};
use fuseml_catalog::{InstalledVersion, Touched};
use fuseml_domain::{Freeze, Name, Result};
use fuseml_marketplace::{NamespaceIndex, Published, Status};
use jiff::Timestamp;
use std::collections::BTreeSet;

impl Registry {
    /// Looks at every installed version. One that was revoked since is refused from here on, one that was restored
    /// runs again.
    pub(crate) async fn audit(&self, marketplaces: &Marketplaces) -> Result<Vec<AuditView>> {
        let versions = self.catalog.active_versions().await?;
        let origins = versions.iter().filter_map(|version| version.origin.as_ref());
        let indexes = marketplaces.indexes(origins).await?;
        let mut views = Vec::new();
        for version in versions {
            let place = version.origin.as_ref().map(|it| (it.marketplace.clone(), it.namespace.clone()));
            views.push(match place.as_ref().and_then(|place| indexes.get(place)) {
                Some(Ok(index)) => self.judge_installed(version, index).await?,
                Some(Err(error)) => {
                    let revoked = version.revoked.is_some();
                    let view = view(&version, if revoked { "revoked" } else { "unknown" });
                    AuditView { findings: vec![error.message.clone()], dangerous: revoked, ..view }
                }
                None => {
                    AuditView { findings: vec!["it came without a signature".to_owned()], ..view(&version, "unsigned") }
                }
            });
        }
        self.audit_kept(marketplaces).await?;
        Ok(views)
    }

    /// The same for versions that a rollback or an approval could bring back.
    async fn audit_kept(&self, marketplaces: &Marketplaces) -> Result<()> {
        let mut kept = Vec::new();
        for extension in self.catalog.extensions().await? {
            for digest in [extension.previous, extension.held, extension.shadow].into_iter().flatten() {
                kept.push(self.catalog.version(&extension.name, &digest).await?);
            }
        }
        let indexes = marketplaces.indexes(kept.iter().filter_map(|version| version.origin.as_ref())).await?;
        for version in kept {
            let place = version.origin.as_ref().map(|it| (it.marketplace.clone(), it.namespace.clone()));
            if let Some(Ok(index)) = place.as_ref().and_then(|place| indexes.get(place)) {
                let revoked = revoked_now(&version, index);
                if revoked != version.revoked {
                    self.set_revoked(&version.manifest.name, &version, revoked.clone()).await?;
                }
                if let Some(reason) = revoked {
                    self.freeze_touched(&version, &reason).await?;
                }
            }
        }
        Ok(())
    }

    async fn judge_installed(&self, version: InstalledVersion, index: &NamespaceIndex) -> Result<AuditView> {
        let name = &version.manifest.name;
        let own = index.versions.iter().filter(|published| published.name == *name);
        let published = of_index(&version, index);
        let revoked = revoked_now(&version, index);
        let newest = own.filter(|it| it.status == Status::Available && it.version.pre.is_empty());
        let newest = newest.map(|it| &it.version).max().filter(|newest| **newest > version.manifest.version);
        if revoked != version.revoked {
            self.set_revoked(name, &version, revoked.clone()).await?;
        }
        let mut findings = Vec::new();
        if let Some(reason) = &revoked {
            findings.push(format!("it must not run: {reason}"));
            let touched = self.freeze_touched(&version, reason).await?;
            findings.extend(say_touched(&touched, &self.catalog.frozen_because_of(&because_of(&version)?).await?));
        }
        if published.is_none() {
            findings.push(
                "its marketplace does not list it, and has not revoked it: the marketplace may have been brought back \
                 from before it was published; ask its operator"
                    .to_owned(),
            );
        }
        let yanked = published.is_some_and(|published| published.status == Status::Yanked);
        if let Some(published) = published.filter(|_| yanked) {
            findings.push(format!("it was yanked: {}", reason(published, index)));
        }
        let advisories: Vec<_> = index.advisories(name, &version.manifest.version).collect();
        findings.extend(advisories.iter().map(|advisory| format!("it is vulnerable: {advisory}")));
        findings.extend(index.deprecation(name).map(|deprecation| format!("it is deprecated: {deprecation}")));
        findings.extend(self.drift(&version).await?);
        let state = match (&revoked, yanked) {
            (Some(_), _) => "revoked",
            _ if published.is_none() => "unlisted",
            _ if !advisories.is_empty() => "vulnerable",
            (None, true) => "yanked",
            (None, false) => "ok",
        };
        let dangerous = revoked.is_some();
        Ok(AuditView { newest: newest.map(ToString::to_string), findings, dangerous, ..view(&version, state) })
    }

    /// Grants that outlived what asked for them.
    async fn drift(&self, version: &InstalledVersion) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for instance in self.catalog.instances_of(&version.manifest.name).await? {
            for grant in instance.grants.unasked(&version.manifest) {
                found.push(format!(
                    "the instance {} is granted {grant}, which this version does not ask for",
                    instance.name
                ));
            }
        }
        Ok(found)
    }

    /// Freezes what a revoked version had a part in, also what was attached since; answers all that it touched.
    async fn freeze_touched(&self, version: &InstalledVersion, reason: &str) -> Result<Touched> {
        let name = &version.manifest.name;
        let freeze = Freeze {
            reason: format!("{name} {} was revoked: {reason}", version.manifest.version),
            at: Timestamp::now(),
            because_of: Some(because_of(version)?),
            thawed: None,
        };
        let touched = self.catalog.touched_by(version).await?;
        for (project, pipeline) in self.catalog.freeze(&touched.pipelines, &freeze).await? {
            tracing::warn!(%project, %pipeline, extension = %name, "frozen");
        }
        Ok(touched)
    }

    async fn set_revoked(&self, name: &Name, version: &InstalledVersion, revoked: Option<String>) -> Result<()> {
        let _alone = self.alone().await?;
        match &revoked {
            Some(reason) => tracing::warn!(extension = %name, %reason, "a version was revoked and runs no more"),
            None => {
                tracing::info!(extension = %name, "a version that was revoked runs again");
                self.catalog.forget_freeze(&because_of(version)?).await?;
            }
        }
        let extension = self.catalog.extension(name).await?;
        self.catalog.keep_version(&InstalledVersion { revoked, ..version.clone() }, &extension).await?;
        self.forget();
        Ok(())
    }
}

/// What holds of a version now. What was revoked stays so until its marketplace says otherwise: that it says nothing any
/// more neither revokes nor restores.
fn revoked_now(version: &InstalledVersion, index: &NamespaceIndex) -> Option<String> {
    match of_index(version, index) {
        Some(published) => revocation(published, index),
        None => version.revoked.clone(),
    }
}

/// How a freeze names the version that it is because of.
fn because_of(version: &InstalledVersion) -> Result<String> {
    Ok(format!("{} {} {}", version.manifest.name, version.manifest.version, version.digest()?))
}

fn say_touched(touched: &Touched, frozen: &BTreeSet<(Name, Name)>) -> Vec<String> {
    let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    let pipelines = frozen.iter().map(|(project, name)| format!("{project}/{name}")).collect();
    let mut lines = vec![match touched.artifacts.is_empty() {
        true => "no artifact was touched by it".to_owned(),
        false => format!("it touched {}", list(&touched.artifacts)),
    }];
    for (what, names) in [
        ("runs with them", &touched.runs),
        ("services that still answer from them", &touched.services),
        ("pipelines that start no more until it is restored, or `fuseml pipeline thaw`", &pipelines),
    ] {
        if !names.is_empty() {
            lines.push(format!("{what}: {}", list(names)));
        }
    }
    if let Some(since) = touched.known_since {
        lines.push(format!("its receipts begin at {since:.0}: what it touched before is not known"));
    }
    lines
}

/// The installed version as its namespace's metadata lists it.
fn of_index<'a>(version: &InstalledVersion, index: &'a NamespaceIndex) -> Option<&'a Published> {
    let digest = version.origin.as_ref().map(|origin| &origin.digest);
    index.versions.iter().find(|it| it.name == version.manifest.name && Some(&it.digest) == digest)
}

/// Why a version must not run, if it must not.
fn revocation(published: &Published, index: &NamespaceIndex) -> Option<String> {
    match published.status {
        Status::Revoked => Some(reason(published, index)),
        _ if index.keys_for(published).is_empty() => {
            Some("no key of its namespace that counts signed it any more".to_owned())
        }
        _ => None,
    }
}

/// What the signed statement says; nothing is believed that is not signed.
fn reason(published: &Published, index: &NamespaceIndex) -> String {
    let mut keys: Vec<_> = index.facts.keys.iter().map(|key| key.key.clone()).collect();
    keys.push(index.facts.marketplace.clone());
    let said = published.statement.as_ref().and_then(|statement| statement.verify(&keys).ok());
    let change = said.and_then(|(statement, _)| statement.predicate::<fuseml_marketplace::StatusChange>().ok());
    change.map_or_else(|| "no reason was given".to_owned(), |change| change.reason)
}

fn view(version: &InstalledVersion, state: &str) -> AuditView {
    AuditView {
        name: version.manifest.name.clone(),
        installed: version.manifest.version.to_string(),
        newest: None,
        from: version.origin.as_ref().map(|origin| format!("{}:{}", origin.marketplace, origin.namespace)),
        state: state.to_owned(),
        findings: Vec::new(),
        dangerous: false,
    }
}
