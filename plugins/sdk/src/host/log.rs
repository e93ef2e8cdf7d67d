//! Lines for the extension's log. Always granted. Never log a secret.

use super::imports::logging;

pub use crate::bindings::host::fuseml::logging::logging::Level;

/// One line with structured context shown beside the message.
pub fn log(level: Level, message: &str, fields: &[(String, String)]) {
    logging::log(level, message, fields);
}

/// For whoever writes the extension.
pub fn debug(message: &str) {
    log(Level::Debug, message, &[]);
}

/// For whoever runs it.
pub fn info(message: &str) {
    log(Level::Info, message, &[]);
}

/// Something is not as it should be, and the call goes on.
pub fn warn(message: &str) {
    log(Level::Warn, message, &[]);
}

/// The call fails for a reason that is worth a line of its own.
pub fn error(message: &str) {
    log(Level::Error, message, &[]);
}
