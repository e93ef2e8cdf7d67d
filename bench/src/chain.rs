//! The engine's own cost: a push until its first step is submitted, and chains of steps that do nothing, beside
//! the same processes started plainly.

use crate::{
    disk,
    figures::{heading, line, ratio, spread},
};
use anyhow::{Context as _, Result};
use async_trait::async_trait;
use fuseml_agents::{
    Agents, EnginesAgent, ProcessAgent, ProcessAgentConfig, SupervisorCommand, WasmAgent, WasmAgentConfig,
};
use fuseml_catalog::{Catalog, RunFilter};
use fuseml_contents::{Contents, Repositories, TreeStore};
use fuseml_domain::{
    Address, Attributes, CallAnswer, CollectedOutput, Descriptor, Digest, Error, Image, InstanceChoice, Kind, Location,
    LogChunk, Name, Origin, OutgoingCall, Pipeline, Run, Runnable, Signal, StepEvent, Store, Template, Workload,
    WorkloadStatus,
    port::{
        self, ArtifactStore, Builder, Catalog as _, ComponentSource, EngineAgent, Engines, Extensions, RuntimeAgent,
    },
};
use fuseml_engine::{Engine, EngineConfig, Ports};
use fuseml_sandbox::{Commands, CompilerCommand, Limits, Sandbox, SandboxConfig};
use indexmap::IndexMap;
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use uuid::Uuid;

const PUSHES: usize = 100;

/// A component that does nothing: no language's runtime is measured.
const NOOP: &str = r#"(component
    (core module $m (func (export "run") (result i32) (i32.const 0)))
    (core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $program (export "run" (func $run)))
    (export "wasi:cli/run@0.2.6" (instance $program)))"#;

struct Noop(Vec<u8>);

#[async_trait]
impl ComponentSource for Noop {
    async fn component(&self, _: &Digest) -> fuseml_domain::Result<Vec<u8>> {
        Ok(self.0.clone())
    }
}

/// The built-in agents, which also note when they are asked.
struct Noted {
    agent: Agents,
    submissions: Mutex<Vec<Instant>>,
}

#[async_trait]
impl RuntimeAgent for Noted {
    async fn submit(&self, workload: &Workload) -> fuseml_domain::Result<()> {
        let now = Instant::now();
        if let Ok(mut submissions) = self.submissions.lock() {
            submissions.push(now);
        }
        self.agent.submit(workload).await
    }
    async fn status(&self, key: &str) -> fuseml_domain::Result<WorkloadStatus> {
        self.agent.status(key).await
    }
    async fn wait(&self, key: &str, limit: Duration) -> fuseml_domain::Result<WorkloadStatus> {
        self.agent.wait(key, limit).await
    }
    async fn logs(&self, key: &str, cursor: u64) -> fuseml_domain::Result<LogChunk> {
        self.agent.logs(key, cursor).await
    }
    async fn cancel(&self, key: &str) -> fuseml_domain::Result<()> {
        self.agent.cancel(key).await
    }
    async fn outputs(&self, workload: &Workload) -> fuseml_domain::Result<Vec<CollectedOutput>> {
        self.agent.outputs(workload).await
    }
    async fn endpoint(&self, key: &str) -> fuseml_domain::Result<String> {
        self.agent.endpoint(key).await
    }
    async fn running(&self) -> fuseml_domain::Result<Vec<String>> {
        self.agent.running().await
    }
    async fn tidy(&self, key: &str) -> fuseml_domain::Result<bool> {
        self.agent.tidy(key).await
    }
    async fn delete(&self, key: &str) -> fuseml_domain::Result<()> {
        self.agent.delete(key).await
    }
}

/// No extension takes part.
struct NoExtensions;

#[async_trait]
impl port::Endpoints for NoExtensions {
    async fn call(&self, _: &Name, call: &OutgoingCall, _: Duration) -> fuseml_domain::Result<CallAnswer> {
        Err(Error::not_found("endpoint", format!("the benchmark has no endpoint {}", call.endpoint)))
    }
    async fn fetch(
        &self,
        _: &Name,
        endpoint: &Name,
        _: Option<&str>,
        _: &Path,
        _: Duration,
    ) -> fuseml_domain::Result<()> {
        Err(Error::not_found("endpoint", format!("the benchmark has no endpoint {endpoint}")))
    }
}

/// One engine without others.
struct Alone(Catalog);

#[async_trait]
impl port::Replicas for Alone {
    async fn renew(&self) -> fuseml_domain::Result<usize> {
        Ok(0)
    }
    async fn take_over(&self) -> fuseml_domain::Result<Vec<Run>> {
        Ok(Vec::new())
    }
    async fn claim(&self, run: Uuid) -> fuseml_domain::Result<bool> {
        self.0.claim_run(run).await
    }
    async fn held(&self) -> fuseml_domain::Result<Vec<(Uuid, u64)>> {
        self.0.held_runs().await
    }
    async fn stuck(&self) -> fuseml_domain::Result<Vec<(Name, Name)>> {
        Ok(Vec::new())
    }
    async fn tell(&self, _: Signal) {}
    async fn heard(&self) -> Signal {
        std::future::pending().await
    }
}

#[async_trait]
impl Engines for NoExtensions {
    async fn engine(&self, instance: &Name) -> fuseml_domain::Result<Arc<dyn EngineAgent>> {
        Err(Error::not_found("no-agent", instance.to_string()))
    }
}

#[async_trait]
impl Extensions for NoExtensions {
    async fn builder(&self, instance: &Name) -> fuseml_domain::Result<Arc<dyn Builder>> {
        Err(Error::not_found("no-builder", format!("{instance} is not installed")))
    }
    async fn store(&self, _: &Name, _: Kind) -> fuseml_domain::Result<Option<Arc<dyn ArtifactStore>>> {
        Ok(None)
    }
    async fn settings(&self, _: &Name) -> fuseml_domain::Result<Attributes> {
        Ok(Attributes::new())
    }
    async fn choose(&self, _: &Name, _: &InstanceChoice) -> fuseml_domain::Result<Name> {
        Err(Error::unsupported("bench", "there are no extensions here"))
    }
    async fn choose_agent(&self, _: &Name, _: &InstanceChoice) -> fuseml_domain::Result<Name> {
        Err(Error::unsupported("bench", "there are no extensions here"))
    }
}

#[derive(Clone, Copy)]
struct Shape {
    /// Every codeset starts it.
    listens: bool,
    /// Each step waits for the one before it.
    is_chain: bool,
}

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) catalog: Catalog,
    agent: Arc<Noted>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) project: Name,
    process: Address,
    component: Address,
}

impl World {
    pub(crate) async fn new(program: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let catalog = Catalog::open(&folder.path().join("catalog.db").as_path().into()).await?;
        let project: Name = "bench".parse()?;
        catalog.create_project(&project).await?;
        let repositories = Arc::new(Repositories::new(folder.path().join("git"))?);
        let place = folder.path().join("contents");
        let blobs = fuseml_registry::Store::on_disk(place.clone())?;
        let trees = Arc::new(TreeStore::new(blobs, Arc::new(catalog.clone()), place.join("incoming"))?);
        let contents = Arc::new(Contents::new(trees, repositories.clone())?);
        let supervisor =
            SupervisorCommand { program: program.to_owned(), arguments: vec!["process-supervisor".into()] };
        let config = ProcessAgentConfig::new(folder.path().join("agent"), supervisor, contents.clone());
        let compiler = CompilerCommand { program: program.to_owned(), arguments: vec!["component-compiler".into()] };
        let cache = folder.path().join("code");
        let sandbox = Sandbox::new(SandboxConfig { cache, compiler, limits: Limits::default() })?;
        let bytes = wat::parse_str(NOOP)?;
        let digest = Digest::of(&bytes);
        let commands = Arc::new(Commands::new(sandbox, Arc::new(Noop(bytes))));
        let wasm = WasmAgentConfig::new(folder.path().join("wasm"), contents.clone(), commands);
        let engines = EnginesAgent::new(&folder.path().join("engines"), "", contents.clone(), Arc::new(NoExtensions))?;
        let agent = Agents::new(ProcessAgent::new(config)?, WasmAgent::new(wasm)?, Arc::new(engines));
        let agent = Arc::new(Noted { agent, submissions: Mutex::default() });
        let ports = Ports {
            catalog: Arc::new(catalog.clone()),
            contents,
            codesets: repositories,
            agent: agent.clone(),
            extensions: Arc::new(NoExtensions),
            endpoints: Arc::new(NoExtensions),
            replicas: Arc::new(Alone(catalog.clone())),
        };
        let engine = Engine::start(ports, EngineConfig::default()).await?;
        let (process, component) = (noop(&project, None)?, noop(&project, Some(digest))?);
        catalog.register(&[process.clone(), component.clone()]).await?;
        let (process, component) = (process.address, component.address);
        Ok(Self { folder, catalog, agent, engine, project, process, component })
    }

    /// Everything of it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn pipeline(&self, name: &str, runnable: &Address, steps: usize, listens: bool) -> Result<Pipeline> {
        self.pipeline_of(name, runnable, steps, Shape { listens, is_chain: true }).await
    }

    async fn pipeline_of(&self, name: &str, runnable: &Address, steps: usize, shape: Shape) -> Result<Pipeline> {
        let Shape { listens, is_chain } = shape;
        let mut text = format!("schema_version: 1\nname: {name}\ndescription: does nothing\n");
        text += if listens { "inputs: {code: {kind: codeset}}\nsteps:\n" } else { "inputs: {}\nsteps:\n" };
        for step in 0..steps {
            write!(text, "  s{step}: {{run: '{runnable}'")?;
            if step > 0 && is_chain {
                write!(text, ", after: [s{}]", step - 1)?;
            }
            text += "}\n";
        }
        let template = Template::parse(&text, "bench.yaml")?;
        let inputs = if listens { [("code".to_owned(), "code://*".to_owned())].into() } else { BTreeMap::new() };
        let pipeline =
            Pipeline::new(self.project.clone(), name.parse()?, template, &inputs, BTreeMap::new(), Timestamp::now())?;
        self.catalog.add_pipeline(&pipeline).await?;
        Ok(pipeline)
    }

    async fn chain(&self, runnable: &Address, steps: usize) -> Result<Duration> {
        let name = format!("{}-{steps}", runnable.name);
        let pipeline = self.pipeline(&name, runnable, steps, false).await?;
        self.time_of(&pipeline).await
    }

    /// Steps that wait for nothing and end as soon as they may.
    async fn at_once(&self, steps: usize) -> Result<Duration> {
        let shape = Shape { listens: false, is_chain: false };
        let pipeline = self.pipeline_of(&format!("wide-{steps}"), &self.component, steps, shape).await?;
        self.time_of(&pipeline).await
    }

    /// From a run's start to its end, which is success.
    async fn time_of(&self, pipeline: &Pipeline) -> Result<Duration> {
        let run = self.engine.plan_manual(pipeline, BTreeMap::new(), "measured".into()).await?;
        let submitted = self.submissions() + pipeline.template.steps.len();
        let begun = Instant::now();
        let run = self.engine.start_run(run).await?;
        // Reading a long run again and again would be measured as well.
        while self.submissions() < submitted {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        loop {
            tokio::time::sleep(Duration::from_micros(200)).await;
            let now = self.catalog.run(run.id).await?;
            if now.state.ended() {
                anyhow::ensure!(now.state == fuseml_domain::RunState::Succeeded, "the chain failed: {:?}", now.steps);
                return Ok(begun.elapsed());
            }
        }
    }

    /// From the registration of a commit to the agent's first word.
    async fn push(&self, number: usize) -> Result<Duration> {
        let before = self.submissions();
        let id: Name = format!("{number:040x}").parse()?;
        let name: Name = "app".parse()?;
        let code = Descriptor {
            address: Address::of_version(Kind::Codeset, &self.project, &name, &id),
            runnable: None,
            origin: Origin::Push { reference: "main".into(), subject: "measured".into() },
            ..descriptor(Kind::Codeset, &self.project, name, id)
        };
        let begun = Instant::now();
        self.catalog.register(&[code]).await?;
        self.engine.wake();
        while self.submissions() == before {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        let submitted = self.agent.submissions.lock().ok().and_then(|all| all.last().copied());
        let time = submitted.context("nothing was submitted")?.duration_since(begun);
        while !self.catalog.open_runs().await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(time)
    }

    fn submissions(&self) -> usize {
        self.agent.submissions.lock().map_or(0, |all| all.len())
    }
}

pub(crate) fn descriptor(kind: Kind, project: &Name, name: Name, id: Name) -> Descriptor {
    Descriptor {
        address: Address::of_version(kind, project, &name, &id),
        name,
        id,
        digest: None,
        created: Timestamp::now(),
        attributes: Attributes::new(),
        metrics: BTreeMap::new(),
        labels: Attributes::new(),
        tags: Vec::new(),
        location: Location::new("none", ""),
        store: Store::BuiltIn,
        runnable: None,
        origin: Origin::Push { reference: "main".into(), subject: "measured".into() },
    }
}

/// What does nothing: as a component, or as a process.
fn noop(project: &Name, component: Option<Digest>) -> Result<Descriptor> {
    let runnable = Runnable {
        name: if component.is_some() { "component" } else { "process" }.parse()?,
        kind: "noop".into(),
        image: component.clone().map(|digest| Image::own("bench/runnable/component", digest)),
        command: if component.is_some() { Vec::new() } else { vec!["/bin/true".into()] },
        component,
        environment: None,
        scripts: IndexMap::new(),
        variables: Attributes::new(),
        inputs: IndexMap::new(),
        outputs: IndexMap::new(),
        parameters: IndexMap::new(),
        service: None,
        resources: Attributes::new(),
        labels: Attributes::new(),
        instance: None,
    };
    let id: Name = runnable.digest().hex().parse()?;
    Ok(Descriptor {
        runnable: Some(Box::new(runnable.clone())),
        ..descriptor(Kind::Runnable, project, runnable.name, id)
    })
}

/// Lengths of chains.
const STEPS: [usize; 4] = [1, 10, 50, 200];

pub(crate) async fn measure(program: &Path) -> Result<()> {
    let world = World::new(program).await?;
    // Components are compiled once in their lives.
    world.chain(&world.component, 2).await?;
    for (runnable, what) in [(&world.component, "components"), (&world.process, "processes")] {
        heading(&format!("Chains of steps that do nothing: {what}"));
        let mut times = Vec::new();
        for steps in STEPS {
            let chain = world.chain(runnable, steps).await?;
            let plain = match what {
                "processes" => {
                    let begun = Instant::now();
                    for _ in 0..steps {
                        Command::new("/bin/true").status()?;
                    }
                    let plain = begun.elapsed();
                    let own = chain.saturating_sub(plain) / u32::try_from(steps)?;
                    format!("; plain spawns {plain:.1?}  {}, {own:.1?} more a step", ratio(chain, plain))
                }
                _ => String::new(),
            };
            line(&format!("{steps} steps"), &format!("{chain:.1?}{plain}"));
            times.push((steps, chain));
        }
        line("a step; all else", &slope(&times));
    }
    disk::measure(world.folder())?;

    heading("Steps that end at once");
    for steps in [32, 256] {
        let time = world.at_once(steps).await?;
        line(
            &format!("{steps} components"),
            &format!("{time:.1?}, {:.2?} a step, no error", time / u32::try_from(steps)?),
        );
    }

    heading("From an accepted push to the first step's submission");
    world.pipeline("listening", &world.process, 1, true).await?;
    let mut times = Vec::new();
    for number in 0..PUSHES {
        times.push(world.push(number).await?);
    }
    let spread = spread(times);
    line(&format!("{PUSHES} pushes"), &format!("{:.1?}  p99 {:.1?}", spread.median, spread.p99));
    world.history(10_000).await?;
    world.crowd(1_000).await
}

impl World {
    /// What lists and single runs cost once there are many.
    async fn history(&self, runs: usize) -> Result<()> {
        let pipeline = self.pipeline("history", &self.component, 5, false).await?;
        for _ in 0..runs {
            let mut run = self.engine.plan_manual(&pipeline, BTreeMap::new(), "measured".into()).await?;
            for step in pipeline.template.steps.iter().map(|step| &step.name) {
                let (workload, runnable) = (format!("{}.{step}", run.id), Some(self.component.clone()));
                for event in [
                    StepEvent::Staged { workload, runnable, note: None, reuse: None },
                    StepEvent::Submitted,
                    StepEvent::Ended,
                    StepEvent::Succeeded { outputs: BTreeMap::new(), note: None },
                ] {
                    run.apply(step, 0, event, Timestamp::now())?;
                }
            }
            run.revision = 0;
            self.catalog.start(run).await?;
        }
        heading(&format!("{runs} runs of 5 steps in the history"));
        let filter = RunFilter { limit: 50, ..RunFilter::default() };
        let mut times = (Vec::new(), Vec::new());
        for number in 1..=100 {
            let begun = Instant::now();
            let listed = self.catalog.list_runs(&self.project, &filter).await?;
            times.0.push(begun.elapsed());
            anyhow::ensure!(listed.len() == 50, "{} runs were listed", listed.len());
            let begun = Instant::now();
            self.catalog.run_by_number(&self.project, &pipeline.name, number * 97).await?;
            times.1.push(begun.elapsed());
        }
        for (what, times) in [("the newest 50", times.0), ("one of them", times.1)] {
            let spread = spread(times);
            line(what, &format!("{:.2?}  p99 {:.2?}", spread.median, spread.p99));
        }
        Ok(())
    }

    /// One artifact that starts every one of many pipelines.
    async fn crowd(&self, pipelines: usize) -> Result<()> {
        heading(&format!("{pipelines} more pipelines that one push starts, a component each"));
        for number in 0..pipelines {
            self.pipeline(&format!("listener-{number}"), &self.component, 1, true).await?;
        }
        let id: Name = format!("{:040x}", u32::MAX).parse()?;
        let code = Descriptor {
            address: Address::of_version(Kind::Codeset, &self.project, &"crowd".parse()?, &id),
            ..descriptor(Kind::Codeset, &self.project, "crowd".parse()?, id.clone())
        };
        let begun = Instant::now();
        self.catalog.register(std::slice::from_ref(&code)).await?;
        self.engine.wake();
        let (mut started, mut ended) = (None, false);
        while !ended {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let following = self.catalog.following(&code.address, &id).await?;
            started = started.or(following.is_quiet().then(|| begun.elapsed()));
            ended = following.is_settled();
        }
        let started = started.context("nothing was settled")?;
        line("all runs are there; all have ended", &format!("{started:.1?}; {:.1?}", begun.elapsed()));
        Ok(())
    }
}

/// The straight line closest to the times: what one more step costs, and what a run costs without any.
pub(crate) fn slope(times: &[(usize, Duration)]) -> String {
    let count = times.len() as f64;
    let mean = |value: fn(&(usize, Duration)) -> f64| times.iter().map(value).sum::<f64>() / count;
    let (steps, seconds) = (mean(|it| it.0 as f64), mean(|it| it.1.as_secs_f64()));
    let along: f64 = times.iter().map(|it| (it.0 as f64 - steps) * (it.1.as_secs_f64() - seconds)).sum();
    let across: f64 = times.iter().map(|it| (it.0 as f64 - steps).powi(2)).sum();
    let each = along / across;
    format!("{:.2} ms; {:.1} ms", each * 1e3, (seconds - each * steps) * 1e3)
}
