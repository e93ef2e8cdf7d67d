//! Write FuseML extensions in Rust.
//!
//! An extension is one or more components. Each implements one trait of this crate ([`Builder`],
//! [`ArtifactStore`] or [`RuntimeAgent`]) and names it once to the matching macro:
//!
//! ```
//! use fuseml_extension::{Builder, Result, builder::*, export_builder, files};
//!
//! struct Mine;
//!
//! impl Builder for Mine {
//!     fn new() -> Result<Self> {
//!         Ok(Mine)
//!     }
//!     fn detect(&self) -> Result<Match> {
//!         let found = files::exists("recipe.txt")?;
//!         Ok(if found { Match::certain("recipe.txt") } else { Match::no("there is no recipe.txt") })
//!     }
//!     fn plan(&self, _: Codeset, _: Option<Previous>) -> Result<BuildPlan> {
//!         Err(fuseml_extension::Error::unsupported("no-plan", "this example plans nothing"))
//!     }
//! }
//!
//! export_builder!(Mine);
//! # fn main() {}
//! ```
//!
//! The host makes a fresh instance for each call: nothing is kept between two calls except what goes through
//! [`state`]. What a component can reach is what its world imports *and* its instance was granted; each
//! module here ([`http`], [`files`], [`configuration`], …) is one such capability. There is no other I/O: no
//! file system, environment, thread or clock of the standard library.
//!
//! In a plain `cargo test` the same functions talk to the [`fake`] host of the running thread.

mod bindings;
mod error;
#[cfg(not(target_arch = "wasm32"))]
pub mod fake;
mod host;
#[cfg(target_arch = "wasm32")]
mod panic;

pub mod agent;
pub mod builder;
pub mod store;

pub use agent::RuntimeAgent;
pub use bindings::host::fuseml::types::types::{
    Address, Attributes, Credential, Descriptor, Digest, Error, ErrorKind, Location, Page, Timestamp,
};
pub use builder::Builder;
pub use host::{artifact_events, clock, configuration, files, http, log, random, reveal, state};
pub use store::{ArtifactStore, Feed, Maintenance, Redirect};

/// What every fallible function of an extension answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// For the export macros only.
#[doc(hidden)]
pub mod macros {
    pub use crate::bindings::{agent, builder, feed, maintenance, redirect, store};
}
