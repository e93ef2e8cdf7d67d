//! The built-in agents on real work.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by where it stops")]

mod common;
mod environment;
mod job;
mod output;
mod service;
mod wasm;
