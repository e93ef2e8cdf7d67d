//! The one wasmtime engine. Compiler and server processes build it from the same settings, so that code
//! compiled by one loads in the other; only the server's has a pool of slots and a ticker.

use crate::limits::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_MEMORY, MAX_TABLE_ELEMENTS, MAX_TABLES};
use fuseml_domain::{Error, Result};
use std::{hash::Hasher, time::Duration};
use wasmtime::{Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// How often a running guest looks at its clocks.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Everything that decides the code or what a component may contain.
fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .wasm_memory64(false)
        .wasm_multi_memory(true)
        .epoch_interruption(true)
        .memory_init_cow(true)
        .memory_reservation(MAX_MEMORY as u64)
        .cranelift_opt_level(OptLevel::Speed)
        .parallel_compilation(true);
    config
}

/// Room for `calls` concurrent calls, Python components included. Address space only: nothing is resident
/// before it is used.
fn pool(calls: usize) -> PoolingAllocationConfig {
    let slots = u32::try_from(calls.saturating_mul(4)).unwrap_or(u32::MAX).max(16);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(16))
        .total_memories(slots)
        .total_tables(slots.saturating_mul(4))
        .total_stacks(slots)
        .max_component_instance_size(8 << 20)
        .max_core_instance_size(8 << 20)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_memories_per_module(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_tables_per_module(MAX_TABLES)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_memory_size(MAX_MEMORY)
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10)
        .async_stack_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// For the compiler process: no pool, whose address space would not fit its limits.
pub(crate) fn for_compiling() -> Result<Engine> {
    Engine::new(&config()).map_err(|error| Error::internal("engine", format!("wasmtime cannot start: {error:#}")))
}

/// For calls: pooled where the machine allows it, with a thread that ticks while the engine lives.
pub(crate) fn for_calls(calls: usize) -> Result<Engine> {
    let mut pooled = config();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(calls)));
    let engine = match Engine::new(&pooled) {
        Ok(engine) => engine,
        Err(error) => {
            tracing::warn!("no pool of sandbox slots on this machine, every call maps its memory anew: {error:#}");
            for_compiling()?
        }
    };
    let weak = engine.weak();
    std::thread::Builder::new()
        .name("sandbox-ticker".to_owned())
        .spawn(move || tick(&weak))
        .map_err(|error| Error::io("the sandbox's ticker cannot start", &error))?;
    Ok(engine)
}

fn tick(engine: &EngineWeak) {
    loop {
        std::thread::sleep(TICK);
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}

/// Names the settings that compiled code depends on: part of its file name in the cache.
pub(crate) fn compatibility(engine: &Engine) -> String {
    use std::hash::Hash;
    let mut hasher = Sha(sha2::Sha256::default());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hex::encode(&sha2::Digest::finalize(hasher.0)[..8])
}

/// The standard hasher may differ between builds; file names must not.
struct Sha(sha2::Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_room_for_the_pool_maps_memory_call_by_call() {
        let pooled = for_calls(16).expect("engine");
        let unpooled = for_calls(usize::MAX).expect("engine");

        assert!(pooled.pooling_allocator_metrics().is_some());
        assert!(unpooled.pooling_allocator_metrics().is_none());
        assert_eq!(compatibility(&pooled), compatibility(&unpooled), "the same code runs on both");
    }
}
