//! The settings of the component's own instance, already checked against the manifest.

use crate::call::Call;
use fuseml_domain::Capability;

impl Call {
    /// Nothing without the grant, which the contract cannot tell from a setting without a value.
    pub(crate) fn setting(&mut self, name: &str) -> Option<String> {
        self.require(Capability::Configuration).ok()?;
        self.instance.settings.get(name).cloned()
    }
}
