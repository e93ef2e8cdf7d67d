//! The catalog on both databases.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by where it stops")]

mod catalog;
mod extensions;
mod outside;
mod search;
