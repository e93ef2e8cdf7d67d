//! The time of day. Always granted. The standard library's clock does not work in a component.

use super::imports;
use crate::Timestamp;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub fn now() -> Timestamp {
    imports::clock::now()
}
