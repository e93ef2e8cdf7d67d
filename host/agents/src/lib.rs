//! Runtime agents built into FuseML.
//!
//! [`ProcessAgent`] runs workloads as processes of this machine. What it promises:
//!
//! - a workload is started once, however often it is submitted and wherever the server is killed meanwhile;
//! - workloads outlive the server: a new agent over the same folder takes them up again;
//! - when a workload has ended, for whatever reason, none of its processes is left, daemons included;
//! - nothing of the server's environment reaches a workload.
//!
//! What it does not do: keep workloads from one another or from the machine. They run as the server's own user.

mod process;

pub use process::{ProcessAgent, ProcessAgentConfig, SupervisorCommand, supervise};
