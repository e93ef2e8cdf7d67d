//! The capabilities, one module each: a thin and documented face over the generated imports.
//!
//! `imports` is the one place that knows whether a real host or the fake of a native test answers.

pub mod artifact_events;
pub mod clock;
pub mod configuration;
pub mod files;
pub mod http;
pub mod log;
pub mod random;
pub mod reveal;
pub mod state;

/// The raw imports: the host's on wasm, the thread's fake elsewhere.
mod imports {
    #[cfg(target_arch = "wasm32")]
    pub(super) use crate::bindings::host::fuseml::{
        artifact_events::artifact_events, clock::clock, configuration::configuration, files::files, http::http,
        logging::logging, random::random, reveal::reveal, state::state,
    };
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) use crate::fake::imports::*;
}
