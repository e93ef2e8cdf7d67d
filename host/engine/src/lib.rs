//! Triggers, runs, steps and services: what happens, in which order, exactly once.
//!
//! The engine works through the ports of `fuseml-domain` alone. All that it knows is in the catalog: a process
//! that dies is replaced, [`Engine::start`] takes up every open run where its last transition left it, and a
//! workload's key makes a second submission the same workload.

mod build;
mod condition;
mod driver;
mod plan;
mod reuse;
mod service;
mod trigger;
mod work;

pub use service::base_path;
pub use work::Kept;

use driver::{Driver, Told};
use fuseml_domain::{
    Result, Run, RunCommand, Swap,
    port::{Catalog, Codesets, ContentStore, Extensions, RuntimeAgent},
};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The ports that an engine works through.
#[derive(Clone)]
pub struct Ports {
    pub catalog: Arc<dyn Catalog>,
    pub contents: Arc<dyn ContentStore>,
    pub codesets: Arc<dyn Codesets>,
    pub agent: Arc<dyn RuntimeAgent>,
    pub extensions: Arc<dyn Extensions>,
}

/// What an engine is told at its start.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Under which people reach services: `http://127.0.0.1:8760`.
    pub public_url: String,
    /// Jobs at one time.
    pub jobs: usize,
    /// A service must be ready within this.
    pub service_start: Duration,
    /// First pause before a step that met an unavailable tool is tried again; doubles each time.
    pub retry: Duration,
    /// How often it is tried.
    pub attempts: u32,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:8760".to_owned(),
            jobs: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            service_start: Duration::from_secs(180),
            retry: Duration::from_millis(500),
            attempts: 5,
        }
    }
}

/// A running engine; it works until [`Engine::stop`].
pub struct Engine {
    ports: Ports,
    config: EngineConfig,
    jobs: Arc<Semaphore>,
    news: Notify,
    drivers: Mutex<HashMap<Uuid, Told>>,
    stopping: CancellationToken,
}

impl Engine {
    /// Takes up every open run and service, then follows new artifacts.
    pub async fn start(ports: Ports, config: EngineConfig) -> Result<Arc<Self>> {
        let engine = Arc::new(Self {
            jobs: Arc::new(Semaphore::new(config.jobs)),
            ports,
            config,
            news: Notify::new(),
            drivers: Mutex::new(HashMap::new()),
            stopping: CancellationToken::new(),
        });
        service::reconcile(&engine.ports).await?;
        for run in engine.ports.catalog.open_runs().await? {
            engine.drive(run).await;
        }
        tokio::spawn(trigger::follow(engine.clone()));
        Ok(engine)
    }

    /// Where an artifact's contents are and how to reach them (S96–S97).
    ///
    /// # Errors
    /// `unsupported` for external artifacts; what the store says otherwise.
    pub async fn locate(&self, artifact: &fuseml_domain::Descriptor) -> Result<fuseml_domain::Contents> {
        work::locate(&self.ports, artifact).await
    }

    /// The store that keeps an artifact in a tool, and its id there; `None` for what the built-in ones keep.
    ///
    /// # Errors
    /// `unavailable` when the instance is not configured any more.
    pub async fn store_of(&self, artifact: &fuseml_domain::Descriptor) -> Result<Option<Kept>> {
        work::store_of(&self.ports, artifact).await
    }

    /// Something was registered: look now.
    pub fn wake(&self) {
        self.news.notify_one();
    }

    /// Saves a run that a person asked for and begins it.
    pub async fn start_run(self: &Arc<Self>, run: Run) -> Result<Run> {
        let run = self.ports.catalog.start(run).await?;
        self.drive(run.clone()).await;
        Ok(run)
    }

    /// Carries out what a person tells a run.
    ///
    /// # Errors
    /// As [`fuseml_domain::Run::command`] has them, and `not-found` for a runnable to swap in that is not there.
    pub async fn command(
        self: &Arc<Self>,
        id: Uuid,
        command: RunCommand,
        by: &str,
        reason: Option<String>,
    ) -> Result<Run> {
        if let RunCommand::Swap { swap: Swap { runnable: Some(runnable), .. }, .. } = &command {
            self.ports.catalog.runnable(runnable).await?;
        }
        let run = self.ports.catalog.command(id, command, by, reason).await?;
        // A driver that is about to go looks once more under the same lock.
        let drivers = self.drivers.lock().await;
        match drivers.get(&id) {
            Some(told) => {
                if run.cancel_requested {
                    told.cancelled.cancel();
                }
                told.news.notify_one();
            }
            None => {
                drop(drivers);
                self.drive(run.clone()).await;
            }
        }
        Ok(run)
    }

    /// No further transition is made. Workloads go on and are found again at the next start.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    async fn drive(self: &Arc<Self>, mut run: Run) {
        let id = run.id;
        let told = Told::default();
        match self.drivers.lock().await.entry(id) {
            Entry::Occupied(driven) => return driven.get().news.notify_one(),
            Entry::Vacant(place) => drop(place.insert(told.clone())),
        }
        let (engine, mut told) = (self.clone(), told);
        tokio::spawn(async move {
            loop {
                if run.cancel_requested {
                    told.cancelled.cancel();
                }
                let driver = Driver::new(engine.clone(), run, told);
                if engine.stopping.run_until_cancelled(driver.drive()).await.is_none() {
                    return;
                }
                let mut drivers = engine.drivers.lock().await;
                match engine.ports.catalog.run(id).await {
                    // It was told to go on while its driver was about to go.
                    Ok(open) if !open.state.ended() => {
                        told = Told::default();
                        drivers.insert(id, told.clone());
                        run = open;
                    }
                    _ => {
                        drivers.remove(&id);
                        return;
                    }
                }
            }
        });
    }
}
