//! One call: the data of its store, its limits, and what the capabilities see of it.
//!
//! A call owns everything it may touch; nothing of it outlives the call but its receipt.

use crate::{
    InstanceContext, Limits,
    capability::wasi::Wasi,
    growth::{Breach, Growth},
    meter::Meter,
    receipt::Refusal,
    tape::Taping,
};
use fuseml_domain::{Capability, Error, Result, port::CodesetFiles};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use wasmtime::{Engine, Store, UpdateDeadline};

/// Refusals and hosts kept of one call; more of them say nothing new.
const KEPT: usize = 32;

/// The data of a call's store.
pub(crate) struct Call {
    pub(crate) instance: Arc<InstanceContext>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) files: Option<Arc<dyn CodesetFiles>>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) started: Instant,
    pub(crate) growth: Growth,
    pub(crate) log_lines: u32,
    pub(crate) log_bytes: usize,
    pub(crate) requests: u32,
    pub(crate) sent: usize,
    pub(crate) received: usize,
    pub(crate) secrets: Vec<String>,
    pub(crate) taping: Taping,
    pub(crate) hosts: Vec<String>,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) wasi: Option<Box<Wasi>>,
}

impl Call {
    pub(crate) fn new(
        instance: Arc<InstanceContext>,
        limits: Arc<Limits>,
        files: Option<Arc<dyn CodesetFiles>>,
        meter: Arc<Meter>,
        started: Instant,
        taping: Taping,
    ) -> Self {
        Self {
            growth: Growth::new(&limits),
            instance,
            limits,
            files,
            meter,
            started,
            log_lines: 0,
            log_bytes: 0,
            requests: 0,
            sent: 0,
            received: 0,
            secrets: Vec::new(),
            taping,
            hosts: Vec::new(),
            refusals: Vec::new(),
            wasi: None,
        }
    }

    /// A fresh store with every limit set.
    pub(crate) fn into_store(self, engine: &Engine) -> Store<Self> {
        let (handles, data) = (self.limits.handles, self.limits.data);
        let mut store = Store::new(engine, self);
        store.limiter(|call| &mut call.growth);
        store.set_max_component_handles(handles);
        store.set_hostcall_fuel(data);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            let call = store.data();
            if call.meter.used() > call.limits.cpu {
                return Err(Breach::Cpu.into());
            }
            // Not wasmtime's own yield: tokio may poll that again before anything else.
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        store
    }

    /// Whether the instance was granted a capability; a refusal is recorded.
    pub(crate) fn require(&mut self, capability: Capability) -> Result<()> {
        if self.instance.rights.capabilities.contains(&capability) {
            return Ok(());
        }
        self.refused(Some(capability), format_args!("{capability}"));
        Err(Error::denied("not-granted", format!("`{capability}` is not granted to {}", self.instance)))
    }

    /// Records that something was refused, once.
    pub(crate) fn refused(&mut self, capability: Option<Capability>, what: impl fmt::Display) {
        let refusal = Refusal { capability, what: what.to_string() };
        if self.refusals.len() < KEPT && !self.refusals.contains(&refusal) {
            self.refusals.push(refusal);
        }
    }

    pub(crate) fn reached(&mut self, host: String) {
        if self.hosts.len() < KEPT && !self.hosts.contains(&host) {
            self.hosts.push(host);
        }
    }

    /// Bytes sent and received so far.
    pub(crate) fn traffic(&self) -> usize {
        self.sent.saturating_add(self.received)
    }

    /// What is left of the wall clock's budget.
    pub(crate) fn remaining(&self) -> Duration {
        self.limits.wall.saturating_sub(self.started.elapsed())
    }
}
