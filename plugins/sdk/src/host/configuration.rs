//! The instance's settings, already checked against the manifest.

use super::imports;
use crate::{Error, Result};

/// The value of a setting; `None` when it has neither a value nor a default.
pub fn get(name: &str) -> Option<String> {
    imports::configuration::get(name)
}

/// The value of a setting that this component cannot do without.
pub fn require(name: &str) -> Result<String> {
    get(name).ok_or_else(|| {
        Error::invalid("setting-missing", format!("the setting `{name}` has no value; set it on the instance"))
    })
}
