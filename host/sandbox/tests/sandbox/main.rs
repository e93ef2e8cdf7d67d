//! What a guest may and may not do, on real components.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by where it stops")]

mod agent;
mod archived;
mod budgets;
mod cache;
mod capabilities;
mod command;
mod common;
mod contract;
mod egress;
mod fuzz;
mod hostile;
mod inspection;
mod matrix;
mod replay;
mod reveal;
mod secrets;
mod wasi;
