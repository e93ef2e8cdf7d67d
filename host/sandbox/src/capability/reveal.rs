//! The value of a secret in the component's own hands: only of those that its manifest names, and never on a tape.

use crate::{call::Call, failure::clean, tape::Taping};
use fuseml_domain::{Capability, Error, Result};

impl Call {
    pub(crate) async fn reveal(&mut self, name: &str) -> Result<Vec<u8>> {
        self.require(Capability::Reveal)?;
        let (shown, instance) = (clean(name, 64), self.instance.clone());
        if !instance.rights.revealed.contains(name) {
            self.refused(Some(Capability::Reveal), format_args!("secret {shown}"));
            return Err(Error::denied("secret-unknown", format!("{instance} may not read the secret `{shown}`")));
        }
        match self.taping {
            // What the component does from here on depends on the value, which no tape holds.
            Taping::Replaying { .. } => {
                return Err(Error::unsupported("not-on-tape", "a call that reads a secret cannot be replayed"));
            }
            _ => self.taping = Taping::Off,
        }
        let value = instance.secrets.secret(&instance.instance, name).await?;
        let value = value.ok_or_else(|| unset(&instance, &shown))?;
        self.used_secret(name);
        Ok(value.expose().to_vec())
    }

    /// For the receipt.
    pub(super) fn used_secret(&mut self, name: &str) {
        if !self.secrets.iter().any(|used| used == name) {
            self.secrets.push(name.to_owned());
        }
    }
}

/// The admin has not given it a value yet.
pub(super) fn unset(instance: &crate::InstanceContext, shown: &str) -> Error {
    Error::denied(
        "secret-unset",
        format!(
            "the secret `{shown}` of {instance} has no value; `fuseml extension configure {} --secret {shown}` gives it one",
            instance.instance
        ),
    )
}
