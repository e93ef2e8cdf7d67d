//! Runs git on one repository. Git is needed for pushes anyway (no library serves them), so reads use it too
//! rather than a second implementation of the same format.

use fuseml_domain::{Error, Result};
use std::{path::Path, process::Stdio};
use tokio::process::Command;

/// Who committed what, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    pub author: String,
    pub subject: String,
}

/// Settings that no repository, user or machine may change.
const SETTINGS: [&str; 4] =
    ["core.hooksPath=/dev/null", "safe.directory=*", "protocol.file.allow=never", "core.quotePath=false"];

/// A git command that sees nothing but the repository.
pub(crate) fn command(repository: &Path) -> Command {
    let mut command = Command::new("git");
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command
        .arg("--git-dir")
        .arg(repository)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs it to its end; git's own words are the error.
pub(crate) async fn output(command: &mut Command, what: &str) -> Result<Vec<u8>> {
    let output = command
        .output()
        .await
        .map_err(|error| Error::unavailable("git", format!("git cannot be run: {error}; install git")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(Error::internal("git", format!("{what}: {said}")))
}

pub(crate) async fn text(command: &mut Command, what: &str) -> Result<String> {
    Ok(String::from_utf8_lossy(&output(command, what).await?).trim_end().to_owned())
}
