//! Jobs of components: most are over before it would pay to say that they began.
//!
//! Such a job reaches nothing but its own folder, so it may be run again. It is therefore begun before that is saved, and
//! where it ends soon, its beginning and its end are one transaction; where it does not, its beginning is saved then.
//! A server that dies in between finds the step ready and runs it again.

use crate::{
    driver::{Driver, Outcome, explain, key_of},
    work,
};
use fuseml_domain::{ErrorKind, Phase, Result, Run, StepEvent, StepRun};
use jiff::Timestamp;
use std::time::Duration;

/// As long as nobody minds that a step is not seen to run.
const SPRINT: Duration = Duration::from_millis(50);

/// How far the step has come, of which nothing is saved.
struct Ahead {
    run: Run,
    events: Vec<(StepEvent, Timestamp)>,
}

impl Ahead {
    fn apply(&mut self, step: &StepRun, event: StepEvent) -> Result<()> {
        let now = Timestamp::now();
        self.run.apply(&step.name, step.version, event.clone(), now)?;
        self.events.push((event, now));
        Ok(())
    }

    /// What ends it, with all that was before.
    fn end(self, last: Outcome) -> Outcome {
        Outcome { earlier: self.events, ..last }
    }
}

/// Takes a job that is about to be staged as far as it comes at once.
pub(crate) async fn run(driver: &Driver, run: &Run, step: &StepRun, staged: StepEvent) -> Result<Outcome> {
    let mut ahead = Ahead { run: run.clone(), events: Vec::new() };
    ahead.apply(step, staged)?;
    match go(driver, step, &mut ahead).await {
        Ok(last) => Ok(ahead.end(last)),
        Err(error) if error.kind == ErrorKind::Unavailable => Err(error),
        Err(error) => {
            let may_pass = error.kind == ErrorKind::Internal;
            Ok(ahead.end(StepEvent::Failed { message: error.message, may_pass }.into()))
        }
    }
}

async fn go(driver: &Driver, step: &StepRun, ahead: &mut Ahead) -> Result<Outcome> {
    let agent = &driver.engine.ports.agent;
    agent.submit(&work::workload(driver, &ahead.run, of(&ahead.run, step)?).await?).await?;
    let status = agent.wait(&key_of(&ahead.run, step), SPRINT).await?;
    match status.phase {
        Phase::Pending | Phase::Running | Phase::Ready => Ok(StepEvent::Submitted.into()),
        Phase::Succeeded => {
            ahead.apply(step, StepEvent::Submitted)?;
            ahead.apply(step, StepEvent::Ended)?;
            work::collect(driver, &ahead.run, of(&ahead.run, step)?).await
        }
        Phase::Failed | Phase::Cancelled | Phase::Lost => {
            ahead.apply(step, StepEvent::Submitted)?;
            Ok(StepEvent::Failed { message: explain(&status), may_pass: true }.into())
        }
    }
}

/// The step as it is by now.
fn of<'a>(run: &'a Run, step: &StepRun) -> Result<&'a StepRun> {
    run.step(&step.name).ok_or_else(|| fuseml_domain::Error::internal("unknown-step", step.name.to_string()))
}
