//! One workload's supervisor: a small synchronous program that starts it, watches it, ends it and says how it
//! ended.
//!
//! It holds the folder's lock for as long as it lives. Whoever finds the lock free and no `exit.json` knows that
//! the supervisor was killed, and its workload with it.

use crate::{
    environment::{self, Draft, PACKAGE_VARIABLES},
    folder::{Endpoint, Exit, Folder, Spec},
    process_tree, readiness,
};
use fuseml_domain::{Error, Phase, Result, WorkloadKind};
use jiff::Timestamp;
use nix::{
    fcntl::FlockArg,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        wait::WaitStatus,
    },
    unistd::Pid,
};
use std::{
    ffi::OsString,
    fs,
    io::{PipeReader, Read as _, Write as _},
    net::TcpListener,
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What a workload gets between being asked to end and being killed.
const GRACE: Duration = Duration::from_secs(10);
/// The most of a workload's output that is kept, in bytes.
const MAX_LOG: u64 = 256 << 20;
/// A service that ends so often before it was ever ready is given up.
const ATTEMPTS: u32 = 3;
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const READINESS_PERIOD: Duration = Duration::from_millis(100);
/// Where programs are found beside an environment's own.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Supervises the workload of this folder to its end. Does nothing when it was ever started before.
pub fn supervise(directory: &Path) -> i32 {
    let folder = Folder::new(directory);
    match begin(&folder) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("supervisor of {}: {error}", directory.display());
            1
        }
    }
}

fn begin(folder: &Folder) -> Result<()> {
    let _lock =
        folder.lock(FlockArg::LockExclusive).map_err(|_| Error::internal("lock", "the folder cannot be locked"))?;
    if folder.started() || folder.exit()?.is_some() {
        return Ok(());
    }
    let spec = folder.spec()?;
    let signals = Signals::new()?;
    nix::sys::prctl::set_child_subreaper(true).map_err(|error| Error::internal("subreaper", error.to_string()))?;
    folder.mark_started()?;
    let started = Timestamp::now();
    let deadline = spec.workload.timeout.map(|timeout| Instant::now() + timeout);
    let mut supervisor = Supervisor { folder, spec: &spec, signals, deadline, log: Log::open(folder)? };
    let end = match spec.workload.kind {
        WorkloadKind::Job => {
            let command = spec.workload.command.iter().map(OsString::from).collect::<Vec<_>>();
            supervisor.run(&command, &[])
        }
        WorkloadKind::Service => supervisor.serve(),
        WorkloadKind::Environment => supervisor.make_environment(),
    };
    let end = end.unwrap_or_else(|error| {
        supervisor.log.say(&error.message);
        End::Failed { message: error.message, code: None }
    });
    supervisor.end_everything();
    folder.mark_ready(false)?;
    folder.write_exit(&end.exit(started, spec.workload.timeout))
}

/// How a workload ended whose supervisor never began.
pub(crate) fn cancelled_before_start() -> Exit {
    End::Cancelled.exit(Timestamp::now(), None)
}

/// How one process, or all of a workload, ended.
#[derive(Debug)]
enum End {
    Succeeded,
    Failed { message: String, code: Option<i32> },
    TimedOut,
    Cancelled,
}

impl End {
    fn of(status: WaitStatus) -> Self {
        match status {
            WaitStatus::Exited(_, 0) => Self::Succeeded,
            WaitStatus::Exited(_, code) => {
                Self::Failed { message: format!("exited with code {code}"), code: Some(code) }
            }
            WaitStatus::Signaled(_, signal, _) => {
                Self::Failed { message: format!("was ended by {signal}"), code: None }
            }
            other => Self::Failed { message: format!("ended in an unknown way: {other:?}"), code: None },
        }
    }

    fn exit(self, started: Timestamp, timeout: Option<Duration>) -> Exit {
        let (phase, message, exit_code) = match self {
            Self::Succeeded => (Phase::Succeeded, None, Some(0)),
            Self::Failed { message, code } => (Phase::Failed, Some(message), code),
            Self::TimedOut => {
                let limit = timeout.map(|timeout| format!(" of {} s", timeout.as_secs())).unwrap_or_default();
                (Phase::Failed, Some(format!("stopped after its time limit{limit}")), None)
            }
            Self::Cancelled => (Phase::Cancelled, Some("was cancelled".to_owned()), None),
        };
        Exit { phase, message, exit_code, started, ended: Timestamp::now() }
    }
}

/// SIGTERM, SIGINT and SIGCHLD as something to wait for.
struct Signals(SignalFd);

enum Event {
    Child,
    Stop,
    Timeout,
}

impl Signals {
    fn new() -> Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD] {
            set.add(signal);
        }
        let make = || {
            set.thread_block()?;
            SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        };
        make().map(Self).map_err(|error: nix::Error| Error::internal("signals", error.to_string()))
    }

    fn next(&mut self, until: Option<Instant>) -> Event {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Event::Timeout;
            }
            // Rounded up, or the last millisecond would be spent spinning.
            let wait = left.map_or(PollTimeout::NONE, |left| {
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            });
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, wait);
            match self.0.read_signal() {
                Ok(Some(info)) if info.ssi_signo == Signal::SIGCHLD as u32 => return Event::Child,
                Ok(Some(_)) => return Event::Stop,
                Ok(None) | Err(_) => {}
            }
        }
    }
}

struct Supervisor<'a> {
    folder: &'a Folder,
    spec: &'a Spec,
    signals: Signals,
    deadline: Option<Instant>,
    log: Log,
}

impl Supervisor<'_> {
    /// Runs one command to its end, or ends it at the deadline or on request.
    fn run(&mut self, command: &[OsString], variables: &[(&str, OsString)]) -> Result<End> {
        let process = self.start(command, variables)?;
        loop {
            match self.signals.next(self.deadline) {
                Event::Child => {
                    if let Some(status) = process_tree::reap(process) {
                        return Ok(End::of(status));
                    }
                }
                Event::Stop => return Ok(End::Cancelled),
                Event::Timeout => return Ok(End::TimedOut),
            }
        }
    }

    fn start(&mut self, command: &[OsString], variables: &[(&str, OsString)]) -> Result<Pid> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Error::invalid("command", "the workload has no command"));
        };
        let (reader, writer) = std::io::pipe().map_err(|error| Error::io("a pipe", &error))?;
        let mut child = Command::new(program);
        child
            .args(arguments)
            .current_dir(self.folder.work())
            .env_clear()
            .envs(self.variables())
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(writer.try_clone().map_err(|error| Error::io("a pipe", &error))?)
            .stderr(writer);
        let supervisor = Pid::this();
        // SAFETY: between fork and exec only system calls are made, which are safe there.
        unsafe {
            child.pre_exec(move || {
                nix::unistd::setsid()?;
                // A supervisor killed outright must not leave its workload behind.
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
                if Pid::parent() != supervisor {
                    return Err(std::io::ErrorKind::BrokenPipe.into());
                }
                Ok(())
            });
        }
        let spawned = child.spawn();
        // Its copies of the pipe's end must go, or the log would never end.
        drop(child);
        let spawned = spawned.map_err(|error| {
            Error::invalid("command", format!("`{}` cannot be started: {error}", program.to_string_lossy()))
        })?;
        self.log.follow(reader);
        let process =
            i32::try_from(spawned.id()).map_err(|_| Error::internal("process", "a process number is too large"))?;
        Ok(Pid::from_raw(process))
    }

    /// What a workload sees: nothing of the server's own environment.
    fn variables(&self) -> Vec<(OsString, OsString)> {
        let work = self.folder.work();
        let mut variables: Vec<(OsString, OsString)> = vec![
            ("HOME".into(), work.clone().into()),
            ("LANG".into(), "C.UTF-8".into()),
            ("TMPDIR".into(), self.folder.path().join("tmp").into()),
        ];
        let _ = fs::create_dir_all(self.folder.path().join("tmp"));
        let mut path = OsString::from(SYSTEM_PATH);
        if self.spec.workload.kind == WorkloadKind::Environment {
            variables.push(("UV_CACHE_DIR".into(), self.spec.uv_cache.clone().into()));
            variables.push(("UV_PYTHON_DOWNLOADS".into(), "never".into()));
            let given = PACKAGE_VARIABLES.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?)));
            variables.extend(given);
            // Python interpreters are looked for where the server's own user has them.
            path = std::env::var_os("PATH").unwrap_or(path);
            variables.extend(std::env::var_os("HOME").map(|home| ("HOME".into(), home)));
        } else if let Some(environment) = &self.spec.environment {
            let mut with_environment = environment.join("bin").into_os_string();
            with_environment.push(":");
            with_environment.push(&path);
            path = with_environment;
            variables.push(("VIRTUAL_ENV".into(), environment.clone().into()));
        }
        variables.push(("PATH".into(), path));
        variables.extend(self.spec.workload.variables.iter().map(|(name, value)| (name.into(), value.into())));
        variables
    }

    fn make_environment(&mut self) -> Result<End> {
        let (Some(environment), Some(target), Some(uv)) =
            (&self.spec.workload.environment, &self.spec.environment, &self.spec.uv)
        else {
            return Err(Error::internal("environment", "no environment is described"));
        };
        // Two builds of one environment: the second finds it made.
        let lock = Folder::new(target.with_extension("making"));
        fs::create_dir_all(lock.path()).map_err(|error| Error::io(lock.path().display(), &error))?;
        let _lock = loop {
            if let Ok(held) = lock.lock(FlockArg::LockExclusiveNonblock) {
                break held;
            }
            let soon = Instant::now() + Duration::from_millis(100);
            match self.signals.next(Some(self.deadline.map_or(soon, |deadline| deadline.min(soon)))) {
                Event::Stop => return Ok(End::Cancelled),
                Event::Timeout if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    return Ok(End::TimedOut);
                }
                Event::Timeout | Event::Child => {}
            }
        };
        if environment::is_made(target) {
            self.log.say(&format!("environment {} is already here", environment.digest));
            return Ok(End::Succeeded);
        }
        let draft = Draft::begin(environment, target, &self.folder.work())?;
        for command in draft.commands(uv, environment.python.as_deref()) {
            let shown: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
            self.log.say(&format!("$ {}", shown.join(" ")));
            match self.run(&command, &[]) {
                Ok(End::Succeeded) => {}
                Ok(End::Failed { message, code }) => {
                    let message = format!("the environment cannot be made: uv {message}; its log says why");
                    return Ok(End::Failed { message, code });
                }
                Err(error) if error.code == "command" => {
                    let message = format!(
                        "the environment cannot be made: {error}; install uv, or say where it is with FUSEML_UV"
                    );
                    return Err(Error::unavailable("uv", message));
                }
                other => return other,
            }
        }
        draft.finish()?;
        Ok(End::Succeeded)
    }

    /// Keeps a service running until it is stopped; before it was ever ready it may fail for good.
    fn serve(&mut self) -> Result<End> {
        let command: Vec<OsString> = self.spec.workload.command.iter().map(OsString::from).collect();
        let mut pause = Duration::from_secs(1);
        let mut attempts = 0;
        let mut was_ready = false;
        loop {
            let port = free_port()?;
            self.folder.write_endpoint(&Endpoint { port })?;
            let process = self.start(&command, &[("PORT", port.to_string().into()), ("HOST", "127.0.0.1".into())])?;
            let begun = Instant::now();
            let end = self.watch_service(process, port, &mut was_ready)?;
            self.folder.mark_ready(false)?;
            let Some(End::Failed { message, code }) = end else { return Ok(end.unwrap_or(End::Cancelled)) };
            attempts = if was_ready { 0 } else { attempts + 1 };
            if attempts >= ATTEMPTS {
                return Ok(End::Failed { message: format!("{message} before it was ready, {attempts} times"), code });
            }
            self.end_everything();
            if begun.elapsed() > LONGEST_PAUSE {
                pause = Duration::from_secs(1);
            }
            self.log.say(&format!("the service {message}; it is started again in {} s", pause.as_secs()));
            if let Event::Stop = self.pause(pause) {
                return Ok(End::Cancelled);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Until the process ends; a service is not meant to, so an end is a failure.
    fn watch_service(&mut self, process: Pid, port: u16, was_ready: &mut bool) -> Result<Option<End>> {
        let path = self.spec.workload.readiness_path.clone().unwrap_or_else(|| "/".to_owned());
        let mut ready = false;
        loop {
            let look = (!ready).then(|| Instant::now() + READINESS_PERIOD);
            match self.signals.next(look) {
                Event::Stop => return Ok(Some(End::Cancelled)),
                Event::Child => {
                    if let Some(status) = process_tree::reap(process) {
                        return Ok(Some(match End::of(status) {
                            End::Succeeded => End::Failed { message: "exited by itself".to_owned(), code: Some(0) },
                            end => end,
                        }));
                    }
                }
                Event::Timeout => {
                    if readiness::is_ready(port, &path) {
                        self.folder.mark_ready(true)?;
                        (ready, *was_ready) = (true, true);
                    } else if !*was_ready && self.deadline.is_some_and(|deadline| Instant::now() > deadline) {
                        self.log.say("the service was not ready in time");
                        return Ok(Some(End::TimedOut));
                    }
                }
            }
        }
    }

    fn pause(&mut self, length: Duration) -> Event {
        let until = Instant::now() + length;
        loop {
            match self.signals.next(Some(until)) {
                Event::Child => {}
                event => return event,
            }
        }
    }

    /// Asks every process below this one to end, kills what is left after the grace, and returns when none is.
    fn end_everything(&mut self) {
        let nobody = Pid::from_raw(-1);
        let patience = Instant::now() + GRACE;
        process_tree::reap(nobody);
        let mut signal = Signal::SIGTERM;
        while process_tree::signal_descendants(signal) {
            let soon = Instant::now() + Duration::from_millis(if signal == Signal::SIGTERM { 500 } else { 20 });
            self.signals.next(Some(soon.min(patience.max(Instant::now() + Duration::from_millis(5)))));
            process_tree::reap(nobody);
            if Instant::now() >= patience {
                signal = Signal::SIGKILL;
            }
        }
        self.log.finish();
    }
}

fn free_port() -> Result<u16> {
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    port.map(|address| address.port()).map_err(|error| Error::io("a free port", &error))
}

/// The workload's output, kept up to a size.
struct Log {
    file: fs::File,
    followers: Vec<std::thread::JoinHandle<()>>,
}

impl Log {
    fn open(folder: &Folder) -> Result<Self> {
        let file = fs::OpenOptions::new().create(true).append(true).open(folder.log());
        let file = file.map_err(|error| Error::io(folder.log().display(), &error))?;
        Ok(Self { file, followers: Vec::new() })
    }

    /// A line of the supervisor's own.
    fn say(&mut self, line: &str) {
        let _ = writeln!(self.file, "{line}");
    }

    /// Copies a pipe until its last writer is gone. What comes after the limit is read and thrown away, so that
    /// the workload is not stopped by it.
    fn follow(&mut self, mut pipe: PipeReader) {
        let Ok(mut file) = self.file.try_clone() else { return };
        let mut left = MAX_LOG.saturating_sub(file.metadata().map_or(0, |metadata| metadata.len()));
        self.followers.push(std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(read) = pipe.read(&mut buffer) {
                if read == 0 {
                    return;
                }
                let kept = usize::try_from(left).unwrap_or(usize::MAX).min(read);
                let _ = file.write_all(&buffer[..kept]);
                if left > 0 && kept < read {
                    let _ = writeln!(file, "\n[the log is full: {MAX_LOG} bytes; the rest is not kept]");
                }
                left -= kept as u64;
            }
        }));
    }

    fn finish(&mut self) {
        for follower in self.followers.drain(..) {
            let _ = follower.join();
        }
    }
}
