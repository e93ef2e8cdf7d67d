//! Collecting what no artifact names.

use crate::store::{TreeStore, repository};
use fuseml_domain::{Descriptor, Result, Series};
use fuseml_registry::Collected;
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
