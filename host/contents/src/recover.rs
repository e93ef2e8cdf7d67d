//! What a registry alone says of the artifacts in it (S112): descriptors, tags, and where small files lie.

use crate::{
    disk::blocking,
    form::{DESCRIPTOR, PACK},
    pack::{read_pack, skim},
    store::TreeStore,
};
use fuseml_domain::{Descriptor, Digest, Error, Result, Series};
use fuseml_registry::{Code, Repository, Tag};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::HashSet;

/// A descriptor has at most this many bytes.
const MOST_DESCRIPTOR: u64 = 4 << 20;

/// What a tag of the registry is.
#[derive(Debug)]
pub enum Tagged {
    /// A version's own, with what was known of it at registration.
    Version(Box<Descriptor>),
    /// One that people move, and where it points.
    Tag(Digest),
    /// Neither; or what it says of itself is not what it is.
    Other(String),
}

impl TreeStore {
    /// Every tag of the registry.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn all_tags(&self) -> Result<Vec<(Repository, Tag)>> {
        Ok(self.registry.tags_before(Timestamp::MAX).await?)
    }

    /// What a tag says.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn tagged(&self, repository: &Repository, tag: &Tag) -> Result<Tagged> {
        let digest = self.registry.resolve(repository, tag).await?;
        if !(tag.as_str().len() == 64 && tag.as_str().bytes().all(|byte| byte.is_ascii_hexdigit())) {
            return Ok(Tagged::Tag(digest));
        }
        for descriptor in self.descriptors(repository, &digest).await? {
            if *descriptor.id == *tag.as_str() && Series::of(&descriptor).repository() == repository.as_str() {
                return Ok(Tagged::Version(Box::new(descriptor)));
            }
        }
        Ok(Tagged::Other("nothing there says what it is".to_owned()))
    }

    /// Descriptors in a manifest or beside it; what cannot be read is none.
    async fn descriptors(&self, repository: &Repository, digest: &Digest) -> Result<Vec<Descriptor>> {
        let mut places = Vec::new();
        let manifest = self.manifest_json(repository, digest).await?;
        if manifest["artifactType"] == DESCRIPTOR {
            places.push(manifest["config"]["digest"].clone());
        }
        for referrer in self.registry.referrers(repository, digest).await? {
            let kind = referrer.descriptor.artifact_type().as_ref().map(ToString::to_string);
            if kind.as_deref() == Some(DESCRIPTOR) {
                let about = self.manifest_json(repository, &referrer.descriptor.digest().to_string().parse()?).await?;
                places.push(about["layers"][0]["digest"].clone());
            }
        }
        let mut found = Vec::new();
        for place in places {
            let Some(place) = place.as_str().and_then(|text| text.parse::<Digest>().ok()) else { continue };
            match self.registry.blob(repository, &place, MOST_DESCRIPTOR).await {
                Ok(bytes) => found.extend(serde_json::from_slice(&bytes).ok()),
                Err(error) if matches!(error.code, Code::BlobUnknown | Code::SizeInvalid) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    async fn manifest_json(&self, repository: &Repository, digest: &Digest) -> Result<Value> {
        let manifest = self.registry.manifest(repository, digest).await?;
        serde_json::from_slice(&manifest.bytes).map_err(|error| Error::internal("manifest", error.to_string()))
    }

    /// The manifest that a tag points at.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Digest> {
        Ok(self.registry.resolve(repository, tag).await?)
    }

    /// The packs that are indexed.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn known_packs(&self) -> Result<HashSet<Digest>> {
        Ok(self.index.packs().await?.into_iter().collect())
    }

    /// Reads the packs of a published version again, but for those that are known, and notes where in them its small files lie.
    ///
    /// # Errors
    /// When one of them is not what its name says.
    pub async fn index_packs(&self, descriptor: &Descriptor, known: &mut HashSet<Digest>) -> Result<()> {
        let repository: Repository = Series::of(descriptor).repository().parse()?;
        let Some(digest) = self.manifest_of(descriptor).await? else { return Ok(()) };
        let manifest = self.manifest_json(&repository, &digest).await?;
        for layer in manifest["layers"].as_array().into_iter().flatten().filter(|layer| layer["mediaType"] == PACK) {
            let pack: Digest = layer["digest"].as_str().unwrap_or_default().parse()?;
            if known.contains(&pack) {
                continue;
            }
            let folder = tempfile::tempdir_in(&self.incoming).map_err(|error| Error::io("a folder", &error))?;
            let place = folder.path().join("pack");
            self.registry.save_blob(&repository, &pack, &place).await?;
            let files = blocking(move || {
                let file = std::fs::File::open(&place).map_err(|error| Error::io("a pack", &error))?;
                read_pack(std::io::BufReader::new(file), |_, _, reader| skim(reader))
            })
            .await?;
            self.index.add(&pack, &files).await?;
            known.insert(pack);
        }
        Ok(())
    }
}
