//! `fuseml run` and `fuseml service`.

mod explain;
mod tell;

use crate::{
    Options,
    client::Client,
    command::{
        artifact::person,
        graph::{Notation, draw},
        pairs, parameters, watch,
    },
    output::{Rows, elapsed, moment, print},
};
use clap::{Args, Subcommand};
use explain::Explanation;
use fuseml_domain::{Error, LogChunk, Name, Reuse, Run, RunCommand as Told, StepRun, StepState, WaitsFor};
use fuseml_server::{RunRequest, ServiceView};
use jiff::Timestamp;
use reqwest::Method;
use std::{process::ExitCode, time::Duration};
use tell::{PauseArguments, RerunArguments, ResumeArguments, StepArguments, SwapArguments};

#[derive(Subcommand)]
pub(crate) enum RunCommand {
    /// Start a pipeline by hand, with other inputs or parameters where given
    Start(StartArguments),
    /// Show the project's runs, newest first
    List(ListArguments),
    /// Show one run and its steps
    Show { run: String },
    /// Print the log of a run's steps
    Logs(LogsArguments),
    /// Follow a run until nothing of it runs any more
    Watch { run: String },
    /// Say why: what started it, what each step reused or did anew, who told it what
    Explain { run: String },
    /// Draw its steps and how they stand
    Graph {
        run: String,
        #[arg(long, value_enum, default_value_t = Notation::Mermaid)]
        notation: Notation,
    },
    /// Begin nothing more of a run; what runs goes on
    Pause(PauseArguments),
    /// Let a paused run go on, or one that failed where it failed
    Resume(ResumeArguments),
    /// Let one step of a paused run go on
    Step(StepArguments),
    /// Do what failed again, or one step, and all that follows from it
    Retry(StepArguments),
    /// Let a run go on that asks for it
    Approve(StepArguments),
    /// End a run that asks whether it may go on
    Reject(StepArguments),
    /// Let a step that did not begin, or failed, use another runnable or other parameters
    Swap(SwapArguments),
    /// Start a run with the same inputs and parameters again
    Rerun(RerunArguments),
    /// End a run and what it started
    Cancel(PauseArguments),
}

#[derive(Args)]
pub(crate) struct StartArguments {
    pipeline: String,
    /// An artifact for an input
    #[arg(long = "input", value_name = "NAME=ADDRESS|VALUE")]
    inputs: Vec<String>,
    /// A parameter of a step's runnable
    #[arg(long = "param", value_name = "STEP.NAME=VALUE")]
    parameters: Vec<String>,
    /// Whether earlier results are taken: on, off, or refresh to make them anew for later runs
    #[arg(long, value_name = "on|off|refresh", value_parser = read_reuse)]
    reuse: Option<Reuse>,
    /// Begin nothing until `run step` or `run resume`
    #[arg(long)]
    paused: bool,
    /// Show what runs until nothing does any more
    #[arg(long)]
    wait: bool,
}

fn read_reuse(text: &str) -> Result<Reuse, String> {
    serde_json::from_value(text.into()).map_err(|_| "write on, off or refresh".to_owned())
}

#[derive(Args)]
pub(crate) struct ListArguments {
    #[arg(long)]
    pipeline: Option<String>,
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

#[derive(Args)]
pub(crate) struct LogsArguments {
    run: String,
    /// Only of this step
    #[arg(long)]
    step: Option<String>,
    /// Go on until the step has ended
    #[arg(long, short)]
    follow: bool,
}

#[derive(Subcommand)]
pub(crate) enum ServiceCommand {
    /// Show the project's services
    List,
}

/// `<pipeline>/<number>`.
struct Label {
    pipeline: Name,
    number: u64,
}

impl Label {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let parts = text.rsplit_once('/').and_then(|(pipeline, number)| Some((pipeline, number.parse().ok()?)));
        let (pipeline, number) = parts.ok_or_else(|| {
            Error::invalid(
                "run",
                format!("`{text}` is not a run; write <pipeline>/<number> such as training-pipeline/1"),
            )
        })?;
        Ok(Self { pipeline: pipeline.parse()?, number })
    }

    fn path(&self, project: &Name) -> String {
        format!("/api/v1/projects/{project}/runs/{}/{}", self.pipeline, self.number)
    }
}

pub(crate) async fn execute(command: RunCommand, options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client::new(options)?;
    let project = options.project()?;
    match command {
        RunCommand::Start(arguments) => return start(&client, &project, arguments).await,
        RunCommand::List(arguments) => {
            let mut query = vec![("limit", arguments.limit.to_string())];
            query.extend(arguments.pipeline.map(|pipeline| ("pipeline", pipeline)));
            let runs: Vec<Run> = client.get(&format!("/api/v1/projects/{project}/runs"), &query).await?;
            eprintln!("Runs of the project {project}, newest first, at most {}:", arguments.limit);
            options.output.print(&runs, list)?;
        }
        RunCommand::Show { run } => {
            let run: Run = client.get(&Label::parse(&run)?.path(&project), &[]).await?;
            if options.output == crate::output::Format::Table {
                eprintln!("{} {}: {}", run.label(), standing(&run), run.cause.reason);
            }
            options.output.print(&run, steps)?;
        }
        RunCommand::Logs(arguments) => logs(&client, &project, arguments).await?,
        RunCommand::Watch { run } => {
            let run: Run = client.get(&Label::parse(&run)?.path(&project), &[]).await?;
            return watch::run_to_its_end(&client, &project, &run).await;
        }
        RunCommand::Explain { run } => {
            let run: Run = client.get(&Label::parse(&run)?.path(&project), &[]).await?;
            options.output.print(&run, |run| Explanation(run).to_string())?;
        }
        RunCommand::Graph { run, notation } => {
            let run: Run = client.get(&Label::parse(&run)?.path(&project), &[]).await?;
            print(&draw(&run.template, Some(&run), notation))?;
        }
        RunCommand::Pause(arguments) => return tell::pause(&client, &project, arguments).await,
        RunCommand::Resume(arguments) => return tell::resume(&client, &project, arguments).await,
        RunCommand::Swap(arguments) => return tell::swap(&client, &project, arguments).await,
        RunCommand::Rerun(arguments) => return tell::rerun(&client, &project, arguments).await,
        RunCommand::Cancel(arguments) => return tell::cancel(&client, &project, arguments).await,
        RunCommand::Step(arguments) => {
            let command = |step| Told::Step { step };
            return tell::one_step(&client, &project, arguments, command, "goes on").await;
        }
        RunCommand::Retry(arguments) => {
            let command = |step| Told::Retry { step };
            return tell::one_step(&client, &project, arguments, command, "is done again").await;
        }
        RunCommand::Approve(arguments) => {
            let command = |step| Told::Approve { step };
            return tell::one_step(&client, &project, arguments, command, "is approved").await;
        }
        RunCommand::Reject(arguments) => {
            let command = |step| Told::Reject { step };
            return tell::one_step(&client, &project, arguments, command, "is rejected").await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn start(client: &Client, project: &Name, arguments: StartArguments) -> anyhow::Result<ExitCode> {
    let pipeline: Name = arguments.pipeline.parse()?;
    let inputs = pairs(&arguments.inputs, "an input")?;
    let request = RunRequest {
        inputs: inputs
            .into_iter()
            .map(|(name, address)| Ok((name.parse()?, address)))
            .collect::<fuseml_domain::Result<_>>()?,
        parameters: parameters(&arguments.parameters)?,
        reuse: arguments.reuse,
        paused: arguments.paused,
        by: Some(person()),
    };
    let path = format!("/api/v1/projects/{project}/pipelines/{pipeline}/runs");
    let run: Run = client.send(Method::POST, &path, &request).await?;
    match arguments.paused {
        true => eprintln!("{0} is there and waits; `fuseml run step {0}` begins its first step.", run.label()),
        false => eprintln!("{} started.", run.label()),
    }
    if arguments.wait {
        return watch::run(client, project, &run).await;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(runs: &Vec<Run>) -> Rows {
    let mut rows = Rows::new(&["Run", "State", "Started", "Time", "Why"]);
    for run in runs {
        let time = elapsed(Some(run.created), run.ended);
        rows.push([run.label(), standing(run), moment(run.created), time, run.cause.reason.clone()]);
    }
    rows
}

/// How a run stands, for people: a running one may be waiting for one of them.
fn standing(run: &Run) -> String {
    match run.waits_for(Timestamp::now()) {
        Some(WaitsFor::Approval(_)) => StepState::AwaitingApproval.to_string(),
        Some(WaitsFor::Event(_)) => StepState::AwaitingEvent.to_string(),
        Some(WaitsFor::Resume) | None => run.state.to_string(),
    }
}

fn steps(run: &Run) -> Rows {
    let mut rows = Rows::new(&["Step", "State", "Time", "Note", "Outputs"]);
    for step in &run.steps {
        let outputs: Vec<_> = step.outputs.iter().map(|(name, value)| format!("{name}: {}", value.shown())).collect();
        rows.push([
            step.name.to_string(),
            step.state.to_string(),
            elapsed(step.started, step.ended),
            remarks(run, step).join("\n"),
            outputs.join("\n"),
        ]);
    }
    rows
}

/// What people should know of a step, a line each.
fn remarks(run: &Run, step: &StepRun) -> Vec<String> {
    let combination = run.combination(step).map(|combination| combination.to_string());
    let conversion = run.template.step(&step.name).and_then(|step| step.conversion.clone());
    let due = run.due(step, Timestamp::now()).filter(|_| step.state == StepState::Ready);
    let window = run.template.step(&step.name).and_then(|step| step.window.as_ref());
    let due = due.map(|due| match window {
        Some(window) => format!("begins at {}", window.opens.shown(due)),
        None => format!("begins again at {}", moment(due)),
    });
    combination.into_iter().chain(conversion).chain(due).chain(step.note.clone()).collect()
}

async fn logs(client: &Client, project: &Name, arguments: LogsArguments) -> anyhow::Result<()> {
    let label = Label::parse(&arguments.run)?;
    let run: Run = client.get(&label.path(project), &[]).await?;
    let steps: Vec<Name> = match arguments.step {
        Some(step) => vec![step.parse()?],
        None => run.steps.iter().map(|step| step.name.clone()).collect(),
    };
    let several = steps.len() > 1;
    for step in steps {
        if several {
            eprintln!("== {} {step}", run.label());
        }
        let mut cursor = 0;
        loop {
            let chunk = log_chunk(client, project, &run, &step, cursor).await?;
            print(&chunk.text)?;
            let moved = chunk.cursor > cursor;
            cursor = chunk.cursor;
            match (moved, chunk.ended, arguments.follow) {
                (true, _, _) => {}
                (false, true, _) | (false, _, false) => break,
                (false, false, true) => tokio::time::sleep(Duration::from_millis(300)).await,
            }
        }
    }
    Ok(())
}

pub(super) async fn log_chunk(
    client: &Client,
    project: &Name,
    run: &Run,
    step: &Name,
    cursor: u64,
) -> fuseml_domain::Result<LogChunk> {
    let path = format!("/api/v1/projects/{project}/runs/{}/{}/logs", run.pipeline, run.number);
    client.get(&path, &[("step", step.to_string()), ("cursor", cursor.to_string())]).await
}

pub(crate) async fn execute_service(command: ServiceCommand, options: &Options) -> anyhow::Result<ExitCode> {
    let ServiceCommand::List = command;
    let project = options.project()?;
    let client = Client::new(options)?;
    let services: Vec<ServiceView> = client.get(&format!("/api/v1/projects/{project}/services"), &[]).await?;
    eprintln!("Services of the project {project}:");
    options.output.print(&services, |services| {
        let mut rows = Rows::new(&["Service", "State", "Model", "Since", "URL"]);
        for service in services {
            let name = format!("{}/{}", service.pipeline, service.name);
            let model = service
                .model
                .parse()
                .map_or_else(|_| service.model.clone(), |model: fuseml_domain::Address| model.short());
            rows.push([name, service.state.clone(), model, moment(service.updated), service.url.clone()]);
        }
        rows
    })?;
    Ok(ExitCode::SUCCESS)
}
