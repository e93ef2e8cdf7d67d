//! Writing: one transaction after another.

use sqlx::{Any, AnyConnection, Transaction};
use std::ops::{Deref, DerefMut};
use tokio::sync::OwnedMutexGuard;

/// A transaction that has the write lock. Dropped, it leaves everything as it was.
#[derive(Debug)]
pub struct WriteTransaction {
    transaction: Transaction<'static, Any>,
    /// The turn among this process's writers. SQLite lets who comes too early sleep and try again, for longer and
    /// longer; here each is woken when it is its turn.
    _turn: Option<OwnedMutexGuard<()>>,
}

impl WriteTransaction {
    pub(crate) fn new(transaction: Transaction<'static, Any>, turn: Option<OwnedMutexGuard<()>>) -> Self {
        Self { transaction, _turn: turn }
    }

    /// Makes everything so, durably.
    ///
    /// # Errors
    /// When the database cannot; then nothing is so.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }
}

impl Deref for WriteTransaction {
    type Target = AnyConnection;
    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for WriteTransaction {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}
