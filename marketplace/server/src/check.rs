//! Runs the conformance suite over an upload: in a process of its own, which may be stopped. The upload reaches
//! nothing meanwhile, whatever its manifest names or its settings default to.

use crate::Marketplace;
use fuseml_domain::{Error, Result};
use serde_json::Value;
use std::{path::Path, process::Stdio, time::Duration};
use tokio::process::Command;

/// A Python component is compiled in some 20 seconds on two cores; many components take their time.
const LONGEST: Duration = Duration::from_secs(300);

impl Marketplace {
    /// The suite's report on an unpacked package.
    ///
    /// # Errors
    /// `invalid` when a rule is broken, with the rules; `unavailable` when the suite did not end.
    pub(crate) async fn check(&self, folder: &Path) -> Result<Value> {
        // What is compiled for the check is of no use afterwards.
        let cache = tempfile::Builder::new()
            .prefix("cache-")
            .tempdir_in(&self.staging)
            .map_err(|error| Error::io(self.staging.display(), &error))?;
        let mut command = Command::new(&self.program);
        command
            .args(["extension", "check", "--untrusted", "--output", "json"])
            .arg(folder)
            .env_clear()
            .env("HOME", folder)
            .env("XDG_CACHE_HOME", cache.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let failed = |error: &std::io::Error| Error::io("the package cannot be checked", error);
        let output = match tokio::time::timeout(LONGEST, command.output()).await {
            Ok(output) => output.map_err(|error| failed(&error))?,
            Err(_) => {
                let message = format!("the check of the package did not end within {} s", LONGEST.as_secs());
                return Err(Error::unavailable("check", message));
            }
        };
        let report: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        match (output.status.success(), report) {
            (true, Some(mut report)) => {
                if let Some(object) = report.as_object_mut() {
                    object.insert("passed".to_owned(), Value::Bool(true));
                }
                Ok(report)
            }
            _ => Err(Error::invalid("check", format!("the package does not keep its contract: {last}"))),
        }
    }
}
