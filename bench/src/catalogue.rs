//! What people wait for at a marketplace: a search, a publication, an installation.

use crate::{
    daemon::{Daemon, output},
    figures::{heading, line, ratio, spread, timed},
};
use anyhow::{Context as _, Result};
use fuseml_domain::Manifest;
use fuseml_marketplace_server::MarketplaceConfig;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

const SEARCHES: [&str; 6] = [
    "q=vector",
    "q=stream+regis",
    "q=word17&order=downloads",
    "kind=model&input=codeset",
    "world=artifact-store&without=internet&order=newest",
    "q=image&kind=model&without=reveal",
];
const ROUNDS: usize = 50;
const VERSIONS: usize = 5;

async fn searches(program: &Path, manifest: &Manifest, count: usize) -> Result<Vec<Duration>> {
    let folder = tempfile::tempdir()?;
    let config = MarketplaceConfig::new(folder.path().to_owned(), program.to_owned());
    fuseml_marketplace_server::fill(&config, manifest, count).await?;
    let (market, _) = Daemon::marketplace(program, folder.path()).await?;
    let client = reqwest::Client::new();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        for search in SEARCHES {
            let request = client.get(format!("{}/api/v1/extensions?{search}", market.url));
            let (time, answer) = timed(async { request.send().await?.error_for_status()?.bytes().await }).await;
            answer?;
            times.push(time);
        }
    }
    Ok(times)
}

/// A person at a keyboard, with a folder of their own.
struct Person<'a> {
    program: &'a Path,
    folder: &'a Path,
}

impl Person<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(arguments).env("XDG_CONFIG_HOME", self.folder.join("config"));
        command.env("FUSEML_DATA", self.folder.join("data"));
        command
    }

    fn types(&self, arguments: &[&str]) -> Result<Duration> {
        let begun = Instant::now();
        output(&mut self.command(arguments))?;
        Ok(begun.elapsed())
    }

    fn logs_in(&self, url: &str, token: &str) -> Result<()> {
        let path = self.folder.join("token");
        std::fs::write(&path, token)?;
        let file = std::fs::File::open(path)?;
        output(self.command(&["marketplace", "login", url, "--token-stdin"]).stdin(file)).map(drop)
    }
}

/// The extension as its next version.
fn version(extension: &Path, folder: &Path, number: usize) -> Result<PathBuf> {
    let copy = folder.join(format!("version-{number}"));
    output(Command::new("cp").arg("-rL").arg(extension).arg(&copy))?;
    let path = copy.join("extension.toml");
    let text = std::fs::read_to_string(&path)?;
    let line = text.lines().find(|line| line.starts_with("version = ")).context("the manifest has no version")?;
    std::fs::write(&path, text.replacen(line, &format!("version = \"0.1.{number}\""), 1))?;
    Ok(copy)
}

pub(crate) async fn measure(program: &Path, mlflow: &Path) -> Result<()> {
    let manifest = Manifest::parse(&std::fs::read_to_string(mlflow.join("extension.toml"))?)?;
    heading("Searches over HTTP: words, kinds, what is asked for, in six ways");
    for count in [1_000, 10_000] {
        let found = spread(searches(program, &manifest, count).await?);
        line(&format!("{count} extensions"), &format!("{:.2?}  p99 {:.2?}", found.median, found.p99));
    }

    heading("From a keyboard: mlflow, two components of 0.8 MB together");
    let folder = tempfile::tempdir()?;
    let (market, token) = Daemon::marketplace(program, &folder.path().join("market")).await?;
    let person = Person { program, folder: folder.path() };
    person.logs_in(&market.url, &token)?;
    person.types(&["marketplace", "namespace", "add", "acme"])?;
    person.types(&["marketplace", "key", "add", "acme"])?;
    let mut times = Vec::new();
    for number in 0..VERSIONS {
        let built = version(mlflow, folder.path(), number)?.display().to_string();
        times.push(person.types(&["extension", "publish", &built, "--namespace", "acme"])?);
    }
    let published = spread(times);
    line("publish: pack, sign, send, be checked, be listed", &format!("{:.0?}", published.median));

    let data = folder.path().join("data");
    let _server = Daemon::start("/", |port| {
        let mut command = Command::new(program);
        command.args(["server", "start", "--listen"]).arg(format!("127.0.0.1:{port}")).env("FUSEML_DATA", &data);
        Ok(command)
    })
    .await?;
    let mirror = Daemon::start("/healthz", |port| {
        let mut command = Command::new(program);
        command.args(["marketplace", "mirror", &market.url, "--listen"]).arg(format!("127.0.0.1:{port}"));
        command.arg("--folder").arg(folder.path().join("mirror"));
        Ok(command)
    })
    .await?;
    let install = |from: &str, url: &str| -> Result<Duration> {
        person.types(&["marketplace", "add", from, url])?;
        // The first brings everything to the mirror; what the server fetched is forgotten before each.
        let mut times = Vec::new();
        for _ in 0..=VERSIONS {
            let _ = std::fs::remove_dir_all(data.join("packages"));
            times.push(person.types(&[
                "extension",
                "install",
                &format!("{from}:acme/mlflow@0.1"),
                "--grant",
                "all",
            ])?);
            person.types(&["extension", "remove", "mlflow"])?;
        }
        times.remove(0);
        Ok(spread(times).median)
    };
    let (direct, mirrored) = (install("hub", &market.url)?, install("mirror", &mirror.url)?);
    line("install by name: resolve, fetch, verify, grant", &format!("{direct:.0?}"));
    line("the same from a warm mirror", &format!("{mirrored:.0?}  {}", ratio(mirrored, direct)));
    Ok(())
}
