//! An agent over a temporary folder, with contents that are plain folders.

use async_trait::async_trait;
use fuseml_agents::{ProcessAgent, ProcessAgentConfig, SupervisorCommand};
use fuseml_domain::{
    Attributes, Contents, Descriptor, Digest, Error, Kind, Location, LogChunk, Result, Series, Tree, Workload,
    WorkloadKind, WorkloadStatus,
    port::{ContentStore, RuntimeAgent},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longer than anything takes here, even on a busy machine: a test that waits so long has failed.
pub const LONG: Duration = Duration::from_secs(120);

pub struct Folders;

#[async_trait]
impl ContentStore for Folders {
    async fn stage(&self, contents: &Contents, target: &Path) -> Result<()> {
        let source = Path::new(&contents.location.uri);
        if !source.is_dir() {
            return Err(Error::not_found("contents", format!("{} is not there", source.display())));
        }
        fs::create_dir(target).unwrap();
        for entry in fs::read_dir(source).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), target.join(entry.file_name())).unwrap();
        }
        Ok(())
    }
    async fn keep_image(&self, _: &Series, image: &fuseml_domain::Image) -> Result<fuseml_domain::Image> {
        Ok(image.clone())
    }
    fn scratch(&self) -> Result<Box<dyn AsRef<Path> + Send + Sync>> {
        unreachable!("agents make no folders in stores")
    }
    async fn point(&self, _: &Descriptor, _: &fuseml_domain::Name) -> Result<()> {
        unreachable!("agents tag nothing")
    }
    async fn store_tree(&self, _: &Series, _: &Path) -> Result<Tree> {
        unreachable!("agents store nothing")
    }
    async fn record(&self, _: &Series, _: &Contents) -> Result<(Tree, Attributes)> {
        Err(Error::unsupported("record", "there are no tools here"))
    }

    async fn damaged(&self, _: &Tree) -> Result<Vec<String>> {
        unreachable!("agents store nothing")
    }

    async fn describe(&self, _: Kind, _: &Path, _: &Tree) -> Attributes {
        unreachable!("agents describe nothing")
    }
    async fn make_newest(&self, _: &Descriptor) -> Result<()> {
        unreachable!("the agent publishes nothing")
    }
    async fn publish(&self, _: &Descriptor, _: &Tree, _: bool) -> Result<()> {
        unreachable!("the agent publishes nothing")
    }
    async fn store_listing(&self, _: &Series, _: &Path) -> Result<Tree> {
        unreachable!("agents store nothing")
    }
    async fn tree(&self, _: &Digest) -> Result<Tree> {
        unreachable!("agents ask for no tree")
    }
    fn location(&self, _: &Tree) -> Location {
        unreachable!("agents ask for no location")
    }
}

pub struct World {
    pub agent: ProcessAgent,
    pub root: TempDir,
}

impl World {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self { agent: agent(root.path()), root }
    }

    /// Another agent over the same folder, as after a restart of the server.
    pub fn restart(&mut self) {
        self.agent = agent(self.root.path());
    }

    pub fn folder(&self, key: &str) -> PathBuf {
        self.root.path().join("workloads").join(key)
    }

    /// The process id in the workload's lock: its supervisor.
    pub fn supervisor(&self, key: &str) -> i32 {
        let lock: serde_json::Value =
            serde_json::from_slice(&fs::read(self.folder(key).join("lock")).unwrap()).unwrap();
        i32::try_from(lock["pid"].as_i64().unwrap()).unwrap()
    }

    pub async fn run(&self, workload: &Workload) -> WorkloadStatus {
        self.agent.submit(workload).await.unwrap();
        self.agent.wait(&workload.key, LONG).await.unwrap()
    }

    pub async fn log(&self, key: &str) -> String {
        let LogChunk { text, .. } = self.agent.logs(key, 0).await.unwrap();
        text
    }

    /// A number that the workload has written to this file in its working directory.
    pub async fn number(&self, key: &str, file: &str) -> i32 {
        let path = self.folder(key).join("work").join(file);
        let written = || fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'));
        eventually(|| written().is_some()).await;
        written().unwrap().trim().parse().unwrap()
    }
}

impl Drop for World {
    /// Nothing outlives a test, even one that failed.
    fn drop(&mut self) {
        for entry in fs::read_dir(self.root.path().join("workloads")).into_iter().flatten().flatten() {
            let Ok(lock) = fs::read(entry.path().join("lock")) else { continue };
            let Ok(lock) = serde_json::from_slice::<serde_json::Value>(&lock) else { continue };
            if entry.path().join("exit.json").exists() {
                continue;
            }
            if let Some(pid) = lock["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()) {
                let pid = nix::unistd::Pid::from_raw(pid);
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            }
        }
    }
}

pub fn config(root: &Path) -> ProcessAgentConfig {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_fuseml-process-supervisor"));
    let supervisor = SupervisorCommand { program, arguments: Vec::new() };
    let uv = std::env::var_os("FUSEML_UV").map(PathBuf::from);
    ProcessAgentConfig { uv, ..ProcessAgentConfig::new(root.to_owned(), supervisor, Arc::new(Folders)) }
}

pub fn agent(root: &Path) -> ProcessAgent {
    ProcessAgent::new(config(root)).unwrap()
}

pub fn job(key: &str, script: &str) -> Workload {
    Workload {
        agent: None,
        image: None,
        key: key.to_owned(),
        kind: WorkloadKind::Job,
        environment: None,
        component: None,
        builds: None,
        command: ["sh", "-c", script].map(str::to_owned).into(),
        variables: Attributes::new(),
        files: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        readiness_path: None,
        timeout: None,
        resources: Default::default(),
        labels: Attributes::new(),
    }
}

pub async fn eventually(condition: impl Fn() -> bool) {
    let until = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < until, "it did not happen in {LONG:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A zombie is dead, too: it waits only for somebody to ask.
pub fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}
