//! `fuseml pipeline update` and `history`: what becomes of a pipeline, and what it was.

use super::{agents, event_start, read_concurrency, read_pause, texts, watched};
use crate::{
    Options,
    client::Client,
    command::{artifact::person, pairs, parameters},
    output::{Rows, moment},
};
use clap::Args;
use fuseml_domain::{Concurrency, Error, Name, Pipeline, Schedule, Starts};
use fuseml_server::PipelineUpdate;
use reqwest::Method;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Args)]
pub(crate) struct UpdateArguments {
    pipeline: String,
    /// The template that it moves to: its name, or a file of your own
    #[arg(long)]
    template: Option<String>,
    /// What an input takes from now on
    #[arg(long = "input", value_name = "NAME=SELECTOR")]
    inputs: Vec<String>,
    /// A parameter of a step's runnable
    #[arg(long = "param", value_name = "STEP.NAME=VALUE")]
    parameters: Vec<String>,
    /// A parameter that is again what the runnable says
    #[arg(long = "no-param", value_name = "STEP.NAME")]
    unset: Vec<String>,
    /// What is watched, instead of all that was
    #[arg(long, value_name = "INPUT=GLOB|CHANGE")]
    watch: Vec<String>,
    /// Start with whatever its inputs select
    #[arg(long, conflicts_with = "watch")]
    no_watch: bool,
    /// Start by the clock, such as '0 3 * * MON-FRI Europe/Berlin'; `none` to do so no more
    #[arg(long, value_name = "CRON ZONE|none")]
    schedule: Option<String>,
    /// Start with events of this type, instead of those that did; `none` with no event any more
    #[arg(long, value_name = "TYPE|none")]
    on: Vec<String>,
    /// The value that an input takes of the event, such as alpha=data.alpha
    #[arg(long, value_name = "INPUT=FIELD", requires = "on")]
    on_value: Vec<String>,
    /// Wait so long after a start, such as 30s; `none` to begin at once again
    #[arg(long, value_name = "TIME|none")]
    debounce: Option<String>,
    /// Start by itself at most so often, such as 10/1h; `none` as often as it may
    #[arg(long, value_name = "RUNS/TIME|none")]
    at_most: Option<String>,
    /// What becomes of a start while an earlier run is open: parallel, queue, replace or skip
    #[arg(long, value_parser = read_concurrency)]
    concurrency: Option<Concurrency>,
    /// Run jobs on the engine of this extension's instance: all that go nowhere yet, or one step's; `STEP=none` brings one
    /// back to the server
    #[arg(long = "agent", value_name = "[STEP=]INSTANCE|zone:ZONE")]
    agents: Vec<String>,
    /// Make it again what it was in this version
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["template", "inputs", "parameters", "unset", "watch", "no_watch", "schedule", "on", "debounce", "at_most", "concurrency", "agents"])]
    as_version: Option<u32>,
    /// A line for whoever reads its history
    #[arg(long)]
    reason: Option<String>,
}

pub(super) async fn update(client: &Client, project: &Name, arguments: UpdateArguments) -> anyhow::Result<()> {
    let name: Name = arguments.pipeline.parse()?;
    let path = format!("/api/v1/projects/{project}/pipelines/{name}");
    let before: Pipeline = client.get(&path, &[]).await?;
    let starts = starts(&before.starts, &arguments)?;
    let (agent, agents) = agents(&arguments.agents)?;
    let (text, parts) = arguments.template.as_deref().map(texts).transpose()?.unwrap_or_default();
    let request = PipelineUpdate {
        of_version: before.version,
        template: arguments.template,
        text,
        parts,
        as_version: arguments.as_version,
        inputs: pairs(&arguments.inputs, "an input")?,
        parameters: parameters(&arguments.parameters)?,
        unset: unset(&arguments.unset)?,
        starts,
        agent,
        agents: agents
            .into_iter()
            .map(|(step, agent)| (step, Some(agent).filter(|agent| agent.to_string() != "none")))
            .collect(),
        by: person(),
        reason: arguments.reason,
    };
    let after: Pipeline = client.send(Method::PATCH, &path, &request).await?;
    if after.version == before.version {
        eprintln!("{name} of {project} is so already; it stays version {}.", after.version);
        return Ok(());
    }
    eprintln!("{name} of {project} is version {} now:", after.version);
    for difference in after.differences(&before) {
        eprintln!("  {difference}");
    }
    Ok(())
}

/// `STEP.NAME`, by step.
fn unset(arguments: &[String]) -> anyhow::Result<BTreeMap<Name, BTreeSet<String>>> {
    let mut by_step = BTreeMap::<_, BTreeSet<_>>::new();
    for argument in arguments {
        let (step, parameter) = argument.split_once('.').ok_or_else(|| {
            let message = format!("`{argument}` does not say whose parameter it is; write step.parameter");
            Error::invalid("argument", message)
        })?;
        by_step.entry(step.parse()?).or_default().insert(parameter.to_owned());
    }
    Ok(by_step)
}

/// When it starts from now on, if anything is said of that.
fn starts(before: &Starts, arguments: &UpdateArguments) -> anyhow::Result<Option<Starts>> {
    let mut starts = before.clone();
    if arguments.no_watch {
        starts.watch.clear();
    } else if !arguments.watch.is_empty() {
        starts.watch = watched(&arguments.watch)?;
    }
    match arguments.schedule.as_deref() {
        Some("none") => starts.schedule = None,
        Some(text) => starts.schedule = Some(text.parse::<Schedule>()?),
        None => {}
    }
    match arguments.on.as_slice() {
        [] => {}
        [none] if none == "none" => starts.events = None,
        on => starts.events = event_start(on, &arguments.on_value)?,
    }
    match arguments.debounce.as_deref() {
        Some("none") => starts.debounce = None,
        Some(text) => starts.debounce = Some(read_pause(text)?),
        None => {}
    }
    match arguments.at_most.as_deref() {
        Some("none") => starts.quota = None,
        Some(text) => starts.quota = Some(text.parse()?),
        None => {}
    }
    starts.concurrency = arguments.concurrency.unwrap_or(starts.concurrency);
    Ok((starts != *before).then_some(starts))
}

/// What a pipeline was and is.
pub(super) async fn history(client: &Client, project: &Name, name: &Name, options: &Options) -> anyhow::Result<()> {
    let path = format!("/api/v1/projects/{project}/pipelines/{name}/versions");
    let versions: Vec<Pipeline> = client.get(&path, &[]).await?;
    eprintln!("Versions of the pipeline {name} of {project}, newest first:");
    options.output.print(&versions, |versions| {
        let mut rows = Rows::new(&["Version", "Since", "By", "What changed"]);
        for (number, version) in versions.iter().enumerate().rev() {
            let before = number.checked_sub(1).and_then(|before| versions.get(before));
            let changed = before.map_or_else(|| vec!["it was added".to_owned()], |before| version.differences(before));
            let edited = version.edited.as_ref();
            let why = edited.and_then(|edited| edited.reason.as_ref()).map(|reason| format!("({reason})"));
            rows.push([
                version.version.to_string(),
                moment(edited.map_or(version.created, |edited| edited.at)),
                edited.map(|edited| edited.by.clone()).unwrap_or_default(),
                changed.into_iter().chain(why).collect::<Vec<_>>().join("\n"),
            ]);
        }
        rows
    })
}
