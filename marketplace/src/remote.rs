//! Packages in OCI registries: any that speaks distribution 1.1, a marketplace's own among them.

use crate::{
    blobs::Blobs,
    bundle::BUNDLE,
    format::{MOST_BYTES, MOST_METADATA},
    read::{only_package, top},
    signed::{signatures, write_top},
};
use fuseml_domain::{Digest, Error, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use oci_client::{
    Client, Reference, RegistryOperation,
    client::{ClientConfig, ClientProtocol},
    errors::OciDistributionError,
    manifest::{ImageIndexEntry, OciDescriptor, OciImageIndex},
    secrets::RegistryAuth,
};
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};
use reqwest::header::HeaderValue;
use std::{
    fs,
    path::{Path, PathBuf},
};
use url::Url;

/// What happens to one blob or manifest; for progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub digest: String,
    /// In bytes.
    pub size: u64,
    /// It was there before.
    pub skipped: bool,
}

/// Blobs and manifests under way at one time.
const AT_ONCE: usize = 4;

/// A repository of a registry.
pub struct Remote {
    client: Client,
    registry: String,
    repository: String,
    auth: RegistryAuth,
}

fn failed(error: OciDistributionError) -> Error {
    match &error {
        OciDistributionError::AuthenticationFailure(_) | OciDistributionError::UnauthorizedError { .. } => {
            Error::denied("registry", format!("the registry does not let this through: {error}"))
        }
        OciDistributionError::RegistryError { envelope, .. } => {
            let said = envelope.errors.first().map(|first| first.message.clone()).unwrap_or_default();
            Error::denied("registry", format!("the registry refused: {said}"))
        }
        OciDistributionError::ServerError { code, message, .. } => {
            let said: serde_json::Value = serde_json::from_str(message).unwrap_or_default();
            let said =
                said.pointer("/errors/0/message").and_then(|said| said.as_str()).unwrap_or("it says nothing more");
            let message = format!("the registry answers {code}: {said}");
            match code {
                401 | 403 => Error::denied("registry", message),
                404 => Error::not_found("package", message),
                _ => Error::unavailable("registry", message),
            }
        }
        OciDistributionError::ImageManifestNotFoundError(_) => {
            Error::not_found("package", format!("the registry has no such package: {error}"))
        }
        OciDistributionError::DigestError(_) => {
            Error::denied("registry", format!("the registry sent something else than was asked for: {error}"))
        }
        _ => Error::unavailable("registry", format!("the registry does not answer as it should: {error}")),
    }
}

impl Remote {
    /// A repository such as `acme/tool` of the registry at an address. Plain HTTP is spoken only where the address
    /// says so.
    ///
    /// # Errors
    /// `invalid` for an address without a host.
    pub fn new(registry: &Url, repository: &str, token: Option<&str>) -> Result<Self> {
        let host = registry.host_str();
        let host = host.ok_or_else(|| Error::invalid("address", format!("{registry} names no registry")))?;
        let registry_name = match registry.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let protocol = if registry.scheme() == "http" { ClientProtocol::Http } else { ClientProtocol::Https };
        let client = Client::new(ClientConfig { protocol, ..ClientConfig::default() });
        let auth = token.map_or(RegistryAuth::Anonymous, |token| RegistryAuth::Bearer(token.to_owned()));
        Ok(Self { client, registry: registry_name, repository: repository.to_owned(), auth })
    }

    fn reference(&self, digest: &str) -> Reference {
        Reference::with_digest(self.registry.clone(), self.repository.clone(), digest.to_owned())
    }

    /// Sends the package of a layout with its signatures; what the registry has already is not sent again, so that
    /// an interrupted push goes on where it stopped.
    ///
    /// # Errors
    /// When the layout is damaged, or the registry refuses.
    pub async fn push(&self, layout: &Path, mut report: impl FnMut(Transfer)) -> Result<Digest> {
        let package = only_package(&top(layout)?)?;
        let mut blobs = Blobs::new(layout, MOST_BYTES);
        let index: ImageIndex = blobs.document(&package, "the index")?;
        let mut manifests: Vec<Descriptor> = index.manifests().clone();
        manifests.push(package.clone());
        manifests.extend(signatures(layout)?);
        let digest = package.digest().to_string();
        self.client.auth(&self.reference(&digest), &self.auth, RegistryOperation::Push).await.map_err(failed)?;
        let mut parts = Vec::new();
        for manifest in manifests.iter().filter(|one| *one.media_type() == MediaType::ImageManifest) {
            let image: ImageManifest = blobs.document(manifest, "a manifest")?;
            parts.extend(std::iter::once(image.config()).chain(image.layers()).cloned());
        }
        parts.sort_by_key(|part| part.digest().to_string());
        parts.dedup_by(|a, b| a.digest() == b.digest());
        let mut sending =
            futures::stream::iter(parts).map(|part| self.push_blob(layout, part)).buffer_unordered(AT_ONCE);
        while let Some(done) = sending.try_next().await? {
            report(done);
        }
        // In this order each names only what is there.
        for manifest in &manifests {
            let bytes = Blobs::new(layout, MOST_BYTES).read(manifest, MOST_METADATA, "a manifest")?;
            let media_type = manifest.media_type().to_string();
            let media_type =
                media_type.parse().map_err(|_| Error::invalid("package", "a manifest has no media type"))?;
            let digest = manifest.digest().to_string();
            self.client.push_manifest_raw(&self.reference(&digest), bytes, media_type).await.map_err(failed)?;
            report(Transfer { digest, size: manifest.size(), skipped: false });
        }
        self.list_signatures(&package, &signatures(layout)?).await?;
        digest.parse()
    }

    /// Lists the signatures under the tag that the specification has for registries without a referrers API.
    async fn list_signatures(&self, package: &Descriptor, ours: &[Descriptor]) -> Result<()> {
        let reference = self.reference(package.digest().as_ref());
        let mut listed = self.client.pull_referrers(&reference, None).await.map_err(failed)?;
        let known = |list: &OciImageIndex, digest: &str| list.manifests.iter().any(|one| one.digest == digest);
        let missing: Vec<_> = ours.iter().filter(|one| !known(&listed, one.digest().as_ref())).collect();
        if missing.is_empty() {
            return Ok(());
        }
        for one in missing {
            listed.manifests.push(ImageIndexEntry {
                media_type: one.media_type().to_string(),
                digest: one.digest().to_string(),
                size: i64::try_from(one.size()).unwrap_or(i64::MAX),
                artifact_type: one.artifact_type().as_ref().map(ToString::to_string),
                platform: None,
                annotations: None,
            });
        }
        listed.media_type = Some(MediaType::ImageIndex.to_string());
        let bytes = serde_json::to_vec(&listed).map_err(|error| Error::internal("index", error.to_string()))?;
        let tag = package.digest().to_string().replace(':', "-");
        let reference = Reference::with_tag(self.registry.clone(), self.repository.clone(), tag);
        let media_type = HeaderValue::from_static("application/vnd.oci.image.index.v1+json");
        self.client.push_manifest_raw(&reference, bytes, media_type).await.map_err(failed).map(drop)
    }

    async fn push_blob(&self, layout: &Path, part: Descriptor) -> Result<Transfer> {
        let digest = part.digest().to_string();
        let reference = self.reference(&digest);
        let skipped = self.client.blob_exists(&reference, &digest).await.map_err(failed)?;
        if !skipped {
            let path = place(layout, &digest)?;
            let file = tokio::fs::File::open(&path).await.map_err(|error| Error::io(path.display(), &error))?;
            let stream = tokio_util::io::ReaderStream::with_capacity(file, 1 << 20);
            let stream = stream.map_err(OciDistributionError::from);
            self.client.push_blob_stream(&reference, stream, &digest, Some(part.size())).await.map_err(failed)?;
        }
        Ok(Transfer { digest, size: part.size(), skipped })
    }

    /// Fetches a package with its signatures into a layout; blobs that are there are not fetched again. Everything is
    /// verified against its digest on the way, and again when the layout is read.
    ///
    /// # Errors
    /// `not-found`, or what went wrong on the way.
    pub async fn pull(&self, package: &Digest, layout: &Path, mut report: impl FnMut(Transfer)) -> Result<()> {
        let io = |error: std::io::Error| Error::io(layout.display(), &error);
        fs::create_dir_all(layout.join("blobs/sha256")).map_err(io)?;
        let bytes = self.manifest(layout, &package.to_string()).await?;
        let index: ImageIndex = parse(&bytes)?;
        let mut manifests: Vec<Descriptor> = index.manifests().clone();
        let reference = self.reference(&package.to_string());
        let referrers = self.client.pull_referrers(&reference, Some(BUNDLE)).await.map_err(failed)?;
        let referrers = serde_json::to_vec(&referrers).map_err(|error| Error::internal("index", error.to_string()))?;
        let referrers: ImageIndex = parse(&referrers)?;
        manifests.extend(referrers.manifests().iter().cloned());
        let mut parts = Vec::new();
        for manifest in &manifests {
            let image: ImageManifest = parse(&self.manifest(layout, manifest.digest().as_ref()).await?)?;
            parts.extend(std::iter::once(image.config()).chain(image.layers()).cloned());
        }
        if parts.iter().map(Descriptor::size).sum::<u64>() > MOST_BYTES {
            return Err(Error::invalid("package", format!("the package has over {} MiB", MOST_BYTES >> 20)));
        }
        parts.sort_by_key(|part| part.digest().to_string());
        parts.dedup_by(|a, b| a.digest() == b.digest());
        let mut coming =
            futures::stream::iter(parts).map(|part| self.pull_blob(layout, part)).buffer_unordered(AT_ONCE);
        while let Some(done) = coming.try_next().await? {
            report(done);
        }
        let digest = oci_spec::image::Digest::try_from(package.to_string())
            .map_err(|error| Error::internal("digest", error.to_string()))?;
        let mut all = vec![Descriptor::new(MediaType::ImageIndex, bytes.len() as u64, digest)];
        all.extend(referrers.manifests().iter().cloned());
        let mut top = ImageIndex::default();
        top.set_schema_version(2);
        top.set_media_type(Some(MediaType::ImageIndex));
        top.set_manifests(all);
        write_top(layout, &top)?;
        fs::write(layout.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).map_err(io)
    }

    async fn manifest(&self, layout: &Path, digest: &str) -> Result<Vec<u8>> {
        let types = [MediaType::ImageIndex.to_string(), MediaType::ImageManifest.to_string()];
        let types: Vec<&str> = types.iter().map(String::as_str).collect();
        let (bytes, _) =
            self.client.pull_manifest_raw(&self.reference(digest), &self.auth, &types).await.map_err(failed)?;
        if Digest::of(&bytes).to_string() != digest {
            return Err(Error::denied("registry", format!("the registry sent something else for {digest}")));
        }
        let path = place(layout, digest)?;
        fs::write(&path, &bytes).map_err(|error| Error::io(path.display(), &error))?;
        Ok(bytes.to_vec())
    }

    async fn pull_blob(&self, layout: &Path, part: Descriptor) -> Result<Transfer> {
        let digest = part.digest().to_string();
        let path = place(layout, &digest)?;
        let skipped = path.metadata().is_ok_and(|data| data.len() == part.size());
        if !skipped {
            let staging = path.with_extension("part");
            let file = tokio::fs::File::create(&staging).await.map_err(|error| Error::io(staging.display(), &error))?;
            let descriptor = OciDescriptor {
                media_type: part.media_type().to_string(),
                digest: digest.clone(),
                size: i64::try_from(part.size()).unwrap_or(i64::MAX),
                ..OciDescriptor::default()
            };
            self.client.pull_blob(&self.reference(&digest), &descriptor, file).await.map_err(failed)?;
            fs::rename(&staging, &path).map_err(|error| Error::io(path.display(), &error))?;
        }
        Ok(Transfer { digest, size: part.size(), skipped })
    }
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::invalid("package", format!("a manifest is not valid: {error}")))
}

fn place(layout: &Path, digest: &str) -> Result<PathBuf> {
    let digest: Digest = digest.parse()?;
    Ok(layout.join("blobs/sha256").join(digest.hex()))
}
