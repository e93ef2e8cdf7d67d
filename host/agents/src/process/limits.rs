//! What a workload takes of the machine while it runs, looked at now and then: memory, processes, disk. It is stopped
//! where that is more than it may have, or more than the machine can bear.

use super::procfs;
use crate::quota;
use fuseml_domain::Resources;
use nix::{sys::signal::Signal, sys::statvfs::statvfs, unistd::getpid};
use std::{
    collections::BTreeSet,
    fmt, io,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Between two looks at memory that is limited, and at all else.
const LOOK_AT_MEMORY: Duration = Duration::from_millis(250);
const LOOK: Duration = Duration::from_secs(1);
/// More than any job starts that does not run away.
const MOST_PROCESSES: usize = 4096;
/// Below so much free space, in bytes, jobs that wrote a lot end before the machine does.
const LEAST_FREE: u64 = 256 << 20;
const A_LOT: u64 = 1 << 30;
/// Often enough to find all that fork while they are stopped.
const STOPS: usize = 100;

/// What it took too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// So many bytes were its.
    Memory(u64),
    Storage(u64),
    Processes,
    DiskIsFull,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = match self {
            Self::Memory(most) => Resources { memory_bytes: Some(*most), ..Resources::default() },
            Self::Storage(most) => Resources { storage_bytes: Some(*most), ..Resources::default() },
            Self::Processes => return write!(f, "it had more than {MOST_PROCESSES} processes at one time"),
            Self::DiskIsFull => {
                return write!(f, "the disk is all but full, and it wrote more than {} GiB", A_LOT >> 30);
            }
        };
        write!(f, "it used more than it may ({most})")
    }
}

/// The limits of all processes below this one, together.
pub(crate) struct Limits {
    memory: Option<u64>,
    /// Names of processes that are not the workload's own.
    beside: &'static [&'static str],
    storage: Option<u64>,
    /// Where it writes.
    folders: Vec<PathBuf>,
    next_memory: Instant,
    next: Instant,
    exceeded: Option<Exceeded>,
}

impl Limits {
    pub(crate) fn new(of: &Resources, beside: &'static [&'static str], folders: Vec<PathBuf>) -> Self {
        let now = Instant::now();
        let (memory, storage) = (of.memory_bytes, of.storage_bytes);
        let (next_memory, next) = (now + LOOK_AT_MEMORY, now + LOOK);
        Self { memory, beside, storage, folders, next_memory, next, exceeded: None }
    }

    pub(crate) fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded
    }

    /// From here on for what is started anew.
    pub(crate) fn reset(&mut self) {
        self.exceeded = None;
    }

    pub(crate) fn next_look(&self) -> Instant {
        if self.memory.is_some() { self.next_memory.min(self.next) } else { self.next }
    }

    /// Looks where it is time to, and kills everything where it is too much.
    pub(crate) fn look(&mut self) {
        let now = Instant::now();
        if now < self.next_look() {
            return;
        }
        let all = procfs::descendants(getpid().as_raw());
        let mut exceeded = None;
        if let Some(most) = self.memory
            && procfs::memory_of(&all, self.beside) > most
        {
            exceeded = Some(Exceeded::Memory(most));
        }
        self.next_memory = now + LOOK_AT_MEMORY;
        if self.next <= now {
            exceeded = exceeded.or((all.len() > MOST_PROCESSES).then_some(Exceeded::Processes));
            exceeded = exceeded.or_else(|| self.look_at_disk());
            // A large folder is not looked at all the time.
            self.next = Instant::now() + LOOK.max(now.elapsed() * 20);
        }
        if let Some(exceeded) = exceeded {
            self.exceeded = Some(exceeded);
            kill_all();
        }
    }

    fn look_at_disk(&self) -> Option<Exceeded> {
        let holds_more = |most: u64| {
            let mut left = most;
            self.folders.iter().any(|folder| match quota::left(folder.clone(), left) {
                Ok(rest) => {
                    left = rest;
                    false
                }
                Err(error) => error.kind() == io::ErrorKind::QuotaExceeded,
            })
        };
        if let Some(most) = self.storage.filter(|most| holds_more(*most)) {
            return Some(Exceeded::Storage(most));
        }
        let free = statvfs(self.folders.first()?).ok()?;
        let is_full = free.blocks_available().saturating_mul(free.fragment_size()) < LEAST_FREE;
        (is_full && holds_more(A_LOT)).then_some(Exceeded::DiskIsFull)
    }
}

/// Stops all before it kills them, so that what forks does not get away by forking.
fn kill_all() {
    let mut stopped = BTreeSet::new();
    for _ in 0..STOPS {
        let new: Vec<_> =
            procfs::descendants(getpid().as_raw()).into_iter().filter(|pid| stopped.insert(*pid)).collect();
        if new.is_empty() {
            break;
        }
        procfs::signal_all(&new, Signal::SIGSTOP);
    }
    procfs::signal_all(&stopped.into_iter().collect::<Vec<_>>(), Signal::SIGKILL);
}
