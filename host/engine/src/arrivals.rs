//! Who waits for something to come is told that it may have come, and looks.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::sync::Notify;

/// Those who wait, by what they wait for. Who waits no more leaves nothing behind.
pub(crate) struct Arrivals<K>(Mutex<HashMap<K, Weak<Notify>>>);

impl<K> Default for Arrivals<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> Arrivals<K> {
    fn waiting(&self) -> MutexGuard<'_, HashMap<K, Weak<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell(&self, of: &K) {
        let mut waiting = self.waiting();
        match waiting.get(of).map(Weak::upgrade) {
            Some(Some(notify)) => notify.notify_waiters(),
            Some(None) => drop(waiting.remove(of)),
            None => {}
        }
    }

    /// Something may have come for anybody.
    pub(crate) fn tell_all(&self) {
        self.waiting().values().filter_map(Weak::upgrade).for_each(|notify| notify.notify_waiters());
    }

    /// What is notified from now on. Whoever looks first asks for it before.
    pub(crate) fn of(&self, what: &K) -> Arc<Notify> {
        let mut waiting = self.waiting();
        if let Some(notify) = waiting.get(what).and_then(Weak::upgrade) {
            return notify;
        }
        // Who went without being told, and never will be.
        if waiting.len() >= 64 && waiting.len().is_power_of_two() {
            waiting.retain(|_, notify| notify.strong_count() > 0);
        }
        let notify = Arc::new(Notify::new());
        waiting.insert(what.clone(), Arc::downgrade(&notify));
        notify
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_told_and_who_waits_no_more_is_forgotten() {
        let arrivals = Arrivals::default();
        let (one, again) = (arrivals.of(&1), arrivals.of(&1));
        assert!(Arc::ptr_eq(&one, &again));
        let told = one.notified();
        arrivals.tell(&2);
        arrivals.tell(&1);
        told.await;
        drop((one, again));
        arrivals.tell(&1);
        assert!(arrivals.waiting().is_empty());
    }
}
