//! The catalog and the codesets as they would be if a codeset had been pushed: what a plan of that push looks into.

use crate::layer::Layer;
use async_trait::async_trait;
use fuseml_domain::{
    Address, Descriptor, Name, Result, Selector,
    port::{Catalog, CodesetFiles, Codesets},
};
use std::sync::Arc;

/// One codeset more in the catalog, the newest of all.
pub(crate) struct Foreseen(pub(crate) Descriptor);

/// The codesets with one version more, whose files are elsewhere.
pub(crate) struct ForeseenCodesets {
    pub(crate) codesets: Arc<dyn Codesets>,
    pub(crate) unpushed: Arc<dyn Codesets>,
    pub(crate) codeset: Address,
}

#[async_trait]
impl Codesets for ForeseenCodesets {
    async fn files(&self, codeset: &Descriptor) -> Result<Arc<dyn CodesetFiles>> {
        let has = if codeset.address == self.codeset { &self.unpushed } else { &self.codesets };
        has.files(codeset).await
    }

    async fn changed_files(&self, from: &Descriptor, to: &Descriptor) -> Result<Vec<String>> {
        let has = if [&from.address, &to.address].contains(&&self.codeset) { &self.unpushed } else { &self.codesets };
        has.changed_files(from, to).await
    }
}

impl Foreseen {
    /// Whether an address means the codeset: this version of it, or its newest.
    fn is_meant(&self, address: &Address) -> bool {
        let is_newest = address.version.is_none() && address.tag.is_none();
        let newest = Address { version: None, tag: None, ..self.0.address.clone() };
        *address == self.0.address || is_newest && *address == newest
    }
}

#[async_trait]
impl Layer for Foreseen {
    async fn artifact(&self, catalog: &dyn Catalog, address: &Address) -> Result<Descriptor> {
        if self.is_meant(address) {
            return Ok(self.0.clone());
        }
        catalog.artifact(address).await
    }

    async fn newest(&self, catalog: &dyn Catalog, project: &Name, selector: &Selector) -> Result<Option<Descriptor>> {
        if project == self.0.project() && selector.matches(&self.0) {
            return Ok(Some(self.0.clone()));
        }
        catalog.newest(project, selector).await
    }
}
