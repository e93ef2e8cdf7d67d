//! The supervisor: one small process for each workload, which starts it once, watches it, ends all of it and
//! says how it ended. It lives on when the server does not; when it is killed itself, the workload goes with it.
//!
//! Single-threaded from the first line on: it forks, and it hears of signals through a descriptor.

use super::{
    build, container, environment,
    folder::{self, Folder, Lock, Started},
    limits::Limits,
    log::LogWriter,
    procfs::Identity,
    runner::{self, Runner, Verdict},
    service,
    spec::Spec,
};
use fuseml_domain::{Phase, WorkloadKind, WorkloadStatus};
use jiff::Timestamp;
use nix::sys::signalfd::SignalFd;
use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

/// Removing what is left of a container may take this long.
const REMOVING: Duration = Duration::from_secs(30);

/// Said on standard output once the workload is this supervisor's and will be started.
pub(crate) const STARTED: &str = "started\n";

/// Supervises the workload of this folder until it has ended, and answers the exit code for the process.
///
/// To be called first thing in a process of its own, before any thread is started. A workload that was started
/// before, or has a supervisor, is left alone.
pub fn supervise(directory: &Path) -> i32 {
    run(directory, false)
}

/// The same in a fork of the launcher, whose standard output is closed when the workload has ended: who started it hears of
/// that sooner than by the end of this process.
pub(crate) fn supervise_heard(directory: &Path) -> i32 {
    run(directory, true)
}

fn run(directory: &Path, is_heard: bool) -> i32 {
    match begin(Folder::new(directory.to_owned()), is_heard) {
        Ok(None) => 0,
        Ok(Some(supervisor)) => supervisor.run(),
        Err(error) => {
            eprintln!("{}: the workload could not be taken up: {error}", directory.display());
            1
        }
    }
}

/// How a workload ended, before the clock is added.
#[derive(Debug)]
pub(crate) struct Outcome {
    phase: Phase,
    message: Option<String>,
    exit_code: Option<i32>,
}

impl Outcome {
    pub(crate) fn succeeded() -> Self {
        Self { phase: Phase::Succeeded, message: None, exit_code: Some(0) }
    }

    pub(crate) fn is_success(&self) -> bool {
        self.phase == Phase::Succeeded
    }

    pub(crate) fn failed(message: String, exit_code: Option<i32>) -> Self {
        Self { phase: Phase::Failed, message: Some(message), exit_code }
    }

    /// The supervisor was asked to end: by the agent, which says so in the folder, or by a stopping system.
    pub(crate) fn stopped(folder: &Folder) -> Self {
        let (phase, message) = match folder.cancel().exists() {
            true => (Phase::Cancelled, "cancelled"),
            false => (Phase::Lost, "stopped together with the system that it ran on"),
        };
        Self { phase, message: Some(message.to_owned()), exit_code: None }
    }

    /// With the exit code that shells give it.
    pub(crate) fn not_started(command: &[String], error: &io::Error) -> Self {
        let program = command.first().map_or("", String::as_str);
        Self::failed(format!("the command `{program}` could not be started: {error}"), Some(127))
    }

    pub(crate) fn of_job(verdict: &Verdict, folder: &Folder, spec: &Spec) -> Self {
        match verdict {
            Verdict::Ended(ending) if ending.code() == Some(0) => Self::succeeded(),
            Verdict::Ended(ending) if spec.container.is_some() && ending.code() == Some(container::FAILED) => {
                Self::failed("podman could not run it; the log says why".to_owned(), ending.code())
            }
            Verdict::Ended(ending) => Self::failed(ending.to_string(), ending.code()),
            Verdict::Stopped => Self::stopped(folder),
            Verdict::TookTooMuch(exceeded) => Self::failed(format!("killed: {exceeded}"), None),
            Verdict::OutOfTime => {
                Self::failed(format!("stopped after its time limit of {}", seconds(spec.timeout)), None)
            }
            Verdict::NotStarted(error) => Self::not_started(&spec.workload.command, error),
        }
    }
}

/// For messages: `30 s`, `1.5 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

struct Supervisor {
    folder: Folder,
    spec: Spec,
    signals: SignalFd,
    started: Timestamp,
    /// Held until this process is no more.
    _lock: Lock,
}

/// `None` when there is nothing to do.
fn begin(folder: Folder, is_heard: bool) -> io::Result<Option<Supervisor>> {
    // Away from the server's terminal. Fails only for who leads a session already.
    let _ = nix::unistd::setsid();
    let signals = runner::listen()?;
    let Some(mut lock) = Lock::try_acquire(&folder.lock())? else { return Ok(None) };
    lock.sign(&Identity::of_this_process()?)?;
    if folder.exit().exists() || folder.started().exists() {
        return Ok(None);
    }
    let Some(spec) = folder::read_json(&folder.spec())? else { return Ok(None) };
    if folder.cancel().exists() {
        let status = WorkloadStatus { ended: Some(Timestamp::now()), ..WorkloadStatus::new(Phase::Cancelled) };
        folder::write_json(&folder.exit(), &status)?;
        return Ok(None);
    }
    let started = Timestamp::now();
    folder::write_json(&folder.started(), &Started { at: started })?;
    // Who started this process may go on now, and need not be there any more.
    let _ = io::stdout().write_all(STARTED.as_bytes()).and_then(|()| io::stdout().flush());
    if !is_heard {
        close_output()?;
    }
    Ok(Some(Supervisor { folder, spec, signals, started, _lock: lock }))
}

fn close_output() -> io::Result<()> {
    Ok(nix::unistd::dup2_stdout(File::options().write(true).open("/dev/null")?)?)
}

impl Supervisor {
    fn run(self) -> i32 {
        let Self { folder, spec, signals, started, _lock } = self;
        let outcome = oversee(&folder, &spec, signals).unwrap_or_else(|error| {
            eprintln!("{}: supervising failed: {error}", folder.path().display());
            Outcome::failed(format!("supervising it failed: {error}"), None)
        });
        let status = WorkloadStatus {
            phase: outcome.phase,
            message: outcome.message,
            exit_code: outcome.exit_code,
            started: Some(started),
            ended: Some(Timestamp::now()),
        };
        let written = folder::write_json(&folder.exit(), &status);
        let _ = close_output();
        match written {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("{}: the end could not be written down: {error}", folder.path().display());
                1
            }
        }
    }
}

fn start(runner: &mut Runner, folder: &Folder, spec: &Spec) -> io::Result<Outcome> {
    let beside: &[&str] = if spec.container.is_some() { &container::PROGRAMS } else { &[] };
    let folders = vec![folder.work(), folder.home(), folder.temporary()];
    runner.limit(Limits::new(&spec.workload.resources, beside, folders));
    if spec.workload.kind == WorkloadKind::Service {
        return service::serve(runner, folder, spec);
    }
    let verdict = runner.run(spec.command(folder)?, Instant::now() + spec.timeout)?;
    Ok(Outcome::of_job(&verdict, folder, spec))
}

fn oversee(folder: &Folder, spec: &Spec, signals: SignalFd) -> io::Result<Outcome> {
    let log = LogWriter::new(folder.log(), spec.log_limit);
    let mut runner = Runner::new(signals, log, spec.grace);
    let outcome = match spec.workload.kind {
        WorkloadKind::Environment => match (&spec.builder, &spec.workload.builds) {
            (Some(builder), Some(wanted)) => {
                build::make(&mut runner, folder, spec, (builder, wanted), Instant::now() + spec.timeout)
            }
            _ => environment::make(&mut runner, folder, spec, spec.timeout),
        },
        _ => match environment::make_missing(&mut runner, folder, spec) {
            Ok(Some(failed)) => Ok(failed),
            Ok(None) => start(&mut runner, folder, spec),
            Err(error) => Err(error),
        },
    };
    // Nothing is left of it, even when supervising it failed.
    let mut rest = runner.kill_rest();
    if let Some(container) = &spec.container {
        rest = rest.and_then(|()| runner.finish(container.remove(), REMOVING));
    }
    let outcome = outcome?;
    rest?;
    if let (Phase::Failed, Some(message)) = (outcome.phase, &outcome.message) {
        runner.note(message);
    }
    Ok(outcome)
}
