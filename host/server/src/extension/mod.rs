//! Installed extensions: how they come in and change, and how the engine reaches their components.
//!
//! Every change goes through the registry, one at a time; calls under way keep the version and the rights that they
//! began with, the next ones have the new.

mod audit;
mod change;
mod instance;
mod receipts;
mod replay;
mod shadow;
mod vault;
mod version;

pub(crate) use vault::Vault;
pub(crate) use version::PackageSource;

use crate::{folder::DataFolder, marketplace::Marketplaces};
use async_trait::async_trait;
use fuseml_catalog::{Catalog, InstalledExtension, InstalledVersion};
use fuseml_domain::{
    Attributes, Candidate, Component, Error, Instance, InstanceChoice, Kind, Name, Policy, Result, Scope, World,
    choose,
    port::{ArtifactStore, Builder, EngineAgent, Engines, Extensions},
};
use fuseml_sandbox::{InstanceContext, LoadedComponent, Sandbox};
use nix::fcntl::Flock;
use receipts::Recorder;
use shadow::Comparisons;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// How folders of packages begin that are not installed yet.
const INCOMING: &str = ".incoming-";

pub(crate) struct Registry {
    catalog: Catalog,
    sandbox: Arc<Sandbox>,
    folder: DataFolder,
    vault: Arc<Vault>,
    policy: Policy,
    marketplaces: Arc<Marketplaces>,
    recorder: Arc<Recorder>,
    comparisons: Comparisons,
    ready: Mutex<Ready>,
    /// Admins' changes happen one after another.
    changing: tokio::sync::Mutex<()>,
}

/// What is ready to be called. Filled at first use, emptied by any change.
#[derive(Default)]
struct Ready {
    /// Counts the changes: what was read before one is not kept after it.
    generation: u64,
    instances: HashMap<Name, Arc<Configured>>,
    /// By instance, component and whether it is the shadow's.
    components: HashMap<(Name, Name, bool), ReadyComponent>,
}

type ReadyComponent = (Arc<LoadedComponent>, Arc<InstanceContext>);

/// An instance with the version that serves it, as they were at one moment.
struct Configured {
    instance: Instance,
    extension: InstalledExtension,
    version: InstalledVersion,
    shadow: Option<InstalledVersion>,
    generation: u64,
}

impl Configured {
    /// Settings that a version knows, with its defaults.
    fn settings(&self, version: &InstalledVersion) -> Result<Attributes> {
        let mut known = self.instance.settings.clone();
        known.retain(|name, _| version.manifest.settings.contains_key(name));
        version.manifest.check_settings(&known)
    }

    fn check_enabled(&self) -> Result<()> {
        for (what, name, enabled) in [
            ("extension", &self.extension.name, self.extension.enabled),
            ("instance", &self.instance.name, self.instance.enabled),
        ] {
            if !enabled {
                return Err(Error::unavailable(
                    "disabled",
                    format!("the {what} {name} is disabled; `fuseml extension enable` lets it run again"),
                ));
            }
        }
        Ok(())
    }
}

impl Registry {
    /// What an install left that was cut off is thrown away.
    pub(crate) fn new(
        catalog: Catalog,
        sandbox: Arc<Sandbox>,
        folder: DataFolder,
        vault: Vault,
        policy: Policy,
        marketplaces: Arc<Marketplaces>,
    ) -> Self {
        // Unless another server installs something just now.
        if let Ok(Some(_alone)) = folder.try_change_extensions() {
            for entry in std::fs::read_dir(folder.extensions()).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(INCOMING) {
                    let _ = std::fs::remove_dir_all(entry.path());
                }
            }
        }
        let recorder = Arc::new(Recorder::start(catalog.clone()));
        Self {
            catalog,
            sandbox,
            folder,
            vault: Arc::new(vault),
            policy,
            marketplaces,
            recorder,
            comparisons: Comparisons::default(),
            ready: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// Receipts and log lines so far are in the catalog when this returns.
    pub(crate) async fn flush(&self) {
        self.recorder.flush().await;
    }

    /// Alone among all who change extensions, on this server and those beside it.
    async fn alone(&self) -> Result<(tokio::sync::MutexGuard<'_, ()>, Flock<std::fs::File>)> {
        let turn = self.changing.lock().await;
        Ok((turn, self.folder.change_extensions().await?))
    }

    /// Makes every later call look at the catalog again. Other servers are told by the database, in the transaction.
    pub(crate) fn forget(&self) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        *ready = Ready { generation: ready.generation + 1, ..Ready::default() };
    }

    /// Where a version's files lie: its name says exactly which bytes.
    fn place(&self, version: &InstalledVersion) -> Result<PathBuf> {
        let (manifest, digest) = (&version.manifest, version.digest()?);
        Ok(self.folder.extensions().join(format!("{}-{}-{}", manifest.name, manifest.version, &digest.hex()[..16])))
    }

    async fn configured(&self, name: &Name) -> Result<Arc<Configured>> {
        let generation = {
            let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(configured) = ready.instances.get(name) {
                return Ok(configured.clone());
            }
            ready.generation
        };
        let instance = self.catalog.instance(name).await?;
        let extension = self.catalog.extension(&instance.extension).await?;
        let version = self.catalog.version(&extension.name, &extension.active).await?;
        let shadow = match &extension.shadow {
            Some(digest) => Some(self.catalog.version(&extension.name, digest).await?),
            None => None,
        };
        let configured = Arc::new(Configured { instance, extension, version, shadow, generation });
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.generation == generation {
            ready.instances.insert(name.clone(), configured.clone());
        }
        Ok(configured)
    }

    /// The component of a version that `wanted` picks, ready to be called for an instance; `None` when there is none
    /// or settings for it are missing. A shadow gets read-only rights.
    async fn component(
        &self,
        configured: &Configured,
        version: &InstalledVersion,
        wanted: impl Fn(&Component) -> bool,
    ) -> Result<Option<ReadyComponent>> {
        change::check_not_revoked(version)?;
        let settings = configured.settings(version)?;
        let active = |component: &&Component| wanted(component) && component.active(&settings);
        let Some(component) = version.manifest.components.iter().find(active) else { return Ok(None) };
        let is_shadow = configured.shadow.as_ref().is_some_and(|shadow| std::ptr::eq(shadow, version));
        let key = (configured.instance.name.clone(), component.name.clone(), is_shadow);
        {
            let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            if ready.generation == configured.generation
                && let Some(component) = ready.components.get(&key)
            {
                return Ok(Some(component.clone()));
            }
        }
        let loaded = self.load(version, component).await?;
        let mut context = self.context(&configured.instance, version, component, settings)?;
        context.rights.read_only = is_shadow;
        let context = Arc::new(context);
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        // What was read before a change is used for this call, which began before it, and for no other.
        if ready.generation == configured.generation {
            ready.components.insert(key, (loaded.clone(), context.clone()));
        }
        Ok(Some((loaded, context)))
    }

    /// The file is read and checked against the digest only when its compiled code is not at hand.
    async fn load(&self, version: &InstalledVersion, component: &Component) -> Result<Arc<LoadedComponent>> {
        let digest = version.components.get(&component.name).ok_or_else(|| {
            let name = &version.manifest.name;
            Error::internal("catalog", format!("{name} has lost the digest of its component {}", component.name))
        })?;
        let path = self.place(version)?.join(&component.file);
        self.sandbox.load_file(&path, digest, component).await
    }

    fn context(
        &self,
        instance: &Instance,
        version: &InstalledVersion,
        component: &Component,
        settings: Attributes,
    ) -> Result<InstanceContext> {
        Ok(InstanceContext {
            extension: version.manifest.name.to_string(),
            version: version.manifest.version.to_string(),
            instance: instance.name.clone(),
            component: component.name.clone(),
            rights: instance.grants.rights(&version.manifest, component, &settings, &self.policy)?,
            settings,
            budget: instance.budget,
            record: instance.record,
            state: Arc::new(self.catalog.clone()),
            secrets: self.vault.clone(),
            project: match &instance.scope {
                Scope::Global => None,
                Scope::Project(project) => Some(project.clone()),
            },
            events: Arc::new(self.catalog.clone()),
            log: self.recorder.clone(),
            receipts: self.recorder.clone(),
            live: Default::default(),
        })
    }

    /// What the instance's store or runtime agent says of its tool; `None` with neither.
    pub(crate) async fn health(&self, instance: &Name) -> Result<Option<Result<()>>> {
        for kind in Kind::all() {
            if let Some(store) = self.store(instance, kind).await? {
                return Ok(Some(store.health().await));
            }
        }
        let configured = self.configured(instance).await?;
        let runs = |component: &Component| component.world().ok() == Some(World::RuntimeAgent);
        match self.component(&configured, &configured.version, runs).await? {
            Some((component, context)) => Ok(Some(component.runtime_agent(context)?.health().await)),
            None => Ok(None),
        }
    }
}

#[async_trait]
impl Extensions for Registry {
    async fn builder(&self, instance: &Name) -> Result<Arc<dyn Builder>> {
        let configured = self.configured(instance).await?;
        configured.check_enabled()?;
        let builds = |component: &Component| component.world().ok() == Some(World::Builder);
        let live = match self.component(&configured, &configured.version, builds).await? {
            Some((component, context)) => component.builder(context)?,
            None => {
                let message = format!("the extension instance {instance} has no builder");
                return Err(Error::not_found("no-builder", message));
            }
        };
        let Some(version) = &configured.shadow else { return Ok(live) };
        let shadow = self.component(&configured, version, builds).await;
        let shadow = shadow.and_then(|found| found.map(|(component, context)| component.builder(context)).transpose());
        Ok(self.comparisons.builder(&configured.extension, live, shadow))
    }

    async fn store(&self, instance: &Name, kind: Kind) -> Result<Option<Arc<dyn ArtifactStore>>> {
        let configured = self.configured(instance).await?;
        configured.check_enabled()?;
        let keeps = |component: &Component| {
            component.world().ok() == Some(World::ArtifactStore) && component.kinds.contains(&kind)
        };
        let Some((component, context)) = self.component(&configured, &configured.version, keeps).await? else {
            return Ok(None);
        };
        let live = component.artifact_store(context)?;
        let Some(version) = &configured.shadow else { return Ok(Some(live)) };
        let shadow = self.component(&configured, version, keeps).await;
        let shadow =
            shadow.and_then(|found| found.map(|(component, context)| component.artifact_store(context)).transpose());
        Ok(Some(self.comparisons.store(&configured.extension, live, shadow)))
    }

    async fn settings(&self, instance: &Name) -> Result<Attributes> {
        let configured = self.configured(instance).await?;
        configured.settings(&configured.version)
    }

    async fn choose(&self, project: &Name, choice: &InstanceChoice) -> Result<Name> {
        self.choose_among(project, choice, |_| true).await
    }

    async fn choose_agent(&self, project: &Name, choice: &InstanceChoice) -> Result<Name> {
        let runs = |component: &Component| component.world().ok() == Some(World::RuntimeAgent);
        self.choose_among(project, choice, |version| version.manifest.components.iter().any(runs)).await
    }
}

impl Registry {
    async fn choose_among(
        &self,
        project: &Name,
        choice: &InstanceChoice,
        among: impl Fn(&InstalledVersion) -> bool,
    ) -> Result<Name> {
        let mut all = Vec::new();
        for instance in self.catalog.instances().await? {
            all.push(self.configured(&instance.name).await?);
        }
        let candidates: Vec<_> = all
            .iter()
            .filter(|configured| among(&configured.version))
            .map(|configured| Candidate {
                instance: &configured.instance,
                product: configured.version.manifest.product(),
                categories: &configured.version.manifest.categories,
                version: &configured.version.manifest.version,
                enabled: configured.extension.enabled && configured.version.revoked.is_none(),
            })
            .collect();
        choose(choice, project, &candidates).map(|instance| instance.name.clone())
    }
}

#[async_trait]
impl Engines for Registry {
    async fn engine(&self, instance: &Name) -> Result<Arc<dyn EngineAgent>> {
        let configured = self.configured(instance).await?;
        configured.check_enabled()?;
        let runs = |component: &Component| component.world().ok() == Some(World::RuntimeAgent);
        match self.component(&configured, &configured.version, runs).await? {
            Some((component, context)) => component.runtime_agent(context),
            None => {
                let message = format!("the extension instance {instance} has no runtime agent");
                Err(Error::not_found("no-agent", message))
            }
        }
    }
}
