//! Contents of artifacts: code in bare git repositories, everything else in a store addressed by digest.
//!
//! Nothing that this crate answers was not verified, and nothing is half there: files appear by renaming, and a
//! directory that could not be staged whole is not left behind. Contents never pass through memory whole, except
//! for the files that a component reads.

mod codeset;
mod collect;
mod describe;
mod disk;
mod fetch;
mod form;
mod git;
mod image;
mod import;
mod log;
mod manifest;
mod pack;
mod receive;
mod recover;
mod repository;
mod smart_http;
mod stage;
mod store;
mod unpushed;
mod verify;
mod walk;

pub use form::{DESCRIPTOR, DIRECTORY, LATEST, LISTING, TREE};
pub use git::CommitInfo;
pub use log::LoggedCommit;
pub use pack::{PACK_BYTES, PackWriter, read_pack};
pub use receive::Missing;
pub use recover::Tagged;
pub use repository::Repositories;
pub use smart_http::{ByteStream, GitRequest, GitResponse};
pub use stage::{Contents, fetch_from_tool};
pub use store::{Damage, Listed, TreeStore, list, list_file};
pub use unpushed::Unpushed;
pub use walk::Found;
