//! The capabilities, one module each: a thin and documented face over the generated imports.
//!
//! `imports` is the one place that knows whether a real host or the fake of a native test answers.

pub mod clock;
pub mod configuration;
pub mod files;
pub mod http;
pub mod log;
pub mod random;
pub mod state;

/// The raw imports: the host's on wasm, the thread's fake elsewhere.
mod imports {
    #[cfg(target_arch = "wasm32")]
    pub(super) use crate::bindings::host::fuseml::{
        clock::clock, configuration::configuration, files::files, http::http, logging::logging, random::random,
        state::state,
    };
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) use crate::fake::imports::*;
}
