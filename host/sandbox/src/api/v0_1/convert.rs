//! Values of `fuseml:types` and of the capabilities, to and from the domain's. Pure; what a guest says is
//! checked here, and the reason for refusing it is said in a half sentence.

use super::{files, types::types};
use crate::failure::{Failure, GuestError};
use fuseml_domain::{Attributes, Digest, Error, ErrorKind, Location, port::FileEntry};
use std::collections::BTreeSet;

/// Why an answer cannot be used.
pub(crate) type Checked<T> = Result<T, String>;

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::NotFound => types::ErrorKind::NotFound,
            ErrorKind::Invalid => types::ErrorKind::Invalid,
            ErrorKind::Denied => types::ErrorKind::Denied,
            ErrorKind::Unavailable => types::ErrorKind::Unavailable,
            ErrorKind::Conflict => types::ErrorKind::Conflict,
            ErrorKind::Unsupported => types::ErrorKind::Unsupported,
            ErrorKind::Internal => types::ErrorKind::Internal,
        };
        Self { kind, code: error.code, message: error.message, retry_after_ms: None, details: Vec::new() }
    }
}

impl From<types::Error> for Failure {
    fn from(error: types::Error) -> Self {
        let kind = match error.kind {
            types::ErrorKind::NotFound => ErrorKind::NotFound,
            types::ErrorKind::Invalid => ErrorKind::Invalid,
            types::ErrorKind::Denied => ErrorKind::Denied,
            types::ErrorKind::Unavailable => ErrorKind::Unavailable,
            types::ErrorKind::Conflict => ErrorKind::Conflict,
            types::ErrorKind::Unsupported => ErrorKind::Unsupported,
            types::ErrorKind::Internal => ErrorKind::Internal,
        };
        Self::Answer(GuestError { kind, code: error.code, message: error.message })
    }
}

impl From<FileEntry> for files::files::Entry {
    fn from(entry: FileEntry) -> Self {
        Self { path: entry.path, size_bytes: entry.size_bytes, digest: entry.digest, executable: entry.executable }
    }
}

pub(crate) fn pairs(attributes: &Attributes) -> Vec<(String, String)> {
    attributes.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A map of what a guest says by name, where the contract promises that names are unique.
pub(crate) fn unique<V, M: FromIterator<(String, V)>>(what: &str, items: Vec<(String, V)>) -> Checked<M> {
    let mut names = BTreeSet::new();
    if let Some((name, _)) = items.iter().find(|(name, _)| !names.insert(name.as_str())) {
        return Err(format!("it names the {what} `{name}` twice"));
    }
    drop(names);
    Ok(items.into_iter().collect())
}

/// `None` for algorithms that the host cannot check.
pub(crate) fn digest(text: Option<String>) -> Checked<Option<Digest>> {
    match text {
        Some(text) if text.starts_with("sha256:") => text.parse().map(Some).map_err(|error: Error| error.message),
        _ => Ok(None),
    }
}

pub(crate) fn location(location: &Location) -> types::Location {
    types::Location {
        scheme: location.scheme.clone(),
        uri: location.uri.clone(),
        credential: types::Credential { kind: "none".to_owned(), secret: None, parameters: Vec::new() },
        digest: location.digest.as_ref().map(ToString::to_string),
        size_bytes: None,
        expires: None,
    }
}
