//! Workloads that are components: they run in the server's sandbox, in no process of their own.
//!
//! What such a job does, it does to its own folder, so it has no supervisor: one that a server's end interrupted is
//! run again from the beginning. Each server has a place for the folders of its jobs, so that one that takes over from
//! another never shares a folder with what may still run there. What a job is, is written down once somebody is told
//! that it runs; one that ends sooner is written down when it has ended, and whoever waits for it does not wait for that.

mod folders;
mod job;

use self::job::Job;
use crate::{
    place::{self, Place},
    process::{
        folder::{self, Folder},
        log::{self, LogWriter},
        outputs, staging,
    },
    quota,
};
use async_trait::async_trait;
use fuseml_domain::{
    CollectedOutput, Command, Error, LogChunk, Mount, Phase, Result, Workload, WorkloadKind, WorkloadStatus,
    port::{CommandRunner, ContentStore, RuntimeAgent},
};
use jiff::Timestamp;
use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Below each server's place.
const WORKLOADS: &str = "workloads";
/// Between two looks at a job that another server runs.
const LOOK_AT_OTHERS: Duration = Duration::from_millis(100);
/// How long what became of a job that ended at once is kept in memory alone.
const UNTOLD: Duration = Duration::from_millis(500);
/// Between two looks at how much a job has written.
const LOOK_AT_DISK: Duration = Duration::from_millis(200);

/// Only folders can be mounted to be read alone.
const LAYOUT: staging::Layout = staging::Layout { inputs: Folder::inputs, files: Folder::work, folders: &[] };

#[derive(Clone)]
pub struct WasmAgentConfig {
    /// The folder of the agents of all servers that share one.
    pub root: PathBuf,
    pub contents: Arc<dyn ContentStore>,
    pub runner: Arc<dyn CommandRunner>,
    /// For workloads that come without one.
    pub default_timeout: Duration,
    /// Bytes of log kept of one workload.
    pub log_limit: u64,
    /// Bytes that a job may leave in its folder; holes in files count.
    pub disk_limit: u64,
}

impl WasmAgentConfig {
    pub fn new(root: PathBuf, contents: Arc<dyn ContentStore>, runner: Arc<dyn CommandRunner>) -> Self {
        Self {
            root,
            contents,
            runner,
            default_timeout: fuseml_domain::DEFAULT_TIMEOUT,
            log_limit: 256 * 1024 * 1024,
            disk_limit: 16 * 1024 * 1024 * 1024,
        }
    }
}

/// Runs workloads that are components.
#[derive(Clone)]
pub struct WasmAgent(Arc<Inner>);

struct Inner {
    config: WasmAgentConfig,
    place: Place,
    /// Of this server's own.
    workloads: PathBuf,
    /// Folders that are being removed.
    aside: PathBuf,
    jobs: Mutex<HashMap<String, Arc<Job>>>,
}

impl WasmAgent {
    /// Takes up what an earlier agent left in the same folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(config: WasmAgentConfig) -> Result<Self> {
        let failed = |error| Error::io(format!("the folder of the agent, {}", config.root.display()), &error);
        staging::create_private(&config.root).map_err(failed)?;
        let place = Place::take(&config.root).map_err(failed)?;
        adopt_unplaced(&config.root, place.path()).map_err(failed)?;
        let [workloads, aside] = [WORKLOADS, "aside"].map(|name| place.path().join(name));
        for folder in [&workloads, &aside] {
            staging::create_private(folder).map_err(failed)?;
        }
        staging::clean(&aside).map_err(failed)?;
        Ok(Self(Arc::new(Inner { config, place, workloads, aside, jobs: Mutex::default() })))
    }

    /// Whether this agent was given such a workload.
    pub fn knows(&self, key: &str) -> bool {
        self.0.job(key).is_some() || self.0.folder(key).is_ok_and(|folder| folder.path().exists())
    }
}

/// Jobs of the time when there were no places.
fn adopt_unplaced(root: &Path, place: &Path) -> io::Result<()> {
    match fs::rename(root.join(WORKLOADS), place.join(WORKLOADS)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Inner {
    fn jobs(&self) -> MutexGuard<'_, HashMap<String, Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn job(&self, key: &str) -> Option<Arc<Job>> {
        self.jobs().get(key).cloned()
    }

    /// Starts the workload in a fresh folder. Where somebody was told of it before, no end of this server leaves it unknown.
    async fn begin(self: &Arc<Self>, workload: &Workload, was_told: bool) -> Result<()> {
        let folder = self.own_folder(&workload.key)?;
        let job = Arc::new(Job::new(workload.clone()));
        // From here on the folder is this one's.
        match self.jobs().entry(workload.key.clone()) {
            Entry::Occupied(_) => return Ok(()),
            Entry::Vacant(place) => drop(place.insert(job.clone())),
        }
        // Not in the caller's own future: one that is dropped would leave a job that never ends.
        let this = self.clone();
        let begun = tokio::spawn(async move {
            let prepared = async {
                if was_told {
                    job.keep(&folder)?;
                    this.empty(&folder).await?;
                    // From here on this is the one.
                    for (copy, runs) in this.copies(&job.workload.key)? {
                        if !runs {
                            this.discard(&copy).await?;
                        }
                    }
                } else {
                    this.discard(&folder).await?;
                }
                staging::fill(&job.workload, &*this.config.contents, &folder, LAYOUT).await
            };
            match prepared.await {
                Ok(()) => drop(tokio::spawn(this.take_through(job, folder, was_told))),
                Err(error) => {
                    // Nobody waits for one that was never begun.
                    if !was_told {
                        let _ = this.discard(&folder).await;
                    }
                    let message = Some(error.message.clone());
                    job.end(WorkloadStatus { message, ..WorkloadStatus::new(Phase::Failed) });
                    this.forget(&job);
                    return Err(error);
                }
            }
            Ok(())
        });
        begun.await.map_err(|error| Error::internal("agent", error.to_string()))?
    }

    /// From here on the folder alone says what became of it.
    fn forget(&self, job: &Job) {
        self.jobs().remove(&job.workload.key);
        job.leave();
    }

    async fn take_through(self: Arc<Self>, job: Arc<Job>, folder: Folder, was_told: bool) {
        let started = Timestamp::now();
        let (this, own, place) = (self.clone(), job.clone(), folder.clone());
        // A fault of the sandbox's own must not leave a job that never ends, either.
        let ran = tokio::spawn(async move { this.run(&own.workload, &place, &own.stop).await });
        let ran = ran.await.unwrap_or_else(|_| Err(Error::internal("sandbox", "the sandbox failed while it ran")));
        let mut status = ran.unwrap_or_else(|error| WorkloadStatus {
            message: Some(error.message),
            ..WorkloadStatus::new(Phase::Failed)
        });
        status.started = Some(started);
        status.ended = Some(Timestamp::now());
        job.end(status.clone());
        // Whoever waits for its end does not wait for this. One of which all is saved that it made, before anybody could ask
        // another server for it, needs no description.
        let is_done_with = !was_told && job.tidied_within(UNTOLD).await;
        if is_done_with && !folder.spec().exists() {
            tracing::trace!(key = %job.workload.key, "it leaves nothing but what it printed");
        } else if let Err(error) = job.keep_end(&folder, &status) {
            tracing::error!(%error, "the next server will run it again if somebody asks for it");
        }
        self.forget(&job);
    }

    async fn run(&self, workload: &Workload, folder: &Folder, stop: &CancellationToken) -> Result<WorkloadStatus> {
        let log = Mutex::new(LogWriter::new(folder.log(), self.config.log_limit));
        let print = move |bytes: &[u8]| log.lock().unwrap_or_else(PoisonError::into_inner).write(bytes);
        let command = self.command(workload, folder)?;
        let code = tokio::select! {
            code = self.config.runner.run(&command, Arc::new(print)) => code?,
            () = stop.cancelled() => {
                let message = Some("cancelled".to_owned());
                return Ok(WorkloadStatus { message, ..WorkloadStatus::new(Phase::Cancelled) });
            }
            error = self.overflow(folder) => return Err(error),
        };
        self.check_disk(folder).await?;
        let phase = if code == 0 { Phase::Succeeded } else { Phase::Failed };
        let message = (code != 0).then(|| format!("exited with code {code}"));
        Ok(WorkloadStatus { message, exit_code: Some(code), ..WorkloadStatus::new(phase) })
    }

    fn command(&self, workload: &Workload, folder: &Folder) -> Result<Command> {
        let component = workload.component.clone().ok_or_else(|| not_of_this_agent(workload))?;
        let name = workload.labels.get("step").cloned().unwrap_or_else(|| "program".to_owned());
        let mount = |source: PathBuf, path: &str, writable| Mount { source, path: format!("/{path}"), writable };
        let inputs = workload.inputs.iter().filter(|input| !input.is_file);
        let inputs = inputs.map(|input| mount(folder.inputs().join(&input.path), &input.path, false));
        let mounts = std::iter::once(mount(folder.work(), "", true)).chain(inputs).collect();
        let mut variables = workload.variables.clone();
        for (name, value) in [("PWD", "/"), ("HOME", "/"), ("TMPDIR", "/"), ("LANG", "C.UTF-8")] {
            variables.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        Ok(Command {
            component,
            arguments: std::iter::once(name).chain(workload.command.iter().cloned()).collect(),
            variables,
            mounts,
            timeout: workload.timeout.unwrap_or(self.config.default_timeout),
            memory_bytes: workload.resources.memory_bytes,
        })
    }

    /// Resolves once the job has written more than it may.
    async fn overflow(&self, folder: &Folder) -> Error {
        loop {
            tokio::time::sleep(LOOK_AT_DISK).await;
            if let Err(error) = self.check_disk(folder).await {
                return error;
            }
        }
    }

    async fn check_disk(&self, folder: &Folder) -> Result<()> {
        let (work, most) = (folder.work(), self.config.disk_limit);
        let look = move || quota::check(work, most);
        match tokio::task::spawn_blocking(look).await.map_err(io::Error::other).flatten() {
            // What is made and removed meanwhile is not looked at again.
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::QuotaExceeded => {
                let (most, files) = (most >> 20, quota::MOST_FILES);
                let message = format!("the program wrote more than {most} MiB, or {files} files, and was stopped");
                Err(Error::invalid("disk-limit", message))
            }
            Err(error) => Err(Error::io("what the program wrote cannot be looked at", &error)),
        }
    }
}

fn not_of_this_agent(workload: &Workload) -> Error {
    Error::unsupported("component", format!("{} is no job of a component", workload.key))
}

fn unknown(key: &str) -> WorkloadStatus {
    let message = Some(format!("this agent knows no workload `{key}`"));
    WorkloadStatus { message, ..WorkloadStatus::new(Phase::Lost) }
}

#[async_trait]
impl RuntimeAgent for WasmAgent {
    async fn submit(&self, workload: &Workload) -> Result<()> {
        if workload.kind != WorkloadKind::Job || workload.component.is_none() {
            return Err(not_of_this_agent(workload));
        }
        let (folder, is_others) = self.0.found(&workload.key)?;
        match self.0.job(&workload.key) {
            Some(job) if job.workload == *workload => return Ok(()),
            Some(job) => {
                job.stop.cancel();
                job.tidy();
                job.written_down().await;
            }
            None if Inner::ended(&folder)?.is_some() && Inner::stored(&folder)?.as_ref() == Some(workload) => {
                return Ok(());
            }
            // Its server lost the run and not the job.
            None if is_others && Inner::ended(&folder)?.is_none() => return Ok(()),
            None => {}
        }
        self.0.begin(workload, false).await
    }

    async fn status(&self, key: &str) -> Result<WorkloadStatus> {
        let (folder, is_others) = self.0.found(key)?;
        if let Some(job) = self.0.job(key) {
            if let Some(status) = job.status() {
                return Ok(status);
            }
            job.keep(&self.0.own_folder(key)?)?;
            return Ok(WorkloadStatus::new(Phase::Running));
        }
        Ok(match Inner::ended(&folder)? {
            Some(status) => status,
            None if is_others => WorkloadStatus::new(Phase::Running),
            None if folder.spec().exists() => WorkloadStatus::new(Phase::Pending),
            None => unknown(key),
        })
    }

    async fn wait(&self, key: &str, limit: Duration) -> Result<WorkloadStatus> {
        let over = Instant::now() + limit;
        let (mut folder, mut is_others) = self.0.found(key)?;
        // Nobody tells this server of it.
        while is_others && Inner::ended(&folder)?.is_none() && Instant::now() < over {
            tokio::time::sleep(LOOK_AT_OTHERS.min(over - Instant::now())).await;
            (folder, is_others) = self.0.found(key)?;
        }
        if !is_others && self.0.job(key).is_none() && Inner::ended(&folder)?.is_none() {
            match Inner::stored(&folder)? {
                Some(workload) => self.0.begin(&workload, true).await?,
                None => return Ok(unknown(key)),
            }
        }
        if let Some(job) = self.0.job(key) {
            let _ = timeout(limit, job.ended()).await;
            if let Some(status) = job.status() {
                return Ok(status);
            }
        }
        self.status(key).await
    }

    async fn logs(&self, key: &str, cursor: u64) -> Result<LogChunk> {
        // Before the log is read: what is written until then is read as well.
        let status = self.status(key).await?;
        let folder = self.0.folder(key)?;
        // Of one that ended at once nothing else is left.
        let is_left = folder.path().exists() && !folder.spec().exists();
        if status.phase == Phase::Lost && !is_left {
            return Err(Error::not_found("workload", status.message.unwrap_or_default()));
        }
        log::read(&folder.log(), cursor, is_left || status.phase.ended())
            .map_err(|error| Error::io(format!("the log of {key}"), &error))
    }

    async fn cancel(&self, key: &str) -> Result<()> {
        let (folder, is_others) = self.0.found(key)?;
        match self.0.job(key) {
            Some(job) => {
                job.stop.cancel();
                job.ended().await;
            }
            // What it makes is nobody's: its server lost the run.
            None if is_others => {}
            None if folder.spec().exists() && Inner::ended(&folder)?.is_none() => {
                let message = Some("cancelled".to_owned());
                let status = WorkloadStatus { message, ..WorkloadStatus::new(Phase::Cancelled) };
                folder::write_json(&folder.exit(), &status)
                    .map_err(|error| Error::io(format!("{key} could not be cancelled"), &error))?;
            }
            None => {}
        }
        Ok(())
    }

    async fn outputs(&self, workload: &Workload) -> Result<Vec<CollectedOutput>> {
        let work = self.0.folder(&workload.key)?.work();
        outputs::collect(&work, &workload.outputs)
    }

    async fn endpoint(&self, key: &str) -> Result<String> {
        Err(Error::unsupported("endpoint", format!("{key} is a job, not a service")))
    }

    async fn running(&self) -> Result<Vec<String>> {
        let failed = |error| Error::io(self.0.workloads.display(), &error);
        let running = |job: &Arc<Job>| job.status().is_none();
        let mut keys: BTreeSet<String> =
            self.0.jobs().iter().filter(|(_, job)| running(job)).map(|(key, _)| key.clone()).collect();
        let mut places = self.0.place.others().map_err(failed)?;
        places.retain(|other| matches!(place::taken_since(other), Ok(None)) && other.join(WORKLOADS).exists());
        let workloads = places.iter().map(|other| other.join(WORKLOADS)).chain([self.0.workloads.clone()]);
        let entries = workloads.map(fs::read_dir).collect::<io::Result<Vec<_>>>().map_err(failed)?;
        for entry in entries.into_iter().flatten() {
            let folder = Folder::new(entry.map_err(failed)?.path());
            // Without a description it went with the server that ran it.
            let is_open = folder.spec().exists() && !folder.exit().exists();
            let key = folder.path().file_name().and_then(|key| key.to_str());
            let ended = key.and_then(|key| self.0.job(key)).is_some_and(|job| job.status().is_some());
            keys.extend(key.filter(|_| is_open && !ended).map(ToOwned::to_owned));
        }
        Ok(keys.into_iter().collect())
    }

    async fn tidy(&self, key: &str) -> Result<bool> {
        let folder = self.0.folder(key)?;
        match self.0.job(key) {
            Some(job) if job.status().is_none() => return Ok(false),
            Some(job) => {
                job.tidy();
                job.written_down().await;
            }
            None if folder.spec().exists() && Inner::ended(&folder)?.is_none() => return Ok(false),
            None => {}
        }
        let failed = |error| Error::io(format!("{key} could not be tidied"), &error);
        staging::clear(&folder, &self.0.aside).await.map_err(failed)?;
        Ok(true)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        if let Some(job) = self.0.job(key) {
            if job.status().is_none() {
                return Err(Error::conflict("workload-running", format!("{key} has not ended; cancel it first")));
            }
            job.tidy();
            job.written_down().await;
        }
        self.0.discard(&self.0.folder(key)?).await
    }
}
