//! `fuseml pipeline`.

mod plan;
mod suggest;
mod update;

pub(super) use plan::print_push;

use crate::{
    Options,
    client::Client,
    command::{
        interval, pairs, parameters,
        template::{is_file, read_files, steps},
    },
    output::{Format, Rows},
};
use clap::{Args, Subcommand};
use fuseml_domain::{
    Binding, Concurrency, Connection, Descriptor, Error, EventStart, InstanceChoice, Name, Pipeline, Provider, Quota,
    Run, RunState, Starts, Template,
};
use fuseml_server::{PipelineRequest, TemplateView};
use reqwest::Method;
use serde_json::json;
use std::{collections::BTreeMap, process::ExitCode, time::Duration};

#[derive(Subcommand)]
pub(crate) enum PipelineCommand {
    /// Attach a template to the project, started by the artifacts that its inputs select
    Add(AddArguments),
    /// Add what makes a model or a service of a codeset, of what is installed
    Create(suggest::CreateArguments),
    /// Find chains of templates and runnables from what there is to what is wanted
    Suggest(suggest::SuggestArguments),
    /// Show the project's pipelines
    List,
    /// Show a pipeline's inputs, steps and what its steps take
    Show { name: String },
    /// Change a pipeline: move it to another template, or give it other inputs, parameters or starts
    Update(update::UpdateArguments),
    /// Show what a pipeline was and is, and who changed it
    History { name: String },
    /// Say what a run would do now, and do nothing
    Plan(plan::PlanArguments),
    /// Let nothing start a pipeline until it thaws
    Freeze {
        name: String,
        /// A line for whoever wonders why it does not start
        #[arg(long)]
        reason: String,
    },
    /// Let a pipeline start again
    Thaw { name: String },
    /// Detach a pipeline; its runs and what they made stay
    Remove { name: String },
    /// Show what pipelines made of what
    #[command(subcommand)]
    Results(ResultsCommand),
}

#[derive(Args)]
pub(crate) struct AddArguments {
    /// A template's name, or a file of your own
    template: String,
    /// The pipeline's name
    #[arg(long)]
    name: String,
    /// What an input takes: a selector such as 'code://*', or a value
    #[arg(long = "input", value_name = "NAME=SELECTOR")]
    inputs: Vec<String>,
    /// A parameter of a step's runnable
    #[arg(long = "param", value_name = "STEP.NAME=VALUE")]
    parameters: Vec<String>,
    /// Start only when a file changed that this matches; of another artifact, when this attribute did, or a metric by so
    /// much, such as 'model=accuracy rises by 0.01'; more than once for more
    #[arg(long, value_name = "INPUT=GLOB|CHANGE")]
    watch: Vec<String>,
    /// Start also by the clock: five cron fields and a time zone, such as '0 3 * * MON-FRI Europe/Berlin'
    #[arg(long, value_name = "CRON ZONE")]
    schedule: Option<String>,
    /// What becomes of a start while an earlier run is open: parallel, queue, replace or skip
    #[arg(long, default_value = "parallel", value_parser = read_concurrency)]
    concurrency: Concurrency,
    /// Start also with events of this type, such as com.example.labelled or 'com.example.*'
    #[arg(long, value_name = "TYPE")]
    on: Vec<String>,
    /// The value that an input takes of the event, such as alpha=data.alpha
    #[arg(long, value_name = "INPUT=FIELD", requires = "on")]
    on_value: Vec<String>,
    /// Wait so long after a start, such as 30s, and give it up for a later one of its like
    #[arg(long, value_name = "TIME", value_parser = read_pause)]
    debounce: Option<Duration>,
    /// Start by itself at most so often, such as 10/1h
    #[arg(long, value_name = "RUNS/TIME")]
    at_most: Option<Quota>,
    /// Run jobs on the engine of this extension's instance, or of the one in a zone (`zone:eu`): all, or one step's
    #[arg(long = "agent", value_name = "[STEP=]INSTANCE|zone:ZONE")]
    agents: Vec<String>,
}

/// Which events start it, if any do.
fn event_start(on: &[String], values: &[String]) -> anyhow::Result<Option<EventStart>> {
    if on.is_empty() {
        return Ok(None);
    }
    let types = on.iter().map(|text| text.parse()).collect::<fuseml_domain::Result<_>>()?;
    let values = pairs(values, "a value")?.into_iter().map(|(input, field)| Ok((input.parse()?, field)));
    Ok(Some(EventStart { types, values: values.collect::<fuseml_domain::Result<_>>()? }))
}

fn read_pause(text: &str) -> fuseml_domain::Result<Duration> {
    let pause = interval(text)?;
    Duration::try_from(pause).map_err(|_| Error::invalid("argument", format!("`{text}` is no time to wait")))
}

fn read_concurrency(text: &str) -> Result<Concurrency, String> {
    serde_json::from_value(text.into()).map_err(|_| "write parallel, queue, replace or skip".to_owned())
}

#[derive(Subcommand)]
pub(crate) enum ResultsCommand {
    /// Runs with their inputs and outputs
    Show(ResultsArguments),
}

#[derive(Args)]
pub(crate) struct ResultsArguments {
    /// Only runs started by the newest version of each codeset
    #[arg(long)]
    current_code: bool,
    /// Also runs started by what those runs made, and so on
    #[arg(long)]
    recursive: bool,
    /// At most so many runs
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

pub(crate) async fn execute(command: PipelineCommand, options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client::new(options)?;
    let project = options.project()?;
    match command {
        PipelineCommand::Add(arguments) => add(&client, &project, arguments).await?,
        PipelineCommand::Create(arguments) => suggest::create(&client, &project, arguments).await?,
        PipelineCommand::Suggest(arguments) => suggest::suggest(&client, &project, arguments, options).await?,
        PipelineCommand::List => {
            eprintln!("Pipelines of the project {project}:");
            let pipelines: Vec<Pipeline> = client.get(&format!("/api/v1/projects/{project}/pipelines"), &[]).await?;
            options.output.print(&pipelines, |pipelines| list(pipelines))?;
        }
        PipelineCommand::Show { name } => show(&client, &project, &name.parse()?, options).await?,
        PipelineCommand::Update(arguments) => update::update(&client, &project, arguments).await?,
        PipelineCommand::History { name } => update::history(&client, &project, &name.parse()?, options).await?,
        PipelineCommand::Plan(arguments) => plan::plan(&client, &project, arguments, options).await?,
        PipelineCommand::Freeze { name, reason } => {
            let name: Name = name.parse()?;
            let path = format!("/api/v1/projects/{project}/pipelines/{name}/frozen");
            client.call(client.request(Method::PUT, &path).json(&json!({"reason": reason}))).await?;
            eprintln!("Nothing starts {name} of {project} now; what comes meanwhile starts nothing later either.");
        }
        PipelineCommand::Thaw { name } => {
            let name: Name = name.parse()?;
            let path = format!("/api/v1/projects/{project}/pipelines/{name}/frozen");
            client.call(client.request(Method::DELETE, &path)).await?;
            eprintln!("{name} of {project} starts again with what comes next.");
        }
        PipelineCommand::Remove { name } => {
            let name: Name = name.parse()?;
            let path = format!("/api/v1/projects/{project}/pipelines/{name}");
            client.call(client.request(Method::DELETE, &path)).await?;
            eprintln!("The pipeline {name} is detached from {project}.");
        }
        PipelineCommand::Results(ResultsCommand::Show(arguments)) => {
            let runs = results(&client, &project, &arguments).await?;
            eprintln!("{}", scope(&project, &arguments));
            options.output.print(&runs, |runs| table(runs))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(client: &Client, project: &Name, arguments: AddArguments) -> anyhow::Result<()> {
    let watch = watched(&arguments.watch)?;
    let (agent, agents) = agents(&arguments.agents)?;
    let schedule = arguments.schedule.map(|text| text.parse()).transpose()?;
    let events = event_start(&arguments.on, &arguments.on_value)?;
    let (debounce, quota) = (arguments.debounce, arguments.at_most);
    let starts = Starts { watch, schedule, concurrency: arguments.concurrency, events, debounce, quota };
    let (text, parts) = texts(&arguments.template)?;
    let request = PipelineRequest {
        text,
        parts,
        template: arguments.template,
        name: arguments.name.parse()?,
        inputs: pairs(&arguments.inputs, "an input")?,
        parameters: parameters(&arguments.parameters)?,
        starts,
        agent,
        agents,
    };
    let pipeline: Pipeline =
        client.send(Method::POST, &format!("/api/v1/projects/{project}/pipelines"), &request).await?;
    say_added(project, &pipeline);
    Ok(())
}

/// What is sent of a template: nothing of an installed one, a file of one's own with its parts.
fn texts(template: &str) -> anyhow::Result<(Option<String>, BTreeMap<String, String>)> {
    if !is_file(template) {
        return Ok((None, BTreeMap::new()));
    }
    let (text, parts) = read_files(template)?;
    Ok((Some(text), parts))
}

/// `INPUT=GLOB|CHANGE`, by input.
fn watched(arguments: &[String]) -> anyhow::Result<BTreeMap<Name, Vec<String>>> {
    let mut watch = BTreeMap::<Name, Vec<String>>::new();
    for argument in arguments {
        for (input, glob) in pairs(std::slice::from_ref(argument), "something to watch")? {
            watch.entry(input.parse()?).or_default().push(glob);
        }
    }
    Ok(watch)
}

/// `INSTANCE` for all jobs, and `STEP=INSTANCE` for one.
fn agents(arguments: &[String]) -> anyhow::Result<(Option<InstanceChoice>, BTreeMap<Name, InstanceChoice>)> {
    let (of_steps, of_all): (Vec<_>, Vec<_>) = arguments.iter().cloned().partition(|agent| agent.contains('='));
    let agents = pairs(&of_steps, "an agent")?.into_iter().map(|(step, agent)| Ok((step.parse()?, agent.parse()?)));
    let agent = match of_all.as_slice() {
        [] => None,
        [one] => Some(one.parse()?),
        _ => anyhow::bail!(Error::invalid("argument", "all jobs have one agent; write step=agent for others")),
    };
    Ok((agent, agents.collect::<fuseml_domain::Result<_>>()?))
}

fn say_added(project: &Name, pipeline: &Pipeline) {
    let mut starts: Vec<_> = pipeline.inputs.values().filter_map(selector).collect();
    if let Some(schedule) = &pipeline.starts.schedule {
        let next = schedule.next(jiff::Timestamp::now()).map(|next| schedule.shown(next)).unwrap_or_default();
        starts.push(format!("the clock, next at {next}"));
    }
    starts.extend(pipeline.starts.events.iter().map(events));
    if starts.is_empty() {
        starts.push(format!("`fuseml run start {}`", pipeline.name));
    }
    eprintln!("{project} has the pipeline {}, started by {}.", pipeline.name, starts.join(" and "));
    for Connection { step, input, from } in &pipeline.connections {
        eprintln!("  {step} takes {input} from {from}, which alone fits");
    }
}

/// Who brings the template now, if that is another version than the one that brought it.
async fn installed(client: &Client, template: &Template, was: Option<&Provider>) -> anyhow::Result<Option<Provider>> {
    let Some(was) = was else { return Ok(None) };
    let installed: Vec<TemplateView> = client.get("/api/v1/templates", &[]).await?;
    let now = installed.into_iter().find(|it| it.template.name == template.name && it.extension == was.extension);
    let now = now.map(|it| Provider { extension: it.extension, version: it.version });
    Ok(now.filter(|now| now != was))
}

async fn show(client: &Client, project: &Name, name: &Name, options: &Options) -> anyhow::Result<()> {
    let pipeline: Pipeline = client.get(&format!("/api/v1/projects/{project}/pipelines/{name}"), &[]).await?;
    let is_table = options.output == Format::Table;
    let Pipeline { template, provider, connections, .. } = &pipeline;
    if is_table {
        let of = provider.as_ref().map(|provider| format!(" of {provider}")).unwrap_or_default();
        eprintln!("{name} of {project}, from the template {}{of}: {}", template.name, template.description);
        if let Some(newer) = installed(client, template, provider.as_ref()).await? {
            eprintln!(
                "{newer} is installed by now: `fuseml pipeline update {name} --template {}` moves to its template.",
                template.name
            );
        }
    }
    options.output.print(&pipeline, |it| format!("{}\n{}", list(std::slice::from_ref(it)), steps(template)))?;
    for Connection { step, input, from } in connections.iter().filter(|_| is_table) {
        eprintln!("{step} takes {input} from {from}, which alone fits.");
    }
    Ok(())
}

fn events(start: &EventStart) -> String {
    let types: Vec<_> = start.types.iter().map(ToString::to_string).collect();
    format!("events {}", types.join(" or "))
}

fn selector(binding: &Binding) -> Option<String> {
    match binding {
        Binding::Selector(selector) => Some(selector.to_string()),
        Binding::Value(_) => None,
    }
}

fn list(pipelines: &[Pipeline]) -> Rows {
    let mut rows = Rows::new(&["Pipeline", "Template", "Inputs", "Starts"]);
    for pipeline in pipelines {
        let inputs: Vec<_> = pipeline
            .inputs
            .iter()
            .map(|(name, binding)| match binding {
                Binding::Selector(selector) => format!("{name}: {selector}"),
                Binding::Value(value) => format!("{name}: {value}"),
            })
            .collect();
        let frozen = pipeline.frozen().map(|freeze| format!("\n(frozen: {})", freeze.reason));
        let name = frozen.fold(pipeline.name.to_string(), |name, why| name + &why);
        rows.push([name, pipeline.template.name.to_string(), inputs.join("\n"), starts(pipeline)]);
    }
    rows
}

/// When it starts, beside what its inputs select.
fn starts(pipeline: &Pipeline) -> String {
    let Starts { watch, schedule, concurrency, events: on, debounce, quota } = &pipeline.starts;
    let watch = watch.iter().map(|(input, globs)| format!("{input} changed in {}", globs.join(" or ")));
    let schedule = schedule.iter().map(|schedule| format!("at {schedule}"));
    let concurrency = match concurrency {
        Concurrency::Parallel => None,
        Concurrency::Queue => Some("one after the other"),
        Concurrency::Replace => Some("the newest alone"),
        Concurrency::Skip => Some("unless it runs"),
    };
    let on = on.iter().map(|start| format!("on {}", events(start)));
    let debounce = debounce.map(|pause| format!("{pause:?} after the last start of its like"));
    let quota = quota.map(|quota| format!("at most {quota}"));
    watch
        .chain(schedule)
        .chain(on)
        .chain(debounce)
        .chain(quota)
        .chain(concurrency.map(ToOwned::to_owned))
        .collect::<Vec<_>>()
        .join("\n")
}

async fn results(client: &Client, project: &Name, arguments: &ResultsArguments) -> anyhow::Result<Vec<Run>> {
    let path = format!("/api/v1/projects/{project}/runs");
    let limit = ("limit", arguments.limit.to_string());
    if !arguments.current_code {
        let mut runs: Vec<Run> = client.get(&path, &[limit]).await?;
        runs.reverse();
        return Ok(runs);
    }
    let mut found = Vec::new();
    let codesets: Vec<Descriptor> = client.get(&format!("/api/v1/projects/{project}/codesets"), &[]).await?;
    for codeset in codesets {
        let mut runs: Vec<Run> = client.get(&path, &[("root", codeset.address.to_string()), limit.clone()]).await?;
        runs.reverse();
        runs.retain(|run| arguments.recursive || run.cause.chain.is_empty());
        found.extend(runs);
    }
    Ok(found)
}

fn scope(project: &Name, arguments: &ResultsArguments) -> String {
    let which = match (arguments.current_code, arguments.recursive) {
        (true, true) => "started by the newest code, directly or through results",
        (true, false) => "started by the newest code itself",
        (false, _) => "of any code",
    };
    format!("Runs of the project {project}, {which}:")
}

fn table(runs: &[Run]) -> Rows {
    let mut rows = Rows::new(&["Pipeline/Run", "Inputs", "Outputs"]);
    for run in runs {
        let inputs: Vec<_> = run
            .inputs
            .iter()
            .map(|(name, input)| {
                let mark = if input.is_default { " (default)" } else { "" };
                format!("{name}: {}{mark}", input.value.shown())
            })
            .collect();
        let mut outputs: Vec<_> =
            run.outputs.iter().map(|(name, value)| format!("{name}: {}", value.shown())).collect();
        if run.state != RunState::Succeeded {
            outputs.push(format!("({})", run.state));
        }
        rows.push([run.label(), inputs.join("\n"), outputs.join("\n")]);
    }
    rows
}
