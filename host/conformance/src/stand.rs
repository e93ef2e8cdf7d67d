//! The test stand: an instance whose state, secrets, log and receipts are in memory.

use async_trait::async_trait;
use fuseml_domain::{
    Attributes, Budget, Component, Manifest, Name, Result, Rights, SecretText,
    port::{ArtifactEvent, ArtifactEvents, InstanceState, Secrets},
};
use fuseml_sandbox::{InstanceContext, Live, LogLine, LogSink, Receipt, ReceiptSink};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// An address where nobody listens: the discard port of this machine.
pub(crate) const NOBODY: &str = "http://127.0.0.1:9";

pub(crate) struct Stand {
    secrets: BTreeMap<String, SecretText>,
    state: Mutex<BTreeMap<String, Vec<u8>>>,
    receipts: Mutex<Vec<Receipt>>,
}

impl Stand {
    pub(crate) fn new(secrets: BTreeMap<String, SecretText>) -> Self {
        Self { secrets, state: Mutex::default(), receipts: Mutex::default() }
    }

    pub(crate) fn instance(
        self: &Arc<Self>,
        manifest: &Manifest,
        component: &Component,
        settings: Attributes,
        rights: Rights,
        budget: Budget,
    ) -> Arc<InstanceContext> {
        Arc::new(InstanceContext {
            extension: manifest.name.to_string(),
            version: manifest.version.to_string(),
            instance: manifest.name.clone(),
            component: component.name.clone(),
            settings,
            rights,
            budget,
            record: false,
            state: self.clone(),
            secrets: self.clone(),
            project: None,
            events: self.clone(),
            log: self.clone(),
            receipts: self.clone(),
            live: Live::default(),
        })
    }

    /// Receipts since the last time.
    pub(crate) fn take_receipts(&self) -> Vec<Receipt> {
        std::mem::take(&mut *locked(&self.receipts))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ReceiptSink for Stand {
    fn record(&self, receipt: Receipt) {
        locked(&self.receipts).push(receipt);
    }
}

/// Errors say enough; what a component logs is for its author's own eyes, in `dev`.
impl LogSink for Stand {
    fn line(&self, _: &InstanceContext, _: LogLine) {}
}

#[async_trait]
impl Secrets for Stand {
    async fn secret(&self, _: &Name, name: &str) -> Result<Option<SecretText>> {
        Ok(self.secrets.get(name).cloned())
    }
}

/// Nothing was ever registered.
#[async_trait]
impl ArtifactEvents for Stand {
    async fn since(&self, _: Option<&Name>, _: u64, _: u32) -> Result<Vec<ArtifactEvent>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl InstanceState for Stand {
    async fn get(&self, _: &Name, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(locked(&self.state).get(key).cloned())
    }

    async fn set(&self, _: &Name, key: &str, value: Option<&[u8]>) -> Result<()> {
        let mut state = locked(&self.state);
        match value {
            Some(value) => drop(state.insert(key.to_owned(), value.to_vec())),
            None => drop(state.remove(key)),
        }
        Ok(())
    }

    async fn compare_and_set(&self, _: &Name, key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool> {
        let mut state = locked(&self.state);
        let same = state.get(key).map(Vec::as_slice) == expected;
        if same {
            state.insert(key.to_owned(), value.to_vec());
        }
        Ok(same)
    }

    async fn list_keys(&self, _: &Name, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
        let state = locked(&self.state);
        let keys = state.keys().filter(|key| key.starts_with(prefix));
        Ok(keys.filter(|key| after.is_none_or(|after| key.as_str() > after)).take(limit as usize).cloned().collect())
    }
}
