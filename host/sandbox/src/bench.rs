//! What a call is compared with: the same component, instantiated and called by wasmtime alone, without
//! limits, clocks, turns or receipt.

use crate::{
    InstanceContext, LoadedComponent, adapter::StorePre, call::Call, meter::Meter, sandbox::Linked, tape::Taping,
};
use std::{sync::Arc, time::Instant};
use wasmtime::{Engine, Store, component::Component};

impl LoadedComponent {
    /// The engine and the compiled component.
    #[doc(hidden)]
    pub fn raw(&self) -> (&Engine, &Component) {
        (&self.sandbox.engine, &self.compiled)
    }

    /// Instantiates and calls `detect` or `health`; the answer is dropped.
    #[doc(hidden)]
    pub async fn bare_call(&self, instance: &Arc<InstanceContext>) -> wasmtime::Result<()> {
        let now = Instant::now();
        let call =
            Call::new(instance.clone(), self.sandbox.limits.clone(), None, Arc::new(Meter::new(now)), now, Taping::Off);
        let mut store = Store::new(&self.sandbox.engine, call);
        store.set_epoch_deadline(u64::MAX / 2);
        match &self.linked {
            Linked::Builder(pre) => {
                let builder = pre.instantiate_async(&mut store).await?;
                drop(builder.fuseml_builder_build().call_detect(&mut store).await?);
            }
            Linked::ArtifactStore(StorePre::V0_1(pre)) => {
                let bindings = pre.instantiate_async(&mut store).await?;
                drop(bindings.fuseml_artifact_store_store().call_health(&mut store).await?);
            }
            Linked::ArtifactStore(StorePre::V0_2(pre, _)) => {
                let bindings = pre.instantiate_async(&mut store).await?;
                drop(bindings.fuseml_artifact_store_store().call_health(&mut store).await?);
            }
            Linked::RuntimeAgent(pre) => {
                let bindings = pre.instantiate_async(&mut store).await?;
                drop(bindings.fuseml_runtime_agent_agent().call_health(&mut store).await?);
            }
        }
        Ok(())
    }
}
