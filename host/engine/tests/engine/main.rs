//! The engine whole, in memory.

mod commands;
mod memory;
mod outside;
mod replicas;
mod runs;
mod saving;
mod sweeps;
