//! `fuseml lineage`: where an artifact comes from, and what came of it.

use super::artifact::read_address;
use crate::{Options, client::Client, output::Rows};
use clap::{Args, ValueEnum};
use fuseml_catalog::Lineage;
use fuseml_domain::{Address, Name};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

#[derive(Args)]
pub(crate) struct LineageArguments {
    address: String,
    /// So many steps far, up and down; all that is connected if not given
    #[arg(long, value_name = "STEPS")]
    depth: Option<u32>,
    /// Say it as OpenLineage events, in JSON
    #[arg(long, conflicts_with = "graph")]
    openlineage: bool,
    /// Draw it, for Graphviz (`dot`) or Mermaid
    #[arg(long, value_enum)]
    graph: Option<Drawing>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Drawing {
    Dot,
    Mermaid,
}

pub(crate) async fn lineage(arguments: LineageArguments, options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client::new(options)?;
    let address = read_address(options, &arguments.address)?;
    let mut query = vec![("address", address.to_string())];
    query.extend(arguments.depth.map(|depth| ("depth", depth.to_string())));
    if arguments.openlineage {
        let events: Vec<serde_json::Value> = client.get("/api/v1/lineage/openlineage", &query).await?;
        crate::output::print(&(serde_json::to_string_pretty(&events)? + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let lineage: Lineage = client.get("/api/v1/lineage", &query).await?;
    match arguments.graph {
        Some(drawing) => crate::output::print(&drawing.of(&lineage))?,
        None => options.output.print(&lineage, table)?,
    }
    if lineage.is_cut {
        eprintln!("There is more than is shown.");
    }
    Ok(ExitCode::SUCCESS)
}

/// One row a step, from the oldest ancestor to the newest descendant.
fn table(lineage: &Lineage) -> Rows {
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
        let reused = if edge.role == "reused" { " (reused)" } else { "" };
        cells[usize::from(edge.role != "used")].push(format!("{}: {shown}{reused}{mark}", edge.slot));
    }
    for (key, [used, made]) in steps {
        let through: Vec<String> = through.remove(&key).into_iter().flatten().collect();
        let (_, run, step) = key;
        rows.push([run, step.to_string(), used.join("\n"), made.join("\n"), through.join("\n")]);
    }
    rows
}

impl Drawing {
    /// Artifacts and steps, with arrows from what was used to what was made.
    fn of(self, lineage: &Lineage) -> String {
        let mut nodes: BTreeMap<String, (String, bool)> = BTreeMap::new();
        let mut arrows = BTreeSet::new();
        for edge in &lineage.edges {
            let run = lineage.runs.iter().find(|run| run.id.to_string() == edge.run);
            let step = format!("{}/{}", run.map_or_else(|| edge.run.clone(), |run| run.label()), edge.step);
            let shown = edge.artifact.parse::<Address>().map_or_else(|_| edge.artifact.clone(), |it| it.short());
            nodes.insert(edge.artifact.clone(), (shown, false));
            nodes.insert(step.clone(), (step.clone(), true));
            let (from, to) = if edge.role == "used" { (&edge.artifact, &step) } else { (&step, &edge.artifact) };
            arrows.insert((from.clone(), to.clone(), edge.slot.clone()));
        }
        let number: BTreeMap<&String, usize> = nodes.keys().enumerate().map(|(number, name)| (name, number)).collect();
        // Names and slots come from people: quotes would end the label.
        let plain = |text: &str| text.replace(['"', '\\', '\n', '`'], " ");
        let mut text = match self {
            Self::Dot => "digraph lineage {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n".to_owned(),
            Self::Mermaid => "flowchart LR\n".to_owned(),
        };
        for (name, (shown, is_step)) in &nodes {
            let (at, shown) = (number[name], plain(shown));
            text += &match (self, is_step) {
                (Self::Dot, true) => format!("  n{at} [label=\"{shown}\", shape=box];\n"),
                (Self::Dot, false) => format!("  n{at} [label=\"{shown}\", shape=oval];\n"),
                (Self::Mermaid, true) => format!("  n{at}[\"{shown}\"]\n"),
                (Self::Mermaid, false) => format!("  n{at}([\"{shown}\"])\n"),
            };
        }
        for (from, to, slot) in &arrows {
            let (from, to, slot) = (number[from], number[to], plain(slot));
            text += &match self {
                Self::Dot => format!("  n{from} -> n{to} [label=\"{slot}\"];\n"),
                Self::Mermaid => format!("  n{from} -->|\"{slot}\"| n{to}\n"),
            };
        }
        if matches!(self, Self::Dot) {
            text += "}\n";
        }
        text
    }
}
