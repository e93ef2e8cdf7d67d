//! Runtime agents built into FuseML.
//!
//! [`ProcessAgent`] runs workloads as processes of this machine. What it promises:
//!
//! - a workload is started once, however often it is submitted and wherever the server is killed meanwhile;
//! - workloads outlive the server: a new agent over the same folder takes them up again;
//! - when a workload has ended, for whatever reason, none of its processes is left, daemons included;
//! - nothing of the server's environment reaches a workload.
//!
//! What has an image runs in a container of podman, which is a process like others.
//!
//! What it does not do: keep workloads from one another or from the machine. They run as the server's own user.
//!
//! [`WasmAgent`] runs components in the server's sandbox. They reach nothing but their own folder and their inputs, so
//! one that a server's end interrupted is run again from the beginning.
//!
//! [`EnginesAgent`] runs workloads on the engines of extensions, where a worker does them. [`Agents`] is all as one.

mod agents;
mod engines;
mod machine;
mod place;
mod process;
mod quota;
mod sdk;
mod wasm;

pub use agents::Agents;
pub use engines::{Ending, EnginesAgent, Order, WORKER};
pub use machine::this_machine;
pub use process::{OwnRegistry, ProcessAgent, ProcessAgentConfig, SupervisorCommand, launch, supervise};
pub use sdk::write_python_sdk;
pub use wasm::{WasmAgent, WasmAgentConfig};
