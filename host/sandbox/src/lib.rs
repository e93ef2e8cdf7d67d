//! The component host: extensions run here, each call on a fresh instance, with what was granted to it and
//! nothing else.
//!
//! The crate promises that a component which traps, loops, allocates without end, answers nonsense or is
//! hostile costs its caller an error that names the limit, and nobody else anything. It keeps compiled code on
//! disk, compiles only in child processes, and knows no tool.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod adapter;
mod api;
#[cfg(feature = "bench")]
mod bench;
mod breaker;
mod cache;
mod call;
mod capability;
mod command;
mod compile;
mod engine;
mod failure;
mod growth;
mod inspect;
mod instance;
mod limits;
mod meter;
mod printer;
mod receipt;
mod run;
mod sandbox;
mod tape;

pub use capability::http::{Client as HttpClient, Response as HttpResponse};
pub use command::Commands;
pub use compile::{CompilerCommand, compiler_main};
pub use instance::{InstanceContext, Live, LogLevel, LogLine, LogSink, ReceiptSink};
pub use limits::{BreakerLimits, Limits, MAX_MEMORY};
pub use receipt::{Outcome, Receipt, Refusal};
pub use sandbox::{LoadedComponent, Sandbox, SandboxConfig};
pub use tape::{HostCall, Replayed, Tape};
