//! Workloads as processes.
//!
//! The *agent* (in the server) prepares a folder for each workload and has a *supervisor* started beside it: a small
//! process of its own that runs the workload, watches it and writes down how it ended. The two speak through
//! the folder alone ([`folder`]), so either may die: the folder and the lock that the supervisor holds say what
//! is true.

mod agent;
mod build;
mod container;
mod environment;
pub(crate) mod folder;
mod launcher;
mod limits;
pub(crate) mod log;
pub(crate) mod outputs;
mod probe;
mod procfs;
mod runner;
mod service;
mod spec;
pub(crate) mod staging;
mod supervision;
mod supervisor;

pub use agent::{ProcessAgent, ProcessAgentConfig, SupervisorCommand};
pub use container::OwnRegistry;
pub use launcher::launch;
pub use supervisor::supervise;
