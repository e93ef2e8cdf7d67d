//! What a call leaves: who, what, how much, with whom it spoke and what it was refused.

use crate::{InstanceContext, Tape};
use fuseml_domain::{Capability, Digest};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// One call's record. It joins the lineage of what the call touched.
#[derive(Clone)]
pub struct Receipt {
    pub component: Arc<Digest>,
    pub instance: Arc<InstanceContext>,
    pub function: &'static str,
    pub started: SystemTime,
    pub wall: Duration,
    /// Time on a processor, host functions included.
    pub cpu: Duration,
    /// Bytes of linear memory at the most; 0 where the call was given up from outside.
    pub peak_memory: usize,
    /// The artifact that the call was about: an address, or the store's own id.
    pub subject: Option<String>,
    pub requests: u32,
    /// Bytes of bodies.
    pub sent: u64,
    pub received: u64,
    /// Names of the secrets that the host put into requests.
    pub secrets: Vec<String>,
    /// `scheme://host:port` of every server that was asked, each once.
    pub hosts: Vec<String>,
    /// What the component tried and may not, each once.
    pub refusals: Vec<Refusal>,
    pub outcome: Outcome,
    /// The whole call, where its instance records.
    pub tape: Option<Box<Tape>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `None` for limits of what is always granted, such as log lines.
    pub capability: Option<Capability>,
    pub what: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    /// The component answered an error, with this code in its own words.
    Error(String),
    /// A limit or a trap, by the code of the error.
    Stopped(String),
    /// Nobody waited for the answer any more.
    Cancelled,
}
