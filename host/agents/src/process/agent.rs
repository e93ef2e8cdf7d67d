//! The agent: the server's side of workloads. Every answer is read from the folders; all that it keeps in memory is what it
//! hears of ends by.

use super::{
    build::ImageBuilder,
    container::{self, Container, OwnRegistry},
    folder::{self, Endpoint, Folder, State, find_program},
    launcher::Launcher,
    log, outputs,
    spec::{Environments, Spec, Uv},
    staging,
    supervision::{Held, settle},
};
use crate::sdk;
use async_trait::async_trait;
use fuseml_domain::{
    CollectedOutput, Environment, Error, Image, LogChunk, Machine, Phase, Result, Workload, WorkloadKind,
    WorkloadStatus,
    port::{ContentStore, RuntimeAgent},
};
use std::{env, ffi::OsString, fs, io, path::PathBuf, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Between two looks at what says nothing by itself: the first, and the longest.
pub(super) const LOOK: Duration = Duration::from_millis(1);
const LONGEST_LOOK: Duration = Duration::from_millis(100);

const LAYOUT: staging::Layout =
    staging::Layout { inputs: Folder::work, files: Folder::work, folders: &[Folder::home, Folder::temporary] };

/// The command that runs [`crate::supervise`] with the folder that is added as its last argument, and
/// [`crate::launch`] without one.
#[derive(Debug, Clone)]
pub struct SupervisorCommand {
    /// An absolute path.
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

#[derive(Clone)]
pub struct ProcessAgentConfig {
    /// The agent's own folder: workloads, environments and uv's cache.
    pub root: PathBuf,
    pub supervisor: SupervisorCommand,
    pub contents: Arc<dyn ContentStore>,
    /// uv; `None`: looked for on the server's `PATH` when an environment is to be made.
    pub uv: Option<PathBuf>,
    /// uv's cache; `None`: below `root`. Packages are shared with it if it lies on the same file system.
    pub uv_cache: Option<PathBuf>,
    /// podman; `None`: looked for on the server's `PATH` when an image is to be run.
    pub podman: Option<PathBuf>,
    /// Where images lie that this server keeps.
    pub registry: Option<OwnRegistry>,
    /// What jobs share; they are not held back if `None`.
    pub machine: Option<Machine>,
    /// For workloads that come without one.
    pub default_timeout: Duration,
    /// Between asking processes to end and killing them.
    pub grace: Duration,
    /// Bytes of log kept of one workload.
    pub log_limit: u64,
}

impl ProcessAgentConfig {
    pub fn new(root: PathBuf, supervisor: SupervisorCommand, contents: Arc<dyn ContentStore>) -> Self {
        Self {
            root,
            supervisor,
            contents,
            uv: None,
            uv_cache: None,
            podman: None,
            registry: None,
            machine: None,
            default_timeout: fuseml_domain::DEFAULT_TIMEOUT,
            grace: Duration::from_secs(10),
            log_limit: 256 * 1024 * 1024,
        }
    }
}

/// Runs workloads as processes of this machine.
pub struct ProcessAgent {
    pub(super) config: ProcessAgentConfig,
    workloads: PathBuf,
    /// Folders that are not finished, and folders that are being removed.
    aside: PathBuf,
    environments: Environments,
    pub(super) launcher: Launcher,
    /// How podman enters this server's registry.
    login: PathBuf,
    /// Where the Python package is that every workload can import.
    python: PathBuf,
    pub(super) held: Held,
}

impl ProcessAgent {
    /// Takes up what an earlier agent left in the same folder.
    pub fn new(mut config: ProcessAgentConfig) -> Result<Self> {
        let root = config.root.clone();
        let failed = |error| Error::io(format!("the folder of the process agent, {}", root.display()), &error);
        staging::create_private(&config.root).map_err(failed)?;
        // Supervisors and workloads run elsewhere, so the path must mean the same there.
        config.root = fs::canonicalize(&config.root).map_err(failed)?;
        let [workloads, aside, environments] =
            ["workloads", "aside", "environments"].map(|name| config.root.join(name));
        for folder in [&workloads, &aside, &environments] {
            staging::create_private(folder).map_err(failed)?;
        }
        staging::clean(&aside).map_err(failed)?;
        let python = config.root.join("python");
        sdk::write(&python).map_err(failed)?;
        let mut login = config.root.join("registry.json");
        if let Some(registry) = &config.registry {
            // Another server that shares the folder has another address.
            login = config.root.join(format!("registry-{}.json", registry.address.replace(':', "-")));
            container::write_login(&login, registry).map_err(failed)?;
        }
        let launcher = Launcher::new(config.supervisor.clone());
        let environments = Environments::new(environments);
        Ok(Self { config, workloads, aside, environments, launcher, login, python, held: Held::default() })
    }

    fn folder(&self, key: &str) -> Result<Folder> {
        Folder::of(&self.workloads, key)
    }

    fn spec(&self, workload: &Workload) -> Result<Spec> {
        let makes_environment = workload.kind == WorkloadKind::Environment;
        match &workload.environment {
            None if makes_environment => {
                return Err(Error::invalid("environment", "a workload that makes an environment must name it"));
            }
            _ => {}
        }
        let is_missing = |environment: &Environment| !self.environments.has(&environment.digest);
        let makes_environment = makes_environment || workload.environment.as_ref().is_some_and(is_missing);
        let container = workload.image.as_ref().map(|image| self.container(workload, image)).transpose()?;
        if workload.command.is_empty() && container.is_none() && workload.kind != WorkloadKind::Environment {
            return Err(Error::invalid("command", format!("the workload {} has no command", workload.key)));
        }
        Ok(Spec {
            workload: workload.clone(),
            timeout: workload.timeout.unwrap_or(self.config.default_timeout),
            grace: self.config.grace,
            log_limit: self.config.log_limit,
            environments: self.environments.clone(),
            uv: if makes_environment && workload.builds.is_none() { Some(self.uv()?) } else { None },
            python: self.python.clone(),
            container,
            builder: workload.builds.as_ref().map(|_| self.builder()).transpose()?,
        })
    }

    fn podman(&self) -> Result<PathBuf> {
        installed(self.config.podman.as_ref(), "podman").ok_or_else(|| {
            let message = "images are made and run with podman, which is not on the server's PATH; install it or say \
                           in the configuration where it is";
            Error::unavailable("podman-missing", message)
        })
    }

    fn builder(&self) -> Result<ImageBuilder> {
        let registry = self.config.registry.as_ref().ok_or_else(|| {
            Error::unsupported("image", "images are pushed to this server's registry, which this agent does not know")
        })?;
        Ok(ImageBuilder::new(self.podman()?, registry, &self.login))
    }

    fn container(&self, workload: &Workload, image: &Image) -> Result<Container> {
        let podman = self.podman()?;
        let registry = self.config.registry.as_ref().map(|registry| (registry, &*self.login));
        Container::of(workload, image, podman, registry)
    }

    fn uv(&self) -> Result<Uv> {
        let program = installed(self.config.uv.as_ref(), "uv").ok_or_else(|| {
            let message = "environments are made with uv, which is not on the server's PATH; install it \
                           (`pip install uv`) or say in the configuration where it is";
            Error::unavailable("uv-missing", message)
        })?;
        let cache = self.config.uv_cache.clone().unwrap_or_else(|| self.config.root.join("uv-cache"));
        Ok(Uv { program, cache })
    }
}

#[async_trait]
impl RuntimeAgent for ProcessAgent {
    fn machine(&self) -> Option<Machine> {
        self.config.machine.clone()
    }

    async fn submit(&self, workload: &Workload) -> Result<()> {
        let folder = self.folder(&workload.key)?;
        if matches!(self.state(&folder).await?, State::Unknown) {
            let spec = self.spec(workload)?;
            let described = (&spec, &spec.workload);
            if staging::prepare(described, &*self.config.contents, &self.aside, &folder, LAYOUT).await? {
                return self.launch(&folder, spec.needs_environment()).await;
            }
        }
        match self.state(&folder).await? {
            State::Waiting { supervised: false } => self.relaunch(&folder).await,
            _ => Ok(()),
        }
    }

    async fn status(&self, key: &str) -> Result<WorkloadStatus> {
        Ok(status(key, self.state(&self.folder(key)?).await?))
    }

    async fn wait(&self, key: &str, limit: Duration) -> Result<WorkloadStatus> {
        let folder = self.folder(key)?;
        let until = Instant::now() + limit;
        let serves = Self::stored_spec(&folder)?.is_some_and(|spec| spec.workload.kind == WorkloadKind::Service);
        let mut look = LOOK;
        loop {
            let state = self.state(&folder).await?;
            let over = Instant::now() >= until;
            match &state {
                State::Ended(_) => {
                    self.forget(&folder);
                    return Ok(status(key, state));
                }
                State::Unknown | State::Running { ready: true, .. } => return Ok(status(key, state)),
                _ if over => return Ok(status(key, state)),
                State::Waiting { supervised: false } => {
                    self.relaunch(&folder).await?;
                    continue;
                }
                _ => {}
            }
            // An end is heard of at once; only that a service has become ready is looked for.
            let next = Instant::now() + look;
            look = (look * 2).min(LONGEST_LOOK);
            self.until_ended(&folder, if serves { until.min(next) } else { until }, next).await;
        }
    }

    async fn logs(&self, key: &str, cursor: u64) -> Result<LogChunk> {
        let folder = self.folder(key)?;
        // Before the log is read: what is written until then is read as well.
        let ended = match self.state(&folder).await? {
            State::Unknown => {
                return Err(Error::not_found("workload", format!("this agent knows no workload `{key}`")));
            }
            state => matches!(state, State::Ended(_)),
        };
        log::read(&folder.log(), cursor, ended).map_err(|error| Error::io(format!("the log of {key}"), &error))
    }

    async fn cancel(&self, key: &str) -> Result<()> {
        let folder = self.folder(key)?;
        loop {
            let state = self.state(&folder).await?;
            if matches!(state, State::Unknown | State::Ended(_)) {
                return Ok(());
            }
            fs::write(folder.cancel(), "")
                .map_err(|error| Error::io(format!("{key} could not be cancelled"), &error))?;
            match state {
                State::Waiting { supervised: false } => settle(&folder).await?,
                _ => self.end(&folder).await?,
            }
        }
    }

    async fn outputs(&self, workload: &Workload) -> Result<Vec<CollectedOutput>> {
        let work = self.folder(&workload.key)?.work();
        outputs::collect(&work, &workload.outputs)
    }

    async fn endpoint(&self, key: &str) -> Result<String> {
        let folder = self.folder(key)?;
        let ready = matches!(self.state(&folder).await?, State::Running { ready: true, .. });
        let endpoint: Option<Endpoint> =
            folder::read_json(&folder.endpoint()).map_err(|error| unreadable(&folder, &error))?;
        match endpoint {
            Some(Endpoint { port }) if ready => Ok(format!("http://127.0.0.1:{port}")),
            _ => Err(Error::unavailable("service-not-ready", format!("the service {key} does not answer now"))),
        }
    }

    async fn running(&self) -> Result<Vec<String>> {
        let failed = |error| Error::io("the workloads could not be listed", &error);
        let mut keys = Vec::new();
        for entry in fs::read_dir(&self.workloads).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let state = self.state(&Folder::new(entry.path())).await?;
            if let (Some(key), false) = (entry.file_name().to_str(), matches!(state, State::Unknown | State::Ended(_)))
            {
                keys.push(key.to_owned());
            }
        }
        keys.sort();
        Ok(keys)
    }

    async fn tidy(&self, key: &str) -> Result<bool> {
        let folder = self.folder(key)?;
        match self.state(&folder).await? {
            State::Ended(_) => {
                self.forget(&folder);
                staging::clear(&folder, &self.aside).await.map_err(|error| unreadable(&folder, &error))?;
                Ok(true)
            }
            State::Unknown => Ok(true),
            _ => Ok(false),
        }
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let folder = self.folder(key)?;
        match self.state(&folder).await? {
            State::Unknown => return Ok(()),
            State::Ended(_) => {}
            _ => return Err(Error::conflict("workload-running", format!("{key} has not ended; cancel it first"))),
        }
        self.forget(&folder);
        staging::remove(folder.path().to_owned(), &self.aside)
            .await
            .map_err(|error| Error::io(format!("{key} could not be removed"), &error))
    }
}

/// The program that the configuration names, or the one on the server's own `PATH`.
fn installed(configured: Option<&PathBuf>, name: &str) -> Option<PathBuf> {
    configured.cloned().or_else(|| find_program(name, &env::var_os("PATH").unwrap_or_default()))
}

fn status(key: &str, state: State) -> WorkloadStatus {
    let running = |phase, started| WorkloadStatus { started: Some(started), ..WorkloadStatus::new(phase) };
    match state {
        State::Ended(status) => status,
        State::Waiting { .. } => WorkloadStatus::new(Phase::Pending),
        State::Running { started, ready: true } => running(Phase::Ready, started),
        State::Running { started, ready: false } => running(Phase::Running, started),
        State::Orphaned { started } => running(Phase::Lost, started),
        State::Unknown => WorkloadStatus {
            message: Some(format!("this agent knows no workload `{key}`")),
            ..WorkloadStatus::new(Phase::Lost)
        },
    }
}

pub(super) fn unreadable(folder: &Folder, error: &io::Error) -> Error {
    Error::io(format!("the workload's folder {} cannot be read", folder.path().display()), error)
}
