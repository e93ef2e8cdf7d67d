//! What is said when contents are not what was registered.

use crate::disk::Copied;
use fuseml_domain::{Error, ErrorKind, Result, TreeFile};

/// Where contents come from, as people are told, and what sort of failure it is when they are wrong there.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    shown: String,
    kind: ErrorKind,
}

impl Source {
    /// The store of this crate: nobody but a failing disk or a stray hand changes it.
    pub(crate) fn own(shown: impl Into<String>) -> Self {
        Self { shown: shown.into(), kind: ErrorKind::Internal }
    }

    pub(crate) fn of_a_tool(shown: impl Into<String>) -> Self {
        Self { shown: shown.into(), kind: ErrorKind::Invalid }
    }

    /// Passes what was registered and nothing else.
    pub(crate) fn check(&self, file: &TreeFile, found: &Copied) -> Result<()> {
        let (is, was) = match found.size_bytes == file.size_bytes {
            true if found.digest == file.digest => return Ok(()),
            true => (format!("digest {}", found.digest), file.digest.to_string()),
            false => (format!("{} bytes", found.size_bytes), format!("{} bytes", file.size_bytes)),
        };
        Err(self.changed(file, &is, &was))
    }

    /// More bytes came than were registered; how many more was not waited for.
    pub(crate) fn too_long(&self, file: &TreeFile) -> Error {
        let registered = file.size_bytes;
        self.changed(file, &format!("more than {registered} bytes"), &format!("{registered} bytes"))
    }

    pub(crate) fn changed(&self, file: &TreeFile, is: &str, was: &str) -> Error {
        Error {
            kind: self.kind,
            code: "digest-mismatch".to_owned(),
            message: format!(
                "the file {} of {} has {is} but {was} was registered: it was changed after registration; \
                 register it anew or restore it",
                file.path, self.shown
            ),
        }
    }

    pub(crate) fn missing(&self, file: &TreeFile) -> Error {
        let message = format!(
            "the file {} ({}) of {} is gone: register it anew or restore it",
            file.path, file.digest, self.shown
        );
        match self.kind {
            ErrorKind::Internal => Error::internal("missing-file", message),
            _ => Error::not_found("missing-file", message),
        }
    }
}
