//! What the REST interfaces of FuseML's servers share.
//!
//! Whatever goes wrong is an RFC 9457 problem document. [`Json`], [`Path`] and [`Query`] are axum's, but for what they
//! say to a request that is not understood. All of them say in an OpenAPI document what they take and answer.

mod answer;
mod extract;
mod problem;

pub use answer::Created;
pub use axum::response::NoContent;
pub use extract::{Json, Path, Query};
pub use problem::{Answer, Problem, status};
