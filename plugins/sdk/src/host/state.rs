//! Small durable key-value state, visible to this instance only. Keys are at most 256 bytes, values 64 KiB.

use super::imports;
use crate::{Page, Result};

/// What is stored under a key.
pub fn get(key: &str) -> Result<Option<Vec<u8>>> {
    imports::state::get(key)
}

/// Stores a value, whatever was there.
pub fn set(key: &str, value: &[u8]) -> Result<()> {
    imports::state::set(key, value)
}

/// Stores a value only if `expected` is still there; false when it is not.
pub fn compare_and_set(key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool> {
    imports::state::compare_and_set(key, expected, value)
}

/// Forgets a key, whether or not it was there.
pub fn delete(key: &str) -> Result<()> {
    imports::state::delete(key)
}

/// Keys in order, and the cursor of the next page.
pub fn list_keys(prefix: &str, page: &Page) -> Result<(Vec<String>, Option<String>)> {
    imports::state::list_keys(prefix, page)
}
