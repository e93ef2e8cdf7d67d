//! The forms in which artifacts stand in the registry, so that its clients find and fetch them.
//!
//! | artifact | manifest | layers |
//! |---|---|---|
//! | model | ModelPack (`application/vnd.cncf.model.manifest.v1+json`) | a file each, with its path as annotation |
//! | anything else | [`DIRECTORY`], whose config is the list of files | large files each by itself, small ones in packs |
//! | what a tool keeps | [`LISTING`], whose config is the list of files | none |
//!
//! Each version is tagged with its id. A second manifest about the first ([`DESCRIPTOR`]) holds the descriptor and the
//! list of files, so that a registry alone says all that was known at registration (S112).

use crate::{
    disk::blocking,
    store::{Places, TreeStore, repository},
};
use bytes::Bytes;
use fuseml_domain::{Descriptor, Digest, Error, Kind, Name, Result, SMALL_FILE, Series, Store, Tree, TreeFile};
use fuseml_registry::{Code, Repository, Tag};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A list of files, as [`Tree`] writes it.
pub const TREE: &str = "application/vnd.fuseml.tree.v1+json";
/// A directory that is no model.
pub const DIRECTORY: &str = "application/vnd.fuseml.directory.v1";
/// A list of files that lie elsewhere.
pub const LISTING: &str = "application/vnd.fuseml.listing.v1";
/// What was known of an artifact at registration.
pub const DESCRIPTOR: &str = "application/vnd.fuseml.descriptor.v1+json";

const FILE: &str = "application/vnd.fuseml.file.v1";
pub(crate) const PACK: &str = "application/vnd.fuseml.pack.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const MODEL: &str = "application/vnd.cncf.model.manifest.v1+json";
/// The tag of the newest version.
pub const LATEST: &str = "latest";
const MODEL_CONFIG: &str = "application/vnd.cncf.model.config.v1+json";
/// Where a layer's file belongs, as ModelPack and as ORAS say it.
pub(crate) const FILE_PATH: &str = "org.cncf.model.filepath";
pub(crate) const TITLE: &str = "org.opencontainers.image.title";

impl TreeStore {
    /// Names a stored tree in the registry: from here on it is kept until [`TreeStore::withdraw`].
    ///
    /// # Errors
    /// `conflict` (`incomplete`) when not everything is there.
    pub async fn publish(&self, descriptor: &Descriptor, tree: &Tree) -> Result<()> {
        self.publish_as(descriptor, tree, true).await
    }

    /// The same; `is_newest` says whether it is what clients mean when they name no tag.
    pub(crate) async fn publish_as(&self, descriptor: &Descriptor, tree: &Tree, is_newest: bool) -> Result<()> {
        let (store, descriptor, tree) = (self.clone(), descriptor.clone(), tree.clone());
        blocking(move || store.publish_now(&descriptor, &tree, is_newest)).await
    }

    /// What was published is what clients mean when they name no tag, from here on.
    pub(crate) async fn make_newest(&self, descriptor: &Descriptor) -> Result<()> {
        let (repository, tag) = (repository(&Series::of(descriptor))?, tag(descriptor)?);
        let digest = self.registry.resolve(&repository, &tag).await?;
        Ok(self.registry.tag(&repository, &LATEST.parse()?, &digest, false).await?)
    }

    fn publish_now(&self, descriptor: &Descriptor, tree: &Tree, is_newest: bool) -> Result<()> {
        let series = Series::of(descriptor);
        let repository = repository(&series)?;
        let list = self.keep_list(&repository, tree)?;
        let list = layer(TREE, &list.digest, list.size_bytes, None);
        let (config, layers, artifact_type) = match (&descriptor.store, descriptor.kind()) {
            (Store::BuiltIn, kind) => {
                let layers = self.layers(&series, &repository, tree)?;
                match kind == Kind::Model && layers.packs.is_empty() {
                    true => (self.model_config(&repository, descriptor, tree)?, layers.files, MODEL),
                    false => (list.clone(), [layers.files, layers.packs].concat(), DIRECTORY),
                }
            }
            _ => (list.clone(), Vec::new(), LISTING),
        };
        let layers = match layers.is_empty() {
            true => vec![self.blob(&repository, EMPTY, "{}".into())?],
            false => layers,
        };
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type, "config": config, "layers": layers,
            "annotations": {TITLE: descriptor.name.to_string(), "org.opencontainers.image.version": descriptor.id.to_string()},
        });
        let manifest = Bytes::from(manifest.to_string());
        let size = manifest.len() as u64;
        let (digest, _) = self.wait(self.registry.put_manifest(&repository, MANIFEST, manifest))?;
        let tag = tag(descriptor)?;
        if self.wait(self.registry.resolve(&repository, &tag)).is_ok_and(|there| there == digest) {
            return Ok(());
        }
        let about = layer(MANIFEST, &digest, size, None);
        self.wait(self.describe_manifest(&repository, descriptor, &about, Some(&list)))?;
        self.wait(self.registry.tag(&repository, &tag, &digest, false))?;
        // What registries' clients mean when they name no tag.
        if is_newest {
            self.wait(self.registry.tag(&repository, &LATEST.parse()?, &digest, false))?;
        }
        Ok(())
    }

    /// Names a description without files: of a runnable, or of what lies elsewhere.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn publish_description(&self, descriptor: &Descriptor) -> Result<()> {
        let (repository, tag) = (repository(&Series::of(descriptor))?, tag(descriptor)?);
        if self.registry.resolve(&repository, &tag).await.is_ok() {
            return Ok(());
        }
        let text = serde_json::to_vec(descriptor).map_err(|error| Error::internal("document", error.to_string()))?;
        let size = text.len() as u64;
        let config = self.registry.put_blob(&repository, text.into()).await?;
        let empty = self.registry.put_blob(&repository, "{}".into()).await?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": DESCRIPTOR,
            "config": layer(DESCRIPTOR, &config, size, None), "layers": [layer(EMPTY, &empty, 2, None)],
            "annotations": {TITLE: descriptor.name.to_string(), "org.opencontainers.image.version": descriptor.id.to_string()},
        });
        let (digest, _) = self.registry.put_manifest(&repository, MANIFEST, manifest.to_string().into()).await?;
        Ok(self.registry.tag(&repository, &tag, &digest, false).await?)
    }

    /// The manifest that stands for the artifact; `None` where there is none.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn manifest_of(&self, descriptor: &Descriptor) -> Result<Option<Digest>> {
        match self.registry.resolve(&repository(&Series::of(descriptor))?, &tag(descriptor)?).await {
            Ok(digest) => Ok(Some(digest)),
            Err(error) if error.code == Code::ManifestUnknown => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts something beside a published artifact: a manifest about its manifest, with the bytes as its only layer.
    ///
    /// # Errors
    /// `not-found` for what is not published.
    pub async fn attach(&self, descriptor: &Descriptor, media_type: &str, bytes: Vec<u8>) -> Result<()> {
        let repository = repository(&Series::of(descriptor))?;
        let subject = self.registry.resolve(&repository, &tag(descriptor)?).await?;
        let size = self.registry.manifest(&repository, &subject).await?.bytes.len() as u64;
        let length = bytes.len() as u64;
        let digest = self.registry.put_blob(&repository, bytes.into()).await?;
        let empty = self.registry.put_blob(&repository, "{}".into()).await?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": media_type,
            "subject": layer(MANIFEST, &subject, size, None),
            "config": layer(EMPTY, &empty, 2, None), "layers": [layer(media_type, &digest, length, None)],
        });
        self.registry.put_manifest(&repository, MANIFEST, manifest.to_string().into()).await?;
        Ok(())
    }

    /// What was put beside a published artifact under that media type.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn attached(&self, descriptor: &Descriptor, media_type: &str) -> Result<Option<Vec<u8>>> {
        const MOST: u64 = 4 << 20;
        let repository = repository(&Series::of(descriptor))?;
        let Some(subject) = self.manifest_of(descriptor).await? else { return Ok(None) };
        for referrer in self.registry.referrers(&repository, &subject).await? {
            let kind = referrer.descriptor.artifact_type().as_ref().map(ToString::to_string);
            if kind.as_deref() == Some(media_type) {
                let digest: Digest = referrer.descriptor.digest().to_string().parse()?;
                let manifest = self.registry.manifest(&repository, &digest).await?;
                let manifest: Value = serde_json::from_slice(&manifest.bytes)
                    .map_err(|error| Error::internal("manifest", error.to_string()))?;
                let layer: Digest = manifest["layers"][0]["digest"].as_str().unwrap_or_default().parse()?;
                return Ok(Some(self.registry.blob(&repository, &layer, MOST).await?.to_vec()));
            }
        }
        Ok(None)
    }

    /// A tag of the series stands here, for registries' clients too.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn point(&self, descriptor: &Descriptor, tag: &Name) -> Result<()> {
        let (repository, tag) = (repository(&Series::of(descriptor))?, tag.parse::<Tag>()?);
        let Ok(digest) = self.registry.resolve(&repository, &self::tag(descriptor)?).await else { return Ok(()) };
        if self.registry.resolve(&repository, &tag).await.is_ok_and(|there| there == digest) {
            return Ok(());
        }
        Ok(self.registry.tag(&repository, &tag, &digest, false).await?)
    }

    /// A tag of the series stands nowhere.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn unpoint(&self, series: &Series, tag: &Name) -> Result<()> {
        let (repository, tag) = (repository(series)?, tag.parse::<Tag>()?);
        match self.registry.delete_tag(&repository, &tag).await {
            Err(error) if error.code != Code::ManifestUnknown => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// A manifest about another one, with the descriptor and the list of files if there is one.
    pub(crate) async fn describe_manifest(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        about: &Value,
        list: Option<&Value>,
    ) -> Result<()> {
        let text = serde_json::to_vec(descriptor).map_err(|error| Error::internal("document", error.to_string()))?;
        let size = text.len() as u64;
        let text = layer(DESCRIPTOR, &self.registry.put_blob(repository, text.into()).await?, size, None);
        let empty = self.registry.put_blob(repository, "{}".into()).await?;
        let layers: Vec<_> = std::iter::once(&text).chain(list).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": DESCRIPTOR, "subject": about,
            "config": layer(EMPTY, &empty, 2, None), "layers": layers,
        });
        self.registry.put_manifest(repository, MANIFEST, manifest.to_string().into()).await?;
        Ok(())
    }

    /// The version's tag and manifest go; its bytes are collected when nothing else names them.
    ///
    /// # Errors
    /// When the registry cannot be written; one that is not there is gone already.
    pub async fn withdraw(&self, descriptor: &Descriptor) -> Result<()> {
        let repository = repository(&Series::of(descriptor))?;
        let own = tag(descriptor)?;
        let Ok(digest) = self.registry.resolve(&repository, &own).await else { return Ok(()) };
        // An image may have other descriptions: it goes when nothing names it.
        if descriptor.runnable.as_ref().is_some_and(|runnable| runnable.image.is_some()) {
            let tags = descriptor.tags.iter().map(|tag| tag.parse::<Tag>());
            for tag in tags.chain([Ok(own), LATEST.parse()]) {
                match self.registry.delete_tag(&repository, &tag?).await {
                    Err(error) if error.code != Code::ManifestUnknown => return Err(error.into()),
                    _ => {}
                }
            }
            return Ok(());
        }
        self.registry.delete_manifest(&repository, &digest).await?;
        Ok(())
    }

    fn blob(&self, repository: &Repository, media_type: &str, bytes: Bytes) -> Result<Value> {
        let size = bytes.len() as u64;
        let digest = self.wait(self.registry.put_blob(repository, bytes))?;
        Ok(layer(media_type, &digest, size, None))
    }

    /// Every byte of the tree, as layers; all of them are the repository's from here on.
    fn layers(&self, series: &Series, repository: &Repository, tree: &Tree) -> Result<Layers> {
        let small = tree.files().iter().filter(|file| file.size_bytes < SMALL_FILE);
        let packs = series.packs(tree.files().len(), small.clone().count());
        let places = match packs {
            true => self.hold_packs(repository, &small.map(|file| &file.digest).collect::<Vec<_>>())?,
            false => Places::new(),
        };
        // Whatever lies in no pack has to lie by itself, however small: registries' clients send it so.
        let (together, alone): (Vec<_>, Vec<_>) =
            tree.files().iter().partition(|file| places.contains_key(&file.digest));
        let files = alone.iter().map(|file| {
            if !self.holds(repository, &file.digest, file.size_bytes)? {
                return Err(incomplete(file));
            }
            let media_type = if series.kind == Kind::Model { part_of_model(&file.path) } else { FILE };
            Ok(layer(media_type, &file.digest, file.size_bytes, Some(&file.path)))
        });
        let files = files.collect::<Result<Vec<_>>>()?;
        let packs: BTreeSet<&Digest> = together.iter().map(|file| &places[&file.digest].0).collect();
        let packs = packs.into_iter().map(|pack| {
            let size = self.wait(self.registry.blob_size(repository, pack))?;
            Ok(layer(PACK, pack, size, None))
        });
        Ok(Layers { files, packs: packs.collect::<Result<_>>()? })
    }

    fn model_config(&self, repository: &Repository, descriptor: &Descriptor, tree: &Tree) -> Result<Value> {
        let mut model = BTreeMap::new();
        for (attribute, field) in [("format", "format"), ("architecture", "architecture"), ("precision", "precision")] {
            model.extend(descriptor.attributes.get(attribute).map(|value| (field, value)));
        }
        let digests: Vec<_> = tree.files().iter().map(|file| file.digest.to_string()).collect();
        let config = json!({
            "descriptor": {"name": descriptor.name.to_string(), "version": descriptor.id.to_string()},
            "modelfs": {"type": "layers", "diffIds": digests},
            "config": model,
        });
        self.blob(repository, MODEL_CONFIG, config.to_string().into())
    }
}

struct Layers {
    files: Vec<Value>,
    packs: Vec<Value>,
}

pub(crate) fn layer(media_type: &str, digest: &Digest, size: u64, path: Option<&str>) -> Value {
    let mut layer = json!({"mediaType": media_type, "digest": digest.to_string(), "size": size});
    if let Some(path) = path {
        layer["annotations"] = json!({FILE_PATH: path, TITLE: path});
    }
    layer
}

fn incomplete(file: &TreeFile) -> Error {
    Error::conflict("incomplete", format!("{} ({}) is not stored; push it again", file.path, file.digest))
}

/// ModelPack's word for what a file of a model is.
fn part_of_model(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase().as_str() {
        "md" | "rst" | "pdf" => "application/vnd.cncf.model.doc.v1.raw",
        "txt" if !name.eq_ignore_ascii_case("requirements.txt") => "application/vnd.cncf.model.doc.v1.raw",
        "py" | "sh" | "ipynb" | "txt" => "application/vnd.cncf.model.code.v1.raw",
        "json" | "yaml" | "yml" | "toml" | "ini" => "application/vnd.cncf.model.weight.config.v1.raw",
        "csv" | "parquet" | "jsonl" | "arrow" => "application/vnd.cncf.model.dataset.v1.raw",
        _ if name == "MLmodel" => "application/vnd.cncf.model.weight.config.v1.raw",
        _ => "application/vnd.cncf.model.weight.v1.raw",
    }
}

pub(crate) fn tag(descriptor: &Descriptor) -> Result<Tag> {
    Ok(descriptor.id.parse::<Tag>()?)
}
