//! What one call, one component and the whole sandbox may use. Every limit is on by default; none can be
//! switched off, only moved.

use fuseml_domain::Budget;
use std::{num::NonZeroU64, time::Duration};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The most memory that a call can ever be given: compiled code and the pool's slots are laid out for it.
pub const MAX_MEMORY: usize = 256 * MIB;
/// Core instances and tables of one component: what a Python component needs, and some more.
pub(crate) const MAX_CORE_INSTANCES: u32 = 64;
pub(crate) const MAX_TABLES: u32 = 64;
pub(crate) const MAX_MEMORIES: u32 = 8;
pub(crate) const MAX_TABLE_ELEMENTS: usize = 100_000;

/// Of one request and of one answer, as `fuseml:http` promises.
pub(crate) const MAX_REQUEST_BODY: usize = 4 * MIB;
pub(crate) const MAX_RESPONSE_BODY: usize = 8 * MIB;
/// As `fuseml:state` promises.
pub(crate) const MAX_STATE_KEY: usize = 256;
pub(crate) const MAX_STATE_VALUE: usize = 64 * KIB;
pub(crate) const MAX_STATE_PAGE: u32 = 1000;
/// As `fuseml:artifact-events` promises.
pub(crate) const MAX_EVENTS: u32 = 1000;
/// As `fuseml:random` promises.
pub(crate) const MAX_RANDOM: u32 = 4096;
/// As `fuseml:files` promises.
pub(crate) const MAX_FILE: usize = 4 * MIB;
pub(crate) const MAX_FOUND_FILES: usize = 10_000;

/// See the module. The defaults are meant for production and for tests alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory of one call, over all its memories; at most [`MAX_MEMORY`].
    pub memory: usize,
    /// Elements of all tables of one call.
    pub table_elements: usize,
    /// Live handles of the component model.
    pub handles: usize,
    /// Bytes that a guest may hand to the host at once, in one host call or as its answer.
    pub data: usize,
    /// Time on a processor, host functions included.
    pub cpu: Duration,
    /// From the moment a call starts until it is given up.
    pub wall: Duration,
    /// How long a call may wait for its turn.
    pub queue: Duration,
    pub log_lines: u32,
    pub log_bytes: usize,
    /// Longer lines are cut.
    pub log_line_bytes: usize,
    /// Outgoing requests of one call.
    pub requests: u32,
    /// Bytes sent and received by one call.
    pub traffic: usize,
    pub concurrent_calls: usize,
    pub concurrent_calls_of_component: usize,
    pub breaker: BreakerLimits,
    /// Size of a component's file.
    pub component_bytes: usize,
    pub compilation: Duration,
}

/// So many traps and limits within the window, and the instance rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerLimits {
    pub failures: u32,
    pub window: Duration,
    pub rest: Duration,
}

impl Limits {
    /// What an instance's budget leaves of them: a budget lowers and never raises.
    pub(crate) fn within(&self, budget: &Budget) -> Self {
        let number = |given: Option<NonZeroU64>, most: usize| {
            given.map_or(most, |given| usize::try_from(given.get()).unwrap_or(usize::MAX).min(most))
        };
        let time = |given: Option<NonZeroU64>, most: Duration| {
            given.map_or(most, |given| Duration::from_millis(given.get()).min(most))
        };
        Self {
            cpu: time(budget.cpu_ms, self.cpu),
            wall: time(budget.wall_ms, self.wall),
            memory: number(budget.memory_bytes, self.memory),
            requests: u32::try_from(number(budget.requests, self.requests as usize)).unwrap_or(self.requests),
            traffic: number(budget.traffic_bytes, self.traffic),
            concurrent_calls_of_component: number(budget.concurrent_calls, self.concurrent_calls_of_component),
            ..self.clone()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: MAX_MEMORY,
            table_elements: MAX_TABLE_ELEMENTS,
            handles: 10_000,
            data: 16 * MIB,
            cpu: Duration::from_secs(5),
            wall: Duration::from_secs(30),
            queue: Duration::from_secs(10),
            log_lines: 1000,
            log_bytes: 256 * KIB,
            log_line_bytes: 8 * KIB,
            requests: 256,
            traffic: 64 * MIB,
            concurrent_calls: 64,
            concurrent_calls_of_component: 16,
            breaker: BreakerLimits { failures: 5, window: Duration::from_secs(60), rest: Duration::from_secs(30) },
            component_bytes: 64 * MIB,
            compilation: Duration::from_secs(120),
        }
    }
}
