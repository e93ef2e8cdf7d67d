//! Registering and finding artifacts: on SQLite and PostgreSQL, beside MLflow's model registry.

use crate::{
    daemon::Daemon,
    figures::{heading, line, spread, timed},
};
use anyhow::{Context as _, Result};
use fuseml_catalog::{ArtifactSearch, Catalog, DatabasePlace};
use fuseml_domain::{Address, Attributes, Descriptor, Kind, Location, Name, Origin, Store};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

const FIRST: usize = 10_000;
const MANY: usize = 1_000_000;
const AT_ONCE: usize = 1_000;
const ONE_BY_ONE: usize = 1_000;
const ROUNDS: usize = 100;
const OF_MLFLOW: usize = 500;

/// What people ask: something rare, something common, a number, several at once, a page in the middle of everything,
/// letters within texts.
const CONDITIONS: [&str; 8] = [
    "tag = production",
    "label.team = team-17",
    "framework = sklearn and accuracy > 0.9",
    "accuracy > 0.9999",
    "name = series-42 and epochs = 7",
    "kind = model",
    "text ~ am-17",
    "text ~ nothing-like-this",
];

fn artifact(project: &Name, number: usize) -> Result<Descriptor> {
    let kind = if number.is_multiple_of(4) { Kind::Dataset } else { Kind::Model };
    // Spread over all ids, as digests are.
    let id: Name = format!("{:016x}{number:08x}", (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).parse()?;
    let name: Name = format!("series-{}", number % 1_000).parse()?;
    let texts = [
        ("framework", ["sklearn", "torch", "tensorflow", "xgboost"][number % 4].to_owned()),
        ("format", "mlflow".to_owned()),
        ("epochs", (number % 50).to_string()),
        ("task", ["classification", "regression"][number % 2].to_owned()),
    ];
    let numbers = [("accuracy", number % 99_991), ("loss", number % 7_919), ("f1", number % 9_973)];
    Ok(Descriptor {
        address: Address::of_version(kind, project, &name, &id),
        name,
        id,
        digest: None,
        created: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(number as i64),
        attributes: texts.map(|(name, value)| (name.to_owned(), value)).into(),
        metrics: numbers.map(|(name, value)| (name.to_owned(), value as f64 / 100_000.0)).into(),
        labels: Attributes::from([("team".to_owned(), format!("team-{}", number % 500))]),
        tags: if number.is_multiple_of(10_007) { vec!["production".to_owned()] } else { Vec::new() },
        location: Location::new("contents", "x"),
        store: Store::BuiltIn,
        runnable: None,
        origin: Origin::Registered { by: "bench".to_owned() },
    })
}

async fn fill(catalog: &Catalog, project: &Name, from: usize, to: usize) -> Result<Duration> {
    let mut taken = Duration::ZERO;
    for begin in (from..to).step_by(AT_ONCE) {
        let some: Vec<_> = (begin..to.min(begin + AT_ONCE)).map(|at| artifact(project, at)).collect::<Result<_>>()?;
        let (time, registered) = timed(catalog.register(&some)).await;
        registered?;
        taken += time;
    }
    Ok(taken)
}

async fn searches(catalog: &Catalog) -> Result<()> {
    for condition in CONDITIONS {
        let search = ArtifactSearch { condition: Some(condition.parse()?), limit: 50, ..ArtifactSearch::default() };
        let (mut times, mut count) = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            let (time, page) = timed(catalog.search(&search)).await;
            count = page?.artifacts.len();
            times.push(time);
        }
        let found = spread(times);
        line(&format!("  {condition} ({count} found)"), &format!("{:.2?}  p99 {:.2?}", found.median, found.p99));
    }
    Ok(())
}

async fn on(place: &DatabasePlace, what: &str) -> Result<()> {
    let catalog = Catalog::open(place).await?;
    let project: Name = "shop".parse()?;
    catalog.create_project(&project).await?;
    let begun = Instant::now();
    for number in 0..ONE_BY_ONE {
        catalog.register(&[artifact(&project, number)?]).await?;
    }
    let rate = |count: usize, time: Duration| format!("{:.0}/s", count as f64 / time.as_secs_f64());
    line(&format!("{what}: register one by one"), &rate(ONE_BY_ONE, begun.elapsed()));
    let first = fill(&catalog, &project, ONE_BY_ONE, FIRST).await?;
    line(&format!("{what}: register {AT_ONCE} at once, up to {FIRST}"), &rate(FIRST - ONE_BY_ONE, first));
    searches(&catalog).await?;
    let rest = fill(&catalog, &project, FIRST, MANY).await?;
    line(&format!("{what}: register {AT_ONCE} at once, up to {MANY}"), &rate(MANY - FIRST, rest));
    searches(&catalog).await?;
    catalog.close().await;
    Ok(())
}

/// The same of a server that others made: one request a version, as its clients do.
async fn peer(mlflow: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let server = Daemon::start("/health", |port| {
        let mut command = Command::new(mlflow);
        command.args(["server", "--workers", "1", "--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--backend-store-uri", &format!("sqlite:///{}", at("mlflow.db")), "--artifacts-destination"]);
        command.arg(at("artifacts")).env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false");
        command.env("MLFLOW_DISABLE_TELEMETRY", "true");
        Ok(command)
    })
    .await?;
    let client = reqwest::Client::new();
    let post = async |path: &str, body: serde_json::Value| -> Result<()> {
        let url = format!("{}/api/2.0/mlflow/{path}", server.url);
        client.post(url).json(&body).send().await?.error_for_status().context("MLflow refuses")?.bytes().await?;
        Ok(())
    };
    post("registered-models/create", json!({"name": "series"})).await?;
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    for number in 0..OF_MLFLOW {
        let tags = json!([{"key": "team", "value": format!("team-{}", number % 5)}]);
        let version = json!({"name": "series", "source": format!("s3://models/{number}"), "tags": tags});
        let (time, done) = timed(post("model-versions/create", version)).await;
        done?;
        writes.push(time);
    }
    for _ in 0..ROUNDS {
        let filter = "name='series' and tag.team='team-1'";
        let url = format!("{}/api/2.0/mlflow/model-versions/search", server.url);
        let request = client.get(url).query(&[("filter", filter), ("max_results", "50")]);
        let (time, answer) = timed(async { request.send().await?.error_for_status()?.bytes().await }).await;
        answer?;
        reads.push(time);
    }
    let total: Duration = writes.iter().sum();
    line("MLflow: create a version, over HTTP", &format!("{:.0}/s", OF_MLFLOW as f64 / total.as_secs_f64()));
    let found = spread(reads);
    line(
        &format!("MLflow: search by name and tag among {OF_MLFLOW}"),
        &format!("{:.2?}  p99 {:.2?}", found.median, found.p99),
    );
    Ok(())
}

/// The same question over HTTP, for what a client sees of the difference.
async fn over_http(program: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data)?;
    let catalog = Catalog::open(&data.join("catalog.db").as_path().into()).await?;
    let project: Name = "shop".parse()?;
    catalog.create_project(&project).await?;
    fill(&catalog, &project, 0, FIRST).await?;
    catalog.close().await;
    let server = Daemon::start("/healthz", |port| {
        let mut command = Command::new(program);
        command.args(["server", "start", "--listen", &format!("127.0.0.1:{port}")]).env("FUSEML_DATA", &data);
        Ok(command)
    })
    .await?;
    let token = std::fs::read_to_string(data.join("admin-token"))?;
    let client = reqwest::Client::new();
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let query = [("where", "name = series-42 and label.team = team-42"), ("limit", "50")];
        let request = client.get(format!("{}/api/v1/artifacts", server.url)).bearer_auth(token.trim()).query(&query);
        let (time, answer) = timed(async { request.send().await?.error_for_status()?.bytes().await }).await;
        answer?;
        reads.push(time);
    }
    for number in 0..OF_MLFLOW {
        let body = json!({"kind": "model", "name": "series", "uri": format!("s3://models/{number}"), "by": "bench",
            "labels": BTreeMap::from([("team", format!("team-{}", number % 5))])});
        let url = format!("{}/api/v1/projects/shop/artifacts", server.url);
        let request = client.post(url).bearer_auth(token.trim()).json(&body);
        let (time, answer) = timed(async { request.send().await?.error_for_status()?.bytes().await }).await;
        answer?;
        writes.push(time);
    }
    let total: Duration = writes.iter().sum();
    line("FuseML: register a version, over HTTP", &format!("{:.0}/s", OF_MLFLOW as f64 / total.as_secs_f64()));
    let found = spread(reads);
    line(
        &format!("FuseML: search by name and label among {FIRST}"),
        &format!("{:.2?}  p99 {:.2?}", found.median, found.p99),
    );
    Ok(())
}

/// `postgres` is the address of an empty database.
pub(crate) async fn measure(program: &Path, mlflow: &Path, postgres: &str) -> Result<()> {
    heading("Artifacts: registered and searched");
    peer(mlflow).await?;
    over_http(program).await?;
    let folder = tempfile::tempdir()?;
    on(&folder.path().join("catalog.db").as_path().into(), "SQLite").await?;
    on(&postgres.parse()?, "PostgreSQL").await
}
