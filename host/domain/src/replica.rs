//! Servers that share one catalog: who is there, and what they tell each other.

use crate::Name;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// Without a word of it for so long, a server is dead to the others.
pub const LEASE: Duration = Duration::from_secs(15);

/// One server on a catalog. Its id says when it started: later ones are greater.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    pub id: Uuid,
    /// Under which it answers.
    pub url: String,
    /// The machine (rather: its present boot, and there the space of process ids) whose processes it sees.
    pub machine: String,
    pub pid: u32,
}

impl Replica {
    pub fn started(&self) -> Timestamp {
        let (seconds, nanoseconds) = self.id.get_timestamp().map(|at| at.to_unix()).unwrap_or_default();
        Timestamp::new(seconds.cast_signed(), nanoseconds.cast_signed()).unwrap_or_default()
    }
}

/// What one server tells the others, so that they do not have to look for it. Who misses it finds it later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// A run is not as its driver knows it.
    Run(Uuid),
    /// Something arrived in a project that a step may wait for.
    Arrived(Name),
    /// An extension, an instance or a right became another.
    Extensions,
    /// Whatever was told meanwhile was not heard.
    Missed,
}
