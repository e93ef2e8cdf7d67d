//! Who may do what in the registry.

use crate::{RegistryError, Repository, StoredManifest, Tag};
use async_trait::async_trait;
use axum::http::HeaderMap;

/// What a request would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Pull,
    Push,
    Delete,
}

/// Why it may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody is known to ask; the client should present itself. Holds the `WWW-Authenticate` header's value.
    Unknown(String),
    /// Whoever asks may not, and why.
    Denied(String),
    /// It asks too often.
    TooOften { retry_after_seconds: u64 },
}

/// Decides about every request before anything is looked up, so that a refusal tells nothing.
#[async_trait]
pub trait Access: Send + Sync + 'static {
    /// # Errors
    /// Why not.
    async fn allow(&self, headers: &HeaderMap, repository: &Repository, action: Action) -> Result<(), Refusal>;

    /// The same for `/v2/`, where clients find out how to present themselves.
    ///
    /// # Errors
    /// Why not.
    async fn greet(&self, headers: &HeaderMap) -> Result<(), Refusal>;

    /// Something was pushed, and is about to be tagged so; it is answered after this.
    ///
    /// # Errors
    /// What is wrong with it: the push fails then, and the tag stays as it was.
    async fn pushed(
        &self,
        _repository: &Repository,
        _tag: &Tag,
        _manifest: &StoredManifest,
    ) -> Result<(), RegistryError> {
        Ok(())
    }

    /// Whether a tag stays where it was put first.
    fn is_fixed(&self, _repository: &Repository, _tag: &Tag) -> bool {
        false
    }
}
