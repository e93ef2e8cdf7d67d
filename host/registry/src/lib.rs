//! An OCI registry: blobs, manifests, tags and referrers behind the distribution 1.1 protocol.
//!
//! Contents lie on a local disk or in an object store (S3 by URL); both hold the same keys, so one can be copied to
//! the other. Everything but a tag is immutable and named by its digest, so whatever is interrupted leaves at most
//! bytes that nothing refers to. Who may do what is the [`Access`] of whoever runs the registry.

mod access;
mod collect;
mod document;
mod error;
mod name;
mod route;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod upload;

pub use access::{Access, Action, Refusal};
pub use collect::Collected;
pub use error::{Code, RegistryError};
pub use name::{Repository, Tag};
pub use route::router;
pub use store::{Referrer, Store, StoredManifest, Stream};

/// Largest manifest or index that is taken, in bytes (the distribution specification asks for 4 MiB at least).
pub const MOST_MANIFEST: usize = 4 << 20;
