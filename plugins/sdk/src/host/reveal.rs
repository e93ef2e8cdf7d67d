//! The value of a secret. Needs the request `reveal`, which admins are shown as the strongest there is: where a
//! header will do, name the secret in [`http`](crate::http) instead and never hold it.

use super::imports;
use crate::Result;

/// The value of a secret that the manifest requests to reveal; `denied` for others and for one without a value.
pub fn secret(name: &str) -> Result<Vec<u8>> {
    imports::reveal::secret(name)
}
