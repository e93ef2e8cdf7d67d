//! PostgreSQL, as the tests run beside it.

use std::{path::PathBuf, process::Command};

/// The address of an empty database of its own.
pub fn postgres() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    match runtime.block_on(fuseml_database::testing::postgres()) {
        fuseml_database::DatabasePlace::Postgres(url) => url.to_string(),
        other => panic!("{other} is no PostgreSQL database"),
    }
}

/// Runs one of its programs, such as `pg_dump`.
pub fn postgres_program(program: &str, arguments: &[&str]) {
    let folder = std::env::var("FUSEML_TEST_POSTGRES_PROGRAMS").expect("cargo xtask test");
    let status = Command::new(PathBuf::from(folder).join(program)).args(arguments).status().expect(program);
    assert!(status.success(), "{program} {arguments:?}");
}
