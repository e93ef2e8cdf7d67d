//! The agent's side: folders are made and read here, supervisors started.

use crate::{
    environment,
    folder::{Endpoint, Folder, Spec},
    process_tree,
};
use async_trait::async_trait;
use fuseml_domain::{
    CollectedOutput, Error, LogChunk, OutputReport, Phase, Result, Workload, WorkloadKind, WorkloadOutput,
    WorkloadStatus, check_relative_path,
    port::{ContentStore, RuntimeAgent},
};
use nix::fcntl::FlockArg;
use std::{
    ffi::OsString,
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

/// The most of a log in one answer, in bytes.
const LOG_CHUNK: u64 = 64 << 10;
/// The largest report of an output, in bytes.
const MAX_REPORT: u64 = 1 << 20;
/// A supervisor that has not begun by then is started again: it never begins a workload twice.
const BEGIN: Duration = Duration::from_secs(10);
/// How often a service is looked at until it is ready.
const SERVICE_PERIOD: Duration = Duration::from_millis(50);
/// Longest wait for a supervisor to end its workload; it gives that 10 s itself.
const CANCEL: Duration = Duration::from_secs(20);

/// How a supervisor is started: the folder of the workload follows the arguments.
#[derive(Debug, Clone)]
pub struct SupervisorCommand {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

pub struct ProcessAgentConfig {
    pub root: PathBuf,
    pub supervisor: SupervisorCommand,
    pub contents: Arc<dyn ContentStore>,
    /// The program `uv`, which makes environments.
    pub uv: PathBuf,
    pub uv_cache: PathBuf,
}

impl ProcessAgentConfig {
    /// `uv` from `FUSEML_UV` or the PATH; its cache from `UV_CACHE_DIR` or below the root.
    pub fn new(root: PathBuf, supervisor: SupervisorCommand, contents: Arc<dyn ContentStore>) -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            uv: variable("FUSEML_UV").unwrap_or_else(|| PathBuf::from("uv")),
            uv_cache: variable("UV_CACHE_DIR").unwrap_or_else(|| root.join("uv-cache")),
            root,
            supervisor,
            contents,
        }
    }
}

pub struct ProcessAgent {
    config: ProcessAgentConfig,
}

impl ProcessAgent {
    pub fn new(config: ProcessAgentConfig) -> Result<Self> {
        for folder in ["workloads", "environments"] {
            let path = config.root.join(folder);
            fs::create_dir_all(&path).map_err(|error| Error::io(path.display(), &error))?;
        }
        Ok(Self { config })
    }

    fn folder(&self, key: &str) -> Result<Folder> {
        let fits = !key.is_empty()
            && key.len() <= 120
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte))
            && !key.starts_with('.');
        match fits {
            true => Ok(Folder::new(self.config.root.join("workloads").join(key))),
            false => {
                Err(Error::invalid("workload-key", format!("`{}` cannot be the key of a workload", key.escape_debug())))
            }
        }
    }

    fn environment(&self, workload: &Workload) -> Option<PathBuf> {
        let digest = &workload.environment.as_ref()?.digest;
        Some(self.config.root.join("environments").join(digest.hex()))
    }

    fn spec(&self, workload: &Workload) -> Result<Spec> {
        let environment = self.environment(workload);
        let makes = workload.kind == WorkloadKind::Environment;
        if let Some(missing) = environment.as_ref().filter(|path| !makes && !environment::is_made(path)) {
            return Err(Error::conflict(
                "environment-missing",
                format!("the environment {} is not on this machine any more; run its build again", missing.display()),
            ));
        }
        Ok(Spec {
            uv: makes.then(|| self.config.uv.clone()),
            uv_cache: self.config.uv_cache.clone(),
            environment,
            workload: workload.clone(),
        })
    }

    /// Makes the folder beside its place and moves it there when all of it is done.
    async fn prepare(&self, workload: &Workload, folder: &Folder) -> Result<()> {
        let spec = self.spec(workload)?;
        let io = |error: std::io::Error| Error::io(format!("the folder of {}", workload.key), &error);
        let made =
            tempfile::Builder::new().prefix(".new-").tempdir_in(self.config.root.join("workloads")).map_err(io)?;
        let draft = Folder::new(made.path());
        fs::create_dir(draft.work()).map_err(io)?;
        for input in &workload.inputs {
            check_relative_path(&input.path)?;
            let staged = self.config.contents.stage(&input.contents, &draft.work().join(&input.path)).await;
            staged.map_err(|error| error.context(format!("input {}", input.name)))?;
        }
        for (path, text) in &workload.files {
            check_relative_path(path)?;
            let path = draft.work().join(path);
            path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text)).map_err(io)?;
        }
        for output in &workload.outputs {
            check_relative_path(&output.path)?;
            let parent = draft.work().join(&output.path).parent().map(Path::to_owned);
            parent.map_or(Ok(()), fs::create_dir_all).map_err(io)?;
        }
        draft.write_spec(&spec)?;
        match fs::rename(made.path(), folder.path()) {
            Ok(()) => drop(made.keep()),
            Err(_) if folder.exists() => {}
            Err(error) => return Err(io(error)),
        }
        Ok(())
    }

    /// Starts a supervisor; harmless if one already lives or has been.
    fn spawn_supervisor(&self, folder: &Folder) -> Result<()> {
        let command = &self.config.supervisor;
        let log = fs::OpenOptions::new().create(true).append(true).open(folder.supervisor_log());
        let log = log.map_err(|error| Error::io(folder.supervisor_log().display(), &error))?;
        // Tokio reaps it whenever it ends; nothing is killed with the server.
        let child = tokio::process::Command::new(&command.program)
            .args(&command.arguments)
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn();
        child.map(drop).map_err(|error| Error::io(format!("the supervisor {}", command.program.display()), &error))
    }

    /// The exact end of a job: when its supervisor's lock comes free.
    async fn released(&self, folder: &Folder, limit: Duration) {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let folder = folder.clone();
        // A thread of its own: one of the runtime's would keep a server that ends waiting for the workload.
        std::thread::spawn(move || {
            drop(folder.lock(FlockArg::LockShared));
            let _ = sender.send(());
        });
        let _ = tokio::time::timeout(limit, receiver).await;
    }

    fn collect(&self, folder: &Folder, output: &WorkloadOutput) -> Result<CollectedOutput> {
        check_relative_path(&output.path)?;
        let path = folder.work().join(&output.path);
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        let filled = is_folder && fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
        if !filled {
            return Err(Error::invalid(
                "output-missing",
                format!("the step ended well but left no output `{}` at {}", output.name, output.path),
            ));
        }
        let report = match &output.report {
            Some(report) => read_report(&folder.work().join(report))?,
            None => OutputReport::default(),
        };
        Ok(CollectedOutput { name: output.name.clone(), path, report })
    }
}

fn read_report(path: &Path) -> Result<OutputReport> {
    let Ok(file) = fs::File::open(path) else { return Ok(OutputReport::default()) };
    let mut bytes = Vec::new();
    file.take(MAX_REPORT + 1).read_to_end(&mut bytes).map_err(|error| Error::io(path.display(), &error))?;
    if bytes.len() as u64 > MAX_REPORT {
        return Err(Error::invalid(
            "output-report",
            format!("the report {} is longer than {MAX_REPORT} bytes", path.display()),
        ));
    }
    OutputReport::parse(&bytes, path.file_name().map_or(path, Path::new))
}

#[async_trait]
impl RuntimeAgent for ProcessAgent {
    async fn submit(&self, workload: &Workload) -> Result<()> {
        let folder = self.folder(&workload.key)?;
        if !folder.exists() {
            self.prepare(workload, &folder).await?;
        }
        match folder.started() {
            true => Ok(()),
            false => self.spawn_supervisor(&folder),
        }
    }

    async fn status(&self, key: &str) -> Result<WorkloadStatus> {
        self.folder(key)?.status()
    }

    async fn wait(&self, key: &str, limit: Duration) -> Result<WorkloadStatus> {
        let folder = self.folder(key)?;
        let kind = folder.spec()?.workload.kind;
        let deadline = Instant::now() + limit;
        let mut begin = Instant::now() + BEGIN;
        loop {
            let status = folder.status()?;
            let now = Instant::now();
            if Folder::settled(&status, kind) || now >= deadline {
                return Ok(status);
            }
            match (status.phase, kind) {
                (Phase::Pending, _) => {
                    if now >= begin {
                        self.spawn_supervisor(&folder)?;
                        begin = now + BEGIN;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                (_, WorkloadKind::Service) => tokio::time::sleep(SERVICE_PERIOD).await,
                _ => self.released(&folder, deadline - now).await,
            }
        }
    }

    async fn logs(&self, key: &str, cursor: u64) -> Result<LogChunk> {
        let folder = self.folder(key)?;
        let ended = folder.status()?.phase.ended();
        let mut bytes = Vec::new();
        let io = |error: std::io::Error| Error::io(folder.log().display(), &error);
        match fs::File::open(folder.log()) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(cursor)).map_err(io)?;
                file.take(LOG_CHUNK).read_to_end(&mut bytes).map_err(io)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        // A character cut by the end of the chunk comes whole with the next one.
        let whole = match std::str::from_utf8(&bytes) {
            Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
            _ => bytes.len(),
        };
        let text = String::from_utf8_lossy(&bytes[..whole]).into_owned();
        Ok(LogChunk { text, cursor: cursor + whole as u64, ended: ended && (whole as u64) < LOG_CHUNK })
    }

    async fn cancel(&self, key: &str) -> Result<()> {
        let folder = self.folder(key)?;
        if !folder.exists() {
            return Ok(());
        }
        let deadline = Instant::now() + CANCEL;
        while !folder.status()?.phase.ended() && Instant::now() < deadline {
            // The lock proves that the process of that number is the supervisor.
            if let Some(supervisor) = folder.supervisor().filter(|_| folder.supervised()) {
                process_tree::terminate(supervisor);
            } else if !folder.started() {
                folder.write_exit(&crate::supervisor::cancelled_before_start())?;
            }
            self.released(&folder, Duration::from_millis(500)).await;
        }
        match folder.status()?.phase.ended() {
            true => Ok(()),
            false => Err(Error::unavailable("cancel", format!("the workload {key} does not end"))),
        }
    }

    async fn outputs(&self, workload: &Workload) -> Result<Vec<CollectedOutput>> {
        let folder = self.folder(&workload.key)?;
        workload.outputs.iter().map(|output| self.collect(&folder, output)).collect()
    }

    async fn endpoint(&self, key: &str) -> Result<String> {
        let folder = self.folder(key)?;
        match (folder.status()?.phase, folder.endpoint()?) {
            (Phase::Ready, Some(Endpoint { port })) => Ok(format!("http://127.0.0.1:{port}")),
            (phase, _) => Err(Error::unavailable(
                "not-ready",
                format!("the service is not ready, it is {phase:?}").to_lowercase(),
            )),
        }
    }

    async fn running(&self) -> Result<Vec<String>> {
        let root = self.config.root.join("workloads");
        let entries = fs::read_dir(&root).map_err(|error| Error::io(root.display(), &error))?;
        let keys = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let keys = keys.filter(|key| !key.starts_with('.'));
        Ok(keys
            .filter(|key| self.folder(key).and_then(|folder| folder.status()).is_ok_and(|status| !status.phase.ended()))
            .collect())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let folder = self.folder(key)?;
        if !folder.exists() {
            return Ok(());
        }
        if !folder.status()?.phase.ended() {
            return Err(Error::conflict("running", format!("the workload {key} has not ended")));
        }
        fs::remove_dir_all(folder.path()).map_err(|error| Error::io(folder.path().display(), &error))
    }
}
