//! Records as JSON documents in text columns, so that a new field needs no migration.

use fuseml_domain::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};

/// # Errors
/// When the value cannot be written as JSON.
pub fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::internal("document", format!("a record is not JSON: {error}")))
}

/// # Errors
/// When the text is not such a record.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Error::internal("document", format!("a record of the database is damaged: {error}")))
}

/// # Errors
/// When one of the texts is not such a record.
pub fn all_from_json<T: DeserializeOwned>(texts: Vec<String>) -> Result<Vec<T>> {
    texts.iter().map(|text| from_json(text)).collect()
}
