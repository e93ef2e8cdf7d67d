//! Packages of extensions as OCI artifacts.
//!
//! A package is an image index of FuseML's own artifact type. It lists one plain wasm manifest a component, which
//! `wkg`, `oras` and `skopeo` understand unchanged, and one manifest with everything else, a file a layer. In a
//! folder it is an OCI image layout.
//!
//! Promises: the same files give the same bytes, whatever their times, owners and order on disk; what is read is
//! verified against its digest before it is used; nothing of a package can be written outside the target folder.

mod advisory;
mod attestation;
mod blobs;
mod bundle;
mod carried;
mod deprecation;
mod format;
mod key;
mod log;
mod metadata;
mod read;
mod remote;
mod signed;
mod solve;
mod write;

pub use advisory::{Advisory, Severity, Vulnerability};
pub use attestation::{Envelope, SIGNATURE, STATUS, Statement, TEST_RESULT};
pub use bundle::{BUNDLE, bundle, envelope, referrer};
pub use carried::{Carried, export};
pub use deprecation::Deprecation;
pub use format::{COMPONENT, EXTENSION, FILES, MANIFEST};
pub use key::{KeyId, PublicKey, SigningKey};
pub use log::{Checkpoint, Entry, Event, Log};
pub use metadata::{
    FIELD, Freshness, KeyState, NamespaceFacts, NamespaceIndex, NamespaceKey, Published, Status, StatusChange, target,
};
pub use read::{is_layout, read};
pub use remote::{Remote, Transfer};
pub use signed::{package_digest, sign, signatures, signers};
pub use write::{Packaged, write};
