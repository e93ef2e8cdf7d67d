//! Other programs: compilers and package tools.

use fuseml_domain::{Error, Result};
use std::process::{Command, Stdio};

/// What a program prints, trimmed; none when it is missing or fails.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command to its end. All that it prints goes to standard error: standard output is for results.
///
/// # Errors
/// `unavailable` when it cannot be started, `invalid` when it fails: it said why.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status();
    let status =
        status.map_err(|error| Error::unavailable("tool-missing", format!("cannot start `{program}`: {error}")))?;
    if !status.success() {
        return Err(Error::invalid("build-failed", format!("`{program}` failed ({status}); see what it said above")));
    }
    Ok(())
}
