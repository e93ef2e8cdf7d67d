//! What people tell runs: pause, go on, try again, approve, swap, cancel.

use super::Label;
use crate::{
    client::Client,
    command::{artifact::person, pairs, watch},
};
use clap::Args;
use fuseml_domain::{Address, Error, Kind, Name, Run, RunCommand, Swap};
use fuseml_server::{CommandRequest, RerunRequest};
use reqwest::Method;
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct WhyArguments {
    /// A line for whoever reads the run's history
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Args)]
pub(crate) struct PauseArguments {
    run: String,
    #[command(flatten)]
    why: WhyArguments,
}

#[derive(Args)]
pub(crate) struct ResumeArguments {
    run: String,
    #[command(flatten)]
    why: WhyArguments,
    /// Show what runs until nothing does any more
    #[arg(long)]
    wait: bool,
}

#[derive(Args)]
pub(crate) struct StepArguments {
    run: String,
    /// Which step, where more than one is ready
    step: Option<String>,
    #[command(flatten)]
    why: WhyArguments,
    /// Show what runs until the step has ended
    #[arg(long)]
    wait: bool,
}

#[derive(Args)]
pub(crate) struct SwapArguments {
    run: String,
    step: String,
    /// Another runnable, by its address
    #[arg(long)]
    runnable: Option<String>,
    /// Another value of a parameter
    #[arg(long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    #[command(flatten)]
    why: WhyArguments,
}

#[derive(Args)]
pub(crate) struct RerunArguments {
    run: String,
    /// Whether earlier results are taken: on, off, or refresh to make them anew for later runs
    #[arg(long, value_name = "on|off|refresh", value_parser = super::read_reuse)]
    reuse: Option<fuseml_domain::Reuse>,
    /// With the pipeline as it is now: its template, parameters and agents, and the values it has for new inputs
    #[arg(long)]
    current: bool,
    /// Show what runs until nothing does any more
    #[arg(long)]
    wait: bool,
}

async fn tell(
    client: &Client,
    project: &Name,
    run: &str,
    command: RunCommand,
    why: WhyArguments,
) -> anyhow::Result<Run> {
    let path = format!("{}/commands", Label::parse(run)?.path(project));
    let request = CommandRequest { command, by: person(), reason: why.reason };
    Ok(client.send(Method::POST, &path, &request).await?)
}

pub(super) async fn pause(client: &Client, project: &Name, arguments: PauseArguments) -> anyhow::Result<ExitCode> {
    let run = tell(client, project, &arguments.run, RunCommand::Pause, arguments.why).await?;
    let label = run.label();
    eprintln!("{label} begins nothing more; `fuseml run resume {label}` lets it go on, `run step` a step of it.");
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn cancel(client: &Client, project: &Name, arguments: PauseArguments) -> anyhow::Result<ExitCode> {
    let run = tell(client, project, &arguments.run, RunCommand::Cancel, arguments.why).await?;
    eprintln!("{} is being cancelled.", run.label());
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn resume(client: &Client, project: &Name, arguments: ResumeArguments) -> anyhow::Result<ExitCode> {
    let run = tell(client, project, &arguments.run, RunCommand::Resume, arguments.why).await?;
    eprintln!("{} goes on.", run.label());
    followed(client, project, &run, arguments.wait).await
}

/// What each of the commands that are about one step says when it was carried out.
pub(super) async fn one_step(
    client: &Client,
    project: &Name,
    arguments: StepArguments,
    command: fn(Option<Name>) -> RunCommand,
    said: &str,
) -> anyhow::Result<ExitCode> {
    let step = arguments.step.map(|step| step.parse()).transpose()?;
    let run = tell(client, project, &arguments.run, command(step), arguments.why).await?;
    let about = match run.interventions.last().map(|last| &last.command) {
        Some(
            RunCommand::Step { step: Some(step) }
            | RunCommand::Retry { step: Some(step) }
            | RunCommand::Approve { step: Some(step) }
            | RunCommand::Reject { step: Some(step) },
        ) => format!(", step {step},"),
        _ => String::new(),
    };
    eprintln!("{}{about} {said}.", run.label());
    followed(client, project, &run, arguments.wait).await
}

pub(super) async fn swap(client: &Client, project: &Name, arguments: SwapArguments) -> anyhow::Result<ExitCode> {
    let runnable = match &arguments.runnable {
        Some(text) => Some(resolved(client, project, text).await?),
        None => None,
    };
    let swap = Swap { runnable, parameters: pairs(&arguments.parameters, "a parameter")? };
    let step: Name = arguments.step.parse()?;
    let command = RunCommand::Swap { step: step.clone(), swap };
    let run = tell(client, project, &arguments.run, command, arguments.why).await?;
    let label = run.label();
    eprintln!("{label} will run {step} with that; `fuseml run resume {label}` lets it go on.");
    Ok(ExitCode::SUCCESS)
}

/// The one version that the address means now: that is what will run, whatever a tag means later.
async fn resolved(client: &Client, project: &Name, text: &str) -> anyhow::Result<Address> {
    // As other commands name it, with its kind.
    let text = text.strip_prefix("runnable/").unwrap_or(text);
    let address = Address::parse_in(text, Kind::Runnable, project)?;
    if address.kind != Kind::Runnable {
        return Err(Error::invalid("type", format!("{address} is a {}, not a runnable", address.kind)).into());
    }
    let found: fuseml_domain::Descriptor = client.get("/api/v1/artifact", &[("address", address.to_string())]).await?;
    Ok(found.address)
}

pub(super) async fn rerun(client: &Client, project: &Name, arguments: RerunArguments) -> anyhow::Result<ExitCode> {
    let label = Label::parse(&arguments.run)?;
    let request = RerunRequest { current: arguments.current, reuse: arguments.reuse, by: Some(person()) };
    let run: Run = client.send(Method::POST, &format!("{}/rerun", label.path(project)), &request).await?;
    eprintln!("{} started.", run.label());
    followed(client, project, &run, arguments.wait).await
}

async fn followed(client: &Client, project: &Name, run: &Run, wait: bool) -> anyhow::Result<ExitCode> {
    match wait {
        true => watch::run(client, project, run).await,
        false => Ok(ExitCode::SUCCESS),
    }
}
