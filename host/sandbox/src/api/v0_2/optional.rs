//! What an artifact store may export beyond its world: found when it is loaded, and then checked like the rest.

use super::storing;
use crate::{api::v0_1::convert::Checked, call::Call};
use fuseml_domain::{StoreBatch, StoreCollected, StoreEvent};
use wasmtime::component::InstancePre;

macro_rules! optional {
    ($module:ident, $interface:literal, $world:literal) => {
        pub(crate) mod $module {
            wasmtime::component::bindgen!({
                path: ["../../wit/types/0.1.0", "../../wit/logging/0.1.0", "../../wit/clock/0.1.0",
                       "../../wit/random/0.1.0", "../../wit/configuration/0.1.0", "../../wit/state/0.1.0",
                       "../../wit/http/0.1.0", "../../wit/reveal/0.1.0", "../../wit/artifact-events/0.1.0",
                       "../../wit/artifact-store/0.2.0"],
                inline: $interface,
                world: $world,
                exports: { default: async },
                with: { "fuseml:types/types@0.1.0": crate::api::v0_1::types::types },
                additional_derives: [serde::Serialize, serde::Deserialize],
            });
        }
    };
}

optional!(
    following,
    "package fuseml:host; world following { export fuseml:artifact-store/feed@0.2.0; }",
    "fuseml:host/following"
);
optional!(
    redirecting,
    "package fuseml:host; world redirecting { export fuseml:artifact-store/redirect@0.2.0; }",
    "fuseml:host/redirecting"
);
optional!(
    maintaining,
    "package fuseml:host; world maintaining { export fuseml:artifact-store/maintenance@0.2.0; }",
    "fuseml:host/maintaining"
);

use following::exports::fuseml::artifact_store::feed;
use maintaining::exports::fuseml::artifact_store::maintenance;

/// What it exports of that.
#[derive(Clone)]
pub(crate) struct Optional {
    pub(crate) feed: Option<following::FollowingPre<Call>>,
    pub(crate) redirect: Option<redirecting::RedirectingPre<Call>>,
    pub(crate) maintenance: Option<maintaining::MaintainingPre<Call>>,
}

impl Optional {
    /// Of a component with these exports.
    ///
    /// # Errors
    /// When one of them is not what its interface says.
    pub(crate) fn of(pre: &InstancePre<Call>, exports: &[&str]) -> wasmtime::Result<Self> {
        let has = |interface: &str| exports.contains(&&*format!("fuseml:artifact-store/{interface}@0.2.0"));
        Ok(Self {
            feed: has("feed").then(|| following::FollowingPre::new(pre.clone())).transpose()?,
            redirect: has("redirect").then(|| redirecting::RedirectingPre::new(pre.clone())).transpose()?,
            maintenance: has("maintenance").then(|| maintaining::MaintainingPre::new(pre.clone())).transpose()?,
        })
    }
}

pub(crate) fn batch(batch: feed::Batch) -> Checked<StoreBatch> {
    let events = batch.events.into_iter().map(|event| {
        let descriptor = event.descriptor.map(storing::artifact).transpose()?;
        Ok(match (event.kind, descriptor) {
            (feed::EventKind::Deleted, _) => StoreEvent::Deleted(event.id),
            (_, Some(artifact)) if artifact.id == event.id => StoreEvent::Changed(Box::new(artifact)),
            (_, Some(artifact)) => return Err(format!("an event of `{}` that describes `{}`", event.id, artifact.id)),
            (_, None) => StoreEvent::Touched(event.id),
        })
    });
    Ok(StoreBatch { events: events.collect::<Checked<_>>()?, cursor: batch.cursor, more: batch.more })
}

pub(crate) fn collected(report: maintenance::Report) -> Checked<StoreCollected> {
    Ok(StoreCollected {
        examined: report.examined,
        removed: report.removed,
        freed_bytes: report.freed_bytes,
        next: report.next,
    })
}
