//! Versions of extensions: judged, put in place, verified, removed.

use super::{INCOMING, Registry};
use crate::{
    package::{self, Package},
    view::{VerifiedFile, VersionView},
};
use fuseml_catalog::{InstalledExtension, InstalledVersion};
use fuseml_domain::{
    Component, Digest, Error, ExtensionLock, LockedExtension, LockedPackage, Manifest, Name, PackageOrigin,
    PackageReference, Result,
};
use jiff::Timestamp;
use semver::Version;
use std::{collections::BTreeMap, path::PathBuf};
use tempfile::TempDir;

/// A package that was judged and compiled, in a folder that goes away unless it is put in its place.
pub(super) struct Incoming {
    folder: TempDir,
    pub(super) version: InstalledVersion,
}

/// Where a package comes from.
pub(crate) enum PackageSource {
    /// A tar of the extension's folder.
    Tar(Vec<u8>),
    /// A package that was fetched from a marketplace before.
    Fetched(Digest),
}

enum Contents {
    Tar(Vec<u8>),
    Layout(PathBuf),
}

impl Registry {
    /// Unpacks, judges and compiles every component. Nothing is installed yet.
    pub(super) async fn judge(&self, source: PackageSource) -> Result<Incoming> {
        let root = self.folder.extensions();
        let (contents, origin) = match source {
            PackageSource::Tar(tar) => (Contents::Tar(tar), None),
            PackageSource::Fetched(digest) => {
                let (layout, origin) = self.marketplaces.fetched(&digest)?;
                (Contents::Layout(layout), Some(origin))
            }
        };
        let unpacked = tokio::task::spawn_blocking(move || -> Result<(TempDir, Package)> {
            let io = |error: std::io::Error| Error::io("the package cannot be unpacked", &error);
            std::fs::create_dir_all(&root).map_err(io)?;
            let folder = tempfile::Builder::new().prefix(INCOMING).tempdir_in(&root).map_err(io)?;
            match contents {
                Contents::Tar(tar) => package::unpack(tar.as_slice(), folder.path())?,
                Contents::Layout(layout) => drop(fuseml_marketplace::read(&layout, folder.path())?),
            }
            let package = package::read(folder.path())?;
            Ok((folder, package))
        });
        let (folder, package) = unpacked.await.map_err(|error| Error::internal("install", error.to_string()))??;
        let manifest = package.manifest;
        if origin.is_none() {
            self.marketplaces.trust.check_unsigned(&manifest.name)?;
        }
        manifest.check_dependencies(&host_version()?, &self.installed_versions().await?)?;
        let mut components = BTreeMap::new();
        for (component, bytes) in &package.components {
            let here = |error: Error| error.context(format!("{} {}", manifest.name, component.file));
            self.sandbox.inspect(bytes, component).map_err(here)?;
            self.sandbox.load(bytes, component).await.map_err(here)?;
            components.insert(component.name.clone(), Digest::of(bytes));
        }
        let version = InstalledVersion {
            manifest,
            components,
            templates: package.templates,
            installed: Timestamp::now(),
            origin,
            revoked: None,
        };
        Ok(Incoming { folder, version })
    }

    async fn installed_versions(&self) -> Result<BTreeMap<Name, Version>> {
        let versions = self.catalog.active_versions().await?;
        Ok(versions.into_iter().map(|version| (version.manifest.name, version.manifest.version)).collect())
    }

    /// Puts the files where calls will look for them. What is there already has the same bytes.
    pub(super) fn put_in_place(&self, incoming: Incoming) -> Result<InstalledVersion> {
        let place = self.place(&incoming.version)?;
        if !place.exists() {
            std::fs::rename(incoming.folder.keep(), &place).map_err(|error| {
                Error::io(format!("{} cannot be put in its place", incoming.version.manifest.name), &error)
            })?;
        }
        Ok(incoming.version)
    }

    /// Refuses a version that another installed extension does not fit.
    pub(super) async fn check_dependents(&self, new: &InstalledVersion) -> Result<()> {
        let (name, version) = (&new.manifest.name, &new.manifest.version);
        for other in self.catalog.active_versions().await? {
            let wanted = other.manifest.dependencies.get(name);
            if let Some(wanted) = wanted.filter(|wanted| !wanted.matches(version)) {
                return Err(Error::conflict(
                    "dependency",
                    format!(
                        "{} {} needs {name} {wanted}, which {version} is not",
                        other.manifest.name, other.manifest.version
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Looks at the files of an extension's active version as if they were just arriving.
    pub(crate) async fn verify(&self, name: &Name) -> Result<Vec<VerifiedFile>> {
        let extension = self.catalog.extension(name).await?;
        let version = self.catalog.version(name, &extension.active).await?;
        let place = self.place(&version)?;
        let mut files = Vec::new();
        for component in &version.manifest.components {
            let path = place.join(&component.file);
            let problem = match tokio::fs::read(&path).await {
                Ok(bytes) => self.problem_of(&version, component, &bytes).await,
                Err(error) => Some(format!("it cannot be read: {error}")),
            };
            files.push(VerifiedFile {
                file: component.file.clone(),
                digest: version.components.get(&component.name).map(ToString::to_string).unwrap_or_default(),
                problem,
            });
        }
        Ok(files)
    }

    async fn problem_of(&self, version: &InstalledVersion, component: &Component, bytes: &[u8]) -> Option<String> {
        let digest = Digest::of(bytes);
        if version.components.get(&component.name) != Some(&digest) {
            return Some(format!("it was changed: its digest is {digest}"));
        }
        match self.sandbox.inspect(bytes, component) {
            Ok(()) => self.load(version, component).await.err().map(|error| error.message),
            Err(error) => Some(error.message),
        }
    }

    pub(super) async fn version_view(&self, extension: &Name, digest: &Digest) -> Result<VersionView> {
        let version = self.catalog.version(extension, digest).await?;
        Ok(VersionView { version: version.manifest.version.to_string(), digest: digest.to_string() })
    }

    /// Removes files of versions that nothing can come back to, and says in `extensions.lock` what is installed.
    pub(super) async fn tidy(&self, name: &Name) -> Result<()> {
        let keep = match self.catalog.extension(name).await {
            Ok(extension) => self.places(&extension).await?,
            Err(_) => Vec::new(),
        };
        let prefix = format!("{name}-");
        for entry in std::fs::read_dir(self.folder.extensions()).into_iter().flatten().flatten() {
            // `mlflow-` begins other names too: a version's folder ends in a version and sixteen digits.
            let file = entry.file_name().to_string_lossy().into_owned();
            let own = file.strip_prefix(&prefix).and_then(|rest| rest.rsplit_once('-'));
            let own = own.is_some_and(|(version, digest)| Version::parse(version).is_ok() && digest.len() == 16);
            if own && !keep.contains(&entry.path()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        self.write_lock().await
    }

    async fn places(&self, extension: &InstalledExtension) -> Result<Vec<PathBuf>> {
        let InstalledExtension { name, active, previous, held, shadow, .. } = extension;
        let mut places = Vec::new();
        for digest in [Some(active), previous.as_ref(), held.as_ref(), shadow.as_ref()].into_iter().flatten() {
            places.push(self.place(&self.catalog.version(name, digest).await?)?);
        }
        Ok(places)
    }

    /// Which version of what is installed, and from where. The catalog alone decides.
    pub(crate) async fn lock(&self) -> Result<ExtensionLock> {
        let locked = |version: InstalledVersion| {
            let digest = version.digest()?;
            let InstalledVersion { manifest, origin, .. } = version;
            let package = origin.map(|PackageOrigin { marketplace, namespace, digest, key }| LockedPackage {
                marketplace,
                namespace,
                digest,
                key,
            });
            let Manifest { name, version, dependencies, .. } = manifest;
            Ok(LockedExtension { name, version, digest, package, dependencies })
        };
        let versions = self.catalog.active_versions().await?;
        Ok(ExtensionLock::new(versions.into_iter().map(locked).collect::<Result<_>>()?))
    }

    async fn write_lock(&self) -> Result<()> {
        crate::folder::write_private(&self.folder.extension_lock(), self.lock().await?.render()?.as_bytes())
    }

    /// What has to be fetched for a reference, each exactly, in the order in which it can be installed.
    pub(crate) async fn plan(&self, reference: &PackageReference) -> Result<Vec<PackageReference>> {
        let versions = self.catalog.active_versions().await?;
        let installed: Vec<Manifest> = versions.into_iter().map(|version| version.manifest).collect();
        self.marketplaces.plan(reference, &host_version()?, &installed).await
    }
}

fn host_version() -> Result<Version> {
    Version::parse(env!("CARGO_PKG_VERSION")).map_err(|error| Error::internal("version", error.to_string()))
}
