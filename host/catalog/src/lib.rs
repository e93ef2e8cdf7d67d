//! Descriptors, pipelines, runs and installed extensions in SQL.
//!
//! Every public method is one transaction: it is there whole once it answers, or not at all. Records are JSON
//! documents beside the columns that are searched, so that a new field needs no migration.

mod artifacts;
mod calls;
mod extensions;
mod instances;
mod lineage;
mod pipelines;
mod port;
mod runs;
mod secrets;
mod touched;

pub use calls::{CallFilter, CallRecord, LogRecord, RefusalCount, RefusalRecord};
pub use extensions::{InstalledExtension, InstalledVersion};
pub use lineage::{Lineage, LineageCalls, LineageEdge};
pub use runs::RunFilter;
pub use secrets::SealedSecret;
pub use touched::Touched;

use fuseml_domain::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{path::Path, time::Duration};

/// An open catalog; clones share its connections.
#[derive(Debug, Clone)]
pub struct Catalog {
    pool: SqlitePool,
}

impl Catalog {
    /// Opens the SQLite database, making it and bringing its schema up to date as needed.
    pub async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(30));
        let pool = SqlitePoolOptions::new()
            .max_connections(8)
            .connect_with(options)
            .await
            .map_err(|error| Error::internal("catalog", format!("{} cannot be opened: {error}", path.display())))?;
        sqlx::migrate!().run(&pool).await.map_err(|error| {
            Error::internal("migration", format!("{} cannot be brought up to date: {error}", path.display()))
        })?;
        Ok(Self { pool })
    }

    /// A transaction that holds the write lock from its beginning, so that what it reads is still so when it writes.
    async fn write(&self) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)
    }

    /// Lets every connection finish.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A failed statement. SQL texts and values stay out of the message.
fn failed(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => {
            Error::conflict("exists", "it is already there")
        }
        _ => Error::internal("catalog", format!("the catalog could not be read or written: {error}")),
    }
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::internal("document", format!("a record is not JSON: {error}")))
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Error::internal("document", format!("a record of the catalog is damaged: {error}")))
}

fn all_from_json<T: DeserializeOwned>(texts: Vec<String>) -> Result<Vec<T>> {
    texts.iter().map(|text| from_json(text)).collect()
}
