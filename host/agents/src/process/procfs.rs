//! Processes as /proc tells of them: who descends from whom, and whether a process is still the one that was
//! meant, since the kernel gives numbers of dead processes to new ones.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

/// The variable by which processes of a workload are known whose supervisor is no more; its value is the
/// workload's folder.
pub(crate) const MARK: &str = "FUSEML_WORKLOAD";

/// How long killed processes may take to go. Only one stuck in the kernel takes longer than an instant.
pub(crate) const KILL_TIME: Duration = Duration::from_secs(10);

/// A process, told from every other that has or will have its number until the machine is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pid: i32,
    /// Clock ticks since the machine started.
    started: u64,
}

impl Identity {
    pub(crate) fn of(pid: i32) -> Option<Self> {
        stat(pid).map(|stat| Self { pid, started: stat.started })
    }

    pub(crate) fn of_this_process() -> io::Result<Self> {
        static KNOWN: OnceLock<Identity> = OnceLock::new();
        let pid = nix::unistd::getpid().as_raw();
        // A fork knows what its parent knew.
        if let Some(known) = KNOWN.get().filter(|known| known.pid == pid) {
            return Ok(known.clone());
        }
        let own = Self::of(pid).ok_or_else(|| io::Error::other("/proc does not show this process"))?;
        let _ = KNOWN.set(own.clone());
        Ok(own)
    }

    pub(crate) fn exists(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// A handle that stays with this process even when it ends; `None` when it has.
    pub(crate) fn open(&self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = rustix::process::Pid::from_raw(self.pid) else { return Ok(None) };
        match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK) {
            // Looked at after opening: from here on the number cannot change its meaning unseen.
            Ok(handle) => Ok(self.exists().then_some(handle)),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.pid, self.started)
    }
}

impl std::str::FromStr for Identity {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (pid, started) = text.split_once('-').ok_or(())?;
        Ok(Self { pid: pid.parse().map_err(drop)?, started: started.parse().map_err(drop)? })
    }
}

struct Stat {
    parent: i32,
    started: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may itself hold blanks and parentheses.
    let after_name = text.iter().rposition(|byte| *byte == b')')? + 1;
    let text = std::str::from_utf8(text.get(after_name..)?).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Stat { parent, started })
}

fn all() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Children, their children and so on, without the process itself.
pub(crate) fn descendants(of: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> = all().filter_map(|pid| Some((pid, stat(pid)?.parent))).collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    found
}

/// Bytes of memory that these processes have, those called so left out: what several share counts once for all of them.
pub(crate) fn memory_of(processes: &[i32], beside: &[&str]) -> u64 {
    let page = rustix::param::page_size() as u64;
    let own = |pid: &i32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if beside.contains(&name.trim()) {
            return None;
        }
        if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            return line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024);
        }
        // Of another user's processes only this is known.
        let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        let mut pages = text.split_ascii_whitespace().skip(1).map(|count| count.parse::<u64>().unwrap_or_default());
        Some(pages.next()?.saturating_sub(pages.next()?) * page)
    };
    processes.iter().filter_map(own).sum()
}

/// Processes started in the workload of this folder, as long as they kept their environment.
fn marked(folder: &Path) -> Vec<i32> {
    let mark = [MARK.as_bytes(), b"=", folder.as_os_str().as_bytes()].concat();
    let has_mark = |pid: &i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|variables| variables.split(|byte| *byte == 0).any(|variable| variable == mark))
    };
    all().filter(has_mark).collect()
}

/// Kills what a supervisor that was itself killed left of its workload; true when nothing is left.
pub(crate) fn kill_marked(folder: &Path) -> bool {
    let end = Instant::now() + KILL_TIME;
    loop {
        let left = marked(folder);
        if left.is_empty() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        signal_all(&left, Signal::SIGKILL);
        thread::sleep(Duration::from_millis(2));
    }
}

/// Some may have ended meanwhile, which is what was wanted.
pub(crate) fn signal_all(processes: &[i32], signal: Signal) {
    for pid in processes {
        let _ = kill(Pid::from_raw(*pid), signal);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_known_until_it_ends() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let identity = Identity::of(pid).unwrap();
        assert!(identity.exists());
        assert!(identity.open().unwrap().is_some());
        assert!(descendants(nix::unistd::getpid().as_raw()).contains(&pid));
        assert_eq!(identity.to_string().parse(), Ok(identity.clone()));

        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!identity.exists());
        assert!(identity.open().unwrap().is_none());
    }
}
