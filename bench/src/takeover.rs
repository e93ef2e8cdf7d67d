//! How long a run stands still when the server that drives it is killed and another is there (Durable).

use crate::{
    daemon::{Daemon, output},
    figures::{heading, line, spread},
};
use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;
use sqlx::Executor as _;
use std::{fs, path::Path, process::Command, time::Duration};

const KILLS: usize = 10;
const STEPS: usize = 100;

/// `postgres` is the address of a database beside which others can be made.
pub(crate) async fn measure(program: &Path, postgres: &str) -> Result<()> {
    heading("A server is killed, and another on the same PostgreSQL drives its run");
    sqlx::any::install_default_drivers();
    let beside = sqlx::AnyPool::connect(postgres).await?;
    // That of a measurement that was stopped may be there.
    for statement in ["DROP DATABASE IF EXISTS takeover WITH (FORCE)", "CREATE DATABASE takeover"] {
        beside.execute(statement).await?;
    }
    let (before, _) = postgres.rsplit_once('/').context("the address names no database")?;
    let stand = Stand { program, folder: tempfile::tempdir()?, database: format!("{before}/takeover") };
    let (mut driving, mut standing) = (stand.server().await?, stand.server().await?);
    stand.prepare(&driving)?;
    let mut times = Vec::new();
    for number in 1..=KILLS {
        stand.fuseml(&driving, &["run", "start", "chain"])?;
        // Under way, not just begun.
        while stand.begun(&driving, number).await?.len() < 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let killed = Timestamp::now();
        drop(driving);
        let gap = loop {
            let begun = stand.begun(&standing, number).await?;
            if let Some(next) = begun.iter().find(|begun| **begun > killed) {
                break next.duration_since(killed);
            }
            ensure!(killed.duration_until(Timestamp::now()).as_secs() < 60, "nobody drives the run");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        times.push(Duration::try_from(gap)?);
        stand.fuseml(&standing, &["run", "cancel", &format!("chain/{number}")])?;
        (driving, standing) = (standing, stand.server().await?);
    }
    let spread = spread(times);
    line(
        &format!("until the next step begins, {KILLS} kills"),
        &format!("{:.2?}  p99 {:.2?} (a step takes 0.10 s)", spread.median, spread.p99),
    );
    Ok(())
}

struct Stand<'a> {
    program: &'a Path,
    folder: tempfile::TempDir,
    database: String,
}

impl Stand<'_> {
    async fn server(&self) -> Result<Daemon> {
        Daemon::start("/healthz", |port| {
            let mut command = Command::new(self.program);
            command.args(["server", "start", "--database", &self.database, "--data"]).arg(self.folder.path());
            command.args(["--listen", &format!("127.0.0.1:{port}")]);
            Ok(command)
        })
        .await
    }

    fn fuseml(&self, server: &Daemon, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.program);
        command.env("FUSEML_DATA", self.folder.path()).env("XDG_CONFIG_HOME", self.folder.path());
        output(command.args(["--project", "bench", "--server", &server.url]).args(arguments))
    }

    /// A chain of jobs that take a moment each.
    fn prepare(&self, server: &Daemon) -> Result<()> {
        let runnable = "{schema_version: 1, name: wait, kind: wait, command: [sleep, '0.1']}";
        let mut template = "schema_version: 1\nname: chain\ndescription: waits\nsteps:\n".to_owned();
        for step in 0..STEPS {
            let after = if step == 0 { String::new() } else { format!(", after: [s{}]", step - 1) };
            template += &format!("  s{step}: {{run: {{kind: wait}}{after}}}\n");
        }
        let [runnable_file, template_file] =
            [("wait.yaml", runnable), ("chain.yaml", &template)].map(|(name, text)| {
                let path = self.folder.path().join(name);
                fs::write(&path, text).map(|()| path.display().to_string())
            });
        self.fuseml(server, &["project", "create", "bench"])?;
        self.fuseml(server, &["runnable", "register", &runnable_file?])?;
        self.fuseml(server, &["pipeline", "add", &template_file?, "--name", "chain"]).map(drop)
    }

    /// When steps of a run began.
    async fn begun(&self, server: &Daemon, number: usize) -> Result<Vec<Timestamp>> {
        let token = fs::read_to_string(self.folder.path().join("admin-token"))?;
        let url = format!("{}/api/v1/projects/bench/runs/chain/{number}", server.url);
        let run: Value = reqwest::Client::new().get(url).bearer_auth(token.trim()).send().await?.json().await?;
        let steps = run["steps"].as_array().context("the run has no steps")?;
        Ok(steps.iter().filter_map(|step| step["started"].as_str()?.parse().ok()).collect())
    }
}
