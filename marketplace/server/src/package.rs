//! Packages in the marketplace's own registry.

use crate::{Marketplace, publish::tag_of};
use fuseml_domain::{Digest, Error, Manifest, Name, Result};
use fuseml_marketplace::{Envelope, KeyId, Published};
use fuseml_registry::{RegistryError, Repository, Tag};
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};
use serde_json::json;
use std::path::PathBuf;
use tempfile::TempDir;

/// Largest package that is looked at, in manifests; a component each.
const MOST_MANIFESTS: usize = 200;

/// For so long what was pushed waits to be published.
const GRACE: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// A package that was verified and unpacked, for as long as it is looked at.
pub(crate) struct Fetched {
    _staging: TempDir,
    pub(crate) layout: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) manifest: Manifest,
    /// Of its index, in bytes.
    pub(crate) size: u64,
}

pub(crate) fn registry(error: RegistryError) -> Error {
    use fuseml_registry::Code;
    match error.code {
        Code::BlobUnknown | Code::ManifestUnknown | Code::ManifestBlobUnknown => {
            Error::not_found("package", format!("{}; push the package first", error.message))
        }
        Code::Denied => Error::denied("registry", error.message),
        Code::Unknown => Error::internal("registry", error.message),
        _ => Error::invalid("package", error.message),
    }
}

pub(crate) fn repository(namespace: &Name, name: &Name) -> Result<Repository> {
    format!("{namespace}/{name}").parse().map_err(registry)
}

impl Marketplace {
    /// Brings a package and its signatures from the registry into a layout, and verifies and unpacks it.
    pub(crate) async fn fetch(&self, namespace: &Name, name: &Name, digest: &Digest) -> Result<Fetched> {
        let repository = repository(namespace, name)?;
        let staging = tempfile::Builder::new()
            .prefix("package-")
            .tempdir_in(&self.staging)
            .map_err(|error| Error::io(self.staging.display(), &error))?;
        let (layout, folder) = (staging.path().join("layout"), staging.path().join("folder"));
        let io = |error: std::io::Error| Error::io(staging.path().display(), &error);
        tokio::fs::create_dir_all(layout.join("blobs/sha256")).await.map_err(io)?;
        tokio::fs::create_dir_all(&folder).await.map_err(io)?;
        let export = Export { marketplace: self, repository: &repository, layout: &layout };
        let (index, size) = export.all(digest).await?;
        tokio::fs::write(layout.join("index.json"), index.to_string()).await.map_err(io)?;
        tokio::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).await.map_err(io)?;
        let (from, to) = (layout.clone(), folder.clone());
        let unpacked = tokio::task::spawn_blocking(move || fuseml_marketplace::read(&from, &to)).await;
        unpacked.map_err(|error| Error::internal("package", error.to_string()))??;
        let text = tokio::fs::read_to_string(folder.join("extension.toml")).await.map_err(io)?;
        Ok(Fetched { _staging: staging, layout, folder, manifest: Manifest::parse(&text)?, size })
    }

    /// Puts a signed statement beside a package, where every client finds it.
    pub(crate) async fn attach(
        &self,
        namespace: &Name,
        published: &Published,
        envelope: &Envelope,
        key: &KeyId,
    ) -> Result<()> {
        let repository = repository(namespace, &published.name)?;
        let (blobs, manifest) = fuseml_marketplace::referrer(envelope, key, &published.digest, published.size)?;
        for blob in blobs {
            self.store.put_blob(&repository, blob.into()).await.map_err(registry)?;
        }
        let media_type = MediaType::ImageManifest.to_string();
        self.store.put_manifest(&repository, &media_type, manifest.into()).await.map_err(registry)?;
        Ok(())
    }

    /// Deletes what was pushed and never published, a day after it came.
    pub(crate) async fn collect(&self) -> Result<fuseml_registry::Collected> {
        self.forget_who_downloaded().await?;
        self.store.collect(jiff::Timestamp::now() - GRACE).await.map_err(registry)
    }

    /// Gives the package its version's tag, which never moves.
    pub(crate) async fn tag(&self, namespace: &Name, published: &Published) -> Result<()> {
        let tag: Tag = tag_of(&published.version).parse().map_err(registry)?;
        let repository = repository(namespace, &published.name)?;
        self.store.tag(&repository, &tag, &published.digest, true).await.map_err(registry)
    }
}

struct Export<'a> {
    marketplace: &'a Marketplace,
    repository: &'a Repository,
    layout: &'a PathBuf,
}

impl Export<'_> {
    /// Everything that a package is made of; answers the layout's index and the size of the package's.
    async fn all(&self, digest: &Digest) -> Result<(serde_json::Value, u64)> {
        let package = self.marketplace.store.manifest(self.repository, digest).await.map_err(registry)?;
        self.write(digest, &package.bytes).await?;
        let index: ImageIndex = serde_json::from_slice(&package.bytes)
            .map_err(|error| Error::invalid("package", format!("{digest} is no index: {error}")))?;
        if index.manifests().len() > MOST_MANIFESTS {
            return Err(Error::invalid("package", format!("the package has over {MOST_MANIFESTS} manifests")));
        }
        for descriptor in index.manifests() {
            self.image(&descriptor.digest().to_string().parse()?).await?;
        }
        let size = package.bytes.len() as u64;
        let mut manifests = vec![json!({"mediaType": package.media_type, "digest": digest.to_string(), "size": size})];
        let referrers = self.marketplace.store.referrers(self.repository, digest).await.map_err(registry)?;
        for descriptor in referrers.into_iter().map(|referrer| referrer.descriptor).take(MOST_MANIFESTS) {
            if descriptor.artifact_type().as_ref().is_some_and(|it| it.as_ref() == fuseml_marketplace::BUNDLE) {
                self.image(&descriptor.digest().to_string().parse()?).await?;
                manifests.push(json!(descriptor));
            }
        }
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests,
        });
        Ok((index, size))
    }

    async fn image(&self, digest: &Digest) -> Result<()> {
        let store = &self.marketplace.store;
        let manifest = store.manifest(self.repository, digest).await.map_err(registry)?;
        self.write(digest, &manifest.bytes).await?;
        let image: ImageManifest = serde_json::from_slice(&manifest.bytes)
            .map_err(|error| Error::invalid("package", format!("{digest} is no manifest: {error}")))?;
        let blobs: Vec<&Descriptor> = std::iter::once(image.config()).chain(image.layers()).collect();
        for blob in blobs {
            let digest: Digest = blob.digest().to_string().parse()?;
            let path = self.path(&digest);
            if !path.exists() {
                store.save_blob(self.repository, &digest, &path).await.map_err(registry)?;
            }
        }
        Ok(())
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.layout.join("blobs/sha256").join(digest.hex())
    }

    async fn write(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let path = self.path(digest);
        tokio::fs::write(&path, bytes).await.map_err(|error| Error::io(path.display(), &error))
    }
}
