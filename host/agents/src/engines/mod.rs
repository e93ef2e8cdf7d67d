//! Workloads on the engines of extensions (S73, S115).
//!
//! A component submits, watches and ends them; what they work on takes another way. The engine is given a worker, a small
//! program that asks this server what to do, fetches and verifies the inputs, does the work, and hands over the outputs. So
//! an engine has to run a command and nothing else, and contents never pass through a component.
//!
//! The worker presents a token that opens its own workload and nothing else, until that has ended.

mod desk;
mod order;

pub use order::{Ending, Order};

use crate::process::{
    folder::{self, Folder},
    log::{self, LogWriter},
    outputs, staging,
};
use async_trait::async_trait;
use fuseml_domain::{
    CollectedOutput, EngineWorkload, Error, ErrorKind, Location, LogChunk, Name, Phase, Result, Workload, WorkloadKind,
    WorkloadStatus,
    port::{ContentStore, EngineAgent, Engines, RuntimeAgent},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// What engines start: it fetches the worker, for an hour if need be, and becomes it.
const START: &str = "import os,time,urllib.request as u
for n in range(360):
 try:
  s=u.urlopen(os.environ['FUSEML_WORK']+'/worker.py',timeout=60).read()
  break
 except OSError as e:
  if n==359 or getattr(e,'code',500)<500: raise
  time.sleep(10)
exec(s)";
/// The program that engines start.
pub const WORKER: &str = include_str!("worker.py");

/// Between two questions about one workload: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Beyond its time limit, until a workload is ended whose worker did not.
const GRACE: Duration = Duration::from_secs(30);
/// Until a cancelled workload has ended.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pages of an engine's log that are read at once.
const MOST_PAGES: usize = 1_000;
/// Bytes of log kept of one workload.
const LOG_LIMIT: u64 = 256 << 20;

const LAYOUT: staging::Layout = staging::Layout { inputs: Folder::inputs, files: Folder::inputs, folders: &[] };

/// Runs workloads that name an extension's instance.
pub struct EnginesAgent {
    workloads: PathBuf,
    aside: PathBuf,
    contents: Arc<dyn ContentStore>,
    engines: Arc<dyn Engines>,
    /// Under which workers reach this server.
    url: String,
    known: Mutex<HashMap<String, Arc<Known>>>,
}

/// What is only in memory of a workload.
#[derive(Default)]
struct Known {
    /// Told when a worker says that its command ended.
    news: Notify,
    /// Held by whoever reads the engine's log of it.
    log: tokio::sync::Mutex<()>,
    /// When this server first saw that its command runs.
    seen: OnceLock<Instant>,
}

/// What is written down of a workload.
#[derive(Serialize, Deserialize)]
struct Spec {
    workload: Workload,
    instance: Name,
    token: String,
}

/// That an engine has it, and the engine's own id.
#[derive(Serialize, Deserialize)]
struct Submitted {
    id: String,
}

/// How far the engine's log was read.
#[derive(Default, Serialize, Deserialize)]
struct LogRead {
    cursor: Option<String>,
    ended: bool,
}

impl EnginesAgent {
    /// Takes up what an earlier one left in the same folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(root: &Path, url: &str, contents: Arc<dyn ContentStore>, engines: Arc<dyn Engines>) -> Result<Self> {
        let failed = |error| Error::io(format!("the folder of the agent, {}", root.display()), &error);
        let [workloads, aside] = ["workloads", "aside"].map(|name| root.join(name));
        for folder in [&workloads, &aside] {
            staging::create_private(folder).map_err(failed)?;
        }
        staging::clean(&aside).map_err(failed)?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { workloads, aside, contents, engines, url, known: Mutex::default() })
    }

    /// Whether this agent was given such a workload.
    pub fn knows(&self, key: &str) -> bool {
        self.folder(key).is_ok_and(|folder| folder.spec().exists())
    }

    fn folder(&self, key: &str) -> Result<Folder> {
        Folder::of(&self.workloads, key)
    }

    fn known(&self, key: &str) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(key.to_owned()).or_default().clone()
    }

    async fn engine(&self, spec: &Spec) -> Result<Arc<dyn EngineAgent>> {
        self.engines.engine(&spec.instance).await
    }

    /// What the engine is asked to run.
    fn engine_workload(&self, spec: &Spec) -> EngineWorkload {
        let workload = &spec.workload;
        let url = format!("{}/work/{}", self.url, workload.key);
        let variables = [("FUSEML_WORK", url), ("FUSEML_WORK_TOKEN", spec.token.clone())];
        EngineWorkload {
            key: workload.key.clone(),
            kind: workload.kind,
            image: match &workload.image {
                // One of this server's own is named as it is reached.
                Some(image) if image.registry.is_none() => {
                    let host = self.url.split_once("://").map_or(&*self.url, |(_, host)| host);
                    Location::new("oci", format!("{host}/{image}"))
                }
                Some(image) => Location::new("oci", image.to_string()),
                None => Location::new("none", ""),
            },
            command: ["python3", "-c", START].map(str::to_owned).into(),
            variables: variables.map(|(name, value)| (name.to_owned(), value)).into(),
            secret_variables: Default::default(),
            files: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            port: None,
            readiness_path: None,
            resources: workload.resources.clone(),
            // The worker keeps the time of the command; fetching and handing over come on top.
            timeout: None,
            labels: workload.labels.clone(),
        }
    }

    /// The engine's id of a workload that was submitted here, submitted again where nobody knows whether it was.
    async fn submitted(&self, folder: &Folder, spec: &Spec, engine: &dyn EngineAgent) -> Result<String> {
        let file = folder.path().join("engine.json");
        if let Some(Submitted { id }) = read(folder, &file)? {
            return Ok(id);
        }
        let id = engine.submit(&self.engine_workload(spec)).await?;
        folder::write_json(&file, &Submitted { id: id.clone() }).map_err(|error| lost(&spec.workload.key, &error))?;
        Ok(id)
    }

    /// Asks the engine, and writes down how the workload ended if it did.
    async fn look(&self, folder: &Folder) -> Result<WorkloadStatus> {
        if let Some(status) = read(folder, &folder.exit())? {
            return Ok(status);
        }
        let Some(spec) = read::<Spec>(folder, &folder.spec())? else {
            let message = Some("this agent does not know it".to_owned());
            return Ok(WorkloadStatus { message, ..WorkloadStatus::new(Phase::Lost) });
        };
        let engine = match self.engine(&spec).await {
            Ok(engine) => engine,
            // Whoever removed it knows what becomes of its jobs.
            Err(error) if error.kind == ErrorKind::NotFound => {
                let message = Some(format!("{} is not there any more: {}", spec.instance, error.message));
                return self.settle(folder, WorkloadStatus { message, ..WorkloadStatus::new(Phase::Lost) });
            }
            Err(error) => return Err(error),
        };
        let id = self.submitted(folder, &spec, &*engine).await?;
        let mut status = match engine.status(&id).await {
            // Only services are ready.
            Ok(said) if said.status.phase == Phase::Ready => WorkloadStatus { phase: Phase::Running, ..said.status },
            Ok(said) => said.status,
            Err(error) if error.kind == ErrorKind::NotFound => {
                let message = Some(format!("{} does not know it any more", spec.instance));
                WorkloadStatus { message, ..WorkloadStatus::new(Phase::Lost) }
            }
            Err(error) => return Err(error),
        };
        let ending: Option<Ending> = read(folder, &ended_file(folder))?;
        if !status.phase.ended() {
            return match self.overdue(folder, &spec) {
                Some(message) => {
                    engine.cancel(&id).await?;
                    self.fetch_log(folder, &spec).await?;
                    self.settle(folder, WorkloadStatus { message: Some(message), ..WorkloadStatus::new(Phase::Failed) })
                }
                None => Ok(status),
            };
        }
        self.fetch_log(folder, &spec).await?;
        match (status.phase, ending) {
            (Phase::Succeeded | Phase::Failed, Some(ending)) => {
                status.phase = if ending.exit_code == 0 { Phase::Succeeded } else { Phase::Failed };
                status.exit_code = Some(ending.exit_code);
                status.message = ending.message;
            }
            (Phase::Succeeded, None) => {
                status.phase = Phase::Failed;
                status.message = Some("it ended without handing anything over; its log may say why".to_owned());
            }
            _ => {}
        }
        self.settle(folder, status)
    }

    /// Why a workload is to be ended whose worker should have done so. By this server's own time: a clock that is set ends
    /// nothing.
    fn overdue(&self, folder: &Folder, spec: &Spec) -> Option<String> {
        if !folder.started().exists() {
            return None;
        }
        let limit = order::time_limit(&spec.workload);
        let ran = self.known(&spec.workload.key).seen.get_or_init(Instant::now).elapsed();
        (ran > limit + GRACE).then(|| format!("stopped after its time limit of {}s", limit.as_secs()))
    }

    fn settle(&self, folder: &Folder, mut status: WorkloadStatus) -> Result<WorkloadStatus> {
        let began = read::<folder::Started>(folder, &folder.started())?.map(|started| started.at);
        status.started = status.started.or(began);
        status.ended = status.ended.or_else(|| Some(Timestamp::now()));
        let failed = |error| Error::io(folder.path().display(), &error);
        folder::write_json(&folder.exit(), &status).map_err(failed)?;
        Ok(status)
    }

    /// Brings what the engine has of the log since the last time.
    async fn fetch_log(&self, folder: &Folder, spec: &Spec) -> Result<()> {
        let reading = self.known(&spec.workload.key);
        let _reading = reading.log.lock().await;
        // Another server that is asked for the log reads it just now: what that brings is enough.
        let Some(_turn) = folder::Lock::try_acquire(&folder.path().join("log.lock"))
            .map_err(|error| lost(&spec.workload.key, &error))?
        else {
            return Ok(());
        };
        let file = folder.path().join("log.json");
        let mut so_far: LogRead = read(folder, &file)?.unwrap_or_default();
        let Some(Submitted { id }) = read(folder, &folder.path().join("engine.json"))? else { return Ok(()) };
        if so_far.ended {
            return Ok(());
        }
        let failed = |error| Error::io(format!("the log of {}", spec.workload.key), &error);
        let written = fs::metadata(folder.log()).map_or(0, |log| log.len());
        let mut writer = LogWriter::open(folder.log(), LOG_LIMIT.saturating_sub(written)).map_err(failed)?;
        let engine = self.engine(spec).await?;
        let mut pages = 0;
        loop {
            let said = match engine.logs(&id, so_far.cursor.as_deref()).await {
                Ok(said) => said,
                // What the engine does not have any more is no reason to fail what ended.
                Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            };
            for line in &said.lines {
                writer.write(format!("{line}\n").as_bytes());
            }
            pages += 1;
            let is_all = said.ended || said.lines.is_empty() || pages == MOST_PAGES;
            so_far = LogRead { cursor: said.cursor, ended: said.ended };
            folder::write_json(&file, &so_far).map_err(failed)?;
            if is_all {
                return Ok(());
            }
        }
    }
}

/// How the worker said that its command ended.
fn ended_file(folder: &Folder) -> PathBuf {
    folder.path().join("ended.json")
}

fn read<T: serde::de::DeserializeOwned>(folder: &Folder, file: &Path) -> Result<Option<T>> {
    folder::read_json(file).map_err(|error| Error::io(folder.path().display(), &error))
}

fn lost(key: &str, error: &io::Error) -> Error {
    Error::io(format!("{key} could not be written down"), error)
}

/// Refuses what the contract of engines has and this agent does not carry out.
fn check_kind(workload: &Workload, instance: &Name) -> Result<()> {
    match workload.kind {
        WorkloadKind::Job => Ok(()),
        WorkloadKind::Service | WorkloadKind::Environment => {
            let message = format!("{instance} runs jobs; services and environments stay on this machine");
            Err(Error::unsupported("workload-kind", message))
        }
    }
}

#[async_trait]
impl RuntimeAgent for EnginesAgent {
    async fn submit(&self, workload: &Workload) -> Result<()> {
        let instance = workload.agent.clone().ok_or_else(|| Error::internal("agent", "no engine is named"))?;
        check_kind(workload, &instance)?;
        let folder = self.folder(&workload.key)?;
        let spec = match read::<Spec>(&folder, &folder.spec())? {
            Some(spec) => spec,
            None => {
                let spec = Spec { workload: workload.clone(), instance, token: token() };
                let engine = self.engine(&spec).await?;
                let complaints = engine.check(&self.engine_workload(&spec)).await?;
                if !complaints.is_empty() {
                    let message = format!("{} cannot run it: {}", spec.instance, complaints.join("; "));
                    return Err(Error::unsupported("workload", message));
                }
                staging::prepare((&spec, workload), &*self.contents, &self.aside, &folder, LAYOUT).await?;
                // Another submission may have been faster, with a token of its own.
                read(&folder, &folder.spec())?.unwrap_or(spec)
            }
        };
        if folder.exit().exists() {
            return Ok(());
        }
        let engine = self.engine(&spec).await?;
        self.submitted(&folder, &spec, &*engine).await.map(drop)
    }

    async fn status(&self, key: &str) -> Result<WorkloadStatus> {
        self.look(&self.folder(key)?).await
    }

    async fn wait(&self, key: &str, limit: Duration) -> Result<WorkloadStatus> {
        let (folder, known) = (self.folder(key)?, self.known(key));
        let (deadline, mut pause) = (Instant::now() + limit, FIRST_PAUSE);
        loop {
            let told = known.news.notified();
            let status = match self.look(&folder).await {
                Ok(status) => status,
                // An engine that does not answer now may be doing its work all the same.
                Err(error) => {
                    tracing::warn!(%key, %error, "an engine could not be asked; asking again");
                    WorkloadStatus::new(Phase::Running)
                }
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if status.phase.ended() || left.is_zero() {
                return Ok(status);
            }
            tokio::select! {
                () = told => pause = FIRST_PAUSE,
                () = tokio::time::sleep(pause.min(left)) => pause = (pause * 3 / 2).min(LONGEST_PAUSE),
            }
        }
    }

    async fn logs(&self, key: &str, cursor: u64) -> Result<LogChunk> {
        let folder = self.folder(key)?;
        let ended = folder.exit().exists();
        let Some(spec) = read::<Spec>(&folder, &folder.spec())? else {
            return Err(Error::not_found("workload", format!("no engine was given {key}")));
        };
        if !ended {
            self.fetch_log(&folder, &spec).await?;
        }
        log::read(&folder.log(), cursor, ended).map_err(|error| Error::io(format!("the log of {key}"), &error))
    }

    async fn cancel(&self, key: &str) -> Result<()> {
        let folder = self.folder(key)?;
        let Some(spec) = read::<Spec>(&folder, &folder.spec())? else { return Ok(()) };
        if folder.exit().exists() {
            return Ok(());
        }
        match self.engine(&spec).await {
            Ok(engine) => {
                let id = self.submitted(&folder, &spec, &*engine).await?;
                engine.cancel(&id).await?;
            }
            // It is settled below.
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let status = self.wait(key, PATIENCE).await?;
        match status.phase.ended() {
            true => Ok(()),
            false => Err(Error::unavailable("cancel", format!("{} has not ended {key} yet", spec.instance))),
        }
    }

    async fn outputs(&self, workload: &Workload) -> Result<Vec<CollectedOutput>> {
        let work = self.folder(&workload.key)?.work();
        outputs::collect(&work, &workload.outputs)
    }

    async fn endpoint(&self, key: &str) -> Result<String> {
        Err(Error::unsupported("endpoint", format!("{key} is a job, not a service")))
    }

    async fn running(&self) -> Result<Vec<String>> {
        let failed = |error| Error::io(self.workloads.display(), &error);
        let mut keys = Vec::new();
        for entry in fs::read_dir(&self.workloads).map_err(failed)? {
            let folder = Folder::new(entry.map_err(failed)?.path());
            let key = folder.path().file_name().and_then(|key| key.to_str());
            keys.extend(key.filter(|_| !folder.exit().exists()).map(ToOwned::to_owned));
        }
        Ok(keys)
    }

    async fn tidy(&self, key: &str) -> Result<bool> {
        let folder = self.folder(key)?;
        if !folder.exit().exists() {
            return Ok(!folder.path().exists());
        }
        let removed = read::<Spec>(&folder, &folder.spec())?;
        let submitted: Option<Submitted> = read(&folder, &folder.path().join("engine.json"))?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        let failed = |error| Error::io(format!("{key} could not be tidied"), &error);
        staging::clear(&folder, &self.aside).await.map_err(failed)?;
        let (Some(spec), Some(Submitted { id })) = (removed, submitted) else { return Ok(true) };
        let deleted = match self.engine(&spec).await {
            Ok(engine) => engine.delete(&id).await,
            gone => gone.map(drop),
        };
        match deleted {
            // Its instance is removed, or it was deleted there before.
            Err(error) if error.kind == ErrorKind::NotFound => Ok(true),
            deleted => deleted.map(|()| true),
        }
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let folder = self.folder(key)?;
        if folder.spec().exists() && !folder.exit().exists() {
            return Err(Error::conflict("workload-running", format!("{key} has not ended; cancel it first")));
        }
        let failed = |error| Error::io(format!("{} could not be removed", folder.path().display()), &error);
        staging::remove(folder.path().to_owned(), &self.aside).await.map_err(failed)
    }
}

fn token() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}
