//! `fuseml pipeline plan`, and what a codeset that is not pushed yet would start.

use crate::{
    Options,
    client::Client,
    command::{pairs, parameters},
    output::{Format, Rows, shown},
};
use clap::Args;
use fuseml_domain::{Name, Plan, PlannedStep, Prospect, PushPlan};
use fuseml_server::RunRequest;
use reqwest::Method;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct PlanArguments {
    pipeline: String,
    /// An artifact or a value for an input; the newest that fits and the usual value otherwise
    #[arg(long = "input", value_name = "NAME=ADDRESS|VALUE")]
    inputs: Vec<String>,
    /// A parameter of a step's runnable
    #[arg(long = "param", value_name = "STEP.NAME=VALUE")]
    parameters: Vec<String>,
}

pub(super) async fn plan(
    client: &Client,
    project: &Name,
    arguments: PlanArguments,
    options: &Options,
) -> anyhow::Result<()> {
    let pipeline: Name = arguments.pipeline.parse()?;
    let inputs = pairs(&arguments.inputs, "an input")?;
    let inputs = inputs.into_iter().map(|(name, address)| Ok((name.parse()?, address)));
    let request = RunRequest {
        inputs: inputs.collect::<fuseml_domain::Result<_>>()?,
        parameters: parameters(&arguments.parameters)?,
        ..RunRequest::default()
    };
    let path = format!("/api/v1/projects/{project}/pipelines/{pipeline}/plan");
    let plan: Plan = client.send(Method::POST, &path, &request).await?;
    if options.output == Format::Table {
        let with: Vec<_> = plan.inputs.iter().map(|(name, input)| format!("{name} {}", input.value.shown())).collect();
        let with = if with.is_empty() { String::new() } else { format!(" with {}", with.join(", ")) };
        eprintln!("A run of {pipeline}{with} would:");
    }
    options.output.print(&plan, |plan| {
        let mut rows = Rows::new(&STEP);
        for step in &plan.steps {
            rows.push(foreseen(step));
        }
        rows
    })?;
    if let Some(reason) = &plan.frozen {
        eprintln!("It is frozen: {reason}; nothing starts it now.");
    }
    if options.output == Format::Table {
        say_what_follows(std::slice::from_ref(&plan));
    }
    Ok(())
}

/// What pushing a codeset would start.
pub(crate) fn print_push(plan: &PushPlan, options: &Options) -> anyhow::Result<()> {
    let (codeset, project) = (plan.codeset.short(), &plan.codeset.project);
    let is_table = options.output == Format::Table;
    match plan.plans.is_empty() {
        _ if !is_table => {}
        true => eprintln!("Pushing {codeset} would start nothing in {project}."),
        false => eprintln!("Pushing {codeset} would start in {project}:"),
    }
    if !is_table || !plan.plans.is_empty() {
        options.output.print(plan, |plan| {
            let mut rows = Rows::new(&["Pipeline", STEP[0], STEP[1], STEP[2], STEP[3]]);
            for started in &plan.plans {
                for (number, step) in started.steps.iter().enumerate() {
                    let pipeline = if number == 0 { started.pipeline.to_string() } else { String::new() };
                    let [name, would, why, took] = foreseen(step);
                    rows.push([pipeline, name, would, why, took]);
                }
            }
            rows
        })?;
    }
    if is_table {
        for unstarted in &plan.unstarted {
            eprintln!("{} would not start: {}.", unstarted.pipeline, unstarted.reason.trim_end_matches('.'));
        }
        say_what_follows(&plan.plans);
    }
    Ok(())
}

fn say_what_follows(plans: &[Plan]) {
    for Plan { pipeline, then, .. } in plans.iter().filter(|plan| !plan.then.is_empty()) {
        let then: Vec<_> = then.iter().map(|name| &**name).collect();
        eprintln!("What {pipeline} makes may start {}.", then.join(", "));
    }
    // One after the other: what runs beside what is not known before.
    let seconds: Option<f64> = plans.iter().map(Plan::seconds).sum();
    if let Some(seconds) = seconds.filter(|seconds| *seconds > 0.0) {
        eprintln!("About {} as it went before.", shown(Duration::from_secs_f64(seconds)));
    }
}

const STEP: [&str; 4] = ["Step", "Would", "Why", "Took"];

fn foreseen(step: &PlannedStep) -> [String; 4] {
    let would = match step.prospect {
        Prospect::Runs => "run",
        Prospect::Reused => "be reused",
        Prospect::Asks => "ask",
        Prospect::Waits => "wait",
        Prospect::Calls => "call",
        Prospect::Keeps => "keep",
        Prospect::Chooses => "choose",
        Prospect::Skipped => "be skipped",
        Prospect::Depends => "depend",
        Prospect::Fails => "fail",
    };
    let took = step.seconds.map(|seconds| shown(Duration::from_secs_f64(seconds)));
    [step.name.to_string(), would.to_owned(), step.why.join("\n"), took.unwrap_or_default()]
}
