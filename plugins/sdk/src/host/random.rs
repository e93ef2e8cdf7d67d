//! Random bytes fit for keys. Always granted.

use super::imports;

/// `length` random bytes, at most 4096 a call.
pub fn bytes(length: u32) -> Vec<u8> {
    imports::random::bytes(length)
}
