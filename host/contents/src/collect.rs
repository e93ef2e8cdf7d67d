//! Collecting what no artifact names.

use crate::store::{TreeStore, repository};
use fuseml_domain::{Descriptor, Result, Series};
use fuseml_registry::{Collected, Repository, Tag};
use jiff::Timestamp;

impl TreeStore {
    /// Whether the artifact's contents are named in the registry, so that they are not collected.
    ///
    /// # Errors
    /// When nobody can tell.
    pub async fn is_published(&self, descriptor: &Descriptor) -> Result<bool> {
        let repository = repository(&Series::of(descriptor))?;
        match self.registry.resolve(&repository, &descriptor.id.parse()?).await {
            Ok(_) => Ok(true),
            Err(error) if error.code == fuseml_registry::Code::ManifestUnknown => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Every tag of the registry, with its repository, that was written before that time.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn tags_before(&self, before: Timestamp) -> Result<Vec<(Repository, Tag)>> {
        Ok(self.registry.tags_before(before).await?)
    }

    /// The tag goes; its manifest is collected when nothing else leads to it.
    ///
    /// # Errors
    /// When the registry cannot be written.
    pub async fn forget_tag(&self, repository: &Repository, tag: &Tag) -> Result<()> {
        Ok(self.registry.delete_tag(repository, tag).await?)
    }

    /// Deletes what was stored before that time and is in no published tree.
    ///
    /// # Errors
    /// When another collection is under way, or something cannot be read or deleted; nothing that is named is lost.
    pub async fn collect(&self, before: Timestamp) -> Result<Collected> {
        let collected = self.registry.collect(before).await?;
        for pack in self.index.packs().await? {
            if self.registry.size_anywhere(&pack).await?.is_none() {
                self.index.remove(&pack).await?;
            }
        }
        Ok(collected)
    }
}
