//! The agent and its workloads' supervisors: starting them, hearing of their ends, ending them.

use super::{
    agent::{LOOK, ProcessAgent, unreadable},
    environment,
    folder::{self, Folder, State},
    procfs::{self, Identity},
    spec::Spec,
    supervisor,
};
use fuseml_domain::{Error, Result};
use nix::sys::signal::Signal;
use std::{
    collections::HashMap,
    fs,
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, Interest, unix::AsyncFd},
    net::unix::pipe,
    process::Command,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

/// What a supervisor may take until it has taken its workload up.
const LAUNCH_TIME: Duration = Duration::from_secs(30);

/// Pipes by the folders of workloads that this agent started. A fork of the launcher holds the other end until its workload
/// has ended; a supervisor that was started anew closes it at once.
pub(super) type Held = Mutex<HashMap<PathBuf, Arc<pipe::Receiver>>>;

impl ProcessAgent {
    /// The state, with orphans settled: their processes are gone and their end is written down.
    pub(super) async fn state(&self, folder: &Folder) -> Result<State> {
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
    pub(super) async fn launch(&self, folder: &Folder, needs_environment: bool) -> Result<()> {
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
        let mut word = [0; supervisor::STARTED.len()];
        if let Ok(mut said) = pipe::Receiver::from_owned_fd(said.into())
            // Of an end without a word the folder knows more.
            && let Ok(Ok(_)) = timeout(LAUNCH_TIME, said.read_exact(&mut word)).await
            && word == supervisor::STARTED.as_bytes()
        {
            let mut held = self.held();
            // Of some ends nobody here hears: another server drives their runs by now.
            held.retain(|_, held| is_open(held));
            held.insert(folder.path().to_owned(), Arc::new(said));
            return Ok(true);
        }
        Ok(!matches!(self.state(folder).await?, State::Waiting { supervised: false }))
    }

    fn held(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<pipe::Receiver>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens no more for the end of a workload.
    pub(super) fn forget(&self, folder: &Folder) {
        self.held().remove(folder.path());
    }

    /// Resolves when a workload's supervisor says that it has ended, or is no more, and at `until`; at `look` as well where
    /// nobody can be heard.
    pub(super) async fn until_ended(&self, folder: &Folder, until: Instant, look: Instant) {
        let held = self.held().get(folder.path()).cloned();
        if let Some(held) = held {
            if timeout_at(until, closed(&held)).await.is_ok() {
                self.forget(folder);
            }
            return;
        }
        let supervisor = folder.supervisor().ok().flatten();
        match supervisor.and_then(|supervisor| supervisor.open().ok().flatten()) {
            Some(handle) => drop(timeout_at(until, gone(handle)).await),
            None => sleep_until(until.min(look)).await,
        }
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

    pub(super) fn stored_spec(folder: &Folder) -> Result<Option<Spec>> {
        folder::read_json(&folder.spec()).map_err(|error| unreadable(folder, &error))
    }

    /// Starts what was submitted but never started, because the server was killed in between.
    pub(super) async fn relaunch(&self, folder: &Folder) -> Result<()> {
        match Self::stored_spec(folder)? {
            Some(spec) => self.launch(folder, spec.needs_environment()).await,
            None => Ok(()),
        }
    }

    /// Asks the supervisor to end its workload and itself, and returns when it has; kills both if it does not.
    pub(super) async fn end(&self, folder: &Folder) -> Result<()> {
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

/// Looks through all processes, so not on a thread that serves others.
pub(super) async fn settle(folder: &Folder) -> Result<()> {
    let own = folder.clone();
    let settled = tokio::task::spawn_blocking(move || own.settle()).await;
    settled.map_err(io::Error::other).flatten().map(drop).map_err(|error| unreadable(folder, &error))
}

/// Whether somebody holds the other end; nothing more is written there.
fn is_open(held: &pipe::Receiver) -> bool {
    held.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Returns when nobody does any more.
async fn closed(held: &pipe::Receiver) {
    while held.readable().await.is_ok() && is_open(held) {}
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
