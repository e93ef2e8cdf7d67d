//! The one error that crosses FuseML's ports: a small closed kind, an open code, one sentence for a person.
//!
//! The kinds are those of `fuseml:types`; the server maps them to HTTP statuses and the CLI to exit codes,
//! each in one place.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What sort of failure it is; decides HTTP status, exit code and whether asking again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    NotFound,
    Invalid,
    Denied,
    Unavailable,
    Conflict,
    Unsupported,
    Internal,
}

impl ErrorKind {
    /// The HTTP status that says the same.
    pub fn http_status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Invalid => 422,
            Self::Denied => 403,
            Self::Unavailable => 503,
            Self::Conflict => 409,
            Self::Unsupported => 501,
            Self::Internal => 500,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not-found",
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Conflict => "conflict",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        })
    }
}

/// A failure said to a person. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    pub kind: ErrorKind,
    /// Stable, machine-readable, `kebab-case`.
    pub code: String,
    /// What went wrong, on which input, what to do next.
    pub message: String,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {
        impl Error {
            $(pub fn $name(code: impl Into<String>, message: impl Into<String>) -> Self {
                Self { kind: ErrorKind::$kind, code: code.into(), message: message.into() }
            })*
        }
    };
}

constructors! {
    not_found => NotFound,
    invalid => Invalid,
    denied => Denied,
    unavailable => Unavailable,
    conflict => Conflict,
    unsupported => Unsupported,
    internal => Internal,
}

impl Error {
    /// The same error with what was being done put before its message: `training-pipeline: …`.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// A failed operation of the machine under us: disk, process, socket.
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        match is_full(error.kind()) {
            true => Self::unavailable("disk-full", format!("{what}: {NO_SPACE}")),
            false => Self::internal("io", format!("{what}: {error}")),
        }
    }
}

/// What people are told of a full disk.
pub const NO_SPACE: &str = "no space is left on the disk; make some (`fuseml store gc --older-than 0s`) and try again";

/// Whether a disk, or what somebody may have of it, is full.
pub fn is_full(kind: std::io::ErrorKind) -> bool {
    matches!(kind, std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
