//! Typed errors: one constructor a kind, and `?` on what guests usually call.
//!
//! `code` is for machines and stays the same for ever; `message` is one sentence for a person that says what
//! went wrong, on which input, and what to do next. Neither ever holds a secret.

use crate::{Error, ErrorKind};

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {
        impl Error {
            $(
                $(#[$doc])*
                pub fn $name(code: &str, message: impl Into<String>) -> Self {
                    Self::new(ErrorKind::$kind, code, message)
                }
            )*
        }
    };
}

constructors! {
    /// The thing asked for is not there.
    not_found => NotFound;
    /// The request can never succeed as it is.
    invalid => Invalid;
    /// Credentials or rights are missing.
    denied => Denied;
    /// The tool cannot be reached or is overloaded; the same request may succeed later.
    unavailable => Unavailable;
    /// The request contradicts what is already there.
    conflict => Conflict;
    /// The tool or this component cannot do this at all.
    unsupported => Unsupported;
    /// A fault of the component or of the tool.
    internal => Internal;
}

impl Error {
    /// An error of any kind; the named constructors read better.
    pub fn new(kind: ErrorKind, code: &str, message: impl Into<String>) -> Self {
        Self { kind, code: code.to_owned(), message: message.into(), retry_after_ms: None, details: Vec::new() }
    }

    /// One more fact for machines and for those who look closer.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<String>) -> Self {
        self.details.push((name.to_owned(), value.into()));
        self
    }

    /// When asking again makes sense.
    #[must_use]
    pub fn retry_after_ms(mut self, milliseconds: u64) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }

    /// The same error with what was being done in front: `reading conda.yaml: …`.
    #[must_use]
    pub fn context(mut self, doing: impl std::fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::internal("json", error.to_string())
    }
}

impl From<std::str::Utf8Error> for Error {
    fn from(error: std::str::Utf8Error) -> Self {
        Self::invalid("not-utf-8", error.to_string())
    }
}

impl From<std::string::FromUtf8Error> for Error {
    fn from(error: std::string::FromUtf8Error) -> Self {
        error.utf8_error().into()
    }
}

impl From<std::num::ParseIntError> for Error {
    fn from(error: std::num::ParseIntError) -> Self {
        Self::invalid("not-an-integer", error.to_string())
    }
}

impl From<std::num::ParseFloatError> for Error {
    fn from(error: std::num::ParseFloatError) -> Self {
        Self::invalid("not-a-number", error.to_string())
    }
}
