//! `fuseml:artifact-store@0.2.0`: generated bindings. Interfaces that did not change are those of [`super::v0_1`].

pub(crate) mod optional;
pub(crate) mod storing;

pub(crate) mod artifact_store {
    wasmtime::component::bindgen!({
        path: [
            "../../wit/types/0.1.0",
            "../../wit/logging/0.1.0",
            "../../wit/clock/0.1.0",
            "../../wit/random/0.1.0",
            "../../wit/configuration/0.1.0",
            "../../wit/state/0.1.0",
            "../../wit/http/0.1.0",
            "../../wit/reveal/0.1.0",
            "../../wit/artifact-events/0.1.0",
            "../../wit/artifact-store/0.2.0",
        ],
        world: "fuseml:artifact-store/artifact-store@0.2.0",
        imports: {
            "fuseml:reveal/reveal@0.1.0": async,
            "fuseml:artifact-events/artifact-events@0.1.0": async,
        },
        exports: { default: async },
        with: {
            "fuseml:types/types@0.1.0": crate::api::v0_1::types::types,
            "fuseml:logging/logging@0.1.0": crate::api::v0_1::logging::logging,
            "fuseml:clock/clock@0.1.0": crate::api::v0_1::clock::clock,
            "fuseml:random/random@0.1.0": crate::api::v0_1::random::random,
            "fuseml:configuration/configuration@0.1.0": crate::api::v0_1::configuration::configuration,
            "fuseml:state/state@0.1.0": crate::api::v0_1::state::state,
            "fuseml:http/http@0.1.0": crate::api::v0_1::http::http,
        },
        include_component_type: true,
        additional_derives: [serde::Serialize, serde::Deserialize],
    });
}

use crate::{api::v0_1::departed, call::Call, tape::taped};
pub(crate) use artifact_store::{
    ArtifactStorePre,
    exports::fuseml::artifact_store::store,
    fuseml::{artifact_events::artifact_events, reveal::reveal},
};
use wasmtime::component::{HasSelf, Linker};

use super::v0_1::types::types::Error;

/// The functions that an artifact store may import.
pub(crate) fn artifact_store_linker(mut linker: Linker<Call>) -> wasmtime::Result<Linker<Call>> {
    artifact_store::ArtifactStore::add_to_linker::<_, HasSelf<_>>(&mut linker, |call| call)?;
    Ok(linker)
}

impl reveal::Host for Call {
    /// Not taped: see the capability.
    async fn secret(&mut self, name: String) -> Result<Vec<u8>, Error> {
        self.reveal(&name).await.map_err(Into::into)
    }
}

impl artifact_events::Host for Call {
    async fn since(&mut self, after: u64, limit: u32) -> Result<Vec<artifact_events::Event>, Error> {
        taped!(self, "artifact-events.since", [after, limit], Err(departed()), {
            let events = self.events_since(after, limit).await;
            events.map(|events| events.into_iter().map(storing::event).collect()).map_err(Into::into)
        })
    }
}
