//! Triggers, runs, steps and services: what happens, in which order, exactly once.
//!
//! The engine works through the ports of `fuseml-domain` alone. All that it knows is in the catalog: a process
//! that dies is replaced, [`Engine::start`] takes up every open run where its last transition left it, and a
//! workload's key makes a second submission the same workload.

mod anonymous;
mod arrivals;
mod build;
mod calling;
mod choice;
mod compose;
mod condition;
mod delivery;
mod driver;
mod foresight;
mod keeping;
mod layer;
mod leftovers;
mod location;
mod plan;
mod pool;
mod prepare;
mod progress;
mod received;
mod replicas;
mod reuse;
mod saving;
mod schedule;
mod service;
mod sprint;
mod trigger;
mod waiting;
mod work;

pub use location::Kept;
pub use service::base_path;

use arrivals::Arrivals;
use driver::{Driver, Told};
use fuseml_domain::{
    Address, Concurrency, Error, InstanceChoice, Name, Result, Run, RunCommand, Signal, Swap,
    port::{Catalog, Codesets, ContentStore, Endpoints, Extensions, Replicas, RuntimeAgent, Started},
};
use futures::future::BoxFuture;
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
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
    pub endpoints: Arc<dyn Endpoints>,
    pub replicas: Arc<dyn Replicas>,
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
    /// Between two renewals of this server's lease.
    pub beat: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:8760".to_owned(),
            jobs: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            service_start: Duration::from_secs(180),
            retry: Duration::from_millis(500),
            attempts: 5,
            beat: Duration::from_secs(2),
        }
    }
}

/// A running engine; it works until [`Engine::stop`].
pub struct Engine {
    ports: Ports,
    config: EngineConfig,
    pool: pool::Pool,
    news: Notify,
    /// A schedule is new or gone.
    schedules: Notify,
    /// By project: something came that a step may wait for.
    arrivals: Arrivals<Name>,
    /// By run: it is not as it was.
    run_moves: Arrivals<Uuid>,
    /// By the artifact at the beginning: something of what follows from it is not as it was.
    root_moves: Arrivals<Address>,
    drivers: Mutex<HashMap<Uuid, Told>>,
    /// Another server is gone: its runs are anybody's.
    gone: Notify,
    /// How many servers are beside this one.
    others: AtomicUsize,
    /// Fetching, registering and copying share the disk and the network.
    keeping: Semaphore,
    leftovers: leftovers::Leftovers,
    stopping: CancellationToken,
}

impl Engine {
    /// Takes up every open run and service, then follows new artifacts.
    pub async fn start(ports: Ports, config: EngineConfig) -> Result<Arc<Self>> {
        let engine = Arc::new(Self {
            pool: pool::Pool::new(config.jobs, ports.agent.machine().as_ref()),
            ports,
            config,
            news: Notify::new(),
            schedules: Notify::new(),
            arrivals: Arrivals::default(),
            run_moves: Arrivals::default(),
            root_moves: Arrivals::default(),
            drivers: Mutex::new(HashMap::new()),
            gone: Notify::new(),
            others: AtomicUsize::new(0),
            keeping: Semaphore::new(keeping::AT_ONCE),
            leftovers: leftovers::Leftovers::default(),
            stopping: CancellationToken::new(),
        });
        engine.others.store(engine.ports.replicas.renew().await?, Ordering::Relaxed);
        service::reconcile(&engine.ports).await?;
        replicas::take_up(&engine, engine.ports.replicas.take_over().await?).await;
        replicas::begin_stuck(&engine).await?;
        tokio::spawn(replicas::follow(engine.clone()));
        tokio::spawn(trigger::follow(engine.clone()));
        tokio::spawn(schedule::follow(engine.clone()));
        Ok(engine)
    }

    /// Where an artifact's contents are and how to reach them (S96–S97).
    ///
    /// # Errors
    /// `unsupported` for external artifacts; what the store says otherwise.
    pub async fn locate(&self, artifact: &fuseml_domain::Descriptor) -> Result<fuseml_domain::Contents> {
        location::locate(&self.ports, artifact).await
    }

    /// The store that keeps an artifact in a tool, and its id there; `None` for what the built-in ones keep.
    ///
    /// # Errors
    /// `unavailable` when the instance is not configured any more.
    pub async fn store_of(&self, artifact: &fuseml_domain::Descriptor) -> Result<Option<Kept>> {
        location::store_of(&self.ports, artifact).await
    }

    /// The instance whose engine a choice means in a project now; `None` where that is this server.
    ///
    /// # Errors
    /// `not-found` where there is none, `conflict` where there are several.
    pub async fn agent(&self, project: &Name, choice: &InstanceChoice) -> Result<Option<Name>> {
        compose::agent(&self.ports, project, choice).await
    }

    /// Something was registered: look now.
    pub fn wake(&self) {
        self.news.notify_one();
    }

    /// Something of a project became another, such as a label: who waits for that looks now.
    pub async fn arrived(&self, project: &Name) {
        self.arrivals.tell(project);
        self.tell_others(Signal::Arrived(project.clone())).await;
    }

    async fn tell_others(&self, signal: Signal) {
        if self.others.load(Ordering::Relaxed) > 0 {
            self.ports.replicas.tell(signal).await;
        }
    }

    /// Whether other servers share this one's catalog now.
    pub fn has_others(&self) -> bool {
        self.others.load(Ordering::Relaxed) > 0
    }

    /// A run is not as it was.
    fn moved(&self, run: &Run) {
        self.run_moves.tell(&run.id);
        if let Some(root) = &run.cause.root {
            self.root_moves.tell(root);
        }
    }

    /// Is notified whenever the run is not as it was, if this server moves it.
    pub fn moves_of_run(&self, run: Uuid) -> Arc<Notify> {
        self.run_moves.of(&run)
    }

    /// Is notified whenever a run that an artifact began is not as it was, or more is known of what it starts.
    pub fn moves_of_root(&self, root: &Address) -> Arc<Notify> {
        self.root_moves.of(root)
    }

    /// Saves a run that a person asked for and begins it.
    pub async fn start_run(self: &Arc<Self>, run: Run) -> Result<Run> {
        let started = self.ports.catalog.start(run).await?;
        let run = started.runs.first().cloned();
        self.take_up(started).await;
        run.ok_or_else(|| Error::internal("start", "a run was started and is not there"))
    }

    /// A pipeline with a schedule was added: look when it is due.
    pub fn wake_schedules(&self) {
        self.schedules.notify_one();
    }

    /// Drives new runs, and lets the drivers of those that they replace know.
    async fn take_up(self: &Arc<Self>, started: Started) {
        for run in started.replaced {
            self.let_know(run).await;
        }
        for run in started.runs {
            self.moved(&run);
            tracing::info!(run = %run.label(), project = %run.project, reason = %run.cause.reason, "run started");
            self.drive(run).await;
        }
    }

    /// Lets the next run of its pipeline begin that waits for an earlier one. Boxed: what ends a run begins another.
    fn begin_next<'a>(self: &'a Arc<Self>, project: &'a Name, pipeline: &'a Name) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            match self.ports.catalog.begin_next(project, pipeline).await {
                Ok(Some(run)) => self.let_know(run).await,
                Ok(None) => {}
                Err(error) => tracing::error!(%pipeline, %error, "a queued run could not begin; trying again"),
            }
        })
    }

    /// Somebody changed a run beside its driver.
    async fn let_know(self: &Arc<Self>, run: Run) {
        self.moved(&run);
        // A driver that is about to go looks once more under the same lock.
        let drivers = self.drivers.lock().await;
        if let Some(told) = drivers.get(&run.id) {
            if run.cancel_requested {
                told.cancelled.cancel();
            }
            return told.news.notify_one();
        }
        drop(drivers);
        match self.ports.replicas.claim(run.id).await {
            Ok(true) => self.drive(run).await,
            Ok(false) => self.tell_others(Signal::Run(run.id)).await,
            // Whoever holds it finds out by itself.
            Err(error) => tracing::error!(run = %run.label(), %error, "nobody could be told of what became of it"),
        }
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
        self.let_know(run.clone()).await;
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
                let lost = told.lost.clone();
                let driver = Driver::new(engine.clone(), run, told);
                if engine.stopping.run_until_cancelled(driver.drive()).await.is_none() {
                    return;
                }
                let mut drivers = engine.drivers.lock().await;
                let is_held = !lost.is_cancelled() || engine.ports.replicas.claim(id).await.unwrap_or(false);
                match engine.ports.catalog.run(id).await {
                    // It was told to go on while its driver was about to go.
                    Ok(open) if is_held && !open.state.ended() => {
                        told = Told::default();
                        drivers.insert(id, told.clone());
                        run = open;
                    }
                    Ok(open) if !open.state.ended() => {
                        tracing::warn!(run = %open.label(), "another server took it over");
                        drivers.remove(&id);
                        return;
                    }
                    ended => {
                        drivers.remove(&id);
                        drop(drivers);
                        if let Ok(ended) = ended.as_ref()
                            && ended.concurrency == Concurrency::Queue
                        {
                            engine.begin_next(&ended.project, &ended.pipeline).await;
                        }
                        return;
                    }
                }
            }
        });
    }
}
