//! OCI images of runnables (S20, S111): what they say of themselves, and how descriptions stand beside them. A
//! WebAssembly component is one, too: its configuration is [`WASM_CONFIGURATION`], its only layer the component.

use crate::{
    form::{layer, tag},
    store::{TreeStore, repository},
};
use async_trait::async_trait;
use bytes::Bytes;
use fuseml_domain::{
    Command, Descriptor, Digest, Error, Image, ImageConfiguration, Result, Series, WASM_CONFIGURATION,
    port::ComponentSource,
};
use fuseml_registry::{Repository, StoredManifest};
use futures::TryStreamExt as _;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A configuration has the history of an image's making; more than this, in bytes, is no image's.
const MOST_CONFIGURATION: u64 = 4 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    artifact_type: Option<String>,
    config: Option<Part>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    layers: Vec<Part>,
    #[serde(default)]
    manifests: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

/// The part of an image's configuration that is read here; OCI and Docker write it alike.
#[derive(Deserialize)]
struct Configuration {
    os: Option<String>,
    architecture: Option<String>,
    #[serde(default)]
    config: Execution,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Execution {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
}

fn understood<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::invalid("image", format!("{what} is not understood: {error}")))
}

#[async_trait]
impl ComponentSource for TreeStore {
    async fn component(&self, digest: &Digest) -> Result<Vec<u8>> {
        let missing = || Error::not_found("component", format!("the component {digest} is not there any more"));
        let size = self.registry.size_anywhere(digest).await?.ok_or_else(missing)?;
        if size > Command::LARGEST {
            return Err(Error::invalid(
                "component",
                format!("{digest} has {size} bytes, which is more than a component's"),
            ));
        }
        let chunks: Vec<Bytes> = self
            .registry
            .read_blob(digest, 0..size)
            .await?
            .try_collect()
            .await
            .map_err(|error| Error::io(format!("the component {digest} cannot be read"), &error))?;
        let bytes = chunks.concat();
        match Digest::of(&bytes) == *digest {
            true => Ok(bytes),
            false => Err(Error::conflict("component-changed", format!("the stored component {digest} is damaged"))),
        }
    }
}

impl TreeStore {
    /// What an image says of itself; `None` for manifests that are no image's. Of an image for several platforms the
    /// first one says it.
    ///
    /// # Errors
    /// `invalid` where its configuration is not understood.
    pub async fn image(&self, series: &Series, manifest: &StoredManifest) -> Result<Option<ImageConfiguration>> {
        let repository = repository(series)?;
        let document: Document = understood(&manifest.bytes, "the manifest")?;
        if document.artifact_type.is_some() {
            return Ok(None);
        }
        let platforms = document.manifests.iter().filter_map(|one| one.platform.as_ref());
        let mut platforms: Vec<String> = platforms
            .filter(|platform| platform.os != "unknown")
            .map(|Platform { os, architecture }| format!("{os}/{architecture}"))
            .collect();
        // What attests to the others is of no platform.
        let is_image = |one: &&Part| one.platform.as_ref().is_none_or(|platform| platform.os != "unknown");
        let document = match document.manifests.iter().find(is_image) {
            Some(first) => {
                understood(&self.registry.manifest(&repository, &first.digest).await?.bytes, "the manifest")?
            }
            None => document,
        };
        let is_configuration = |config: &&Part| {
            [
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.docker.container.image.v1+json",
                WASM_CONFIGURATION,
            ]
            .contains(&config.media_type.as_str())
        };
        let Some(config) = document.config.as_ref().filter(is_configuration) else { return Ok(None) };
        let bytes = self.registry.blob(&repository, &config.digest, MOST_CONFIGURATION).await?;
        let Configuration { os, architecture, config } = understood(&bytes, "the image's configuration")?;
        if platforms.is_empty() {
            platforms.extend(os.zip(architecture).map(|(os, architecture)| format!("{os}/{architecture}")));
        }
        let command = config.entrypoint.into_iter().flatten().chain(config.cmd.into_iter().flatten()).collect();
        // A component's configuration has no labels; its manifest has annotations.
        let labels = config.labels.unwrap_or(document.annotations);
        Ok(Some(ImageConfiguration { command, platforms, labels }))
    }

    /// The component that an image of this server is; `None` for images of containers.
    ///
    /// # Errors
    /// `invalid` for a component that is no program.
    pub async fn component_in(&self, image: &Image) -> Result<Option<Digest>> {
        let repository = image.repository.parse::<Repository>()?;
        let manifest = self.registry.manifest(&repository, &image.digest).await?;
        let document: Document = understood(&manifest.bytes, "the manifest")?;
        if document.config.is_none_or(|config| config.media_type != WASM_CONFIGURATION) {
            return Ok(None);
        }
        let [layer] = document.layers.as_slice() else {
            let message = format!("{image} has {} layers; a component has one", document.layers.len());
            return Err(Error::invalid("image", message));
        };
        let bytes = self.registry.blob(&repository, &layer.digest, Command::LARGEST).await?;
        Command::check(&bytes).map_err(|error| error.context("the component"))?;
        Ok(Some(layer.digest.clone()))
    }

    /// Brings an image of this server into the repository of a series; answers how it is named there.
    ///
    /// # Errors
    /// `not-found` when there is no such image.
    pub async fn adopt_image(&self, series: &Series, image: &Image) -> Result<Image> {
        let (from, to) = (image.repository.parse::<Repository>()?, repository(series)?);
        if from.as_str() != to.as_str() {
            self.copy_manifest(&from, &to, &image.digest, true).await?;
        } else {
            self.registry.manifest(&to, &image.digest).await?;
        }
        Ok(Image::own(to.as_str(), image.digest.clone()))
    }

    /// With everything that it names; an index once, since what it lists is no index.
    async fn copy_manifest(&self, from: &Repository, to: &Repository, digest: &Digest, lists: bool) -> Result<()> {
        let manifest = self.registry.manifest(from, digest).await?;
        let document: Document = understood(&manifest.bytes, "the manifest")?;
        for listed in document.manifests.iter().filter(|_| lists) {
            Box::pin(self.copy_manifest(from, to, &listed.digest, false)).await?;
        }
        for blob in document.config.iter().chain(&document.layers) {
            self.registry.blob_size(from, &blob.digest).await?;
            self.registry.hold(to, &blob.digest).await?;
        }
        self.registry.put_manifest(to, &manifest.media_type, manifest.bytes).await?;
        Ok(())
    }

    /// Names a runnable's description in the registry: beside the image of this server that it describes, by itself
    /// where it has none.
    ///
    /// # Errors
    /// When the registry cannot be written, or the image is gone.
    pub async fn publish_runnable(&self, descriptor: &Descriptor) -> Result<()> {
        let image = descriptor.runnable.as_ref().and_then(|runnable| runnable.image.as_ref());
        let Some(image) = image.filter(|image| image.registry.is_none()) else {
            return self.publish_description(descriptor).await;
        };
        let (repository, tag) = (repository(&Series::of(descriptor))?, tag(descriptor)?);
        if self.registry.resolve(&repository, &tag).await.is_ok() {
            return Ok(());
        }
        let manifest = self.registry.manifest(&repository, &image.digest).await?;
        let about = layer(&manifest.media_type, &image.digest, manifest.bytes.len() as u64, None);
        self.describe_manifest(&repository, descriptor, &about, None).await?;
        Ok(self.registry.tag(&repository, &tag, &image.digest, false).await?)
    }
}
