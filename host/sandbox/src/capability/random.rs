//! Random bytes fit for keys. Always granted, so many at a time.

use crate::limits::MAX_RANDOM;
use rand::RngCore;

pub(crate) fn bytes(length: u32) -> Vec<u8> {
    let mut bytes = vec![0; length.min(MAX_RANDOM) as usize];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}
