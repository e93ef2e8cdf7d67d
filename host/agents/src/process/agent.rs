//! The agent: the server's side of workloads. It keeps nothing in memory; every answer is read from the folders.

use super::{
    build::ImageBuilder,
    container::{self, Container, OwnRegistry},
    environment,
    folder::{self, Endpoint, Folder, State, find_program},
    launcher::Launcher,
    log, outputs,
    procfs::{self, Identity},
    spec::{Environments, Spec, Uv},
    staging, supervisor,
};
use crate::sdk;
use async_trait::async_trait;
use fuseml_domain::{
    CollectedOutput, Environment, Error, Image, LogChunk, Machine, Phase, Result, Workload, WorkloadKind,
    WorkloadStatus,
    port::{ContentStore, RuntimeAgent},
};
use nix::sys::signal::Signal;
use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, Interest, unix::AsyncFd},
    net::unix::pipe,
    process::Command,
    time::{Instant, sleep, sleep_until, timeout},
};

/// What a supervisor may take until it has taken its workload up.
const LAUNCH_TIME: Duration = Duration::from_secs(30);
/// Between two looks at what says nothing by itself: the first, and the longest.
const LOOK: Duration = Duration::from_millis(5);
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
    config: ProcessAgentConfig,
    workloads: PathBuf,
    /// Folders that are not finished, and folders that are being removed.
    aside: PathBuf,
    environments: Environments,
    launcher: Launcher,
    /// How podman enters this server's registry.
    login: PathBuf,
    /// Where the Python package is that every workload can import.
    python: PathBuf,
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
        Ok(Self { config, workloads, aside, environments, launcher, login, python })
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

    /// The state, with orphans settled: their processes are gone and their end is written down.
    async fn state(&self, folder: &Folder) -> Result<State> {
        loop {
            let state = folder.state().map_err(|error| unreadable(folder, &error))?;
            if !matches!(state, State::Orphaned { .. }) {
                return Ok(state);
            }
            tracing::warn!(workload = %folder.path().display(), "its supervisor is gone; ending what is left of it");
            settle(folder).await?;
        }
    }

    /// Starts a supervisor and returns once the workload has one, this or another.
    async fn launch(&self, folder: &Folder, needs_environment: bool) -> Result<()> {
        let failed = |why: &dyn std::fmt::Display| {
            let program = self.config.supervisor.program.display();
            Error::internal("supervisor", format!("{}: the supervisor {program} {why}", folder.path().display()))
        };
        let log = fs::File::options().create(true).append(true).open(folder.supervisor_log());
        let log = log.map_err(|error| failed(&error))?;
        let pipe = || io::pipe().map_err(|error| failed(&error));
        // A fork of the launcher has none of the server's variables.
        if !needs_environment {
            let (said, says) = pipe()?;
            let forked = self.launcher.fork(folder.path(), says.as_fd(), log.as_fd()).await;
            drop(says);
            match forked {
                Ok(()) if self.is_taken_up(folder, said).await? => return Ok(()),
                Ok(()) => tracing::warn!(folder = %folder.path().display(), "the launcher ended; starting anew"),
                Err(error) => tracing::warn!(%error, "no supervisor can be forked; starting one anew"),
            }
        }
        let (said, says) = pipe()?;
        self.start_supervisor(folder, needs_environment, says, &log)
            .map_err(|error| failed(&format!("could not be started: {error}")))?;
        if self.is_taken_up(folder, said).await? {
            return Ok(());
        }
        let why = fs::read_to_string(folder.supervisor_log()).unwrap_or_default();
        Err(failed(&format!("did not take the workload up; it said: {}", why.trim())))
    }

    /// Whether the supervisor that says so, or another, has the workload.
    async fn is_taken_up(&self, folder: &Folder, said: PipeReader) -> Result<bool> {
        let mut word = String::new();
        if let Ok(mut said) = pipe::Receiver::from_owned_fd(said.into()) {
            // Of an end without a word the folder knows more.
            let _ = timeout(LAUNCH_TIME, said.read_to_string(&mut word)).await;
        }
        Ok(word == supervisor::STARTED || !matches!(self.state(folder).await?, State::Waiting { supervised: false }))
    }

    /// Starts the program as the supervisor of this folder.
    fn start_supervisor(
        &self,
        folder: &Folder,
        needs_environment: bool,
        output: PipeWriter,
        log: &fs::File,
    ) -> io::Result<()> {
        let mut command = Command::new(&self.config.supervisor.program);
        command.args(&self.config.supervisor.arguments).arg(folder.path()).env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(output).stderr(log.try_clone()?);
        if needs_environment {
            command.envs(environment::passed_on());
        }
        let mut child = command.spawn()?;
        // Reaped when it ends, if this server is still there then; else whoever adopts it does.
        tokio::spawn(async move { child.wait().await });
        Ok(())
    }

    fn stored_spec(folder: &Folder) -> Result<Option<Spec>> {
        folder::read_json(&folder.spec()).map_err(|error| unreadable(folder, &error))
    }

    /// Starts what was submitted but never started, because the server was killed in between.
    async fn relaunch(&self, folder: &Folder) -> Result<()> {
        match Self::stored_spec(folder)? {
            Some(spec) => self.launch(folder, spec.needs_environment()).await,
            None => Ok(()),
        }
    }

    /// Asks the supervisor to end its workload and itself, and returns when it has; kills both if it does not.
    async fn end(&self, folder: &Folder) -> Result<()> {
        let failed = |error| Error::io(format!("{}: it could not be ended", folder.path().display()), &error);
        let supervisor = folder.supervisor().map_err(failed)?;
        let handle = supervisor.as_ref().map(Identity::open).transpose().map_err(failed)?.flatten();
        let (Some(supervisor), Some(handle)) = (supervisor, handle) else {
            // It has just been started and has not said yet who it is, or has just ended.
            sleep(LOOK).await;
            return Ok(());
        };
        let _ = rustix::process::pidfd_send_signal(&handle, rustix::process::Signal::TERM);
        let patience = self.config.grace + procfs::KILL_TIME + Duration::from_secs(5);
        if timeout(patience, gone(handle)).await.is_ok() {
            return Ok(());
        }
        tracing::error!(workload = %folder.path().display(), "its supervisor does not end and is killed");
        let mut processes = procfs::descendants(supervisor.pid());
        processes.push(supervisor.pid());
        procfs::signal_all(&processes, Signal::SIGKILL);
        if let Some(handle) = supervisor.open().map_err(failed)?
            && timeout(procfs::KILL_TIME, gone(handle)).await.is_err()
        {
            let message = format!("{}: its supervisor cannot be killed", folder.path().display());
            return Err(Error::internal("supervisor", message));
        }
        Ok(())
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
            staging::prepare(described, &*self.config.contents, &self.aside, &folder, LAYOUT).await?;
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
                State::Unknown | State::Ended(_) | State::Running { ready: true, .. } => return Ok(status(key, state)),
                _ if over => return Ok(status(key, state)),
                State::Waiting { supervised: false } => {
                    self.relaunch(&folder).await?;
                    continue;
                }
                _ => {}
            }
            // A supervisor's end is heard of at once; only that a service has become ready is looked for.
            let supervisor = folder.supervisor().ok().flatten();
            let handle = supervisor.as_ref().and_then(|supervisor| supervisor.open().ok().flatten());
            let next = if handle.is_some() && !serves { until } else { until.min(Instant::now() + look) };
            look = (look * 2).min(LONGEST_LOOK);
            tokio::select! {
                () = sleep_until(next) => {}
                () = gone_if(handle) => {}
            }
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
                let places = [folder.work(), folder.home(), folder.temporary()];
                staging::remove(places.into(), &self.aside).await.map_err(|error| unreadable(&folder, &error))?;
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
        staging::remove(vec![folder.path().to_owned()], &self.aside)
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

fn unreadable(folder: &Folder, error: &io::Error) -> Error {
    Error::io(format!("the workload's folder {} cannot be read", folder.path().display()), error)
}

/// Looks through all processes, so not on a thread that serves others.
async fn settle(folder: &Folder) -> Result<()> {
    let own = folder.clone();
    let settled = tokio::task::spawn_blocking(move || own.settle()).await;
    settled.map_err(io::Error::other).flatten().map(drop).map_err(|error| unreadable(folder, &error))
}

/// Returns when the process has ended.
async fn gone(handle: OwnedFd) {
    // SAFETY: the descriptor is owned by the value that is moved in, which is neither replaced nor taken out.
    match unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) } {
        Ok(handle) => drop(handle.readable().await),
        // No room to watch it: then by looking, which the caller does next.
        Err(_) => sleep(LOOK).await,
    }
}

async fn gone_if(handle: Option<OwnedFd>) {
    match handle {
        Some(handle) => gone(handle).await,
        None => std::future::pending().await,
    }
}
