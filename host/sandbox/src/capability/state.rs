//! Small durable state, visible to the component's own instance only: the instance's name is the host's to
//! say, never the guest's.

use crate::{
    call::Call,
    limits::{MAX_STATE_KEY, MAX_STATE_PAGE, MAX_STATE_VALUE},
};
use fuseml_domain::{Capability, Error, Result};

impl Call {
    pub(crate) async fn state_get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        self.check_state(key, None)?;
        self.instance.state.get(&self.instance.instance, key).await
    }

    /// `None` deletes.
    pub(crate) async fn state_set(&mut self, key: &str, value: Option<&[u8]>) -> Result<()> {
        self.check_state(key, value)?;
        self.check_writable()?;
        self.instance.state.set(&self.instance.instance, key, value).await
    }

    pub(crate) async fn state_swap(&mut self, key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool> {
        self.check_state(key, Some(value))?;
        self.check_writable()?;
        self.instance.state.compare_and_set(&self.instance.instance, key, expected, value).await
    }

    /// Keys, and the cursor of the next page: the last key of this one.
    pub(crate) async fn state_keys(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<String>, Option<String>)> {
        self.check_state(prefix, None)?;
        let limit = limit.clamp(1, MAX_STATE_PAGE);
        let keys = self.instance.state.list_keys(&self.instance.instance, prefix, after, limit).await?;
        let next = if keys.len() < limit as usize { None } else { keys.last().cloned() };
        Ok((keys, next))
    }

    fn check_writable(&mut self) -> Result<()> {
        if !self.instance.rights.read_only {
            return Ok(());
        }
        self.refused(Some(Capability::State), "state, read-only");
        Err(Error::denied("read-only", format!("{} runs read-only and changes no state", self.instance)))
    }

    fn check_state(&mut self, key: &str, value: Option<&[u8]>) -> Result<()> {
        self.require(Capability::State)?;
        if key.len() > MAX_STATE_KEY {
            return Err(Error::invalid(
                "state-key",
                format!("a state key has {} bytes; at most {MAX_STATE_KEY} are kept", key.len()),
            ));
        }
        if let Some(value) = value.filter(|value| value.len() > MAX_STATE_VALUE) {
            return Err(Error::invalid(
                "state-value",
                format!("the value of `{key}` has {} bytes; at most {MAX_STATE_VALUE} are kept", value.len()),
            ));
        }
        Ok(())
    }
}
