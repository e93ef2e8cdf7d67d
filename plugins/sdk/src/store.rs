//! Artifact stores adapt a tool that keeps artifacts.

use crate::bindings::store::exports::fuseml::artifact_store::store::Guest;
use crate::{Descriptor, Error, Page, Result};

pub use crate::bindings::store::exports::fuseml::artifact_store::store::{
    Change, Condition, Contents, Draft, File, Info, Pattern, Query, Results,
};

/// All that a tool may lack: the operations of a store that lacks nothing.
pub const EVERY_OPERATION: [&str; 4] = ["register", "update-labels", "update-tags", "delete"];

/// What an artifact store component does. Export it with
/// [`export_artifact_store!`](crate::export_artifact_store). Every function may be repeated by the host after
/// a failure and must then change nothing twice.
pub trait ArtifactStore: Sized {
    /// A fresh store for one call: the place to read settings.
    fn new() -> Result<Self>;
    /// What it keeps and how; needs no instance because it does not depend on settings.
    fn describe() -> Info;
    /// Can the configured tool be reached, with these credentials? The message says what is wrong.
    fn health(&self) -> Result<()> {
        Ok(())
    }
    /// A new version whose contents already lie where the tool can reach them.
    fn register(&self, _draft: Draft) -> Result<Descriptor> {
        Err(read_only("register"))
    }
    /// One version by the store's own id.
    fn get(&self, id: String) -> Result<Descriptor>;
    /// One page of versions; conditions that the tool cannot apply go to `unapplied`.
    fn search(&self, query: Query, page: Page) -> Result<Results>;
    /// Changes labels and tags, and nothing else.
    fn update(&self, _id: String, _change: Change) -> Result<Descriptor> {
        Err(read_only("update"))
    }
    /// Forgets a version; one that is gone already is no error.
    fn delete(&self, _id: String) -> Result<()> {
        Err(read_only("delete"))
    }
    /// Where the contents lie and how to reach them.
    fn locate(&self, id: String) -> Result<Contents>;
}

fn read_only(what: &str) -> Error {
    Error::unsupported("read-only-store", format!("this artifact store cannot {what}: it only reads from its tool"))
}

/// Makes the exports of the world out of an [`ArtifactStore`].
#[doc(hidden)]
pub struct Exported<T>(std::marker::PhantomData<T>);

impl<T: ArtifactStore> Exported<T> {
    fn instance() -> Result<T> {
        #[cfg(target_arch = "wasm32")]
        crate::panic::log_panics();
        T::new()
    }
}

impl<T: ArtifactStore> Guest for Exported<T> {
    fn describe() -> Result<Info> {
        #[cfg(target_arch = "wasm32")]
        crate::panic::log_panics();
        Ok(T::describe())
    }
    fn health() -> Result<()> {
        Self::instance()?.health()
    }
    fn register(draft: Draft) -> Result<Descriptor> {
        Self::instance()?.register(draft)
    }
    fn get(id: String) -> Result<Descriptor> {
        Self::instance()?.get(id)
    }
    fn search(query: Query, page: Page) -> Result<Results> {
        Self::instance()?.search(query, page)
    }
    fn update(id: String, change: Change) -> Result<Descriptor> {
        Self::instance()?.update(id, change)
    }
    fn delete(id: String) -> Result<()> {
        Self::instance()?.delete(id)
    }
    fn locate(id: String) -> Result<Contents> {
        Self::instance()?.locate(id)
    }
}

/// Makes this crate a component of the world `fuseml:artifact-store/artifact-store`.
#[macro_export]
macro_rules! export_artifact_store {
    ($store:ty) => {
        const _: fn() -> $crate::Result<$store> = <$store as $crate::ArtifactStore>::new;
        // Native builds have tests instead of exports, and no linker there takes a component's symbol names.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::store::Exported<$store>;
    $crate::macros::store::export_store_world!(Exported with_types_in $crate::macros::store);
        };
    };
}
