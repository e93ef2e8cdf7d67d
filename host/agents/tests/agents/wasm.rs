//! Jobs of components are run once where nothing interrupts them, and again where the server's end did.

use crate::common::{self, Folders, LONG, eventually, job};
use async_trait::async_trait;
use fuseml_agents::{Agents, EnginesAgent, WasmAgent, WasmAgentConfig};
use fuseml_domain::{
    Command, Contents, Digest, Error, Location, Name, Phase, Result, Workload, WorkloadInput, WorkloadKind,
    WorkloadOutput,
    port::{CommandRunner, EngineAgent, Engines, Print, RuntimeAgent},
};
use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Does what the first argument says, in place of a sandbox.
#[derive(Default)]
struct Script {
    ran: Mutex<Vec<Command>>,
}

impl Script {
    fn runs(&self) -> usize {
        self.ran.lock().unwrap().len()
    }
}

#[async_trait]
impl CommandRunner for Script {
    async fn run(&self, command: &Command, print: Print) -> Result<i32> {
        self.ran.lock().unwrap().push(command.clone());
        let place = |path: &str| command.mounts.iter().find(|mount| mount.path == path).unwrap().source.clone();
        print(b"running\n");
        match command.arguments[1].as_str() {
            "copy" => {
                fs::create_dir(place("/").join("out")).unwrap();
                fs::copy(place("/data").join("a"), place("/").join("out/a")).unwrap();
                Ok(0)
            }
            "fill" => {
                for number in 0.. {
                    fs::write(place("/").join(format!("{number}")), vec![0; 1 << 20]).unwrap();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ok(0)
            }
            "hole" => {
                fs::File::create(place("/").join("hole")).unwrap().set_len(1 << 40).unwrap();
                Ok(0)
            }
            "wait" => std::future::pending().await,
            "panic" => panic!("the sandbox has a fault"),
            "trap" => Err(Error::internal("trap", "the program trapped and was stopped")),
            code => Ok(code.parse().unwrap()),
        }
    }
}

struct World {
    agent: WasmAgent,
    script: Arc<Script>,
    root: tempfile::TempDir,
}

fn agent(root: &Path, script: &Arc<Script>) -> WasmAgent {
    let config = WasmAgentConfig::new(root.join("wasm"), Arc::new(Folders), script.clone());
    WasmAgent::new(WasmAgentConfig { disk_limit: 8 << 20, ..config }).unwrap()
}

fn world() -> World {
    let (root, script) = (tempfile::tempdir().unwrap(), Arc::<Script>::default());
    World { agent: agent(root.path(), &script), script, root }
}

fn component(key: &str, does: &str) -> Workload {
    Workload { component: Some(Digest::of(b"program")), command: vec![does.to_owned()], ..job(key, "") }
}

async fn ended(world: &World, workload: &Workload) -> (Phase, Option<String>) {
    world.agent.submit(workload).await.unwrap();
    let status = world.agent.wait(&workload.key, LONG).await.unwrap();
    (status.phase, status.message)
}

#[tokio::test]
async fn a_job_reads_its_inputs_and_leaves_its_outputs() {
    let world = world();
    let data = world.root.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("a"), "numbers").unwrap();
    let location = Location::new("file", data.display().to_string());
    let contents = Contents { location, tree: None, files: Vec::new() };
    let workload = Workload {
        inputs: vec![WorkloadInput { name: "data".into(), path: "data".into(), is_file: false, contents }],
        outputs: vec![WorkloadOutput { name: "out".into(), path: "out".into(), report: None }],
        files: vec![("settings.json".into(), "{}".into())],
        ..component("copy", "copy")
    };
    assert_eq!(ended(&world, &workload).await, (Phase::Succeeded, None));
    let outputs = world.agent.outputs(&workload).await.unwrap();
    assert_eq!(fs::read_to_string(outputs[0].path.join("a")).unwrap(), "numbers");
    assert_eq!(fs::read_to_string(outputs[0].path.parent().unwrap().join("settings.json")).unwrap(), "{}");
    let command = world.script.ran.lock().unwrap()[0].clone();
    let writable: Vec<_> = command.mounts.iter().map(|mount| (mount.path.as_str(), mount.writable)).collect();
    assert_eq!(writable, [("/", true), ("/data", false)]);
    let log = world.agent.logs("copy", 0).await.unwrap();
    assert_eq!((log.text.as_str(), log.ended), ("running\n", true));

    world.agent.submit(&workload).await.unwrap();
    assert_eq!(world.script.runs(), 1, "the same key twice is one workload");
    world.agent.tidy("copy").await.unwrap();
    world.agent.outputs(&workload).await.expect_err("only what it said is left");
    assert_eq!(world.agent.logs("copy", 0).await.unwrap().text, "running\n");
    world.agent.delete("copy").await.unwrap();
    assert_eq!(world.agent.status("copy").await.unwrap().phase, Phase::Lost);
}

struct NoEngines;

#[async_trait]
impl Engines for NoEngines {
    async fn engine(&self, instance: &Name) -> Result<Arc<dyn EngineAgent>> {
        Err(Error::not_found("no-agent", instance.to_string()))
    }
}

#[tokio::test]
async fn a_process_takes_the_place_of_a_component_of_which_nothing_was_saved() {
    let world = world();
    let processes = common::agent(&world.root.path().join("processes"));
    let engines = EnginesAgent::new(&world.root.path().join("engines"), "", Arc::new(Folders), Arc::new(NoEngines));
    let agents = Agents::new(processes, world.agent, Arc::new(engines.unwrap()));
    for does in ["0", "wait"] {
        let key = format!("step-{does}");
        agents.submit(&component(&key, does)).await.unwrap();

        agents.submit(&job(&key, "echo a process; exit 3")).await.unwrap();

        let status = agents.wait(&key, LONG).await.unwrap();
        assert_eq!((status.phase, status.exit_code), (Phase::Failed, Some(3)), "{does}");
        assert_eq!(agents.logs(&key, 0).await.unwrap().text, "a process\n[fuseml] exited with code 3\n");
        assert!(agents.tidy(&key).await.unwrap());
    }
}

#[tokio::test]
async fn how_a_job_ended_is_said() {
    let world = world();
    for (does, phase, why) in [
        ("3", Phase::Failed, "exited with code 3"),
        ("trap", Phase::Failed, "the program trapped and was stopped"),
        ("panic", Phase::Failed, "the sandbox failed while it ran"),
        ("fill", Phase::Failed, "the program wrote more than 8 MiB, or 1000000 files, and was stopped"),
        ("hole", Phase::Failed, "the program wrote more than 8 MiB, or 1000000 files, and was stopped"),
    ] {
        assert_eq!(ended(&world, &component(does, does)).await, (phase, Some(why.to_owned())));
    }
    let service = Workload { kind: WorkloadKind::Service, ..component("service", "0") };
    world.agent.submit(&service).await.expect_err("components serve nothing");
    world.agent.submit(&component("../escape", "0")).await.expect_err("no key");
}

#[tokio::test]
async fn a_job_is_cancelled_and_another_takes_its_place() {
    let world = world();
    world.agent.submit(&component("job", "wait")).await.unwrap();
    assert_eq!(world.agent.wait("job", Duration::from_millis(20)).await.unwrap().phase, Phase::Running);
    world.agent.delete("job").await.expect_err("it runs");
    world.agent.submit(&component("job", "0")).await.unwrap();
    assert_eq!(world.agent.wait("job", LONG).await.unwrap().phase, Phase::Succeeded, "the newer one counts");

    world.agent.submit(&component("other", "wait")).await.unwrap();
    world.agent.cancel("other").await.unwrap();
    assert_eq!(world.agent.status("other").await.unwrap().phase, Phase::Cancelled);
    assert!(world.agent.running().await.unwrap().is_empty());
}

/// A server that dies when it is told to.
struct Mortal {
    agent: Option<WasmAgent>,
    runtime: Option<tokio::runtime::Runtime>,
    script: Arc<Script>,
}

impl Mortal {
    fn new(root: &Path) -> Self {
        let script = Arc::<Script>::default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { agent: Some(agent(root, &script)), runtime: Some(runtime), script }
    }

    /// What it runs, it runs by itself.
    async fn submit(&self, workload: &Workload) {
        let (agent, workload) = (self.agent.clone().unwrap(), workload.clone());
        self.runtime.as_ref().unwrap().spawn(async move { agent.submit(&workload).await.unwrap() }).await.unwrap();
    }

    fn dies(&mut self) {
        self.agent = None;
        let runtime = self.runtime.take().unwrap();
        std::thread::spawn(|| runtime.shutdown_timeout(LONG)).join().unwrap();
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[tokio::test]
async fn what_a_servers_end_interrupted_is_run_again_unless_it_was_cancelled() {
    let root = tempfile::tempdir().unwrap();
    let mut first = Mortal::new(root.path());
    let (told, untold) = (component("told", "wait"), component("untold", "wait"));
    for job in [&told, &untold] {
        first.submit(job).await;
    }
    eventually(|| first.script.runs() == 2).await;
    let agent_of_first = first.agent.as_ref().unwrap();
    assert_eq!(agent_of_first.status("told").await.unwrap().phase, Phase::Running);
    first.dies();

    // The next server: the folder is all that it knows. Of one job nobody was told that it runs.
    let mut next = Mortal::new(root.path());
    let agent_of_next = next.agent.clone().unwrap();
    assert_eq!(agent_of_next.status("untold").await.unwrap().phase, Phase::Lost);
    assert_eq!(agent_of_next.status("told").await.unwrap().phase, Phase::Pending);
    assert_eq!(agent_of_next.running().await.unwrap(), ["told"]);
    let waited = agent_of_next.clone();
    let handle = next.runtime.as_ref().unwrap().spawn(async move { waited.wait("told", LONG).await.map(|_| ()) });
    eventually(|| next.script.runs() == 1).await;
    handle.abort();
    drop(agent_of_next);
    next.dies();

    let third = Mortal::new(root.path());
    let agent_of_third = third.agent.as_ref().unwrap();
    agent_of_third.cancel("told").await.unwrap();
    assert_eq!(agent_of_third.wait("told", LONG).await.unwrap().phase, Phase::Cancelled);
    assert_eq!(third.script.runs(), 0);
}

#[tokio::test]
async fn a_job_of_another_server_is_waited_for_while_that_lives_and_run_again_once_it_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let mut first = Mortal::new(root.path());
    let second = Mortal::new(root.path());
    let (short, long) = (component("short", "0"), component("long", "wait"));
    for job in [&short, &long] {
        first.submit(job).await;
    }
    eventually(|| first.script.runs() == 2).await;
    let of_first = first.agent.clone().unwrap();
    assert_eq!(of_first.wait("short", LONG).await.unwrap().phase, Phase::Succeeded);
    assert_eq!(of_first.status("long").await.unwrap().phase, Phase::Running);
    drop(of_first);

    let of_second = second.agent.clone().unwrap();
    assert_eq!(of_second.wait("short", LONG).await.unwrap().phase, Phase::Succeeded);
    assert_eq!(of_second.logs("short", 0).await.unwrap().text, "running\n");
    of_second.submit(&long).await.unwrap();
    assert_eq!(of_second.wait("long", Duration::from_millis(50)).await.unwrap().phase, Phase::Running);
    assert!(of_second.running().await.unwrap().is_empty(), "what another runs is the other's to end");
    assert_eq!(second.script.runs(), 0);

    let waited = of_second.clone();
    let waiting = second.runtime.as_ref().unwrap().spawn(async move { waited.wait("long", LONG).await.map(|_| ()) });
    first.dies();

    eventually(|| second.script.runs() == 1).await;
    waiting.abort();
    of_second.cancel("long").await.unwrap();
    assert_eq!(of_second.status("long").await.unwrap().phase, Phase::Cancelled);
}
