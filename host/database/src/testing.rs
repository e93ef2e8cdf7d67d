//! Databases for tests: of the PostgreSQL server that the tests run beside.

use crate::{Database, DatabasePlace, Migrations};
use sqlx::migrate::Migrator;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// An empty database that goes with it.
pub struct Stand {
    pub place: DatabasePlace,
    _folder: Option<TempDir>,
}

impl Stand {
    /// A file.
    ///
    /// # Panics
    /// When no folder can be made.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        Self { place: DatabasePlace::Sqlite(folder.path().join("test.db")), _folder: Some(folder) }
    }

    /// On the server that the tests run beside.
    pub async fn postgres() -> Self {
        Self { place: postgres().await, _folder: None }
    }
}

/// Makes two tests of each rule, a function that takes a [`Stand`]: what holds on one database holds on the other.
#[macro_export]
macro_rules! on_each_database {
    ($($rule:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $rule() { super::$rule($crate::testing::Stand::sqlite()).await })*
        }
        mod postgres {
            $(#[tokio::test] async fn $rule() { super::$rule($crate::testing::Stand::postgres().await).await })*
        }
    };
}

/// An empty PostgreSQL database of its own.
///
/// # Panics
/// Without a server: `cargo xtask test` starts one.
pub async fn postgres() -> DatabasePlace {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("FUSEML_TEST_POSTGRES").expect("cargo xtask test starts a PostgreSQL server");
    let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let place: DatabasePlace = server.parse().expect("address");
    let none = Migrations { sqlite: Migrator::DEFAULT, postgres: Migrator::DEFAULT };
    let database = Database::open(&place, &none).await.expect("server");
    for statement in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&database.pool).await.expect("database");
    }
    database.close().await;
    let DatabasePlace::Postgres(mut url) = place else { panic!("{place} is no PostgreSQL server") };
    url.set_path(&name);
    DatabasePlace::Postgres(url)
}
