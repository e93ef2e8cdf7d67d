//! Contents and codesets in real folders, with the real git.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by where it stops")]

mod codesets;
mod fetching;
mod smart_http;
mod support;
mod trees;
