//! Runs git on one repository, deaf to every setting but the ones here and the repository's own.
//!
//! Git the program is needed for pushes anyway (no library serves them), so reads use it too rather than a second
//! implementation of the same formats: a call costs about 2 ms, and where many come together (reading a codeset's
//! files) one process answers them all. A library would cost seconds of every build instead.

use fuseml_domain::{Error, Result};
use jiff::Timestamp;
use std::{ffi::OsStr, path::Path, process::Stdio};
use tokio::process::Command;

/// Who committed what and when, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    pub author: String,
    pub committed: Timestamp,
    pub subject: String,
}

/// Settings that no repository, user or machine may change.
const SETTINGS: [&str; 5] = [
    // Nothing that was pushed is ever run here.
    "core.hooksPath=/dev/null",
    "safe.directory=*",
    "protocol.allow=never",
    "core.quotePath=false",
    "core.logAllRefUpdates=false",
];

/// `git`, isolated, before its command.
pub(crate) fn isolated() -> Command {
    let mut command = Command::new("git");
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A git command on a repository.
pub(crate) fn command<A: AsRef<OsStr>>(repository: &Path, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = isolated();
    command.arg("--git-dir").arg(repository).args(arguments);
    command
}

/// Runs it to its end; git's own words are the error.
pub(crate) async fn output(mut command: Command, what: &str) -> Result<Vec<u8>> {
    let output = command.output().await.map_err(|error| not_started(&error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(Error::internal("git", format!("{what}: {said}")))
}

pub(crate) async fn text(command: Command, what: &str) -> Result<String> {
    Ok(String::from_utf8_lossy(&output(command, what).await?).trim_end().to_owned())
}

pub(crate) fn not_started(error: &std::io::Error) -> Error {
    Error::unavailable("git", format!("git cannot be run: {error}; install git"))
}
