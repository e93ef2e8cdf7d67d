//! `fuseml artifact` and `fuseml lineage`.

use crate::{
    Options,
    client::Client,
    output::{Rows, moment},
};
use clap::{Args, Subcommand};
use fuseml_catalog::Lineage;
use fuseml_domain::{Address, Descriptor, Kind, Name, Origin, Store};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

#[derive(Subcommand)]
pub(crate) enum ArtifactCommand {
    /// Show the project's artifacts, newest first
    List(ListArguments),
    /// Show all that is known of one artifact
    Show { address: String },
}

#[derive(Args)]
pub(crate) struct ListArguments {
    /// Only of this kind: codeset, runnable, model or dataset
    #[arg(long)]
    kind: Option<String>,
    /// Only of this name
    #[arg(long)]
    name: Option<String>,
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

#[derive(Args)]
pub(crate) struct LineageArguments {
    address: String,
    /// So many steps far, up and down; all that is connected if not given
    #[arg(long, value_name = "STEPS")]
    depth: Option<u32>,
}

pub(crate) async fn execute(command: ArtifactCommand, options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client::new(options)?;
    match command {
        ArtifactCommand::List(arguments) => {
            let project = options.project()?;
            let kind = arguments.kind.as_deref().map(str::parse::<Kind>).transpose()?;
            let mut query = vec![("limit", arguments.limit.to_string())];
            query.extend(kind.map(|kind| ("kind", kind.to_string())));
            query.extend(arguments.name.map(|name| ("name", name)));
            let path = format!("/api/v1/projects/{project}/artifacts");
            let artifacts: Vec<Descriptor> = client.get(&path, &query).await?;
            eprintln!("Artifacts of the project {project}, newest first, at most {}:", arguments.limit);
            options.output.print(&artifacts, |artifacts| {
                let mut rows = Rows::new(&["Address", "Name", "Created", "Origin"]);
                for artifact in artifacts {
                    let name = artifact.name.to_string();
                    rows.push([artifact.address.short(), name, moment(artifact.created), origin(&artifact.origin)]);
                }
                rows
            })?;
        }
        ArtifactCommand::Show { address } => {
            let artifact = find(&client, options, &address).await?;
            options.output.print(&artifact, show)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(client: &Client, options: &Options, text: &str) -> anyhow::Result<Descriptor> {
    let address = read_address(options, text)?;
    Ok(client.get("/api/v1/artifact", &[("address", address.to_string())]).await?)
}

/// A full address needs no chosen project; `model/<id>` and the like are short for one inside it.
fn read_address(options: &Options, text: &str) -> anyhow::Result<Address> {
    if text.contains("://") {
        return Ok(text.parse()?);
    }
    let (scheme, rest) = text.split_once('/').unwrap_or(("code", text));
    match Kind::from_scheme(scheme) {
        Some(kind) => Ok(Address::parse_in(rest, kind, &options.project()?)?),
        None => Ok(Address::parse_in(text, Kind::Codeset, &options.project()?)?),
    }
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Push { reference, subject } => format!("pushed to {reference}: {subject}"),
        Origin::Run { run, step } => format!("{run} {step}"),
    }
}

fn show(artifact: &Descriptor) -> Rows {
    let mut rows = Rows::new(&["Property", "Value"]);
    let mut row = |name: &str, value: String| rows.push([name.to_owned(), value]);
    row("address", artifact.address.to_string());
    row("kind", artifact.kind().to_string());
    row("name", artifact.name.to_string());
    row("created", moment(artifact.created));
    row("origin", origin(&artifact.origin));
    row("contents", artifact.location.uri.clone());
    row(
        "store",
        match &artifact.store {
            Store::BuiltIn => "built in".to_owned(),
            Store::Extension { instance, id } => format!("{instance}: {id}"),
        },
    );
    if let Some(digest) = &artifact.digest {
        row("digest", digest.to_string());
    }
    for (name, value) in &artifact.metrics {
        row(&format!("metric {name}"), value.to_string());
    }
    for (name, value) in &artifact.attributes {
        row(name, shortened(value));
    }
    if let Some(runnable) = &artifact.runnable {
        row("command", runnable.command.join(" "));
        for (name, parameter) in &runnable.parameters {
            let default = parameter.default.as_ref().map(|default| format!(", {default} if not given"));
            row(&format!("parameter {name}"), format!("{}{}", parameter.value_type, default.unwrap_or_default()));
        }
        for (name, slot) in &runnable.inputs {
            row(&format!("input {name}"), slot.kind.to_string());
        }
        for (name, slot) in &runnable.outputs {
            row(&format!("output {name}"), slot.kind.to_string());
        }
    }
    rows
}

/// A signature of a hundred columns belongs into `-o json`.
fn shortened(value: &str) -> String {
    const SHOWN: usize = 100;
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

pub(crate) async fn lineage(arguments: LineageArguments, options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client::new(options)?;
    let address = read_address(options, &arguments.address)?;
    let mut query = vec![("address", address.to_string())];
    query.extend(arguments.depth.map(|depth| ("depth", depth.to_string())));
    let lineage: Lineage = client.get("/api/v1/lineage", &query).await?;
    options.output.print(&lineage, graph)?;
    if lineage.is_cut {
        eprintln!("There is more than is shown.");
    }
    Ok(ExitCode::SUCCESS)
}

/// One row a step, from the oldest ancestor to the newest descendant.
fn graph(lineage: &Lineage) -> Rows {
    let mut rows = Rows::new(&["Run", "Step", "Used", "Made", "Through"]);
    let mut steps: BTreeMap<(i64, String, Name), [Vec<String>; 2]> = BTreeMap::new();
    let mut through: BTreeMap<(i64, String, Name), BTreeSet<String>> = BTreeMap::new();
    for edge in &lineage.edges {
        let Some(run) = lineage.runs.iter().find(|run| run.id.to_string() == edge.run) else { continue };
        let Ok(step) = edge.step.parse::<Name>() else { continue };
        let url = run.step(&step).and_then(|step| step.outputs.get("url")).map(|url| format!("url: {}", url.shown()));
        let calls = lineage.calls.iter().filter(|calls| calls.artifact == edge.artifact);
        let names = calls.map(|calls| format!("{} {}: {}", calls.extension, calls.version, calls.component));
        through.entry((edge.distance, run.label(), step.clone())).or_default().extend(names);
        let cells =
            steps.entry((edge.distance, run.label(), step)).or_insert_with(|| [Vec::new(), url.into_iter().collect()]);
        let shown = edge.artifact.parse::<Address>().map_or_else(|_| edge.artifact.clone(), |address| address.short());
        let mark = if edge.artifact == lineage.artifact.to_string() { " *" } else { "" };
        cells[usize::from(edge.role == "made")].push(format!("{}: {shown}{mark}", edge.slot));
    }
    for (key, [used, made]) in steps {
        let through: Vec<String> = through.remove(&key).into_iter().flatten().collect();
        let (_, run, step) = key;
        rows.push([run, step.to_string(), used.join("\n"), made.join("\n"), through.join("\n")]);
    }
    rows
}
