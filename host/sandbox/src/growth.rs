//! What a guest may grow to, and what stops it at once.

use crate::{
    Limits,
    limits::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES},
};
use wasmtime::ResourceLimiter;

/// A limit that stops a guest at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    #[error("cpu")]
    Cpu,
    #[error("memory")]
    Memory,
    #[error("table")]
    Table,
}

/// Memory and tables of one store, and the most that they may be.
pub(crate) struct Growth {
    memory: usize,
    most_memory: usize,
    pub(crate) peak_memory: usize,
    table_elements: usize,
    most_table_elements: usize,
}

impl Growth {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory: 0,
            most_memory: limits.memory,
            peak_memory: 0,
            table_elements: 0,
            most_table_elements: limits.table_elements,
        }
    }
}

/// A refused growth stops the guest: one that goes on with a failed allocation ends in an unnamed trap.
impl ResourceLimiter for Growth {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.most_memory {
            return Err(Breach::Memory.into());
        }
        self.memory = total;
        self.peak_memory = self.peak_memory.max(total);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > self.most_table_elements {
            return Err(Breach::Table.into());
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }
}
