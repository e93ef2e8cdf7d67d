//! Installed extensions: how they come in, and how the engine reaches their components.

use crate::{
    folder::DataFolder,
    package::{self, Package},
    view::InstallOptions,
};
use async_trait::async_trait;
use fuseml_catalog::{Catalog, InstalledExtension, Instance};
use fuseml_domain::{
    Attributes, Component, Digest, Error, Kind, Manifest, Name, Result, Rights, World,
    port::{ArtifactStore, Builder, Extensions},
};
use fuseml_sandbox::{InstanceContext, LoadedComponent, LogLine, LogSink, Receipt, ReceiptSink, Sandbox};
use jiff::Timestamp;
use std::{collections::HashMap, path::PathBuf, sync::Arc};
use tokio::sync::RwLock;

/// Components ready to be called, by instance and component. Filled at first use, emptied by any change.
type Ready = HashMap<(Name, Name), (Arc<LoadedComponent>, Arc<InstanceContext>)>;

/// How folders of packages begin that are not installed yet.
const INCOMING: &str = ".incoming-";

pub(crate) struct Registry {
    catalog: Catalog,
    sandbox: Arc<Sandbox>,
    folder: DataFolder,
    ready: RwLock<Ready>,
}

impl Registry {
    /// What an install left that was cut off is thrown away.
    pub(crate) fn new(catalog: Catalog, sandbox: Arc<Sandbox>, folder: DataFolder) -> Self {
        for entry in std::fs::read_dir(folder.extensions()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(INCOMING) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        Self { catalog, sandbox, folder, ready: RwLock::new(HashMap::new()) }
    }

    /// Judges and compiles every component, then installs all of it or nothing.
    pub(crate) async fn install(&self, tar: Vec<u8>, options: InstallOptions) -> Result<Manifest> {
        let root = self.folder.extensions();
        let incoming = tokio::task::spawn_blocking(move || -> Result<(tempfile::TempDir, Package)> {
            let io = |error: std::io::Error| Error::io("the package cannot be unpacked", &error);
            std::fs::create_dir_all(&root).map_err(io)?;
            let folder = tempfile::Builder::new().prefix(INCOMING).tempdir_in(&root).map_err(io)?;
            package::unpack(tar.as_slice(), folder.path())?;
            let package = package::read(folder.path())?;
            Ok((folder, package))
        });
        let (folder, package) = incoming.await.map_err(|error| Error::internal("install", error.to_string()))??;
        let manifest = package.manifest;
        let beyond: Vec<_> = options.granted.difference(&manifest.requested()).map(|c| c.name()).collect();
        if !beyond.is_empty() {
            return Err(Error::invalid(
                "grant",
                format!("{} does not ask for {}; grant only what it asks for", manifest.name, beyond.join(", ")),
            ));
        }
        let settings = manifest.check_settings(&options.settings)?;
        let mut digests = std::collections::BTreeMap::new();
        for (component, bytes) in &package.components {
            let here = |error: Error| error.context(format!("{} {}", manifest.name, component.file));
            self.sandbox.inspect(bytes, component).map_err(here)?;
            self.sandbox.load(bytes, component).await.map_err(here)?;
            digests.insert(component.name.clone(), Digest::of(bytes));
        }
        let installed = InstalledExtension { manifest, components: digests, installed: Timestamp::now() };
        let place = self.place(&installed);
        if !place.exists() {
            std::fs::rename(folder.keep(), &place).map_err(|error| {
                Error::io(format!("{} cannot be put in its place", installed.manifest.name), &error)
            })?;
        }
        let instance = Instance {
            name: installed.manifest.name.clone(),
            extension: installed.manifest.name.clone(),
            settings,
            granted: options.granted,
        };
        self.catalog.install_extension(&installed, &package.templates, &instance).await?;
        self.ready.write().await.clear();
        Ok(installed.manifest)
    }

    /// Where an installed version's files lie: its name says exactly which bytes.
    fn place(&self, extension: &InstalledExtension) -> PathBuf {
        let identity =
            Digest::of(&serde_json::to_vec(&(&extension.manifest, &extension.components)).unwrap_or_default());
        let manifest = &extension.manifest;
        self.folder.extensions().join(format!("{}-{}-{}", manifest.name, manifest.version, &identity.hex()[..16]))
    }

    /// Changes settings of an instance, checked as a whole.
    pub(crate) async fn configure(&self, name: &Name, changes: Attributes) -> Result<()> {
        let mut instance = self.catalog.instance(name).await?;
        let extension = self.extension_of(&instance).await?;
        let mut settings = instance.settings.clone();
        settings.extend(changes);
        instance.settings = extension.manifest.check_settings(&settings)?;
        self.catalog.save_instance(&instance).await?;
        self.ready.write().await.clear();
        Ok(())
    }

    /// What the instance's store says of its tool; `None` without an active store.
    pub(crate) async fn health(&self, instance: &Name) -> Result<Option<Result<()>>> {
        for kind in Kind::all() {
            if let Some(store) = self.store(instance, kind).await? {
                return Ok(Some(store.health().await));
            }
        }
        Ok(None)
    }

    async fn extension_of(&self, instance: &Instance) -> Result<InstalledExtension> {
        self.catalog.extension(&instance.extension).await?.ok_or_else(|| {
            Error::internal(
                "catalog",
                format!("the instance {} has lost its extension {}", instance.name, instance.extension),
            )
        })
    }

    /// The instance's component that `wanted` picks, ready to be called; `None` when it has none or lacks settings for it.
    async fn component(
        &self,
        name: &Name,
        wanted: impl Fn(&Component) -> bool,
    ) -> Result<Option<(Arc<LoadedComponent>, Arc<InstanceContext>)>> {
        let instance = self.catalog.instance(name).await?;
        let extension = self.extension_of(&instance).await?;
        let active = |component: &&Component| wanted(component) && component.active(&instance.settings);
        let Some(component) = extension.manifest.components.iter().find(active) else { return Ok(None) };
        let key = (name.clone(), component.name.clone());
        if let Some(ready) = self.ready.read().await.get(&key) {
            return Ok(Some(ready.clone()));
        }
        let digest = extension.components.get(&component.name).ok_or_else(|| {
            Error::internal("catalog", format!("{name} has lost the digest of its component {}", component.name))
        })?;
        // The file is read and checked against the digest only when its compiled code is not at hand.
        let path = self.place(&extension).join(&component.file);
        let loaded = self.sandbox.load_file(&path, digest, component).await?;
        let context = Arc::new(InstanceContext {
            extension: extension.manifest.name.to_string(),
            version: extension.manifest.version.to_string(),
            instance: name.clone(),
            component: component.name.clone(),
            rights: Rights::effective(&component.requests, &instance.granted, &instance.settings)?,
            settings: instance.settings,
            state: Arc::new(self.catalog.clone()),
            log: Arc::new(ServerLog),
            receipts: Arc::new(ServerLog),
            live: Default::default(),
        });
        self.ready.write().await.insert(key, (loaded.clone(), context.clone()));
        Ok(Some((loaded, context)))
    }
}

#[async_trait]
impl Extensions for Registry {
    async fn builder(&self, instance: &Name) -> Result<Arc<dyn Builder>> {
        let found = self.component(instance, |component| component.world().ok() == Some(World::Builder)).await?;
        match found {
            Some((component, context)) => component.builder(context),
            None => Err(Error::not_found("no-builder", format!("the extension instance {instance} has no builder"))),
        }
    }

    async fn store(&self, instance: &Name, kind: Kind) -> Result<Option<Arc<dyn ArtifactStore>>> {
        let keeps = |component: &Component| {
            component.world().ok() == Some(World::ArtifactStore) && component.kinds.contains(&kind)
        };
        let found = self.component(instance, keeps).await?;
        found.map(|(component, context)| component.artifact_store(context)).transpose()
    }

    async fn settings(&self, instance: &Name) -> Result<Attributes> {
        Ok(self.catalog.instance(instance).await?.settings)
    }
}

/// Extensions' lines and receipts in the server's own log.
struct ServerLog;

impl LogSink for ServerLog {
    fn line(&self, instance: &InstanceContext, line: LogLine) {
        tracing::info!(target: "extension", instance = %instance.instance, level = ?line.level, fields = ?line.fields, "{}", line.message);
    }
}

impl ReceiptSink for ServerLog {
    fn record(&self, receipt: Receipt) {
        tracing::debug!(
            target: "extension",
            instance = %receipt.instance.instance,
            component = %receipt.instance.component,
            function = receipt.function,
            wall = ?receipt.wall,
            cpu = ?receipt.cpu,
            hosts = ?receipt.hosts,
            refusals = receipt.refusals.len(),
            outcome = ?receipt.outcome,
            "call"
        );
    }
}
