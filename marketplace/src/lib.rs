//! Packages of extensions as OCI artifacts.
//!
//! A package is an image index of FuseML's own artifact type. It lists one plain wasm manifest a component, which
//! `wkg`, `oras` and `skopeo` understand unchanged, and one manifest with everything else, a file a layer. In a
//! folder it is an OCI image layout.
//!
//! Promises: the same files give the same bytes, whatever their times, owners and order on disk; what is read is
//! verified against its digest before it is used; nothing of a package can be written outside the target folder.

mod blobs;
mod format;
mod read;
mod write;

pub use format::{COMPONENT, EXTENSION, FILES, MANIFEST};
pub use read::{is_layout, read};
pub use write::{Packaged, write};
