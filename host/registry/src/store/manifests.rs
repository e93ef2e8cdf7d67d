//! Manifests: kept once what they name is there, found by digest and tag, listed by what they are about.

use super::{Referrer, Store, StoredManifest};
use crate::{
    Code, RegistryError, Repository, Tag,
    document::{Document, referrer},
    error::Result,
};
use bytes::Bytes;
use fuseml_domain::Digest;
use object_store::{ObjectStoreExt as _, PutMode, PutPayload};

impl Store {
    /// A manifest by its digest.
    ///
    /// # Errors
    /// `ManifestUnknown`.
    pub async fn manifest(&self, repository: &Repository, digest: &Digest) -> Result<StoredManifest> {
        let unknown = || RegistryError::new(Code::ManifestUnknown, format!("{repository} has no manifest {digest}"));
        let media_type = self.text(&Self::key(repository, "manifests", digest.hex())).await?.ok_or_else(unknown)?;
        let bytes = match self.objects.get(&Self::blob_key(digest)).await {
            Ok(found) => found.bytes().await.map_err(|error| RegistryError::machine("reading", &error))?,
            Err(object_store::Error::NotFound { .. }) => return Err(unknown()),
            Err(error) => return Err(RegistryError::machine("reading", &error)),
        };
        Ok(StoredManifest { digest: digest.clone(), media_type, bytes })
    }

    /// What a tag points at.
    ///
    /// # Errors
    /// `ManifestUnknown`.
    pub async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Digest> {
        let unknown = || RegistryError::new(Code::ManifestUnknown, format!("{repository} has no tag `{tag}`"));
        let text = self.text(&Self::key(repository, "tags", tag.as_str())).await?.ok_or_else(unknown)?;
        crate::name::digest(&text)
    }

    /// Keeps a manifest whose blobs are all there. Answers what it is about, if it is about another one.
    ///
    /// # Errors
    /// `ManifestInvalid` or `ManifestBlobUnknown`.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(Digest, Option<Digest>)> {
        let document = Document::read(media_type, &bytes)?;
        let _push = self.relied.push().await;
        let relied: Vec<Digest> = document.blobs().chain(document.listed()).collect();
        for digest in &relied {
            self.relied.on(digest).await;
        }
        for blob in document.config.iter().chain(&document.layers).filter(|blob| blob.urls().is_none()) {
            let digest = crate::name::digest(blob.digest().as_ref())?;
            match self.blob_size(repository, &digest).await {
                Ok(size) if size == blob.size() => {}
                Ok(size) => {
                    let message = format!("the manifest says that {digest} has {} bytes; it has {size}", blob.size());
                    return Err(RegistryError::new(Code::ManifestInvalid, message));
                }
                Err(error) if error.code == Code::BlobUnknown => {
                    return Err(RegistryError::new(Code::ManifestBlobUnknown, error.message));
                }
                Err(error) => return Err(error),
            }
        }
        for manifest in &document.manifests {
            let digest = crate::name::digest(manifest.digest().as_ref())?;
            if !self.has(&Self::key(repository, "manifests", digest.hex())).await? {
                let message = format!("{repository} has no manifest {digest}, which the index names");
                return Err(RegistryError::new(Code::ManifestBlobUnknown, message));
            }
        }
        let digest = Digest::of(&bytes);
        self.relied.on(&digest).await;
        let size = bytes.len() as u64;
        self.put(&Self::blob_key(&digest), bytes).await?;
        let subject = document.subject.as_ref().map(|subject| crate::name::digest(subject.digest().as_ref()));
        let subject = subject.transpose()?;
        // From here on the manifest is found, and only then listed.
        self.put(&Self::key(repository, "manifests", digest.hex()), media_type.to_owned()).await?;
        if let Some(subject) = &subject {
            let descriptor = referrer(&digest, size, media_type, &document)?;
            let name = format!("{}/{}", subject.hex(), digest.hex());
            self.put(&Self::key(repository, "referrers", &name), descriptor).await?;
        }
        Ok((digest, subject))
    }

    /// Points a tag at a manifest that is there, with all that it lists.
    ///
    /// # Errors
    /// `ManifestUnknown`; `Denied` when the tag is fixed and points elsewhere.
    pub async fn tag(&self, repository: &Repository, tag: &Tag, digest: &Digest, fixed: bool) -> Result<()> {
        let _push = self.relied.push().await;
        self.rely_on_manifest(repository, digest).await?;
        let key = Self::key(repository, "tags", tag.as_str());
        let text = PutPayload::from(digest.to_string());
        if !fixed {
            return self.put(&key, text).await;
        }
        match self.objects.put_opts(&key, text, PutMode::Create.into()).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => match self.resolve(repository, tag).await? {
                there if there == *digest => Ok(()),
                there => {
                    let message = format!("{repository}:{tag} is {there} and never becomes anything else");
                    Err(RegistryError::new(Code::Denied, message))
                }
            },
            Err(error) => Err(RegistryError::machine("writing a tag", &error)),
        }
    }

    /// A manifest, what it lists and what is about it stay from here on, if they are there.
    async fn rely_on_manifest(&self, repository: &Repository, digest: &Digest) -> Result<()> {
        self.relied.on(digest).await;
        let manifest = self.manifest(repository, digest).await?;
        for listed in Document::read(&manifest.media_type, &manifest.bytes)?.listed() {
            self.relied.on(&listed).await;
            if !self.has(&Self::key(repository, "manifests", listed.hex())).await? {
                let message = format!("{repository} has no manifest {listed} any more, which {digest} lists");
                return Err(RegistryError::new(Code::ManifestUnknown, message));
            }
        }
        for about in self.names(&Self::folder(repository, &format!("referrers/{}", digest.hex()))).await? {
            self.relied.on(&crate::name::digest(&format!("sha256:{about}"))?).await;
        }
        Ok(())
    }

    /// The repository's tags in order, after `last`, at most `most`; and whether there are more.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn tags(&self, repository: &Repository, last: Option<&str>, most: usize) -> Result<(Vec<String>, bool)> {
        let mut names = self.names(&Self::folder(repository, "tags")).await?;
        names.sort_unstable();
        let mut after = names.into_iter().filter(|name| last.is_none_or(|last| name.as_str() > last));
        let page: Vec<String> = after.by_ref().take(most).collect();
        Ok((page, after.next().is_some()))
    }

    /// Everything that says it is about a manifest, whether that is there or not.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Referrer>> {
        let folder = Self::folder(repository, &format!("referrers/{}", subject.hex()));
        let mut names = self.names(&folder).await?;
        names.sort_unstable();
        let mut referrers = Vec::new();
        for name in names {
            // It may be listed by an older server that died before it had the manifest.
            if !self.has(&Self::key(repository, "manifests", &name)).await? {
                continue;
            }
            let key = Self::key(repository, "referrers", &format!("{}/{name}", subject.hex()));
            let descriptor = self.text(&key).await?.and_then(|text| serde_json::from_str(&text).ok());
            referrers.extend(descriptor.map(|descriptor| Referrer { descriptor }));
        }
        Ok(referrers)
    }

    /// Forgets a manifest with its tags.
    ///
    /// # Errors
    /// `ManifestUnknown`.
    pub async fn delete_manifest(&self, repository: &Repository, digest: &Digest) -> Result<()> {
        let manifest = self.manifest(repository, digest).await?;
        for tag in self.names(&Self::folder(repository, "tags")).await? {
            let tag: Tag = tag.parse()?;
            if self.resolve(repository, &tag).await.is_ok_and(|there| there == *digest) {
                self.delete_tag(repository, &tag).await?;
            }
        }
        if let Some(subject) = Document::read(&manifest.media_type, &manifest.bytes)?.about() {
            let name = format!("{}/{}", subject.hex(), digest.hex());
            self.delete(&Self::key(repository, "referrers", &name)).await?;
        }
        self.delete(&Self::key(repository, "manifests", digest.hex())).await
    }

    /// Forgets a tag.
    ///
    /// # Errors
    /// `ManifestUnknown`.
    pub async fn delete_tag(&self, repository: &Repository, tag: &Tag) -> Result<()> {
        self.resolve(repository, tag).await?;
        self.delete(&Self::key(repository, "tags", tag.as_str())).await
    }
}
