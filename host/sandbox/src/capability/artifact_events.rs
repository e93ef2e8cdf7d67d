//! What was registered with FuseML: an instance of one project sees that project's artifacts and no others.

use crate::{call::Call, limits::MAX_EVENTS};
use fuseml_domain::{Capability, Result, port::ArtifactEvent};

impl Call {
    pub(crate) async fn events_since(&mut self, after: u64, limit: u32) -> Result<Vec<ArtifactEvent>> {
        self.require(Capability::ArtifactEvents)?;
        let instance = self.instance.clone();
        instance.events.since(instance.project.as_ref(), after, limit.clamp(1, MAX_EVENTS)).await
    }
}
