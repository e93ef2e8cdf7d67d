//! Programs: components of `wasi:cli`, which run once, on files that are mounted for them.
//!
//! A program has no instance, no grant and no receipt: it reaches nothing but its mounts. It may take as long as its
//! workload may, so it runs on a thread of its own, and pauses a hundred times a second for whoever would stop it.

use crate::{
    Limits, MAX_MEMORY, capability::wasi::MAX_RANDOM, failure, growth::Growth, printer::Printer, sandbox::Sandbox,
};
use async_trait::async_trait;
use fuseml_domain::{
    Command, Digest, Error, Result,
    port::{CommandRunner, ComponentSource, Print},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;
use wasmtime::{Store, UpdateDeadline, component::ResourceTable};
use wasmtime_wasi::{
    FsPerms, I32Exit, WasiCtx, WasiCtxView, WasiView,
    p2::{self, bindings::CommandPre},
};

/// Programs whose code stays mapped.
const KEPT: usize = 64;

/// Runs programs in the sandbox.
pub struct Commands {
    sandbox: Arc<Sandbox>,
    source: Arc<dyn ComponentSource>,
    loaded: Mutex<HashMap<Digest, CommandPre<Program>>>,
}

impl Commands {
    pub fn new(sandbox: Arc<Sandbox>, source: Arc<dyn ComponentSource>) -> Self {
        Self { sandbox, source, loaded: Mutex::default() }
    }

    async fn load(&self, digest: &Digest) -> Result<CommandPre<Program>> {
        if let Some(loaded) = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(digest) {
            return Ok(loaded.clone());
        }
        let name = format!("the component {digest}");
        let inspected = async || {
            let bytes = self.source.component(digest).await?;
            Command::check(&bytes).map_err(|error| error.context(&name))?;
            Ok(bytes)
        };
        let compiled = self.sandbox.compiled(digest, &name, inspected).await?;
        self.sandbox.check_resources(&compiled, &name)?;
        let mut linker = wasmtime::component::Linker::new(&self.sandbox.engine);
        let linked = p2::add_to_linker_async(&mut linker)
            .and_then(|()| CommandPre::<Program>::new(linker.instantiate_pre(&compiled)?));
        let linked = linked.map_err(|error| Error::invalid("component", format!("{name} is no program: {error:#}")))?;
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.len() >= KEPT {
            // Mapping it again costs less than remembering who was used last.
            loaded.clear();
        }
        loaded.insert(digest.clone(), linked.clone());
        Ok(linked)
    }
}

#[async_trait]
impl CommandRunner for Commands {
    async fn run(&self, command: &Command, print: Print) -> Result<i32> {
        let program = self.load(&command.component).await?;
        let mut limits = self.sandbox.limits.clone();
        if let Some(bytes) = command.memory_bytes {
            let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= MAX_MEMORY).ok_or_else(|| {
                let message = format!("a component can have at most {} MiB of memory", MAX_MEMORY >> 20);
                Error::unsupported("resources", message)
            })?;
            Arc::make_mut(&mut limits).memory = bytes;
        }
        let store = Program::store(&self.sandbox, &limits, command, print)?;
        let timeout = command.timeout;
        // The other end goes when nobody waits for the answer any more.
        let (_awaited, given_up) = oneshot::channel::<()>();
        let runtime = self.sandbox.runtime().clone();
        let run = self.sandbox.runtime().spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    ended = tokio::time::timeout(timeout, call(store, &program)) => outcome(ended.ok(), timeout, &limits),
                    _ = given_up => Err(Error::unavailable("cancelled", "the program was stopped")),
                }
            })
        });
        run.await.map_err(|error| Error::internal("sandbox", format!("the program was lost: {error}")))?
    }
}

async fn call(
    mut store: Store<Program>,
    program: &CommandPre<Program>,
) -> wasmtime::Result<std::result::Result<(), ()>> {
    let instance = program.instantiate_async(&mut store).await?;
    instance.wasi_cli_run().call_run(&mut store).await
}

/// The exit code, or why there is none.
fn outcome(
    ended: Option<wasmtime::Result<std::result::Result<(), ()>>>,
    timeout: Duration,
    limits: &Limits,
) -> Result<i32> {
    match ended {
        None => Err(Error::unavailable("time-limit", format!("stopped after its time limit of {timeout:?}"))),
        Some(Ok(Ok(()))) => Ok(0),
        Some(Ok(Err(()))) => Ok(1),
        Some(Err(error)) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => Ok(exit.0),
            None => Err(failure::stopped(&error, &"the program", "", limits)),
        },
    }
}

/// The data of a program's store.
struct Program {
    context: WasiCtx,
    table: ResourceTable,
    growth: Growth,
}

impl Program {
    fn store(sandbox: &Sandbox, limits: &Limits, command: &Command, print: Print) -> Result<Store<Self>> {
        let printed = Printer(print);
        let mut context = WasiCtx::builder();
        context
            // It has a thread of its own.
            .allow_blocking_current_thread(true)
            .stdout(printed.clone())
            .stderr(printed)
            .args(&command.arguments)
            .max_random_size(MAX_RANDOM)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        for (name, value) in &command.variables {
            context.env(name, value);
        }
        for mount in &command.mounts {
            let permitted = if mount.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            context.preopened_dir(&mount.source, &mount.path, permitted).map_err(|error| {
                Error::internal("mount", format!("{} cannot be mounted: {error:#}", mount.source.display()))
            })?;
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let program = Self { context: context.build(), table, growth: Growth::new(limits) };
        let mut store = Store::new(&sandbox.engine, program);
        store.limiter(|program| &mut program.growth);
        store.set_max_component_handles(limits.handles);
        store.set_hostcall_fuel(limits.data);
        store.set_epoch_deadline(1);
        // So that whoever stops it, or its time, is heard.
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))));
        Ok(store)
    }
}

impl WasiView for Program {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }
}
