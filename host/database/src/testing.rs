//! Databases for tests: of the PostgreSQL server that the tests run beside.

use crate::{Database, DatabasePlace, Migrations};
use sqlx::migrate::Migrator;
use std::sync::atomic::{AtomicU32, Ordering};

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
