//! The engine's ports in memory. The catalog can die before or after any of its writes, which is all that a crash
//! of the server is to the engine.

use async_trait::async_trait;
use fuseml_domain::{
    Address, Admission, Attributes, BuildPlan, CallAnswer, CollectedOutput, Contents, Delivery, Descriptor, Digest,
    Environment, Error, Event, InstanceChoice, Kind, Location, LogChunk, Name, Origin, OutgoingCall, OutputReport,
    OutputSlot, Parameter, Phase, Pipeline, ReceivedEvent, Result, Run, RunCommand, RunState, Runnable, Selector,
    Series, ServiceSpec, Signal, StepResult, Store, Template, Tree, TreeFile, Unstarted, Value, ValueType, Workload,
    WorkloadStatus, admit,
    port::{self, *},
};
use fuseml_engine::{Engine, EngineConfig, Ports};
use indexmap::IndexMap;
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;

pub fn name(text: &str) -> Name {
    text.parse().expect(text)
}

pub fn codeset(commit: &str) -> Descriptor {
    describe(Kind::Codeset, "app", commit)
}

pub fn pipeline(text: &str, input: &str, selector: &str) -> Pipeline {
    let template = Template::parse(text, "template").expect("template");
    let inputs = [(input.to_owned(), selector.to_owned())].into();
    Pipeline::new(name("p"), template.name.clone(), template, &inputs, BTreeMap::new(), Timestamp::now())
        .expect("pipeline")
}

/// A server after all others are gone, which looks for no others.
pub async fn server(disk: &Arc<Disk>, agent: &Arc<MemoryAgent>, crash: Crash) -> Option<Arc<Engine>> {
    disk.records().living.clear();
    start_server(disk, agent, crash, BEAT).await
}

/// Between two looks of a server that is alone.
pub const BEAT: Duration = Duration::from_secs(3600);

/// A server beside those that are there.
pub async fn server_beside(disk: &Arc<Disk>, agent: &Arc<MemoryAgent>, crash: Crash) -> Option<Arc<Engine>> {
    start_server(disk, agent, crash, Duration::from_millis(5)).await
}

async fn start_server(disk: &Arc<Disk>, agent: &Arc<MemoryAgent>, crash: Crash, beat: Duration) -> Option<Arc<Engine>> {
    let server = disk.servers.fetch_add(1, Ordering::SeqCst);
    let ports = Ports {
        catalog: Arc::new(MemoryCatalog { disk: disk.clone(), crash, server }),
        replicas: Arc::new(MemoryReplicas::of(disk, server)),
        contents: Arc::new(MemoryContents(disk.clone())),
        codesets: Arc::new(MemoryCodesets),
        agent: agent.clone(),
        extensions: Arc::new(MemoryExtensions { jobs: agent.jobs }),
        endpoints: disk.endpoints.clone(),
    };
    let config = EngineConfig { retry: Duration::from_millis(1), beat, ..EngineConfig::default() };
    let start = Engine::start(ports, config);
    // A crash in the middle of the start leaves nothing that runs.
    tokio::time::timeout(Duration::from_secs(1), start).await.ok().map(|started| started.expect("engine"))
}

/// A push to a server that dies, and all that the next one does.
pub async fn push_and_take_over(disk: &Arc<Disk>, agent: &Arc<MemoryAgent>, crash: Crash) -> Arc<Engine> {
    disk.register(codeset("c1"));
    let first = server(disk, agent, crash).await;
    let_it_work(disk).await;
    if let Some(first) = first {
        first.stop();
    }
    let second = server(disk, agent, Crash::Never).await.expect("engine");
    let_it_work(disk).await;
    second
}

/// Until all is quiet, or nothing is written any more because the server is dead.
pub async fn let_it_work(disk: &Disk) {
    let mut writes = disk.writes();
    let mut still = 0;
    while !disk.quiet() && still < 20 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        still = if disk.writes() == writes { still + 1 } else { 0 };
        writes = disk.writes();
    }
}

fn describe(kind: Kind, series: &str, id: &str) -> Descriptor {
    Descriptor {
        address: Address::of_version(kind, &name("p"), &name(series), &name(id)),
        name: name(series),
        id: name(id),
        digest: None,
        created: Timestamp::now(),
        attributes: Attributes::new(),
        metrics: BTreeMap::new(),
        labels: Attributes::new(),
        tags: Vec::new(),
        location: Location::new("none", "x"),
        store: Store::BuiltIn,
        runnable: None,
        origin: Origin::Push { reference: "main".into(), subject: "s".into() },
    }
}

#[derive(Default)]
struct Records {
    artifacts: Vec<Descriptor>,
    /// Results of sweeps that nobody chose yet.
    held: BTreeSet<String>,
    /// Artifact, run, settled.
    events: Vec<(usize, Option<Uuid>, bool)>,
    pipelines: Vec<Pipeline>,
    runs: Vec<Run>,
    builds: HashMap<Name, Build>,
    results: Vec<StepResult>,
    unstarted: Vec<Unstarted>,
    services: HashMap<(Name, Name), Service>,
    /// And whether they are settled.
    received: Vec<(ReceivedEvent, bool)>,
    /// Which server holds each run.
    holders: HashMap<Uuid, usize>,
    /// Servers whose lease is not over, and those that will never renew theirs.
    living: BTreeSet<usize>,
    asleep: BTreeSet<usize>,
    trees: HashMap<Digest, Tree>,
    /// Tags that registries' clients see.
    pointed: BTreeSet<String>,
    /// Runs of which nothing is left, and at which revision.
    clear: BTreeSet<(Uuid, u64)>,
    /// The most transitions that were saved together.
    together: usize,
    /// How often a server tried to save what another had taken over.
    lost: usize,
    dead: BTreeSet<usize>,
}

impl Records {
    fn sleeps(&self, server: usize) -> bool {
        self.asleep.contains(&server)
            && self.runs.iter().any(|run| !run.state.ended() && self.holders.get(&run.id) == Some(&server))
    }
}

/// What survives a crash.
#[derive(Default)]
pub struct Disk {
    records: Mutex<Records>,
    writes: AtomicUsize,
    /// Outside, where no crash reaches.
    pub endpoints: Arc<MemoryEndpoints>,
    servers: AtomicUsize,
    /// What each server was told and did not hear yet.
    signals: Mutex<HashMap<usize, Vec<Signal>>>,
    told: tokio::sync::Notify,
    /// How long each transaction of transitions takes.
    pub saves_take: Duration,
    /// What servers tell each other is lost.
    pub deaf: bool,
    /// When the server that holds everything loses its lease, although it goes on.
    pub overslept: Option<usize>,
    /// Which write is done and said to have failed.
    pub unsure: Option<usize>,
}

/// Remembers what it was sent, and answers the same to the same key.
#[derive(Default)]
pub struct MemoryEndpoints(Mutex<Vec<OutgoingCall>>);

impl MemoryEndpoints {
    pub fn calls(&self) -> Vec<OutgoingCall> {
        self.0.lock().expect("calls").clone()
    }
}

#[async_trait]
impl port::Endpoints for MemoryEndpoints {
    async fn call(&self, _: &Name, call: &OutgoingCall, _: Duration) -> Result<CallAnswer> {
        self.0.lock().expect("calls").push(call.clone());
        Ok(CallAnswer { status: 200, body: serde_json::json!({"ticket": call.key}) })
    }

    async fn fetch(&self, _: &Name, _: &Name, _: Option<&str>, _: &Path, _: Duration) -> Result<()> {
        Ok(())
    }
}

impl Disk {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().expect("records")
    }

    pub fn register(&self, artifact: Descriptor) {
        insert(&mut self.records(), artifact, None);
    }

    pub fn receive(&self, event: Event) {
        let mut records = self.records();
        let sequence = records.received.len() as i64 + 1;
        let received = Timestamp::now();
        records.received.push((ReceivedEvent { sequence, project: name("p"), webhook: None, received, event }, false));
    }

    pub fn add(&self, pipeline: Pipeline) {
        self.records().pipelines.push(pipeline);
    }

    pub fn lost(&self) -> usize {
        self.records().lost
    }

    pub fn runs(&self) -> Vec<Run> {
        self.records().runs.clone()
    }

    pub fn artifacts(&self, kind: Kind) -> Vec<Descriptor> {
        self.records().artifacts.iter().filter(|artifact| artifact.kind() == kind).cloned().collect()
    }

    /// Tags that registries' clients see.
    pub fn pointed(&self) -> BTreeSet<String> {
        self.records().pointed.clone()
    }

    /// The most transitions that were saved together.
    pub fn together(&self) -> usize {
        self.records().together
    }

    /// Pipeline and reason of each.
    pub fn unstarted(&self) -> Vec<(String, String)> {
        self.records().unstarted.iter().map(|it| (it.pipeline.to_string(), it.reason.clone())).collect()
    }

    pub fn services(&self) -> Vec<Service> {
        self.records().services.values().cloned().collect()
    }

    /// As if somebody had deleted it.
    pub fn forget(&self, address: &Address) {
        let mut records = self.records();
        for artifact in records.artifacts.iter_mut().filter(|artifact| artifact.address == *address) {
            artifact.address = "model://p/gone/0".parse().expect("address");
        }
    }

    pub fn quiet(&self) -> bool {
        let records = self.records();
        records.events.iter().all(|(_, _, settled)| *settled)
            && records.received.iter().all(|(_, settled)| *settled)
            && records.runs.iter().all(|run| run.state.ended())
    }

    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }
}

fn insert(records: &mut Records, artifact: Descriptor, run: Option<Uuid>) {
    if records.artifacts.iter().all(|known| known.address != artifact.address) {
        records.artifacts.push(artifact);
        let index = records.artifacts.len() - 1;
        records.events.push((index, run, false));
    }
}

/// When a server dies.
#[derive(Debug, Clone, Copy)]
pub enum Crash {
    Never,
    /// The write does not reach the disk.
    Before(usize),
    /// It does, but the server never learns of it.
    After(usize),
}

/// One server's view of the disk.
pub struct MemoryCatalog {
    pub disk: Arc<Disk>,
    pub crash: Crash,
    pub server: usize,
}

/// One server among others.
struct MemoryReplicas {
    disk: Arc<Disk>,
    server: usize,
}

impl MemoryReplicas {
    fn of(disk: &Arc<Disk>, server: usize) -> Self {
        disk.signals.lock().expect("signals").insert(server, Vec::new());
        Self { disk: disk.clone(), server }
    }

    /// The dead do nothing, and who sleeps nothing until others have all that it held.
    async fn alive(&self) {
        if self.disk.records().dead.contains(&self.server) {
            return std::future::pending().await;
        }
        let sleeps = || self.disk.records().asleep.contains(&self.server);
        if sleeps() {
            while self.disk.records().sleeps(self.server) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            // What it was about to write, it writes before it looks whether it still may.
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.disk.records().asleep.remove(&self.server);
        }
    }
}

#[async_trait]
impl port::Replicas for MemoryReplicas {
    async fn renew(&self) -> Result<usize> {
        self.alive().await;
        let mut records = self.disk.records();
        records.living.insert(self.server);
        Ok(records.living.len() - 1)
    }

    async fn take_over(&self) -> Result<Vec<Run>> {
        self.alive().await;
        let mut records = self.disk.records();
        let Records { runs, holders, living, .. } = &mut *records;
        let nobodys = |run: &&Run| !run.state.ended() && holders.get(&run.id).is_none_or(|it| !living.contains(it));
        let taken: Vec<_> = runs.iter().filter(nobodys).cloned().collect();
        holders.extend(taken.iter().map(|run| (run.id, self.server)));
        Ok(taken)
    }

    async fn claim(&self, run: Uuid) -> Result<bool> {
        self.alive().await;
        let mut records = self.disk.records();
        let Records { holders, living, .. } = &mut *records;
        let is_other = |holder: &usize| *holder != self.server && living.contains(holder);
        if holders.get(&run).is_some_and(is_other) {
            return Ok(false);
        }
        holders.insert(run, self.server);
        Ok(true)
    }

    async fn held(&self) -> Result<Vec<(Uuid, u64)>> {
        self.alive().await;
        let records = self.disk.records();
        let own = |run: &&Run| !run.state.ended() && records.holders.get(&run.id) == Some(&self.server);
        Ok(records.runs.iter().filter(own).map(|run| (run.id, run.revision)).collect())
    }

    async fn stuck(&self) -> Result<Vec<(Name, Name)>> {
        self.alive().await;
        let records = self.disk.records();
        let mut firsts = BTreeMap::new();
        for run in records.runs.iter().filter(|run| !run.state.ended()) {
            firsts.entry(run.pipeline.clone()).or_insert(run);
        }
        let is_stuck = |run: &&Run| run.state == RunState::Queued && records.holders.get(&run.id) == Some(&self.server);
        Ok(firsts.into_values().filter(is_stuck).map(|run| (run.project.clone(), run.pipeline.clone())).collect())
    }

    async fn tell(&self, signal: Signal) {
        self.alive().await;
        if !self.disk.deaf {
            let mut signals = self.disk.signals.lock().expect("signals");
            signals.iter_mut().filter(|(to, _)| **to != self.server).for_each(|(_, told)| told.push(signal.clone()));
            self.disk.told.notify_waiters();
        }
    }

    async fn heard(&self) -> Signal {
        loop {
            self.alive().await;
            let told = self.disk.told.notified();
            if let Some(signal) =
                self.disk.signals.lock().expect("signals").get_mut(&self.server).and_then(|it| it.pop())
            {
                return signal;
            }
            told.await;
        }
    }
}

impl MemoryCatalog {
    async fn write<T>(&self, write: impl FnOnce(&mut Records) -> Result<T>) -> Result<T> {
        let number = self.disk.writes.fetch_add(1, Ordering::SeqCst);
        let (before, after) = match self.crash {
            Crash::Never => (false, false),
            Crash::Before(at) => (number >= at, false),
            Crash::After(at) => (number > at, number == at),
        };
        if before {
            self.die();
            return std::future::pending().await;
        }
        if self.disk.overslept == Some(number) {
            self.sleep().await;
        }
        // A real one takes its time, and others go on meanwhile.
        tokio::task::yield_now().await;
        let result = write(&mut self.disk.records());
        if self.disk.unsure == Some(number) {
            return Err(Error::unavailable("database", "the connection was lost"));
        }
        if after {
            self.die();
            return std::future::pending().await;
        }
        result
    }

    /// In the middle of a write, until others have all that this server held.
    async fn sleep(&self) {
        {
            let mut records = self.disk.records();
            records.living.remove(&self.server);
            records.asleep.insert(self.server);
        }
        while self.disk.records().sleeps(self.server) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn die(&self) {
        let mut records = self.disk.records();
        records.living.remove(&self.server);
        records.dead.insert(self.server);
    }

    fn read<T>(&self, read: impl FnOnce(&Records) -> Option<T>) -> Result<T> {
        read(&self.disk.records()).ok_or_else(|| Error::not_found("missing", "it is not there"))
    }
}

fn start(records: &mut Records, mut run: Run, server: usize, started: &mut Started) -> Result<Admission> {
    let of_pipeline = |other: &Run| other.pipeline == run.pipeline;
    run.number = records.runs.iter().filter(|other| of_pipeline(other)).count() as u64 + 1;
    let mut open: Vec<_> = records.runs.iter().filter(|it| of_pipeline(it) && !it.state.ended()).cloned().collect();
    let concurrency = run.concurrency;
    let admission = admit(&mut run, concurrency, &mut open, Timestamp::now())?;
    if admission == Admission::Begins {
        for changed in open {
            let stored = records.runs.iter_mut().find(|it| it.id == changed.id).expect("run");
            if changed.revision > stored.revision {
                *stored = changed.clone();
                started.replaced.push(changed);
            }
        }
        records.holders.insert(run.id, server);
        records.runs.push(run.clone());
        started.runs.push(run);
    }
    Ok(admission)
}

/// What a transition brings besides itself.
fn put_made(records: &mut Records, change: &Change) {
    for artifact in &change.artifacts {
        insert(records, artifact.clone(), Some(change.run.id));
        if change.held {
            records.held.insert(artifact.address.to_string());
            records.events.last_mut().expect("event").2 = true;
        }
    }
    for mark in &change.marks {
        let of_it = records.artifacts.iter_mut().filter(|it| it.address == mark.artifact.address);
        of_it.for_each(|artifact| drop(artifact.relabel(&mark.labels).expect("labels")));
    }
    for artifact in change.released.iter().filter(|it| records.held.remove(&it.to_string())) {
        let index = records.artifacts.iter().position(|it| it.address == *artifact).expect("artifact");
        records.events.iter_mut().filter(|event| event.0 == index).for_each(|event| event.2 = false);
    }
    if let Some(build) = &change.build {
        records.builds.insert(build.codeset.name.clone(), build.clone());
    }
    records.results.extend(change.result.clone());
    if let Some(service) = &change.service {
        records.services.insert((service.pipeline.clone(), service.name.clone()), service.clone());
    }
}

#[async_trait]
impl port::Catalog for MemoryCatalog {
    async fn pending_events(&self, limit: u32) -> Result<Vec<ArtifactEvent>> {
        let records = self.disk.records();
        let pending = records.events.iter().enumerate().filter(|(_, (_, _, settled))| !settled).take(limit as usize);
        let event = |(sequence, (artifact, run, _)): (usize, &(usize, Option<Uuid>, bool))| ArtifactEvent {
            sequence: sequence as i64,
            artifact: records.artifacts[*artifact].clone(),
            run: *run,
            before: None,
            touched: 0,
        };
        Ok(pending.map(event).collect())
    }

    async fn settle(&self, event: &ArtifactEvent, runs: Vec<Run>, unstarted: Vec<Unstarted>) -> Result<Started> {
        self.write(|records| {
            let settled = &mut records.events[event.sequence as usize].2;
            let mut started = Started::default();
            if !std::mem::replace(settled, true) {
                records.unstarted.extend(unstarted);
                for run in runs {
                    let pipeline = run.pipeline.clone();
                    if let Admission::Refused(reason) = start(records, run, self.server, &mut started)? {
                        records.unstarted.push(Unstarted { pipeline, reason });
                    }
                }
            }
            Ok(started)
        })
        .await
    }

    async fn start(&self, run: Run) -> Result<Started> {
        self.write(|records| {
            let mut started = Started::default();
            match start(records, run, self.server, &mut started)? {
                Admission::Begins => Ok(started),
                Admission::Refused(reason) => Err(Error::conflict("not-now", reason)),
            }
        })
        .await
    }

    async fn pending_received(&self, limit: u32) -> Result<Vec<ReceivedEvent>> {
        let records = self.disk.records();
        let pending = records.received.iter().filter(|(_, settled)| !settled).take(limit as usize);
        Ok(pending.map(|(event, _)| event.clone()).collect())
    }

    async fn settle_received(&self, event: i64, runs: Vec<Run>, unstarted: Vec<Unstarted>) -> Result<Started> {
        self.write(|records| {
            let mut started = Started::default();
            let (_, settled) = records.received.iter_mut().find(|(it, _)| it.sequence == event).expect("event");
            if !std::mem::replace(settled, true) {
                records.unstarted.extend(unstarted);
                for run in runs {
                    start(records, run, self.server, &mut started)?;
                }
            }
            Ok(started)
        })
        .await
    }

    async fn received_since(&self, _: &Name, since: Timestamp, after: i64, limit: u32) -> Result<Vec<ReceivedEvent>> {
        let records = self.disk.records();
        let found = records.received.iter().map(|(event, _)| event);
        let found = found.filter(|event| event.received >= since && event.sequence > after);
        Ok(found.take(limit as usize).cloned().collect())
    }

    async fn start_scheduled(&self, run: Run, _: Timestamp) -> Result<Started> {
        port::Catalog::start(self, run).await
    }

    async fn pass_schedule(&self, _: &Name, _: &Name, _: Timestamp) -> Result<()> {
        Ok(())
    }

    async fn scheduled(&self) -> Result<Vec<(Pipeline, Timestamp)>> {
        Ok(Vec::new())
    }

    async fn begin_next(&self, _: &Name, pipeline: &Name) -> Result<Option<Run>> {
        self.write(|records| {
            let mut open = records.runs.iter_mut().filter(|run| run.pipeline == *pipeline && !run.state.ended());
            let first = open.next().filter(|run| run.state == RunState::Queued);
            Ok(first.map(|run| {
                run.begin(Timestamp::now());
                run.clone()
            }))
        })
        .await
    }

    async fn last_input(&self, _: &Name, pipeline: &Name, input: &Name, name: &Name) -> Result<Option<Address>> {
        self.read(|records| {
            let series =
                |address: &Address| records.artifacts.iter().find(|it| it.address == *address).map(|it| &it.name);
            let of_run = |run: &Run| match run.inputs.get(input).map(|input| &input.value) {
                Some(Value::Artifact(address)) if run.pipeline == *pipeline && series(address) == Some(name) => {
                    Some(address.clone())
                }
                _ => None,
            };
            Some(records.runs.iter().rev().find_map(of_run))
        })
    }

    async fn run(&self, id: Uuid) -> Result<Run> {
        self.read(|records| records.runs.iter().find(|run| run.id == id).cloned())
    }

    async fn open_runs(&self) -> Result<Vec<Run>> {
        self.read(|records| Some(records.runs.iter().filter(|run| !run.state.ended()).cloned().collect()))
    }

    async fn left_behind(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<Run>> {
        self.read(|records| {
            let is_noted = |run: &Run| records.clear.contains(&(run.id, run.revision));
            let left = |run: &&Run| Some(run.id) > after && run.state.ended() && run.leaves() && !is_noted(run);
            let mut left: Vec<_> = records.runs.iter().filter(left).cloned().collect();
            left.sort_by_key(|run| run.id);
            left.truncate(limit as usize);
            Some(left)
        })
    }

    async fn nothing_left(&self, runs: &[(Uuid, u64)]) -> Result<()> {
        self.write(|records| {
            records.clear.extend(runs);
            Ok(())
        })
        .await
    }

    async fn first_open_run(&self, _: &Name, pipeline: &Name) -> Result<Option<Run>> {
        let open = |run: &&Run| run.pipeline == *pipeline && !run.state.ended();
        self.read(|records| Some(records.runs.iter().find(open).cloned()))
    }

    async fn command(&self, id: Uuid, command: RunCommand, by: &str, reason: Option<String>) -> Result<Run> {
        self.write(|records| {
            let stored = records.runs.iter_mut().find(|run| run.id == id).expect("run");
            stored.command(command, by, reason, Timestamp::now())?;
            Ok(stored.clone())
        })
        .await
    }

    async fn result(&self, _: &Name, identity: &Digest) -> Result<Option<StepResult>> {
        self.read(|records| Some(records.results.iter().rfind(|it| it.identity.digest() == *identity).cloned()))
    }

    async fn results(&self, _: &Name, pipeline: &Name, step: &Name, limit: u32) -> Result<Vec<StepResult>> {
        let of_step = |result: &&StepResult| result.pipeline == *pipeline && result.step == *step;
        self.read(|records| Some(records.results.iter().rev().filter(of_step).take(limit as usize).cloned().collect()))
    }

    async fn save(&self, changes: &[&Change]) -> Result<()> {
        tokio::time::sleep(self.disk.saves_take).await;
        self.write(|records| {
            let run = &changes[0].run;
            let stored = records.runs.iter_mut().find(|stored| stored.id == run.id).expect("run");
            if records.holders.get(&run.id) != Some(&self.server) {
                records.lost += 1;
                return Err(Error::conflict("lease-lost", "another server took it over"));
            }
            if stored.revision + 1 != run.revision {
                return Err(Error::conflict("stale-run", "changed meanwhile"));
            }
            *stored = changes[changes.len() - 1].run.clone();
            records.together = records.together.max(changes.len());
            changes.iter().for_each(|change| put_made(records, change));
            Ok(())
        })
        .await
    }

    async fn has_project(&self, _: &Name) -> Result<()> {
        Ok(())
    }

    async fn pipelines(&self, _: &Name) -> Result<Vec<Pipeline>> {
        self.read(|records| Some(records.pipelines.clone()))
    }

    async fn artifact(&self, address: &Address) -> Result<Descriptor> {
        self.read(|records| records.artifacts.iter().find(|artifact| artifact.address == *address).cloned())
    }

    async fn newest(&self, _: &Name, selector: &Selector) -> Result<Option<Descriptor>> {
        self.read(|records| Some(records.artifacts.iter().rfind(|artifact| artifact.kind() == selector.kind).cloned()))
    }

    async fn runnable(&self, address: &Address) -> Result<Runnable> {
        Ok(*self.artifact(address).await?.runnable.expect("runnable"))
    }

    async fn record(&self, address: &Address, _: &Digest, _: &Attributes) -> Result<Descriptor> {
        self.artifact(address).await
    }

    async fn runnables(&self, _: &Name, kind: &str) -> Result<Vec<Descriptor>> {
        let of_kind = |artifact: &&Descriptor| artifact.runnable.as_ref().is_some_and(|runnable| runnable.kind == kind);
        self.read(|records| Some(records.artifacts.iter().rev().filter(of_kind).cloned().collect()))
    }

    async fn last_build(&self, _: &Name, codeset: &Name) -> Result<Option<Build>> {
        self.read(|records| Some(records.builds.get(codeset).cloned()))
    }

    async fn service(&self, _: &Name, pipeline: &Name, name: &Name) -> Result<Option<Service>> {
        self.read(|records| Some(records.services.get(&(pipeline.clone(), name.clone())).cloned()))
    }

    async fn services(&self) -> Result<Vec<Service>> {
        Ok(self.disk.services())
    }

    async fn restart_service(&self, service: &Service, ended: &str) -> Result<bool> {
        self.write(|records| {
            let place = (service.pipeline.clone(), service.name.clone());
            let is_same = records.services.get(&place).is_some_and(|it| it.workload.key == ended);
            if is_same {
                records.services.insert(place, service.clone());
            }
            Ok(is_same)
        })
        .await
    }
}

/// An engine whose workloads end at once; it survives crashes of the server.
#[derive(Default)]
pub struct MemoryAgent {
    /// How long a job runs.
    pub takes: Duration,
    /// How often each workload really began, and whether it still runs.
    workloads: Mutex<BTreeMap<String, (Workload, bool)>>,
    begun: Mutex<Vec<String>>,
    /// Of these nothing but their logs is left.
    tidied: Mutex<BTreeSet<String>>,
    /// What trainers are.
    jobs: Jobs,
    /// Workloads whose key ends so fail.
    pub failing: Option<&'static str>,
    /// Workloads whose key ends so began, and nobody knows of them any more.
    pub losing: Option<&'static str>,
    /// So many questions are not answered at first.
    pub silent: AtomicUsize,
}

/// What jobs are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Jobs {
    pub components: bool,
    /// They are not over at once.
    pub slow: bool,
}

impl Jobs {
    pub const ALL: [Self; 4] = [
        Self { components: false, slow: false },
        Self { components: false, slow: true },
        Self { components: true, slow: false },
        Self { components: true, slow: true },
    ];
}

impl MemoryAgent {
    pub fn with(jobs: Jobs) -> Self {
        Self { jobs, ..Self::default() }
    }

    pub fn failing(key: &'static str) -> Self {
        Self::default().but(|agent| agent.failing = Some(key))
    }

    pub fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub fn tidied(&self) -> BTreeSet<String> {
        self.tidied.lock().expect("tidied").clone()
    }

    /// What was submitted last under a key.
    pub fn workload(&self, key: &str) -> Option<Workload> {
        self.workloads.lock().expect("workloads").get(key).map(|(workload, _)| workload.clone())
    }

    pub fn begun(&self) -> Vec<String> {
        self.begun.lock().expect("begun").clone()
    }
}

#[async_trait]
impl RuntimeAgent for MemoryAgent {
    async fn submit(&self, workload: &Workload) -> Result<()> {
        let mut workloads = self.workloads.lock().expect("workloads");
        if !workloads.contains_key(&workload.key) {
            self.begun.lock().expect("begun").push(workload.key.clone());
        } else if workload.component.is_none() {
            return Ok(());
        }
        // Another job of a component replaces the one before.
        workloads.insert(workload.key.clone(), (workload.clone(), true));
        Ok(())
    }

    async fn status(&self, key: &str) -> Result<WorkloadStatus> {
        let workloads = self.workloads.lock().expect("workloads");
        let (workload, runs) = workloads.get(key).ok_or_else(|| Error::not_found("unknown", key))?;
        let mut status = WorkloadStatus::new(match (workload.kind, runs) {
            (fuseml_domain::WorkloadKind::Service, true) => Phase::Ready,
            (fuseml_domain::WorkloadKind::Service, false) => Phase::Cancelled,
            _ => Phase::Succeeded,
        });
        if self.failing.is_some_and(|failing| key.ends_with(failing)) {
            status.phase = Phase::Failed;
            status.message = Some("exited with code 1".into());
        }
        if self.losing.is_some_and(|losing| key.ends_with(losing)) {
            status.phase = Phase::Lost;
        }
        Ok(status)
    }

    async fn wait(&self, key: &str, limit: Duration) -> Result<WorkloadStatus> {
        tokio::time::sleep(self.takes.min(limit)).await;
        if self.jobs.slow && limit < Duration::from_secs(1) {
            return Ok(WorkloadStatus::new(Phase::Running));
        }
        let silent = self.silent.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match silent {
            Ok(_) => Err(Error::unavailable("engine", "the engine does not answer")),
            Err(_) => self.status(key).await,
        }
    }

    async fn logs(&self, _: &str, cursor: u64) -> Result<LogChunk> {
        Ok(LogChunk { text: String::new(), cursor, ended: true })
    }

    async fn cancel(&self, key: &str) -> Result<()> {
        if let Some((_, runs)) = self.workloads.lock().expect("workloads").get_mut(key) {
            *runs = false;
        }
        Ok(())
    }

    async fn outputs(&self, workload: &Workload) -> Result<Vec<CollectedOutput>> {
        assert!(!self.tidied().contains(&workload.key), "{} was tidied before it was collected", workload.key);
        // A trainer's accuracy is what it was told.
        let alpha = workload.variables.get("ALPHA").and_then(|alpha| alpha.parse().ok());
        let metrics: BTreeMap<_, _> = alpha.map(|alpha| ("accuracy".to_owned(), alpha)).into_iter().collect();
        let left = |output: &fuseml_domain::WorkloadOutput| CollectedOutput {
            name: output.name.clone(),
            beside: None,
            path: Path::new("/").join(format!("{}@{}", workload.key, alpha.unwrap_or_default())),
            report: OutputReport { metrics: metrics.clone(), ..OutputReport::default() },
        };
        Ok(workload.outputs.iter().map(left).collect())
    }

    async fn endpoint(&self, _: &str) -> Result<String> {
        Ok("http://127.0.0.1:1".into())
    }

    async fn running(&self) -> Result<Vec<String>> {
        let workloads = self.workloads.lock().expect("workloads");
        let runs =
            |(workload, runs): &&(Workload, bool)| *runs && workload.kind == fuseml_domain::WorkloadKind::Service;
        Ok(workloads.values().filter(runs).map(|(workload, _)| workload.key.clone()).collect())
    }

    async fn tidy(&self, key: &str) -> Result<bool> {
        self.tidied.lock().expect("tidied").insert(key.to_owned());
        Ok(true)
    }

    async fn delete(&self, _: &str) -> Result<()> {
        Ok(())
    }
}

/// Every directory is a tree of one file, named by its path.
pub struct MemoryContents(Arc<Disk>);

#[async_trait]
impl ContentStore for MemoryContents {
    async fn stage(&self, _: &Contents, _: &Path) -> Result<()> {
        Ok(())
    }
    fn scratch(&self) -> Result<Box<dyn AsRef<Path> + Send + Sync>> {
        Ok(Box::new(Path::new("/").to_owned()))
    }
    async fn point(&self, _: &Descriptor, tag: &Name) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.0.records().pointed.insert(tag.to_string());
        Ok(())
    }
    async fn keep_image(&self, _: &Series, image: &fuseml_domain::Image) -> Result<fuseml_domain::Image> {
        Ok(image.clone())
    }
    async fn store_tree(&self, _: &Series, directory: &Path) -> Result<Tree> {
        let digest = Digest::of(directory.to_string_lossy().as_bytes());
        let tree = Tree::new(vec![TreeFile { path: "model".into(), size_bytes: 1, digest, executable: false }])?;
        self.0.records().trees.insert(tree.digest(), tree.clone());
        Ok(tree)
    }
    async fn store_listing(&self, series: &Series, directory: &Path) -> Result<Tree> {
        self.store_tree(series, directory).await
    }
    async fn record(&self, _: &Series, _: &Contents) -> Result<(Tree, Attributes)> {
        Err(Error::unsupported("record", "there are no tools in memory"))
    }
    async fn describe(&self, _: Kind, _: &Path, _: &Tree) -> Attributes {
        Attributes::new()
    }
    async fn publish(&self, _: &Descriptor, _: &Tree, _: bool) -> Result<()> {
        Ok(())
    }
    async fn make_newest(&self, _: &Descriptor) -> Result<()> {
        Ok(())
    }
    async fn damaged(&self, _: &Tree) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    async fn tree(&self, digest: &Digest) -> Result<Tree> {
        let tree = self.0.records().trees.get(digest).cloned();
        tree.ok_or_else(|| Error::not_found("tree", digest.to_string()))
    }
    fn location(&self, tree: &Tree) -> Location {
        Location::new("contents", tree.digest().to_string())
    }
}

struct NoFiles;

impl CodesetFiles for NoFiles {
    fn find(&self, _: &str, _: Option<&str>) -> Result<Vec<FileEntry>> {
        Ok(Vec::new())
    }
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        Err(Error::not_found("file", path))
    }
}

pub struct MemoryCodesets;

#[async_trait]
impl Codesets for MemoryCodesets {
    async fn files(&self, _: &Descriptor) -> Result<Arc<dyn CodesetFiles>> {
        Ok(Arc::new(NoFiles))
    }
    async fn changed_files(&self, _: &Descriptor, _: &Descriptor) -> Result<Vec<String>> {
        Ok(vec!["train.py".into()])
    }
}

/// One builder that plans a trainer and a predictor for anything.
pub struct MemoryExtensions {
    jobs: Jobs,
}

#[async_trait]
impl Extensions for MemoryExtensions {
    async fn builder(&self, _: &Name) -> Result<Arc<dyn port::Builder>> {
        Ok(Arc::new(MemoryBuilder { jobs: self.jobs }))
    }
    async fn store(&self, _: &Name, _: Kind) -> Result<Option<Arc<dyn port::ArtifactStore>>> {
        Ok(None)
    }
    async fn settings(&self, _: &Name) -> Result<Attributes> {
        Ok(Attributes::new())
    }
    async fn choose(&self, _: &Name, choice: &InstanceChoice) -> Result<Name> {
        choice.to_string().parse()
    }
    async fn choose_agent(&self, project: &Name, choice: &InstanceChoice) -> Result<Name> {
        self.choose(project, choice).await
    }
}

struct MemoryBuilder {
    jobs: Jobs,
}

#[async_trait]
impl port::Builder for MemoryBuilder {
    async fn detect(&self, _: &CodesetToBuild) -> Result<(u8, String)> {
        Ok((100, "anything".into()))
    }

    async fn plan(&self, _: &CodesetToBuild, previous: Option<&PreviousBuild>) -> Result<BuildPlan> {
        let environment = Environment {
            name: "e".into(),
            dockerfile: "FROM scratch".into(),
            python: Some("3.11".into()),
            requirements: Vec::new(),
            digest: Digest::of(b"environment"),
        };
        let component = |of_kind: &str| (of_kind == "trainer" && self.jobs.components).then(a_component);
        let runnable = |of_kind: &str, input: (&str, Kind), outputs: IndexMap<String, OutputSlot>| Runnable {
            environment: component(of_kind).is_none().then(|| environment.clone()),
            service: (of_kind == "predictor")
                .then(|| ServiceSpec { readiness_path: "/ready".into(), predict_path: "/predict".into() }),
            component: component(of_kind),
            outputs,
            ..doing_nothing(of_kind, input)
        };
        Ok(BuildPlan {
            rebuild: previous.is_none(),
            reason: "because".into(),
            runnables: vec![
                runnable("trainer", ("code", Kind::Codeset), [("model".to_owned(), a_model())].into_iter().collect()),
                runnable("predictor", ("model", Kind::Model), IndexMap::new()),
            ],
            environments: vec![environment],
        })
    }
}

fn slot(kind: Kind) -> fuseml_domain::InputSlot {
    fuseml_domain::InputSlot {
        description: None,
        kind,
        requires: Attributes::new(),
        optional: false,
        path: "inputs/in".into(),
        delivery: Default::default(),
        change_filter: Vec::new(),
    }
}

fn a_model() -> OutputSlot {
    OutputSlot {
        description: None,
        kind: Kind::Model,
        provides: Attributes::new(),
        path: "outputs/model".into(),
        report: None,
    }
}

fn a_component() -> Digest {
    Digest::of(b"component")
}

fn doing_nothing(of_kind: &str, input: (&str, Kind)) -> Runnable {
    let alpha = Parameter {
        description: None,
        value_type: ValueType::Number,
        range: Default::default(),
        default: Some("0".into()),
        delivery: Delivery::Environment,
        target: "ALPHA".into(),
    };
    Runnable {
        name: name(&format!("app-{of_kind}")),
        kind: of_kind.into(),
        environment: None,
        command: vec!["run".into()],
        scripts: IndexMap::new(),
        variables: Attributes::new(),
        inputs: [(input.0.to_owned(), slot(input.1))].into_iter().collect(),
        service: None,
        outputs: IndexMap::new(),
        parameters: [("alpha".to_owned(), alpha)].into_iter().collect(),
        resources: Attributes::new(),
        labels: Attributes::new(),
        instance: None,
        image: None,
        component: None,
    }
}

/// A registered component that makes a model of a model.
pub fn refiner() -> Descriptor {
    let outputs = [("model".to_owned(), a_model())].into_iter().collect();
    let refiner =
        Runnable { outputs, component: Some(a_component()), ..doing_nothing("refiner", ("model", Kind::Model)) };
    Descriptor { runnable: Some(Box::new(refiner)), ..describe(Kind::Runnable, "app-refiner", "r1") }
}

pub fn model(id: &str) -> Descriptor {
    describe(Kind::Model, "base", id)
}
