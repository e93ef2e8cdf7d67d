//! What lies in a workload's folder, and what its files say.

use fuseml_domain::{Error, Phase, Result, Workload, WorkloadKind, WorkloadStatus};
use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

/// Everything that a supervisor must know: written before it is started, never changed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) workload: Workload,
    /// The folder of the environment that the workload runs in, or that it makes.
    pub(crate) environment: Option<PathBuf>,
    /// For environments: the program that makes them.
    pub(crate) uv: Option<PathBuf>,
    pub(crate) uv_cache: PathBuf,
}

/// How a workload ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub(crate) phase: Phase,
    pub(crate) message: Option<String>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) started: Timestamp,
    pub(crate) ended: Timestamp,
}

/// Where a service answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) port: u16,
}

#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub(crate) fn supervisor_log(&self) -> PathBuf {
        self.0.join("supervisor.log")
    }

    pub(crate) fn exists(&self) -> bool {
        self.0.join("spec.json").exists()
    }

    pub(crate) fn spec(&self) -> Result<Spec> {
        read(&self.0.join("spec.json"))?.ok_or_else(|| self.unknown())
    }

    pub(crate) fn write_spec(&self, spec: &Spec) -> Result<()> {
        write(&self.0.join("spec.json"), spec)
    }

    pub(crate) fn exit(&self) -> Result<Option<Exit>> {
        read(&self.0.join("exit.json"))
    }

    pub(crate) fn write_exit(&self, exit: &Exit) -> Result<()> {
        write(&self.0.join("exit.json"), exit)
    }

    pub(crate) fn endpoint(&self) -> Result<Option<Endpoint>> {
        read(&self.0.join("endpoint.json"))
    }

    pub(crate) fn write_endpoint(&self, endpoint: &Endpoint) -> Result<()> {
        write(&self.0.join("endpoint.json"), endpoint)
    }

    fn marker(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The workload was begun: it is never begun again.
    pub(crate) fn started(&self) -> bool {
        self.marker("started").exists()
    }

    pub(crate) fn mark_started(&self) -> Result<()> {
        write(&self.marker("supervisor.pid"), &std::process::id())?;
        write(&self.marker("started"), &Timestamp::now())
    }

    pub(crate) fn started_at(&self) -> Option<Timestamp> {
        read(&self.marker("started")).ok().flatten()
    }

    pub(crate) fn supervisor(&self) -> Option<i32> {
        read(&self.marker("supervisor.pid")).ok().flatten()
    }

    pub(crate) fn ready(&self) -> bool {
        self.marker("ready").exists()
    }

    pub(crate) fn mark_ready(&self, ready: bool) -> Result<()> {
        let path = self.marker("ready");
        match ready {
            true => write(&path, &Timestamp::now()),
            false => match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path.display(), &error)),
                _ => Ok(()),
            },
        }
    }

    /// Its supervisor's lock, held as long as that lives. Waits for it.
    pub(crate) fn lock(&self, how: FlockArg) -> Result<Flock<fs::File>, LockFailed> {
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(self.marker("lock"));
        let file = file.map_err(|_| LockFailed)?;
        Flock::lock(file, how).map_err(|_| LockFailed)
    }

    /// Whether a supervisor lives.
    pub(crate) fn supervised(&self) -> bool {
        self.lock(FlockArg::LockSharedNonblock).is_err()
    }

    pub(crate) fn status(&self) -> Result<WorkloadStatus> {
        if !self.exists() {
            return Err(self.unknown());
        }
        let ended = |exit: Exit| WorkloadStatus {
            phase: exit.phase,
            message: exit.message,
            exit_code: exit.exit_code,
            started: Some(exit.started),
            ended: Some(exit.ended),
        };
        if let Some(exit) = self.exit()? {
            return Ok(ended(exit));
        }
        let mut status = WorkloadStatus::new(Phase::Pending);
        if !self.started() {
            return Ok(status);
        }
        status.started = self.started_at();
        if self.supervised() {
            status.phase = if self.ready() { Phase::Ready } else { Phase::Running };
            return Ok(status);
        }
        // It may have ended between the two looks.
        if let Some(exit) = self.exit()? {
            return Ok(ended(exit));
        }
        status.phase = Phase::Lost;
        status.message = Some("its supervisor was killed, and the workload with it".to_owned());
        Ok(status)
    }

    /// Whether somebody who waits has what they wait for.
    pub(crate) fn settled(status: &WorkloadStatus, kind: WorkloadKind) -> bool {
        status.phase.ended() || (kind == WorkloadKind::Service && status.phase == Phase::Ready)
    }

    fn unknown(&self) -> Error {
        let key = self.0.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Error::not_found("unknown-workload", format!("the process agent knows no workload {key}"))
    }
}

#[derive(Debug)]
pub(crate) struct LockFailed;

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::internal("workload", format!("{} is damaged: {error}", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path.display(), &error)),
    }
}

/// Whole or not at all.
fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let beside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(&beside)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_data()?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| Error::io(path.display(), &error))
}
