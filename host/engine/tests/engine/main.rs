//! The engine whole, in memory.

mod commands;
mod memory;
mod runs;
mod sweeps;
