//! Programs that are measured from outside.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A program that answers until the value is dropped.
pub(crate) struct Daemon {
    process: Child,
    pub(crate) url: String,
}

impl Daemon {
    /// Starts what `command` makes for a free port; it is there once `path` answers.
    pub(crate) async fn start(path: &str, command: impl FnOnce(u16) -> Result<Command>) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = command(port)?;
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.with_context(|| format!("cannot run {command:?}"))?;
        let daemon = Self { process, url: format!("http://127.0.0.1:{port}") };
        for _ in 0..300 {
            let answer = reqwest::get(format!("{}{path}", daemon.url)).await;
            if answer.is_ok_and(|answer| !answer.status().is_server_error()) {
                return Ok(daemon);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("{command:?} does not answer")
    }

    pub(crate) async fn docker_registry(program: &Path, folder: &Path) -> Result<Self> {
        Self::start("/v2/", |port| {
            let configuration = serde_json::json!({
                "version": "0.1",
                "log": {"level": "error", "accesslog": {"disabled": true}},
                "storage": {"filesystem": {"rootdirectory": folder.join("data")}},
                "http": {"addr": format!("127.0.0.1:{port}")},
            });
            // YAML reads JSON.
            let path = folder.join("config.yml");
            std::fs::write(&path, configuration.to_string())?;
            let mut command = Command::new(program);
            command.arg("serve").arg(path);
            Ok(command)
        })
        .await
    }

    /// A marketplace, with the token of an account that may do everything.
    pub(crate) async fn marketplace(program: &Path, folder: &Path) -> Result<(Self, String)> {
        let made =
            output(Command::new(program).args(["marketplace", "account", "add", "bench", "--operator"]).args([
                "--output".as_ref(),
                "json".as_ref(),
                "--folder".as_ref(),
                folder.as_os_str(),
            ]))?;
        let made: Value = serde_json::from_str(&made)?;
        let token = made["token"].as_str().context("no token")?.to_owned();
        let daemon = Self::start("/healthz", |port| {
            let mut command = Command::new(program);
            command.args([
                "marketplace",
                "serve",
                "--requests-per-second",
                "1000000",
                "--largest-blob",
                "2048",
                "--listen",
            ]);
            command.arg(format!("127.0.0.1:{port}")).arg("--folder").arg(folder);
            Ok(command)
        })
        .await?;
        Ok((daemon, token))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a command prints, if it succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
