//! The no-op call of a plugin through Extism, under limits like those of our sandbox. Prints one line of JSON: median
//! and 99th percentile in nanoseconds, of a fresh plugin for each call and of one that is used again.

#[allow(dead_code)]
#[path = "../../src/figures.rs"]
mod figures;

use anyhow::{Result, ensure};
use extism::{CompiledPlugin, Manifest, Plugin, PluginBuilder, Wasm};
use figures::{Spread, spread};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

const WARM_UP: usize = 200;
const CALLS: usize = 5000;

/// As the sandbox's defaults.
const TIMEOUT: Duration = Duration::from_secs(30);
const MEMORY: usize = 256 << 20;
const PAGE: usize = 64 << 10;

/// About what `detect` is asked; the plugin answers the first word of it.
const QUESTION: &[u8] = b"code://bench/bench/0000000 bench";
const WORD: usize = 8;

/// Reads its input into its own memory and gives a word of it back, by the functions that Extism's kits for plugins
/// call too.
const PLUGIN: &str = r#"(module
  (import "extism:host/env" "input_length" (func $length (result i64)))
  (import "extism:host/env" "input_load_u64" (func $load (param i64) (result i64)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
  (import "extism:host/env" "output_set" (func $output (param i64 i64)))
  (memory (export "memory") 1)
  (func (export "call") (result i32)
    (local $at i64) (local $answer i64)
    (loop $again
      (i64.store (i32.wrap_i64 (local.get $at)) (call $load (local.get $at)))
      (local.set $at (i64.add (local.get $at) (i64.const 8)))
      (br_if $again (i64.lt_u (local.get $at) (call $length))))
    (local.set $answer (call $alloc (i64.const 8)))
    (call $store (local.get $answer) (i64.load (i32.const 0)))
    (call $output (local.get $answer) (i64.const 8))
    (i32.const 0)))"#;

fn main() -> Result<()> {
    let (plain, pooled) = (compiled(Config::new())?, compiled(pool())?);
    let mut kept = Plugin::new_from_compiled(&plain)?;
    let figures = json!({
        "fresh": measure(|| fresh(&plain))?,
        "pooled": measure(|| fresh(&pooled))?,
        "reused": measure(|| call(&mut kept))?,
    });
    println!("{figures}");
    Ok(())
}

/// Instances come from a pool, as the sandbox's do; Extism leaves this to its host.
fn pool() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(256).max_memory_size(MEMORY).linear_memory_keep_resident(256 << 10);
    let mut config = Config::new();
    config.memory_reservation(MEMORY as u64).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn compiled(config: Config) -> Result<CompiledPlugin> {
    let manifest = Manifest::new([Wasm::data(PLUGIN)])
        .disallow_all_hosts()
        .with_memory_max(u32::try_from(MEMORY / PAGE)?)
        .with_timeout(TIMEOUT);
    PluginBuilder::new(manifest).with_wasmtime_config(config).with_cache_disabled().compile()
}

fn fresh(compiled: &CompiledPlugin) -> Result<()> {
    call(&mut Plugin::new_from_compiled(compiled)?)
}

fn call(plugin: &mut Plugin) -> Result<()> {
    let answer: &[u8] = plugin.call("call", QUESTION)?;
    ensure!(*answer == QUESTION[..WORD], "the plugin answers {answer:?}");
    Ok(())
}

fn measure(mut work: impl FnMut() -> Result<()>) -> Result<Value> {
    for _ in 0..WARM_UP {
        work()?;
    }
    let mut times = Vec::new();
    for _ in 0..CALLS {
        let begun = Instant::now();
        work()?;
        times.push(begun.elapsed());
    }
    let Spread { median, p99 } = spread(times);
    Ok(json!({ "p50": median.as_nanos(), "p99": p99.as_nanos() }))
}
