//! Lineage in a large graph: what an artifact was made from and what came of it, ten steps either way.

use crate::figures::{heading, line, spread, timed};
use anyhow::Result;
use fuseml_catalog::{Catalog, DatabasePlace};
use fuseml_database::Sql;
use fuseml_domain::{Address, Cause, Kind, Name, Pipeline, Run, Template};
use indexmap::IndexMap;
use jiff::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Models in a layer; each is made of two of the layer before, so there are three edges for each.
const WIDE: usize = 1_000;
const LAYERS: usize = 334;
const DEPTH: u32 = 10;
const ROUNDS: usize = 200;
/// Rows in one statement: PostgreSQL takes 65,535 values.
const ROWS: usize = 5_000;

fn address(project: &Name, layer: usize, at: usize) -> Result<Address> {
    let id: Name = format!("{:016x}{layer:04x}{at:04x}", (layer * WIDE + at) as u64 * 0x9e37).parse()?;
    Ok(Address::of_version(Kind::Model, project, &"m".parse()?, &id))
}

/// A run of one step.
fn run(project: &Name) -> Result<Run> {
    let text = "schema_version: 1\nname: train\ndescription: trains\ninputs: {code: {kind: codeset}}\n\
                steps: {train: {run: {kind: trainer}, inputs: {code: '${inputs.code}'}}}\n";
    let template = Template::parse(text, "train.yaml")?;
    let inputs = BTreeMap::from([("code".to_owned(), "code://*".to_owned())]);
    let now = Timestamp::now();
    let pipeline = Pipeline::new(project.clone(), "train".parse()?, template, &inputs, BTreeMap::new(), now)?;
    let cause = Cause { reason: "measured".to_owned(), artifact: None, root: None, chain: Vec::new() };
    Ok(Run::new(&pipeline, IndexMap::new(), cause, now)?)
}

/// Makes the graph past the catalog: as runs it would take an hour, and writing is measured elsewhere.
async fn fill(url: &str, project: &Name) -> Result<usize> {
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(url).await?;
    let mut rows: Vec<(Address, String, &str)> = Vec::new();
    let (mut written, mut runs) = (0, Vec::new());
    let one = run(project)?;
    for layer in 1..=LAYERS {
        for at in 0..WIDE {
            let id = Uuid::from_u128((layer * WIDE + at) as u128);
            runs.push(Run { id, number: (layer * WIDE + at) as u64, ..one.clone() });
            let run = id.to_string();
            rows.push((address(project, layer - 1, at)?, run.clone(), "used"));
            rows.push((address(project, layer - 1, (at + 1) % WIDE)?, run.clone(), "used"));
            rows.push((address(project, layer, at)?, run, "made"));
        }
    }
    for some in runs.chunks(ROWS) {
        let mut sql = Sql::new("INSERT INTO runs (id, project, pipeline, number, state, revision, document) VALUES ");
        for (number, run) in some.iter().enumerate() {
            sql.push(if number == 0 { "(" } else { ", (" }).push_bind(run.id.to_string());
            sql.push(", ").push_bind(project.to_string()).push(", 'train', ").push_bind(run.number.cast_signed());
            sql.push(", 'succeeded', 1, ").push_bind(serde_json::to_string(run)?).push(")");
        }
        sql.query().execute(&pool).await?;
    }
    for some in rows.chunks(ROWS) {
        let mut sql = Sql::new("INSERT INTO participations (artifact, run, step, slot, role) VALUES ");
        for (number, (artifact, run, role)) in some.iter().enumerate() {
            sql.push(if number == 0 { "(" } else { ", (" }).push_bind(artifact.to_string());
            sql.push(", ").push_bind(run.clone()).push(", 'train', ").push_bind(format!("slot{}", number % 3));
            sql.push(", ").push_bind((*role).to_owned()).push(")");
        }
        sql.query().execute(&pool).await?;
        written += some.len();
    }
    pool.close().await;
    Ok(written)
}

async fn on(place: &DatabasePlace, url: &str, what: &str) -> Result<()> {
    let project: Name = "shop".parse()?;
    Catalog::open(place).await?.close().await;
    let edges = fill(url, &project).await?;
    let catalog = Catalog::open(place).await?;
    let (mut times, mut found) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let of = address(&project, LAYERS / 2, round * 7 % WIDE)?;
        let (time, lineage) = timed(catalog.lineage(&of, Some(DEPTH))).await;
        found = lineage?.edges.len();
        times.push(time);
    }
    let times = spread(times);
    line(
        &format!("{what}: depth {DEPTH} among {edges} edges, {found} found"),
        &format!("{:.2?}  p99 {:.2?} (goal 50 ms)", times.median, times.p99),
    );
    catalog.close().await;
    Ok(())
}

/// `postgres` is the address of an empty database.
pub(crate) async fn measure(postgres: &str) -> Result<()> {
    heading("Lineage");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("catalog.db");
    on(&file.as_path().into(), &format!("sqlite://{}", file.display()), "SQLite").await?;
    on(&postgres.parse()?, postgres, "PostgreSQL").await
}
