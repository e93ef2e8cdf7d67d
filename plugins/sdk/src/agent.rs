//! Runtime agents run workloads on one engine.

use crate::Result;
use crate::bindings::agent::exports::fuseml::runtime_agent::agent::Guest;

pub use crate::bindings::agent::exports::fuseml::runtime_agent::agent::{
    Info, Input, LogChunk, Output, Phase, Resources, Workload, WorkloadKind, WorkloadStatus,
};

/// What a runtime agent component does. Export it with
/// [`export_runtime_agent!`](crate::export_runtime_agent).
pub trait RuntimeAgent: Sized {
    /// A fresh agent for one call: the place to read settings.
    fn new() -> Result<Self>;
    /// What it runs; needs no instance because it does not depend on settings.
    fn describe() -> Info;
    /// Can the configured engine be reached, with these credentials? The message says what is wrong.
    fn health(&self) -> Result<()> {
        Ok(())
    }
    /// Complaints that make this workload impossible here; empty when it can run.
    fn check(&self, _workload: Workload) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    /// Starts a workload and answers the engine's own id; the same key twice makes one workload.
    fn submit(&self, workload: Workload) -> Result<String>;
    /// How the workload is doing.
    fn status(&self, id: String) -> Result<WorkloadStatus>;
    /// Lines of its log after a cursor.
    fn logs(&self, id: String, cursor: Option<String>) -> Result<LogChunk>;
    /// Stops it; one that has ended is no error.
    fn cancel(&self, id: String) -> Result<()>;
    /// Removes what a finished workload left in the engine.
    fn delete(&self, id: String) -> Result<()>;
}

/// Makes the exports of the world out of a [`RuntimeAgent`].
#[doc(hidden)]
pub struct Exported<T>(std::marker::PhantomData<T>);

impl<T: RuntimeAgent> Exported<T> {
    fn instance() -> Result<T> {
        #[cfg(target_arch = "wasm32")]
        crate::panic::log_panics();
        T::new()
    }
}

impl<T: RuntimeAgent> Guest for Exported<T> {
    fn describe() -> Result<Info> {
        #[cfg(target_arch = "wasm32")]
        crate::panic::log_panics();
        Ok(T::describe())
    }
    fn health() -> Result<()> {
        Self::instance()?.health()
    }
    fn check(workload: Workload) -> Result<Vec<String>> {
        Self::instance()?.check(workload)
    }
    fn submit(workload: Workload) -> Result<String> {
        Self::instance()?.submit(workload)
    }
    fn status(id: String) -> Result<WorkloadStatus> {
        Self::instance()?.status(id)
    }
    fn logs(id: String, cursor: Option<String>) -> Result<LogChunk> {
        Self::instance()?.logs(id, cursor)
    }
    fn cancel(id: String) -> Result<()> {
        Self::instance()?.cancel(id)
    }
    fn delete(id: String) -> Result<()> {
        Self::instance()?.delete(id)
    }
}

/// Makes this crate a component of the world `fuseml:runtime-agent/runtime-agent`.
#[macro_export]
macro_rules! export_runtime_agent {
    ($agent:ty) => {
        const _: fn() -> $crate::Result<$agent> = <$agent as $crate::RuntimeAgent>::new;
        // Native builds have tests instead of exports, and no linker there takes a component's symbol names.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::agent::Exported<$agent>;
    $crate::macros::agent::export_agent_world!(Exported with_types_in $crate::macros::agent);
        };
    };
}
