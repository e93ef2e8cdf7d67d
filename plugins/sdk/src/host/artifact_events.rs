//! What was registered with FuseML. Needs the request `artifact-events`.

use super::imports;
use crate::Result;

pub use crate::bindings::host::fuseml::artifact_events::artifact_events::Event;

/// Events after a sequence number, oldest first, at most `limit`; keep the last one's number in
/// [`state`](crate::state) and go on from there.
pub fn since(after: u64, limit: u32) -> Result<Vec<Event>> {
    imports::artifact_events::since(after, limit)
}
