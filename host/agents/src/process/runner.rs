//! One process tree at a time, run from a single thread: started, its output written to the log, every process
//! below it reaped, and the whole tree ended.
//!
//! This process is the *subreaper* of all it starts: a process whose parent dies becomes its child, however
//! often it forked and whatever session it opened, so that nothing gets away.

use super::{
    limits::{Exceeded, Limits},
    log::LogWriter,
    procfs,
};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getpid, getppid, setsid},
};
use std::{
    fmt,
    io::{self, PipeReader, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How often it is looked whether something is left while killing; exits wake it earlier.
const KILL_PAUSE: Duration = Duration::from_millis(20);

/// The most that is read from the output before signals and clocks are looked at again.
const READS_A_TURN: usize = 64;

/// Bytes that are read at once. Each job's supervisor touches so much of its stack, however little its job says.
const READ: usize = 16 * 1024;

pub(crate) struct Runner {
    signals: SignalFd,
    log: LogWriter,
    grace: Duration,
    main: Option<Main>,
    stop_asked: bool,
    /// No process is left below this one.
    alone: bool,
    limits: Option<Limits>,
}

/// The process that was started, as opposed to those that it starts.
struct Main {
    pid: Pid,
    output: Option<PipeReader>,
    ending: Option<Ending>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Code(i32),
    Signal(Signal),
}

impl Ending {
    pub(crate) fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal(_) => None,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(Signal::SIGKILL) => {
                f.write_str("was killed (SIGKILL), as the system does with processes when memory runs out")
            }
            Self::Signal(signal) => write!(f, "was killed by {signal}"),
        }
    }
}

/// What came of a process tree that was run to its end.
#[derive(Debug)]
pub(crate) enum Verdict {
    Ended(Ending),
    /// This process was asked to end.
    Stopped,
    OutOfTime,
    TookTooMuch(Exceeded),
    /// No such program, not executable and the like.
    NotStarted(io::Error),
}

/// The signals that a supervisor hears of. Blocked from then on, so nothing is missed before it listens.
pub(crate) fn listen() -> io::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGCHLD);
    signals.thread_block()?;
    prctl::set_child_subreaper(true)?;
    Ok(SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

impl Runner {
    pub(crate) fn new(signals: SignalFd, log: LogWriter, grace: Duration) -> Self {
        Self { signals, log, grace, main: None, stop_asked: false, alone: true, limits: None }
    }

    /// All that is started from here on is killed once it takes more.
    pub(crate) fn limit(&mut self, limits: Limits) {
        self.limits = Some(limits);
    }

    /// What the process that was started last was killed for.
    pub(crate) fn exceeded(&self) -> Option<Exceeded> {
        self.limits.as_ref().and_then(Limits::exceeded)
    }

    pub(crate) fn stop_asked(&self) -> bool {
        self.stop_asked
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.main.as_ref().and_then(|main| main.ending)
    }

    pub(crate) fn note(&mut self, line: &str) {
        self.log.note(line);
    }

    /// Runs it until it ends, its time is over or this process is asked to end; nothing of it is left then.
    pub(crate) fn run(&mut self, command: Command, until: Instant) -> io::Result<Verdict> {
        if let Err(error) = self.start(command) {
            return Ok(Verdict::NotStarted(error));
        }
        loop {
            self.turn(until, None)?;
            if let Some(ending) = self.ending() {
                // What outlives the main process was forgotten by it: there is nothing to wait for.
                self.kill_rest()?;
                return Ok(self.exceeded().map_or(Verdict::Ended(ending), Verdict::TookTooMuch));
            }
            if self.stop_asked || Instant::now() >= until {
                self.end()?;
                return Ok(if self.stop_asked { Verdict::Stopped } else { Verdict::OutOfTime });
            }
        }
    }

    /// Runs what cleans up, whoever wants this process to end meanwhile; nothing of it is left then.
    pub(crate) fn finish(&mut self, command: Command, limit: Duration) -> io::Result<()> {
        let until = Instant::now() + limit;
        self.limits = None;
        self.start(command)?;
        while self.ending().is_none() && Instant::now() < until {
            self.turn(until, None)?;
        }
        self.kill_rest()
    }

    /// Starts it with its output going to the log. The error is that of starting it: no such program and the like.
    pub(crate) fn start(&mut self, mut command: Command) -> io::Result<()> {
        self.main = None;
        let (output, input) = io::pipe()?;
        let flags = OFlag::from_bits_retain(fcntl(&output, FcntlArg::F_GETFL)?);
        fcntl(&output, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
        let this = getpid();
        // SAFETY: between fork and exec only async-signal-safe system calls are made and nothing is allocated.
        // They can be made nowhere else: each concerns the child itself and must hold when its program begins.
        unsafe {
            command.pre_exec(move || {
                setsid()?;
                SigSet::empty().thread_set_mask()?;
                // A workload must not outlive a supervisor that was killed …
                prctl::set_pdeathsig(Signal::SIGKILL)?;
                // … nor one that was killed before this line.
                if getppid() == this { Ok(()) } else { Err(Errno::ESRCH.into()) }
            });
        }
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        self.alone = false;
        if let Some(limits) = &mut self.limits {
            limits.reset();
        }
        self.main = Some(Main { pid: Pid::from_raw(pid), output: Some(output), ending: None });
        Ok(())
    }

    /// Waits until something happens or `until`, and takes note of it: output, ended processes, a wish to end.
    pub(crate) fn turn(&mut self, until: Instant, also: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let until = self.limits.as_ref().map_or(until, |limits| until.min(limits.next_look()));
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up, so that the last millisecond is not spent turning.
        let milliseconds = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        let output = self.main.as_ref().and_then(|main| main.output.as_ref());
        let sources = [Some(self.signals.as_fd()), output.map(AsFd::as_fd), also];
        let mut sources: Vec<_> =
            sources.into_iter().flatten().map(|source| PollFd::new(source, PollFlags::POLLIN)).collect();
        match poll(&mut sources, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.read_signals()?;
        self.reap()?;
        self.read_output(READS_A_TURN);
        if let Some(limits) = &mut self.limits {
            limits.look();
        }
        Ok(())
    }

    /// Asks every process to end, kills those that do not, and returns when none is left.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        procfs::signal_all(&procfs::descendants(getpid().as_raw()), Signal::SIGTERM);
        let until = Instant::now() + self.grace;
        while !self.alone && Instant::now() < until {
            self.turn(until, None)?;
        }
        self.kill_rest()
    }

    pub(crate) fn kill_rest(&mut self) -> io::Result<()> {
        let give_up = Instant::now() + procfs::KILL_TIME;
        self.reap()?;
        while !self.alone {
            if Instant::now() > give_up {
                self.note("not all processes could be killed; the system has a hold on them");
                break;
            }
            // Again and again, since what is forked meanwhile is seen only the next time.
            procfs::signal_all(&procfs::descendants(getpid().as_raw()), Signal::SIGKILL);
            self.turn(Instant::now() + KILL_PAUSE, None)?;
        }
        // Nobody writes any more, so this ends.
        self.read_output(usize::MAX);
        if let Some(main) = &mut self.main {
            main.output = None;
        }
        Ok(())
    }

    fn read_signals(&mut self) -> io::Result<()> {
        while let Some(signal) = self.signals.read_signal()? {
            self.stop_asked |= i32::try_from(signal.ssi_signo).is_ok_and(|number| number == Signal::SIGTERM as i32);
        }
        Ok(())
    }

    fn reap(&mut self) -> io::Result<()> {
        loop {
            let (pid, ending) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Ending::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Ending::Signal(signal)),
                Ok(WaitStatus::StillAlive) => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => {
                    self.alone = true;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            if let Some(main) = self.main.as_mut().filter(|main| main.pid == pid) {
                main.ending = Some(ending);
            }
        }
    }

    fn read_output(&mut self, at_most: usize) {
        let Some(main) = &mut self.main else { return };
        let Some(output) = &mut main.output else { return };
        let mut buffer = [0; READ];
        for _ in 0..at_most {
            match output.read(&mut buffer) {
                Ok(0) => {
                    main.output = None;
                    return;
                }
                Ok(count) => self.log.write(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Empty for now; any other error would come again and again.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    main.output = None;
                    return;
                }
            }
        }
    }
}
