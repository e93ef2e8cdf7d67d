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

/// Says what happened in the tool (S88, S95). Export it beside the store with [`export_feed!`](crate::export_feed):
/// `fuseml store sync` then asks for changes instead of looking through everything.
pub trait Feed: ArtifactStore {
    /// What happened since the cursor of an answer before; everything that is there without one.
    fn changes(&self, cursor: Option<String>) -> Result<Batch>;
}

/// Knows the tool's own pages (S101). Export it beside the store with
/// [`export_redirect!`](crate::export_redirect).
pub trait Redirect: ArtifactStore {
    /// Where a person sees this version, on a host that the instance is granted.
    fn page_of(&self, id: String) -> Result<String>;
}

/// Removes contents that nothing refers to (S90). Export it beside the store with
/// [`export_maintenance!`](crate::export_maintenance).
pub trait Maintenance: ArtifactStore {
    /// A portion of them; a dry run only counts.
    fn collect_garbage(&self, cursor: Option<String>, dry_run: bool) -> Result<Report>;
}

pub use crate::bindings::feed::exports::fuseml::artifact_store::feed::{Batch, Event, EventKind};
pub use crate::bindings::maintenance::exports::fuseml::artifact_store::maintenance::Report;

impl<T: Feed> crate::bindings::feed::exports::fuseml::artifact_store::feed::Guest for Exported<T> {
    fn changes(cursor: Option<String>) -> Result<Batch> {
        Self::instance()?.changes(cursor)
    }
}

impl<T: Redirect> crate::bindings::redirect::exports::fuseml::artifact_store::redirect::Guest for Exported<T> {
    fn page_of(id: String) -> Result<String> {
        Self::instance()?.page_of(id)
    }
}

impl<T: Maintenance> crate::bindings::maintenance::exports::fuseml::artifact_store::maintenance::Guest for Exported<T> {
    fn collect_garbage(cursor: Option<String>, dry_run: bool) -> Result<Report> {
        Self::instance()?.collect_garbage(cursor, dry_run)
    }
}

/// Exports a store's [`Feed`](crate::Feed) too.
#[macro_export]
macro_rules! export_feed {
    ($store:ty) => {
        const _: fn(&$store) = |store| {
            fn is<T: $crate::Feed>(_: &T) {}
            is(store);
        };
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::store::Exported<$store>;
    $crate::macros::feed::export_feed_world!(Exported with_types_in $crate::macros::feed);
        };
    };
}

/// Exports a store's [`Redirect`](crate::Redirect) too.
#[macro_export]
macro_rules! export_redirect {
    ($store:ty) => {
        const _: fn(&$store) = |store| {
            fn is<T: $crate::Redirect>(_: &T) {}
            is(store);
        };
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::store::Exported<$store>;
    $crate::macros::redirect::export_redirect_world!(Exported with_types_in $crate::macros::redirect);
        };
    };
}

/// Exports a store's [`Maintenance`](crate::Maintenance) too.
#[macro_export]
macro_rules! export_maintenance {
    ($store:ty) => {
        const _: fn(&$store) = |store| {
            fn is<T: $crate::Maintenance>(_: &T) {}
            is(store);
        };
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::store::Exported<$store>;
    $crate::macros::maintenance::export_maintenance_world!(Exported with_types_in $crate::macros::maintenance);
        };
    };
}
