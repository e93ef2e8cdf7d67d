//! SQLite by default, PostgreSQL by URL: opened, migrated and asked in one way.
//!
//! Statements are written once, with `$1`, `$2` … for values, and with what both databases understand; where they
//! differ, [`Database::dialect`] says which one it is. Columns hold text, whole numbers, floating numbers and bytes:
//! that is what both have alike. Texts compare by their bytes in both.

mod batch;
mod document;
mod place;
mod signal;
mod sql;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod write;

pub use batch::Batch;
pub use document::{all_from_json, from_json, to_json};
pub use place::DatabasePlace;
pub use signal::Listener;
pub use sql::Sql;
pub use sqlx::migrate::Migrator;
pub use write::WriteTransaction;

use fuseml_domain::{Error, Result};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _, any::AnyPoolOptions};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// That of a connection.
    pub fn of(connection: &AnyConnection) -> Self {
        match connection.backend_name() {
            "PostgreSQL" => Self::Postgres,
            _ => Self::Sqlite,
        }
    }
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
    /// Through which transactions write. SQLite has one connection for them, so that it keeps what it read of the file from
    /// one to the next, unless another wrote meanwhile.
    writer: AnyPool,
    /// Whose turn it is to write, where the database itself does not let writers queue.
    turn: Arc<Mutex<()>>,
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
        let url = place.url()?;
        // A pool tries again and again, and then says only that it took too long.
        let first = AnyConnection::connect(&url).await.map_err(|error| unusable(&error))?;
        first.close().await.map_err(|error| unusable(&error))?;
        let pool = connections(dialect, CONNECTIONS).connect(&url).await.map_err(|error| unusable(&error))?;
        let migrator = match dialect {
            Dialect::Sqlite => &migrations.sqlite,
            Dialect::Postgres => &migrations.postgres,
        };
        migrator.run(&pool).await.map_err(|error| unusable(&error))?;
        let writer = match dialect {
            Dialect::Sqlite => connections(dialect, 1).connect_lazy(&url).map_err(|error| unusable(&error))?,
            Dialect::Postgres => pool.clone(),
        };
        Ok(Self { pool, dialect, writer, turn: Arc::default() })
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The same database by one more connection, which nobody else waits for.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn apart(&self, place: &DatabasePlace) -> Result<Self> {
        let pool = connections(self.dialect, 1).connect(&place.url()?).await.map_err(failed)?;
        Ok(Self { writer: pool.clone(), pool, dialect: self.dialect, turn: self.turn.clone() })
    }

    /// A transaction that holds the write lock from its beginning, so that what it reads is still so when it writes.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn write(&self) -> Result<WriteTransaction> {
        match self.dialect {
            Dialect::Sqlite => {
                let turn = self.turn.clone().lock_owned().await;
                let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
                Ok(WriteTransaction::new(transaction, Some(turn)))
            }
            Dialect::Postgres => {
                let mut transaction = self.writer.begin().await.map_err(failed)?;
                sqlx::query("SELECT pg_advisory_xact_lock($1)")
                    .bind(WRITERS)
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed)?;
                Ok(WriteTransaction::new(transaction, None))
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
        self.writer.close().await;
        self.pool.close().await;
    }
}

/// At most so many connections to a database, each set up as it needs.
fn connections(dialect: Dialect, most: u32) -> AnyPoolOptions {
    let options = AnyPoolOptions::new().max_connections(most).acquire_timeout(BUSY);
    // A file is there; a server may have been started again.
    let options = options.test_before_acquire(dialect == Dialect::Postgres);
    // SQLite ends a transaction by itself where the disk is full, which the library does not see: a connection that it takes
    // for being in one is of no use any more.
    let options = options.before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }));
    options.after_connect(move |connection, _| {
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
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_with_an_odd_name_is_the_file_that_is_opened() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a market? 100% #1").join("it's.db");
        std::fs::create_dir(path.parent().expect("folder")).expect("folder");
        let none = Migrations { sqlite: Migrator::DEFAULT, postgres: Migrator::DEFAULT };

        let database = Database::open(&DatabasePlace::Sqlite(path.clone()), &none).await.expect("database");

        assert!(path.is_file());
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&database.pool).await.expect("mode");
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&database.pool).await.expect("mode");
        let keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(&database.pool).await.expect("mode");
        assert_eq!((mode.as_str(), synchronous, keys), ("wal", 2, 1), "what was acknowledged survives");
    }

    #[tokio::test]
    async fn it_can_be_written_again_once_there_is_room() {
        let folder = tempfile::tempdir().expect("folder");
        let none = Migrations { sqlite: Migrator::DEFAULT, postgres: Migrator::DEFAULT };
        let place = DatabasePlace::Sqlite(folder.path().join("full.db"));
        let database = Database::open(&place, &none).await.expect("database");
        sqlx::query("CREATE TABLE things (content BLOB)").execute(&database.pool).await.expect("table");
        let put = async |bytes: usize, room: Option<u32>| {
            let mut transaction = database.write().await?;
            if let Some(pages) = room {
                let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
                sqlx::query(limit).execute(&mut *transaction).await.map_err(failed)?;
            }
            let put = sqlx::query("INSERT INTO things VALUES ($1)").bind(vec![0u8; bytes]);
            put.execute(&mut *transaction).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)
        };

        let refused = put(1 << 20, Some(10)).await.expect_err("there is no room");

        assert!(refused.message.contains("full"), "{refused}");
        put(1 << 20, None).await.expect("there is room");
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_reached_is_named_without_its_password() {
        let place: DatabasePlace = "postgres://ada:secret@127.0.0.1:1/market".parse().expect("place");
        let none = Migrations { sqlite: Migrator::DEFAULT, postgres: Migrator::DEFAULT };

        let refused = Database::open(&place, &none).await.expect_err("nobody is there");

        assert!(refused.message.contains("postgres://127.0.0.1:1/market"), "{refused}");
        assert!(!refused.message.contains("secret"), "{refused}");
    }
}
