//! The marketplace's database.

use fuseml_domain::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Sqlite, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{path::Path, time::Duration};

/// An open database; clones share its connections.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) pool: SqlitePool,
}

impl Database {
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(30));
        let unusable = |error: &dyn std::fmt::Display| {
            Error::internal("database", format!("{} cannot be opened: {error}", path.display()))
        };
        let pool = SqlitePoolOptions::new()
            .max_connections(8)
            .connect_with(options)
            .await
            .map_err(|error| unusable(&error))?;
        sqlx::migrate!().run(&pool).await.map_err(|error| unusable(&error))?;
        Ok(Self { pool })
    }

    /// Copies everything as of one moment into a file that is not there yet, while others write.
    pub(crate) async fn copy(&self, to: &Path) -> Result<()> {
        sqlx::query("VACUUM INTO ?").bind(to.to_string_lossy()).execute(&self.pool).await.map_err(failed)?;
        self.pool.close().await;
        Ok(())
    }

    /// A transaction that holds the write lock from its beginning.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Sqlite>> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)
    }
}

/// A failed statement. SQL texts and values stay out of the message.
pub(crate) fn failed(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => {
            Error::conflict("exists", "it is already there")
        }
        _ => Error::internal("database", format!("the database could not be read or written: {error}")),
    }
}

pub(crate) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::internal("document", error.to_string()))
}

pub(crate) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Error::internal("document", format!("a record is not understood: {error}")))
}
