//! The built-in runtime agent: workloads as processes of this machine.
//!
//! A workload is a folder and a supervisor. The supervisor is a process of its own: it outlives the server, starts
//! the workload at most once however often it is asked to, ends the whole process tree, and writes down how it
//! ended. The agent only reads and writes folders, so a server that was replaced knows all that the one before
//! it knew.

mod agent;
mod environment;
mod folder;
mod process_tree;
mod readiness;
mod supervisor;

pub use agent::{ProcessAgent, ProcessAgentConfig, SupervisorCommand};
pub use supervisor::supervise;
