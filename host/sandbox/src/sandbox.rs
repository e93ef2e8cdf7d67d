//! The sandbox: one engine, one code cache, a few threads, and the loading of components into it.

use crate::{
    CompilerCommand, InstanceContext, Limits, Replayed, Tape,
    adapter::{ComponentAgent, ComponentBuilder, ComponentStore, StorePre},
    api::{
        v0_1,
        v0_2::{self, optional::Optional},
    },
    cache::Cache,
    call::Call,
    capability::wasi,
    compile, engine, inspect,
    limits::{MAX_MEMORIES, MAX_MEMORY, MAX_TABLES},
    run::Bound,
};
use fuseml_domain::{
    Component, Digest, Error, Result, World, is_offered_wasi,
    port::{ArtifactStore, Builder, EngineAgent},
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::{
    runtime::{Handle, Runtime},
    sync::Semaphore,
};
use wasmtime::{Engine, component::Linker};

/// Threads of guests. More would only take processors from the rest of the server.
const THREADS: usize = 2;

pub struct SandboxConfig {
    /// Folder of compiled code, closed to other users; made when missing.
    pub cache: PathBuf,
    pub compiler: CompilerCommand,
    pub limits: Limits,
}

/// The component host. One for a process.
pub struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) limits: Arc<Limits>,
    /// Calls that may run at once.
    pub(crate) turns: Arc<Semaphore>,
    cache: Cache,
    compiler: CompilerCommand,
    /// One lock a component, so that two who load it compile it once.
    compiling: Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>,
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Sandbox {
    pub fn new(config: SandboxConfig) -> Result<Arc<Self>> {
        if config.limits.memory > MAX_MEMORY {
            return Err(Error::invalid("limits", format!("a call can be given at most {} MiB", MAX_MEMORY >> 20)));
        }
        let engine = engine::for_calls(config.limits.concurrent_calls)?;
        let cache = Cache::open(&config.cache, engine::compatibility(&engine))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("sandbox")
            .enable_all()
            .build()
            .map_err(|error| Error::io("the sandbox's threads cannot start", &error))?;
        Ok(Arc::new(Self {
            engine,
            cache,
            turns: Arc::new(Semaphore::new(config.limits.concurrent_calls)),
            limits: Arc::new(config.limits),
            compiler: config.compiler,
            compiling: Mutex::default(),
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        }))
    }

    /// Judges a component's bytes against its entry in the manifest. The error says what to change.
    pub fn inspect(&self, bytes: &[u8], component: &Component) -> Result<()> {
        inspect::inspect(bytes, component, self.engine.get_wasm_features(), self.limits.component_bytes)
    }

    /// Loads a component from its installed file, whose digest the catalog keeps. The file is read only when
    /// the cache has no code for it, and then it must have that digest.
    pub async fn load_file(
        self: &Arc<Self>,
        path: &Path,
        digest: &Digest,
        component: &Component,
    ) -> Result<Arc<LoadedComponent>> {
        self.load_with(digest.clone(), component, || {
            let bytes = std::fs::read(path).map_err(|error| Error::io(path.display(), &error))?;
            if Digest::of(&bytes) != *digest {
                return Err(Error::conflict(
                    "component-changed",
                    format!("{} is not the file that was installed: its digest is not {digest}", path.display()),
                ));
            }
            Ok(bytes)
        })
        .await
    }

    /// Loads a component from its bytes.
    pub async fn load(self: &Arc<Self>, bytes: &[u8], component: &Component) -> Result<Arc<LoadedComponent>> {
        self.load_with(Digest::of(bytes), component, || Ok(bytes.to_vec())).await
    }

    async fn load_with(
        self: &Arc<Self>,
        digest: Digest,
        component: &Component,
        read: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Arc<LoadedComponent>> {
        let inspected = async || {
            let bytes = read()?;
            self.inspect(&bytes, component)?;
            Ok(bytes)
        };
        let compiled = self.compiled(&digest, &component.file, inspected).await?;
        self.ready(compiled, digest, component).map(Arc::new)
    }

    /// The code of a component, compiled once; the bytes are asked for only when the cache has no code for them.
    pub(crate) async fn compiled(
        &self,
        digest: &Digest,
        name: &str,
        inspected: impl AsyncFnOnce() -> Result<Vec<u8>>,
    ) -> Result<wasmtime::component::Component> {
        let lock = self.compile_lock(digest);
        let _alone = lock.lock().await;
        let cached = self.cache.find(digest).and_then(|code| {
            let loaded = self.map(&code);
            loaded.inspect_err(|error| tracing::warn!("{} will be compiled again: {error:#}", code.display())).ok()
        });
        if let Some(compiled) = cached {
            return Ok(compiled);
        }
        let bytes = inspected().await?;
        let code = self.compile(digest, &bytes).await.map_err(|error| error.context(name))?;
        // Fresh code fails only for want of room: a slot of the pool is as large as a call may be.
        self.map(&code).map_err(|error| too_large(name, error.root_cause()))
    }

    async fn compile(&self, digest: &Digest, bytes: &[u8]) -> Result<PathBuf> {
        let draft = self.cache.draft()?;
        let output = draft.reopen().map_err(|error| Error::io("the code cache", &error))?;
        compile::run(&self.compiler, bytes, output, self.limits.compilation).await?;
        self.cache.keep(digest, draft)
    }

    fn map(&self, code: &Path) -> wasmtime::Result<wasmtime::component::Component> {
        // SAFETY: the file was written whole by this program's own compiler process into a folder that only
        // this user can enter, and `Cache` has just compared its digest; wasmtime refuses code of another
        // version or configuration.
        unsafe { wasmtime::component::Component::deserialize_file(&self.engine, code) }
    }

    /// Links, and refuses what could never be instantiated or imports what it may not.
    fn ready(
        self: &Arc<Self>,
        compiled: wasmtime::component::Component,
        digest: Digest,
        component: &Component,
    ) -> Result<LoadedComponent> {
        let types = compiled.component_type();
        inspect::check_imports(types.imports(&self.engine).map(|(name, _)| name), component)?;
        self.check_resources(&compiled, &component.file)?;
        let mismatch = |error: wasmtime::Error| {
            Error::invalid("world-mismatch", format!("{} does not fit its world: {error:#}", component.file))
        };
        let linker = self.linker(types.imports(&self.engine).map(|(name, _)| name)).map_err(mismatch)?;
        let contract = component.contract()?;
        let linked = match contract.world {
            World::Builder => v0_1::builder_linker(linker)
                .and_then(|linker| v0_1::BuilderPre::new(linker.instantiate_pre(&compiled)?))
                .map(Linked::Builder),
            World::ArtifactStore if contract.minor == 1 => v0_1::artifact_store_linker(linker)
                .and_then(|linker| v0_1::ArtifactStorePre::new(linker.instantiate_pre(&compiled)?))
                .map(|pre| Linked::ArtifactStore(StorePre::V0_1(pre))),
            World::ArtifactStore => v0_2::artifact_store_linker(linker)
                .and_then(|linker| {
                    let pre = linker.instantiate_pre(&compiled)?;
                    let optional =
                        Optional::of(&pre, &types.exports(&self.engine).map(|(name, _)| name).collect::<Vec<_>>())?;
                    Ok(StorePre::V0_2(v0_2::ArtifactStorePre::new(pre)?, optional))
                })
                .map(Linked::ArtifactStore),
            World::RuntimeAgent => v0_1::runtime_agent_linker(linker)
                .and_then(|linker| v0_1::RuntimeAgentPre::new(linker.instantiate_pre(&compiled)?))
                .map(Linked::RuntimeAgent),
        };
        Ok(LoadedComponent {
            sandbox: self.clone(),
            linked: linked.map_err(mismatch)?,
            digest: Arc::new(digest),
            turns: Arc::new(Semaphore::new(self.limits.concurrent_calls_of_component)),
            #[cfg(feature = "bench")]
            compiled,
        })
    }

    /// With WASI only for components that import it: linking it takes longer than all the rest.
    fn linker<'a>(&self, mut imports: impl Iterator<Item = &'a str>) -> wasmtime::Result<Linker<Call>> {
        let mut linker = Linker::new(&self.engine);
        if imports.any(is_offered_wasi) {
            wasi::add_to_linker(&mut linker)?;
        }
        Ok(linker)
    }

    pub(crate) fn check_resources(&self, compiled: &wasmtime::component::Component, name: &str) -> Result<()> {
        let Some(needed) = compiled.resources_required() else { return Ok(()) };
        let pages = (self.limits.memory >> 16) as u64;
        let over = [
            ("memories", u64::from(needed.num_memories), u64::from(MAX_MEMORIES)),
            ("tables", u64::from(needed.num_tables), u64::from(MAX_TABLES)),
            ("pages of memory", needed.max_initial_memory_size.unwrap_or(0), pages),
            ("table elements", needed.max_initial_table_size.unwrap_or(0), self.limits.table_elements as u64),
        ];
        match over.into_iter().find(|(_, needed, most)| needed > most) {
            None => Ok(()),
            Some((what, needed, most)) => {
                Err(too_large(name, format_args!("{needed} {what} from the start, where {most} are the most")))
            }
        }
    }

    fn compile_lock(&self, digest: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(digest).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        locks.insert(digest.clone(), Arc::downgrade(&lock));
        lock
    }

    /// Calls that run now.
    pub fn busy(&self) -> usize {
        self.limits.concurrent_calls - self.turns.available_permits()
    }

    /// The guests' own threads.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Sandbox {
    /// The last reference may go inside another runtime, where waiting for threads is not allowed.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) enum Linked {
    Builder(v0_1::BuilderPre<Call>),
    ArtifactStore(StorePre),
    RuntimeAgent(v0_1::RuntimeAgentPre<Call>),
}

/// A component ready to be called, shared by all its instances.
pub struct LoadedComponent {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) linked: Linked,
    digest: Arc<Digest>,
    turns: Arc<Semaphore>,
    #[cfg(feature = "bench")]
    pub(crate) compiled: wasmtime::component::Component,
}

impl LoadedComponent {
    /// The component as an instance's builder.
    pub fn builder(self: &Arc<Self>, instance: Arc<InstanceContext>) -> Result<Arc<dyn Builder>> {
        match &self.linked {
            Linked::Builder(pre) => Ok(Arc::new(ComponentBuilder(self.bind(pre.clone(), instance)))),
            _ => Err(other_world(&instance, "builder")),
        }
    }

    /// The component as an instance's artifact store.
    pub fn artifact_store(self: &Arc<Self>, instance: Arc<InstanceContext>) -> Result<Arc<dyn ArtifactStore>> {
        match &self.linked {
            Linked::ArtifactStore(pre) => Ok(Arc::new(ComponentStore(self.bind(pre.clone(), instance)))),
            _ => Err(other_world(&instance, "artifact store")),
        }
    }

    /// The component as an instance's runtime agent.
    pub fn runtime_agent(self: &Arc<Self>, instance: Arc<InstanceContext>) -> Result<Arc<dyn EngineAgent>> {
        match &self.linked {
            Linked::RuntimeAgent(pre) => Ok(Arc::new(ComponentAgent(self.bind(pre.clone(), instance)))),
            _ => Err(other_world(&instance, "runtime agent")),
        }
    }

    /// Runs a recorded call again on a fresh instance, with the host's answers from the tape and nothing else alive.
    pub async fn replay(self: &Arc<Self>, instance: Arc<InstanceContext>, tape: &Tape) -> Result<Replayed> {
        match &self.linked {
            Linked::Builder(pre) => ComponentBuilder(self.bind(pre.clone(), instance)).replay(tape).await,
            Linked::ArtifactStore(pre) => ComponentStore(self.bind(pre.clone(), instance)).replay(tape).await,
            Linked::RuntimeAgent(pre) => ComponentAgent(self.bind(pre.clone(), instance)).replay(tape).await,
        }
    }

    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    fn bind<Pre>(&self, pre: Pre, instance: Arc<InstanceContext>) -> Bound<Pre> {
        let limits = Arc::new(self.sandbox.limits.within(&instance.budget));
        let calls = limits.concurrent_calls_of_component;
        let own_turns = instance.live.turns.get_or_init(|| Arc::new(Semaphore::new(calls))).clone();
        Bound {
            sandbox: self.sandbox.clone(),
            instance,
            pre,
            digest: self.digest.clone(),
            turns: self.turns.clone(),
            limits,
            own_turns,
        }
    }
}

fn too_large(name: &str, why: impl std::fmt::Display) -> Error {
    Error::invalid("component-too-large", format!("{name} needs more than a call may have: {why}"))
}

fn other_world(instance: &InstanceContext, wanted: &str) -> Error {
    Error::unsupported("world", format!("{instance} is no {wanted}"))
}
