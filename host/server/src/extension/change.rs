//! The life of an extension: install, upgrade, rollback, disable, remove.

use super::{PackageSource, Registry};
use crate::view::{ExtensionView, InstallOptions, UpgradeOptions, UpgradeOutcome, UpgradeView};
use fuseml_catalog::{InstalledExtension, InstalledVersion};
use fuseml_domain::{Error, Grants, Instance, Name, PackageOrigin, Result, Widening, widening};
use std::collections::BTreeMap;

impl Registry {
    /// Installs all of a package with its first instance, or nothing.
    pub(crate) async fn install(&self, source: PackageSource, options: InstallOptions) -> Result<Name> {
        let _alone = self.alone().await?;
        let incoming = self.judge(source).await?;
        let manifest = &incoming.version.manifest;
        let beyond: Vec<_> = options.granted.difference(&manifest.requested()).map(|c| c.name()).collect();
        if !beyond.is_empty() {
            return Err(Error::invalid(
                "grant",
                format!("{} does not ask for {}; grant only what it asks for", manifest.name, beyond.join(", ")),
            ));
        }
        let name = manifest.name.clone();
        let instance = Instance {
            name: options.instance.unwrap_or_else(|| name.clone()),
            extension: name.clone(),
            settings: manifest.check_settings(&options.settings)?,
            grants: Grants::of_requests(manifest, &options.granted),
            scope: options.scope,
            zone: options.zone,
            budget: Default::default(),
            record: false,
            enabled: true,
        };
        // Refused before files move; the catalog refuses again in its transaction.
        if self.catalog.extension(&name).await.is_ok() {
            return Err(Error::conflict(
                "installed",
                format!("{name} is already installed; `fuseml extension upgrade {name} …` brings another version"),
            ));
        }
        let version = self.put_in_place(incoming)?;
        let installed = self.catalog.install_extension(&version, &instance).await;
        self.forget();
        self.tidy(&name).await?;
        installed.map(|()| instance.name)
    }

    /// Brings another version: at once when it asks for no more than the active one, else after approval; or beside
    /// the active one as its shadow.
    pub(crate) async fn upgrade(
        &self,
        name: &Name,
        source: PackageSource,
        options: UpgradeOptions,
    ) -> Result<UpgradeView> {
        let _alone = self.alone().await?;
        let extension = self.catalog.extension(name).await?;
        let incoming = self.judge(source).await?;
        let brought = &incoming.version.manifest.name;
        if brought != name {
            return Err(Error::invalid("other-extension", format!("the package is {brought}, not {name}")));
        }
        if incoming.version.digest()? == extension.active {
            return Err(Error::conflict(
                "same-version",
                format!("{name} {} is what already runs", incoming.version.manifest.version),
            ));
        }
        let old = self.catalog.version(name, &extension.active).await?;
        check_origin(&old, &incoming.version)?;
        self.check_successor(&incoming.version).await?;
        let version = self.put_in_place(incoming)?;
        let asked = widening(&old.manifest, &version.manifest);
        let digest = version.digest()?;
        let outcome = if options.shadow {
            let extension = InstalledExtension { shadow: Some(digest), ..extension };
            self.catalog.keep_version(&version, &extension).await?;
            UpgradeOutcome::Shadowing
        } else if !asked.is_empty() && !options.approve {
            let extension = InstalledExtension { held: Some(digest), ..extension };
            self.catalog.keep_version(&version, &extension).await?;
            UpgradeOutcome::Held
        } else {
            self.take_over(extension, &version, &asked).await?;
            UpgradeOutcome::Active
        };
        self.forget();
        self.tidy(name).await?;
        Ok(UpgradeView {
            outcome,
            from: old.manifest.version.to_string(),
            to: version.manifest.version.to_string(),
            asks: asked,
        })
    }

    /// Lets the version that waits (or runs as shadow) take over, with all that it asks for.
    pub(crate) async fn approve(&self, name: &Name) -> Result<UpgradeView> {
        let _alone = self.alone().await?;
        let extension = self.catalog.extension(name).await?;
        let waiting = extension
            .held
            .as_ref()
            .or(extension.shadow.as_ref())
            .ok_or_else(|| Error::not_found("nothing-held", format!("no version of {name} waits for approval")))?;
        let version = self.catalog.version(name, waiting).await?;
        self.check_successor(&version).await?;
        let old = self.catalog.version(name, &extension.active).await?;
        let asked = widening(&old.manifest, &version.manifest);
        self.take_over(extension, &version, &asked).await?;
        self.forget();
        self.tidy(name).await?;
        let (from, to) = (old.manifest.version.to_string(), version.manifest.version.to_string());
        Ok(UpgradeView { outcome: UpgradeOutcome::Active, from, to, asks: asked })
    }

    /// Drops the version that waits or runs as shadow.
    pub(crate) async fn discard(&self, name: &Name) -> Result<()> {
        let _alone = self.alone().await?;
        let extension = self.catalog.extension(name).await?;
        if extension.held.is_none() && extension.shadow.is_none() {
            return Err(Error::not_found("nothing-held", format!("no version of {name} waits for approval")));
        }
        self.catalog.save_extension(&InstalledExtension { held: None, shadow: None, ..extension }).await?;
        self.forget();
        self.tidy(name).await
    }

    /// Back to the version before, which becomes what a second rollback returns to.
    pub(crate) async fn rollback(&self, name: &Name) -> Result<UpgradeView> {
        let _alone = self.alone().await?;
        let extension = self.catalog.extension(name).await?;
        let previous = extension.previous.as_ref().ok_or_else(|| {
            Error::not_found("no-previous", format!("{name} has no version before the one that runs"))
        })?;
        let (old, version) =
            (self.catalog.version(name, &extension.active).await?, self.catalog.version(name, previous).await?);
        check_not_revoked(&version)?;
        self.check_dependents(&version).await?;
        self.take_over(extension, &version, &[]).await?;
        self.forget();
        self.tidy(name).await?;
        let (from, to) = (old.manifest.version.to_string(), version.manifest.version.to_string());
        Ok(UpgradeView { outcome: UpgradeOutcome::Active, from, to, asks: Vec::new() })
    }

    /// Whether a version can take over: that nobody revoked it, others that need it, and every instance's settings.
    async fn check_successor(&self, version: &InstalledVersion) -> Result<()> {
        check_not_revoked(version)?;
        self.check_dependents(version).await?;
        for instance in self.catalog.instances_of(&version.manifest.name).await? {
            let mut settings = instance.settings;
            settings.retain(|name, _| version.manifest.settings.contains_key(name));
            version
                .manifest
                .check_settings(&settings)
                .map_err(|error| error.context(format!("the instance {}", instance.name)))?;
        }
        Ok(())
    }

    async fn take_over(
        &self,
        extension: InstalledExtension,
        version: &InstalledVersion,
        approved: &[Widening],
    ) -> Result<()> {
        let mut grants = BTreeMap::new();
        if !approved.is_empty() {
            for instance in self.catalog.instances_of(&extension.name).await? {
                grants.insert(instance.name, instance.grants.widened_by(approved));
            }
        }
        let extension = InstalledExtension {
            previous: Some(extension.active),
            active: version.digest()?,
            held: None,
            shadow: None,
            ..extension
        };
        self.catalog.activate(&extension, version, &grants).await
    }

    pub(crate) async fn enable_extension(&self, name: &Name, enabled: bool) -> Result<()> {
        let _alone = self.alone().await?;
        let extension = self.catalog.extension(name).await?;
        self.catalog.save_extension(&InstalledExtension { enabled, ..extension }).await?;
        self.forget();
        Ok(())
    }

    /// With all its instances; refused while anything depends on it.
    pub(crate) async fn remove(&self, name: &Name) -> Result<()> {
        let _alone = self.alone().await?;
        self.catalog.extension(name).await?;
        self.catalog.remove_extension(name).await?;
        self.forget();
        self.tidy(name).await
    }

    pub(crate) async fn extension_view(&self, name: &Name) -> Result<ExtensionView> {
        let extension = self.catalog.extension(name).await?;
        let version = self.catalog.version(name, &extension.active).await?;
        let view = |digest: Option<fuseml_domain::Digest>| async move {
            match digest {
                Some(digest) => self.version_view(name, &digest).await.map(Some),
                None => Ok(None),
            }
        };
        let asks = match &extension.held {
            Some(held) => widening(&version.manifest, &self.catalog.version(name, held).await?.manifest),
            None => Vec::new(),
        };
        let instances = self.catalog.instances_of(name).await?;
        let instances = futures::future::try_join_all(instances.into_iter().map(|it| self.instance_view(it))).await?;
        Ok(ExtensionView {
            manifest: version.manifest,
            digest: extension.active.to_string(),
            origin: version.origin,
            revoked: version.revoked,
            enabled: extension.enabled,
            comparison: extension.shadow.as_ref().map(|shadow| self.comparisons.view(shadow)),
            previous: view(extension.previous).await?,
            held: view(extension.held).await?,
            shadow: view(extension.shadow).await?,
            asks,
            instances,
        })
    }
}

/// Refuses what another publisher calls by the same name: an extension stays with whom it was installed from.
fn check_origin(old: &InstalledVersion, new: &InstalledVersion) -> Result<()> {
    let place = |origin: &PackageOrigin| format!("{}:{}", origin.marketplace, origin.namespace);
    match (old.origin.as_ref().map(place), new.origin.as_ref().map(place)) {
        (Some(old), Some(other)) if old != other => Err(Error::denied(
            "other-publisher",
            format!("{} is installed from {old}; remove it before you install the one of {other}", new.manifest.name),
        )),
        _ => Ok(()),
    }
}

pub(super) fn check_not_revoked(version: &InstalledVersion) -> Result<()> {
    match &version.revoked {
        None => Ok(()),
        Some(reason) => Err(Error::denied(
            "revoked",
            format!(
                "{} {} was revoked and runs no more: {}; upgrade or remove it",
                version.manifest.name,
                version.manifest.version,
                reason.trim_end_matches('.')
            ),
        )),
    }
}
