//! The engine whole, in memory.

mod commands;
mod memory;
mod outside;
mod runs;
mod sweeps;
