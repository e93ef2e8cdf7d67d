//! `fuseml run explain`: why a run is as it is.

use crate::output::{elapsed, moment};
use fuseml_domain::{Attempt, ReuseVerdict, Run, RunCommand, StepRun, StepState};
use std::fmt::{self, Display, Write as _};

/// Everything that is known of a run, for people.
pub(super) struct Explanation<'a>(pub(super) &'a Run);

impl Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.0;
        writeln!(f, "{} {}: {}", run.label(), super::standing(run), run.cause.reason)?;
        for (name, input) in &run.inputs {
            let mark = if input.is_default { " (default)" } else { "" };
            writeln!(f, "  {name}: {}{mark}", input.value.shown())?;
        }
        for step in &run.steps {
            writeln!(f)?;
            explain_step(f, run, step)?;
        }
        if !run.interventions.is_empty() {
            writeln!(f, "\nPeople")?;
        }
        for told in &run.interventions {
            let reason = told.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            writeln!(f, "  {} {} {}{reason}", moment(told.at), told.by, said(&told.command))?;
        }
        Ok(())
    }
}

fn explain_step(f: &mut fmt::Formatter<'_>, run: &Run, step: &StepRun) -> fmt::Result {
    let time = elapsed(step.started, step.ended);
    let time = if time.is_empty() { time } else { format!(" in {time}") };
    writeln!(f, "{} {}{time}", step.name, step.state)?;
    if let Some(combination) = run.combination(step) {
        writeln!(f, "  of {} with {combination}", combination.of)?;
    }
    if let Some(why) = run.template.step(&step.name).and_then(|step| step.conversion.as_ref()) {
        writeln!(f, "  {why}")?;
    }
    if let Some(runnable) = &step.runnable {
        writeln!(f, "  runs {}", runnable.short())?;
    }
    match &step.reuse {
        Some(ReuseVerdict::Miss { reasons }) => {
            let begins = if step.state.ended() { "was done because" } else { "is done because" };
            writeln!(f, "  {begins} {}", reasons.join("\n    and "))?;
        }
        Some(ReuseVerdict::Off { reason }) => writeln!(f, "  no earlier result was looked for: {reason}")?,
        Some(ReuseVerdict::Hit { .. }) | None => {}
    }
    if let Some(note) = &step.note {
        writeln!(f, "  {note}")?;
    }
    if let (Some(due), StepState::Ready) = (step.not_before, step.state) {
        writeln!(f, "  is tried again at {}", moment(due))?;
    }
    if let Some(when) = run.template.step(&step.name).and_then(|step| step.when.as_ref()) {
        writeln!(f, "  only when {when}")?;
    }
    for (name, value) in step.identity.iter().flat_map(|identity| &identity.parameters) {
        writeln!(f, "  {name} = {value}")?;
    }
    for Attempt { number, state, note, started, ended, .. } in &step.earlier {
        let mut line = format!("  try {number} {state} in {}", elapsed(*started, *ended));
        if let Some(note) = note {
            write!(line, ": {note}")?;
        }
        writeln!(f, "{line}")?;
    }
    for (name, value) in &step.outputs {
        writeln!(f, "  {name}: {}", value.shown())?;
    }
    Ok(())
}

fn said(command: &RunCommand) -> String {
    let of = |step: &Option<fuseml_domain::Name>| step.as_ref().map(|step| format!(" {step}")).unwrap_or_default();
    match command {
        RunCommand::Pause => "paused".to_owned(),
        RunCommand::Resume => "resumed".to_owned(),
        RunCommand::Step { step } => format!("stepped{}", of(step)),
        RunCommand::Retry { step } => format!("retried{}", of(step)),
        RunCommand::Approve { step } => format!("approved{}", of(step)),
        RunCommand::Reject { step } => format!("rejected{}", of(step)),
        RunCommand::Swap { step, swap } => {
            let runnable = swap.runnable.iter().map(|address| address.short());
            let parameters = swap.parameters.iter().map(|(name, value)| format!("{name}={value}"));
            let with: Vec<_> = runnable.chain(parameters).collect();
            format!("swapped {step} to {}", with.join(", "))
        }
        RunCommand::Cancel => "cancelled".to_owned(),
    }
}
