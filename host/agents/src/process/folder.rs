//! The folder of one workload: all that the agent and the supervisor know of it.
//!
//! | file | written by | says |
//! |---|---|---|
//! | `spec.json` | agent | what to run; of a process the folder appears together with it |
//! | `lock` | supervisor | locked as long as the supervisor lives; its identity |
//! | `started.json` | supervisor | the workload was started: never again |
//! | `endpoint.json`, `ready` | supervisor | the port of a service; it answers |
//! | `cancel` | agent | ending it was asked for |
//! | `exit.json` | supervisor | how it ended, final; by the agent where the supervisor is no more |
//! | `log`, `supervisor.log` | supervisor | what the workload said; what went wrong with supervising |
//! | `work/`, `home/`, `tmp/` | workload | its own |
//! | `inputs/` | agent of components | what the workload may read alone |
//!
//! Files are replaced whole. They survive the death of any process, not the loss of power.

use super::procfs::{self, Identity};
use fuseml_domain::{Error, Phase, Result, WorkloadStatus};
use jiff::Timestamp;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

const KEY_LIMIT: usize = 120;

#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) port: u16,
}

/// What the files and the lock say at one moment.
#[derive(Debug)]
pub(crate) enum State {
    Unknown,
    /// Submitted and not started yet; without a supervisor it will not start by itself.
    Waiting {
        supervised: bool,
    },
    Running {
        started: Timestamp,
        ready: bool,
    },
    /// Started, but its supervisor is gone without a word.
    Orphaned {
        started: Timestamp,
    },
    Ended(WorkloadStatus),
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The folder of the workload with this key.
    ///
    /// # Errors
    /// `invalid` for what cannot be a key.
    pub(crate) fn of(workloads: &Path, key: &str) -> Result<Self> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        let fits = !key.is_empty() && key.len() <= KEY_LIMIT && key.bytes().all(allowed);
        if !fits || key.starts_with('.') || key.contains("..") {
            return Err(Error::invalid("workload-key", format!("`{}` cannot be a workload's key", key.escape_debug())));
        }
        Ok(Self::new(workloads.join(key)))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The working directory.
    pub(crate) fn work(&self) -> PathBuf {
        self.path.join("work")
    }

    /// Inputs, where they lie apart from the working directory.
    pub(crate) fn inputs(&self) -> PathBuf {
        self.path.join("inputs")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.path.join("tmp")
    }

    /// What goes once the workload has ended and its results are kept.
    pub(crate) fn transient(&self) -> [PathBuf; 4] {
        [self.work(), self.inputs(), self.home(), self.temporary()]
    }

    pub(crate) fn spec(&self) -> PathBuf {
        self.path.join("spec.json")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    pub(crate) fn started(&self) -> PathBuf {
        self.path.join("started.json")
    }

    pub(crate) fn endpoint(&self) -> PathBuf {
        self.path.join("endpoint.json")
    }

    pub(crate) fn ready(&self) -> PathBuf {
        self.path.join("ready")
    }

    pub(crate) fn cancel(&self) -> PathBuf {
        self.path.join("cancel")
    }

    pub(crate) fn exit(&self) -> PathBuf {
        self.path.join("exit.json")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(crate) fn supervisor_log(&self) -> PathBuf {
        self.path.join("supervisor.log")
    }

    pub(crate) fn state(&self) -> io::Result<State> {
        if let Some(status) = read_json(&self.exit())? {
            return Ok(State::Ended(status));
        }
        if !self.spec().exists() {
            return Ok(State::Unknown);
        }
        // In this order: a supervisor that ends between two looks has written `exit.json` before.
        let supervised = Lock::is_held(&self.lock())?;
        let Some(started) = read_json::<Started>(&self.started())? else { return Ok(State::Waiting { supervised }) };
        if supervised {
            return Ok(State::Running { started: started.at, ready: self.ready().exists() });
        }
        Ok(match read_json(&self.exit())? {
            Some(status) => State::Ended(status),
            // It may have taken the lock and started between the two looks.
            None if Lock::is_held(&self.lock())? => State::Running { started: started.at, ready: false },
            None => match read_json(&self.exit())? {
                Some(status) => State::Ended(status),
                None => State::Orphaned { started: started.at },
            },
        })
    }

    /// The process that holds the lock, once it has said who it is.
    pub(crate) fn supervisor(&self) -> io::Result<Option<Identity>> {
        Ok(if Lock::is_held(&self.lock())? { read_json(&self.lock()).unwrap_or_default() } else { None })
    }

    /// Says for good how a workload ended that has no supervisor, and kills what is left of it. False when it
    /// has got a supervisor meanwhile.
    pub(crate) fn settle(&self) -> io::Result<bool> {
        let Some(_lock) = Lock::try_acquire(&self.lock())? else { return Ok(false) };
        if self.exit().exists() {
            return Ok(true);
        }
        let mut status = if self.cancel().exists() {
            WorkloadStatus { message: Some("cancelled".to_owned()), ..WorkloadStatus::new(Phase::Cancelled) }
        } else {
            let message = "its supervisor was killed, and the workload with it".to_owned();
            WorkloadStatus { message: Some(message), ..WorkloadStatus::new(Phase::Lost) }
        };
        if !procfs::kill_marked(&self.path) {
            status.message = Some("its supervisor was killed, and not all of its processes could be".to_owned());
        }
        status.started = read_json::<Started>(&self.started())?.map(|started| started.at);
        status.ended = Some(Timestamp::now());
        write_json(&self.exit(), &status)?;
        Ok(true)
    }
}

/// An exclusive lock on a file that no death leaves behind.
///
/// These are the kernel's locks of open files rather than `flock`, since one can ask for them without taking
/// them: a server that only looks never gets in a supervisor's way.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    pub(crate) fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())) {
            Ok(_) => Ok(Some(Self(file))),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn is_held(path: &Path) -> io::Result<bool> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        let mut wanted = whole_file();
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut wanted))?;
        Ok(i32::from(wanted.l_type) != libc::F_UNLCK)
    }

    /// Notes in the file who holds it.
    pub(crate) fn sign(&mut self, holder: &Identity) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        self.0.write_all(&serde_json::to_vec(holder)?)
    }
}

fn whole_file() -> libc::flock {
    // The constants are small; their C types differ from the fields' only in width.
    #[allow(clippy::cast_possible_truncation)]
    libc::flock { l_type: libc::F_WRLCK as _, l_whence: libc::SEEK_SET as _, l_start: 0, l_len: 0, l_pid: 0 }
}

/// Replaces the file whole. Each file of a folder has one writer at a time in this process.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let new = path.with_extension(format!("new-{}", std::process::id()));
    fs::write(&new, serde_json::to_vec_pretty(value)?)?;
    fs::rename(new, path)
}

/// `None` when there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// Looks a program up on a `PATH`.
pub(crate) fn find_program(name: &str, path: &OsStr) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let executable =
        |file: &PathBuf| fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    std::env::split_paths(path).map(|folder| folder.join(name)).find(executable)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_without_being_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!Lock::is_held(&path).unwrap());
        let mut lock = Lock::try_acquire(&path).unwrap().unwrap();
        let this = Identity::of_this_process().unwrap();
        lock.sign(&this).unwrap();
        assert!(Lock::is_held(&path).unwrap());
        assert!(Lock::try_acquire(&path).unwrap().is_none());
        assert_eq!(read_json::<Identity>(&path).unwrap(), Some(this));
        drop(lock);
        assert!(!Lock::is_held(&path).unwrap());
    }
}
