//! Where supervisors come from: one process of this program that forks itself, so that a supervisor does not pay for loading a
//! program as large as the server's; and always one ahead, so that a workload does not wait for the fork either.
//!
//! The agent starts it when the first workload is to be launched, and tells folders over a socket, each with what the
//! supervisor has as its standard output and error. The fork that waits hears of the next folder and is its supervisor from
//! then on; the launcher forks another. It ends with the server; its supervisors go on.

use super::{agent::SupervisorCommand, supervisor::supervise_heard};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recv, recvmsg, sendmsg, socketpair,
};
use std::{
    ffi::OsStr,
    fs::File,
    io::{self, IoSlice, IoSliceMut, PipeWriter, Read as _, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    process::{Stdio, exit},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    process::Command,
};

/// The longest path of a folder, in bytes: that of Linux.
const LONGEST_PATH: usize = 4096;
/// Before another fork, where one ended that had nothing to do.
const PAUSE: Duration = Duration::from_millis(100);

/// The agent's side.
pub(crate) struct Launcher {
    command: SupervisorCommand,
    /// Told of folders; nobody is there before the first.
    socket: Mutex<Option<Arc<AsyncFd<OwnedFd>>>>,
}

impl Launcher {
    pub(crate) fn new(command: SupervisorCommand) -> Self {
        Self { command, socket: Mutex::default() }
    }

    /// Has a supervisor begin with this folder. Whether it did, its standard output says.
    ///
    /// # Errors
    /// When nobody can be told of it.
    pub(crate) async fn fork(&self, folder: &Path, output: BorrowedFd<'_>, log: BorrowedFd<'_>) -> io::Result<()> {
        let socket = self.socket()?;
        match tell(&socket, folder, [output, log]).await {
            // It was killed since it was told last.
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                self.forget(&socket);
                let socket = self.socket()?;
                tell(&socket, folder, [output, log]).await
            }
            told => told,
        }
    }

    fn socket(&self) -> io::Result<Arc<AsyncFd<OwnedFd>>> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(socket) = &*socket {
            return Ok(socket.clone());
        }
        Ok(socket.insert(Arc::new(self.start()?)).clone())
    }

    fn forget(&self, gone: &Arc<AsyncFd<OwnedFd>>) {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have started another meanwhile.
        socket.take_if(|socket| Arc::ptr_eq(socket, gone));
    }

    fn start(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let (own, its) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&own, true)?;
        let mut command = Command::new(&self.command.program);
        command.args(&self.command.arguments).env_clear().current_dir("/");
        command.stdin(Stdio::from(its)).stdout(Stdio::null());
        let mut child = command.spawn()?;
        tokio::spawn(async move { child.wait().await });
        // SAFETY: the descriptor is owned by the value that is moved in, which is neither replaced nor taken out.
        Ok(unsafe { AsyncFd::register_with_interest(own, Interest::WRITABLE) }?)
    }
}

async fn tell(socket: &AsyncFd<OwnedFd>, folder: &Path, streams: [BorrowedFd<'_>; 2]) -> io::Result<()> {
    let told = |socket: &OwnedFd| {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&streams));
        let path = [IoSlice::new(folder.as_os_str().as_bytes())];
        Ok(sendmsg(socket, &path, &mut control, SendFlags::NOSIGNAL).map(drop)?)
    };
    socket.async_io(Interest::WRITABLE, told).await
}

/// Forks a supervisor for each folder that is told on standard input, a socket, before it is told, until nobody is left who
/// could tell one; answers the exit code for the process. In a fork it is that of [`supervise_heard`].
///
/// To be called first thing in a process of its own, before any thread is started.
pub fn launch() -> i32 {
    match serve() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("supervisors cannot be launched: {error}");
            1
        }
    }
}

fn serve() -> io::Result<()> {
    // Away from the server's terminal, whose Ctrl-C is for the server alone.
    let _ = setsid();
    // Nobody asks how supervisors ended: how their workloads did stands in the folders.
    // SAFETY: no handler is set, so none runs.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }?;
    loop {
        let (mut taken, takes) = io::pipe()?;
        // SAFETY: this process has one thread, so that the fork is whole. If there can be none, this ends, and who told a
        // folder sees that and starts a supervisor anew.
        match unsafe { fork() }? {
            ForkResult::Child => {
                drop(taken);
                exit(wait_for_folder(takes))
            }
            ForkResult::Parent { .. } => drop(takes),
        }
        // The fork says when it has a folder; it is gone if it says nothing.
        if taken.read(&mut [0])? == 0 {
            if nobody_is_left()? {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
    }
}

/// In a fork.
fn wait_for_folder(mut takes: PipeWriter) -> i32 {
    match hear() {
        Ok(Some((folder, [output, log]))) => {
            let _ = takes.write_all(&[1]);
            drop(takes);
            begin(&folder, output, log)
        }
        Ok(None) => 0,
        Err(error) => {
            eprintln!("a supervisor could not be told its folder: {error}");
            1
        }
    }
}

/// Whether the other end of the socket is closed, and all that was told there is heard.
fn nobody_is_left() -> io::Result<bool> {
    match recv(io::stdin().as_fd(), &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, told)) => Ok(told == 0),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A folder, and what its supervisor has as standard output and error; `None` once nobody is left who could tell one.
fn hear() -> io::Result<Option<(Vec<u8>, [OwnedFd; 2])>> {
    let mut path = vec![0; LONGEST_PATH];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let heard = loop {
        let mut into = [IoSliceMut::new(&mut path)];
        match recvmsg(io::stdin().as_fd(), &mut into, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            heard => break heard?,
        }
    };
    if heard.bytes == 0 {
        return Ok(None);
    }
    path.truncate(heard.bytes);
    let streams = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(streams) => streams.collect::<Vec<_>>().try_into().ok(),
        _ => None,
    });
    let streams = streams.ok_or_else(|| io::Error::other("a folder came without its two streams"))?;
    Ok(Some((path, streams)))
}

fn begin(folder: &[u8], output: OwnedFd, log: OwnedFd) -> i32 {
    let prepared = || -> io::Result<()> {
        // SAFETY: no handler is set, so none runs.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
        // Only the launcher and the fork that waits are to have the socket: that they are gone is seen by who tells a folder.
        dup2_stdin(File::open("/dev/null")?)?;
        dup2_stdout(output)?;
        dup2_stderr(log)?;
        Ok(())
    };
    match prepared() {
        Ok(()) => supervise_heard(Path::new(OsStr::from_bytes(folder))),
        Err(error) => {
            eprintln!("a supervisor could not begin: {error}");
            1
        }
    }
}
