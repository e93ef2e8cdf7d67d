//! Contents of artifacts: code in bare git repositories, everything else in a store addressed by digest.
//!
//! Nothing that this crate answers was not verified, and nothing is half there: files appear by renaming, and a
//! directory that could not be staged whole is not left behind.

mod fetch;
mod git;
mod repository;
mod smart_http;
mod stage;
mod store;

pub use git::CommitInfo;
pub use repository::Repositories;
pub use smart_http::{ByteStream, GitRequest, GitResponse};
pub use stage::Contents;
pub use store::TreeStore;
