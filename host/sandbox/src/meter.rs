//! Time on a processor, for one call. Every poll of a call is measured, host functions included, so that
//! waiting costs nothing and work done on the guest's behalf is the guest's.

use nix::time::{ClockId, clock_gettime};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Only the thread that polls the call touches it; atomics let it move between threads.
pub(crate) struct Meter {
    origin: Instant,
    /// Nanoseconds of finished polls.
    used: AtomicU64,
    /// What the clock of the running poll showed when it began.
    began: AtomicU64,
    /// Whether that clock is the thread's processor time. The first poll is at most one tick long and takes
    /// the cheaper clock; after it a call must not be charged for threads that pushed it aside.
    exact: AtomicBool,
}

impl Meter {
    pub(crate) fn new(origin: Instant) -> Self {
        Self { origin, used: AtomicU64::new(0), began: AtomicU64::new(0), exact: AtomicBool::new(false) }
    }

    /// A poll begins on this thread.
    pub(crate) fn begin(&self, exact: bool) {
        self.exact.store(exact, Relaxed);
        self.began.store(self.clock(), Relaxed);
    }

    /// The poll ends, on the same thread.
    pub(crate) fn end(&self) {
        self.used.store(nanos(self.used()), Relaxed);
        self.began.store(u64::MAX, Relaxed);
    }

    /// So far, the running poll included.
    pub(crate) fn used(&self) -> Duration {
        let running = match self.began.load(Relaxed) {
            u64::MAX => 0,
            began => self.clock().saturating_sub(began),
        };
        Duration::from_nanos(self.used.load(Relaxed).saturating_add(running))
    }

    /// Of finished polls: for other threads.
    pub(crate) fn finished(&self) -> Duration {
        Duration::from_nanos(self.used.load(Relaxed))
    }

    fn clock(&self) -> u64 {
        if self.exact.load(Relaxed)
            && let Ok(time) = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        {
            return nanos(Duration::from(time));
        }
        nanos(self.origin.elapsed())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX - 1)
}
