//! Collecting what nothing names any more.
//!
//! A manifest is kept while a tag points at it, an index that is kept lists it, it is about one that is kept, or it is
//! young; a blob while a manifest that is kept names it, or it is young. Pushes go on meanwhile: whatever one of them
//! relies on from the moment that a collection begins is not deleted by it.

use crate::{RegistryError, Repository, Store, Tag, document::Document, error::Result};
use fuseml_domain::Digest;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use object_store::{ObjectStore as _, path::Path as Key};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, RwLock};

/// What a collection deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Collected {
    pub manifests: u64,
    pub blobs: u64,
    pub bytes: u64,
}

/// The digests that pushes relied on since a collection began; none are noted while there is none. Whoever holds the
/// lock deletes, or relies, alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Relied {
    digests: Arc<Mutex<Option<HashSet<Digest>>>>,
    /// Shared by pushes from their first look until what they name is written. Each collection begins a new one, so
    /// that it waits for who was there before, and nobody waits for it.
    pushing: Arc<Mutex<Arc<RwLock<()>>>>,
    /// Held by the one collection that runs.
    running: Arc<Mutex<()>>,
}

impl Relied {
    /// Before somebody looks whether it is there, or writes it: from here on it is not deleted.
    pub(crate) async fn on(&self, digest: &Digest) {
        if let Some(relied) = self.digests.lock().await.as_mut() {
            relied.insert(digest.clone());
        }
    }

    /// For as long as a push looks at what is there and writes what names it.
    pub(crate) async fn push(&self) -> OwnedRwLockReadGuard<()> {
        let pushing = self.pushing.lock().await.clone();
        pushing.read_owned().await
    }

    async fn begin(&self) -> Result<Collecting> {
        let running = self.running.clone().try_lock_owned();
        let running =
            running.map_err(|_| RegistryError::new(crate::Code::Unsupported, "a collection is under way already"))?;
        *self.digests.lock().await = Some(HashSet::new());
        // Who looked before is done before anything is listed; who looks from here on is noted.
        let before = std::mem::take(&mut *self.pushing.lock().await);
        drop(before.write().await);
        Ok(Collecting { digests: self.digests.clone(), _running: running })
    }
}

struct Collecting {
    digests: Arc<Mutex<Option<HashSet<Digest>>>>,
    _running: OwnedMutexGuard<()>,
}

impl Collecting {
    /// Deletes, unless somebody relies on it; answers whether it did.
    async fn delete(&self, digest: &Digest, deletion: impl Future<Output = Result<()>>) -> Result<bool> {
        let relied = self.digests.lock().await;
        if relied.as_ref().is_none_or(|relied| relied.contains(digest)) {
            return Ok(false);
        }
        deletion.await.map(|()| true)
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        // Where somebody holds it just now the digests are noted on in vain until the next collection.
        if let Ok(mut digests) = self.digests.try_lock() {
            *digests = None;
        }
    }
}

/// One repository's keys.
#[derive(Debug, Default)]
struct Found {
    /// Digest, and when it was written.
    manifests: BTreeMap<Digest, Timestamp>,
    blobs: BTreeMap<Digest, Timestamp>,
    tagged: BTreeSet<Digest>,
}

impl Store {
    /// Deletes what nothing names and was written before that time.
    ///
    /// # Errors
    /// When another collection is under way, or something cannot be read or deleted; nothing that is named is lost.
    pub async fn collect(&self, before: Timestamp) -> Result<Collected> {
        let collecting = self.relied.begin().await?;
        let mut collected = Collected::default();
        let mut named = HashSet::new();
        for (repository, found) in self.repositories().await? {
            self.sweep(&collecting, &repository, found, before, &mut collected, &mut named).await?;
        }
        for (key, digest, at, size) in self.listed("blobs").await? {
            if at < before && !named.contains(&digest) && collecting.delete(&digest, self.delete(&key)).await? {
                collected.blobs += 1;
                collected.bytes += size;
            }
        }
        Ok(collected)
    }

    /// Every object below a folder whose name is a digest.
    async fn listed(&self, folder: &str) -> Result<Vec<(Key, Digest, Timestamp, u64)>> {
        let found: Vec<_> = self
            .objects
            .list(Some(&Key::from(folder)))
            .try_collect()
            .await
            .map_err(|error| RegistryError::machine("listing", &error))?;
        let parts = found.into_iter().filter_map(|object| {
            let digest = format!("sha256:{}", object.location.filename()?).parse().ok()?;
            let at = Timestamp::from_second(object.last_modified.timestamp()).ok()?;
            Some((object.location, digest, at, object.size))
        });
        Ok(parts.collect())
    }

    /// Every tag that was written before that time, with its repository.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn tags_before(&self, before: Timestamp) -> Result<Vec<(Repository, Tag)>> {
        let listed = self.objects.list(Some(&Key::from("repositories")));
        let listed: Vec<_> = listed.try_collect().await.map_err(|error| RegistryError::machine("listing", &error))?;
        let tags = listed.iter().filter_map(|object| {
            let (repository, tag) = object.location.as_ref().strip_prefix("repositories/")?.split_once("/_tags/")?;
            let at = Timestamp::from_second(object.last_modified.timestamp()).ok()?;
            (at < before).then_some(())?;
            Some((repository.parse().ok()?, tag.parse().ok()?))
        });
        Ok(tags.collect())
    }

    async fn repositories(&self) -> Result<BTreeMap<String, Found>> {
        let mut repositories: BTreeMap<String, Found> = BTreeMap::new();
        for (key, digest, at, _) in self.listed("repositories").await? {
            let path = key.as_ref().trim_start_matches("repositories/");
            for (folder, is_manifest) in [("/_manifests/", true), ("/_blobs/", false)] {
                if let Some((repository, _)) = path.split_once(folder) {
                    let found = repositories.entry(repository.to_owned()).or_default();
                    let list = if is_manifest { &mut found.manifests } else { &mut found.blobs };
                    list.insert(digest.clone(), at);
                }
            }
        }
        for (name, found) in &mut repositories {
            let repository: Repository = name.parse()?;
            for tag in self.names(&Self::folder(&repository, "tags")).await? {
                let tag: Tag = tag.parse()?;
                found.tagged.insert(self.resolve(&repository, &tag).await?);
            }
        }
        Ok(repositories)
    }

    /// Forgets one repository's unnamed manifests and blobs; notes what it still names.
    async fn sweep(
        &self,
        collecting: &Collecting,
        repository: &str,
        found: Found,
        before: Timestamp,
        collected: &mut Collected,
        named: &mut HashSet<Digest>,
    ) -> Result<()> {
        let repository: Repository = repository.parse()?;
        let mut documents = BTreeMap::new();
        for digest in found.manifests.keys() {
            let manifest = self.manifest(&repository, digest).await?;
            documents.insert(digest.clone(), Document::read(&manifest.media_type, &manifest.bytes)?);
        }
        let kept = kept(&documents, &found, before);
        for (digest, document) in &documents {
            let gone =
                !kept.contains(digest) && collecting.delete(digest, self.delete_manifest(&repository, digest)).await?;
            if gone {
                collected.manifests += 1;
            } else {
                named.insert(digest.clone());
                named.extend(document.blobs());
            }
        }
        for (digest, at) in found.blobs {
            let link = Self::key(&repository, "blobs", digest.hex());
            let own = named.contains(&digest) || at >= before;
            if own || !collecting.delete(&digest, self.delete(&link)).await? {
                named.insert(digest);
            }
        }
        Ok(())
    }
}

/// The manifests that stay.
fn kept(documents: &BTreeMap<Digest, Document>, found: &Found, before: Timestamp) -> HashSet<Digest> {
    let young = found.manifests.iter().filter(|(_, at)| **at >= before).map(|(digest, _)| digest.clone());
    let mut kept: HashSet<Digest> = found.tagged.iter().cloned().chain(young).collect();
    loop {
        let count = kept.len();
        for (digest, document) in documents {
            if kept.contains(digest) {
                kept.extend(document.listed());
            } else if document.about().is_some_and(|subject| kept.contains(&subject)) {
                kept.insert(digest.clone());
            }
        }
        if kept.len() == count {
            return kept;
        }
    }
}
