//! SQLite by default, PostgreSQL by URL: opened, migrated and asked in one way.
//!
//! Statements are written once, with `$1`, `$2` … for values, and with what both databases understand; where they
//! differ, [`Database::dialect`] says which one it is. Columns hold text, whole numbers, floating numbers and bytes:
//! that is what both have alike. Texts compare by their bytes in both.

mod document;
mod place;
mod sql;
#[cfg(feature = "testing")]
pub mod testing;

pub use document::{all_from_json, from_json, to_json};
pub use place::DatabasePlace;
pub use sql::Sql;
pub use sqlx::migrate::Migrator;

use fuseml_domain::{Error, Result};
use sqlx::{Any, AnyPool, Executor as _, Transaction, any::AnyPoolOptions};
use std::{path::Path, time::Duration};

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// The same schema for each dialect.
pub struct Migrations {
    pub sqlite: Migrator,
    pub postgres: Migrator,
}

/// An open database; clones share its connections.
#[derive(Debug, Clone)]
pub struct Database {
    pub pool: AnyPool,
    dialect: Dialect,
}

const CONNECTIONS: u32 = 8;
const BUSY: Duration = Duration::from_secs(30);

/// What writers of a PostgreSQL database hold, so that what they read is still so when they write.
const WRITERS: i64 = 0x66_75_73_65_6d_6c;

impl Database {
    /// Opens a database, making a SQLite file and bringing the schema up to date as needed.
    ///
    /// # Errors
    /// When it cannot be reached, opened or brought up to date; the message names the place without its password.
    pub async fn open(place: &DatabasePlace, migrations: &Migrations) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let dialect = place.dialect();
        let unusable = |error: &dyn std::fmt::Display| {
            Error::unavailable("database", format!("the database {place} cannot be opened: {error}"))
        };
        let options = AnyPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(BUSY);
        let options = options.after_connect(move |connection, _| {
            Box::pin(async move {
                if dialect == Dialect::Sqlite {
                    let busy = BUSY.as_millis();
                    let pragmas = format!(
                        "PRAGMA busy_timeout = {busy}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                         PRAGMA foreign_keys = ON"
                    );
                    connection.execute(sqlx::AssertSqlSafe(pragmas)).await?;
                }
                Ok(())
            })
        });
        let pool = options.connect(&place.url()?).await.map_err(|error| unusable(&error))?;
        let migrator = match dialect {
            Dialect::Sqlite => &migrations.sqlite,
            Dialect::Postgres => &migrations.postgres,
        };
        migrator.run(&pool).await.map_err(|error| unusable(&error))?;
        Ok(Self { pool, dialect })
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// A transaction that holds the write lock from its beginning, so that what it reads is still so when it writes.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn write(&self) -> Result<Transaction<'static, Any>> {
        match self.dialect {
            Dialect::Sqlite => self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed),
            Dialect::Postgres => {
                let mut transaction = self.pool.begin().await.map_err(failed)?;
                sqlx::query("SELECT pg_advisory_xact_lock($1)")
                    .bind(WRITERS)
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed)?;
                Ok(transaction)
            }
        }
    }

    /// Copies a SQLite database as of one moment into a file that is not there yet, while others write.
    ///
    /// # Errors
    /// `unsupported` for PostgreSQL, which has its own tools.
    pub async fn copy(&self, to: &Path) -> Result<()> {
        if self.dialect == Dialect::Postgres {
            return Err(Error::unsupported("database", "a PostgreSQL database is copied with pg_dump"));
        }
        sqlx::query("VACUUM INTO $1")
            .bind(to.to_string_lossy().into_owned())
            .execute(&self.pool)
            .await
            .map_err(failed)
            .map(drop)
    }

    /// Lets every connection finish.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A failed statement. SQL texts and values stay out of the message.
pub fn failed(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => {
            Error::conflict("exists", "it is already there")
        }
        sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) => {
            Error::unavailable("database", format!("the database does not answer: {error}"))
        }
        _ => Error::internal("database", format!("the database could not be read or written: {error}")),
    }
}
