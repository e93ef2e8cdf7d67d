//! What a component can do beyond computing: one module a capability, each with its check and its
//! implementation, none of which knows a version of the contract. The bindings of a version convert values
//! and call in here, so that an old version cannot go round a check.

pub(crate) mod artifact_events;
pub(crate) mod clock;
pub(crate) mod configuration;
pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod logging;
pub(crate) mod random;
pub(crate) mod reveal;
pub(crate) mod state;
pub(crate) mod wasi;
