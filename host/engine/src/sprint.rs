//! Jobs that are over before it would pay to say that they began.
//!
//! That a job was submitted need not be saved before it ends: whoever takes its run over submits it again under the same
//! key, which is the same workload. So where it ends soon, its submission, its end and what came of it are one
//! transaction; where it does not, its submission is saved then. Of a job of a component even the choice of what it runs
//! is saved no sooner: it reaches nothing but its own folder, so another one may take its place.

use crate::{
    driver::{Driver, Outcome, explain, key_of},
    work::{self, Job},
};
use fuseml_domain::{Error, ErrorKind, Phase, Result, Run, StepEvent, StepRun};
use jiff::Timestamp;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// As long as nobody minds that a step is not seen to run.
const SPRINT: Duration = Duration::from_millis(50);

/// How far a step has come, of which nothing is saved.
struct Sprint<'a> {
    driver: &'a Driver,
    step: &'a StepRun,
    /// Whether the catalog has what it runs.
    is_staged: bool,
    /// With the events applied.
    run: Run,
    events: Vec<(StepEvent, Timestamp)>,
    /// Set when its result is being collected.
    collecting: &'a AtomicBool,
}

/// Takes a job that is about to be staged as far as it comes at once.
pub(crate) async fn from_ready(
    driver: &Driver,
    run: &Run,
    step: &StepRun,
    staged: StepEvent,
    job: Job,
    collecting: &AtomicBool,
) -> Result<Outcome> {
    let mut sprint = Sprint { driver, step, is_staged: false, run: run.clone(), events: Vec::new(), collecting };
    sprint.apply(staged)?;
    sprint.go(&job).await
}

/// The same from where it is staged, by this driver with that job or by another.
pub(crate) async fn from_staging(
    driver: &Driver,
    run: &Run,
    step: &StepRun,
    job: Option<&Job>,
    collecting: &AtomicBool,
) -> Result<Outcome> {
    let sprint = Sprint { driver, step, is_staged: true, run: run.clone(), events: Vec::new(), collecting };
    match job {
        Some(job) => sprint.go(job).await,
        None => sprint.go(&Job::of(&driver.ports, run, step).await?).await,
    }
}

impl Sprint<'_> {
    fn apply(&mut self, event: StepEvent) -> Result<()> {
        let now = Timestamp::now();
        self.run.apply(&self.step.name, self.step.version, event.clone(), now)?;
        self.events.push((event, now));
        Ok(())
    }

    /// The step as it is by now.
    fn step(&self) -> Result<&StepRun> {
        let missing = || Error::internal("unknown-step", self.step.name.to_string());
        self.run.step(&self.step.name).ok_or_else(missing)
    }

    async fn go(mut self, job: &Job) -> Result<Outcome> {
        let last = match self.run(job).await {
            Err(error) if error.kind == ErrorKind::Unavailable => return Err(error),
            Err(error) => {
                let may_pass = error.kind == ErrorKind::Internal;
                StepEvent::Failed { message: error.message, may_pass }.into()
            }
            Ok(last) => last,
        };
        Ok(Outcome { earlier: self.events, ..last })
    }

    /// Whether what it made may belong in the store of a tool.
    async fn tells_a_tool(&self, job: &Job) -> Result<bool> {
        let Some(instance) = &job.runnable.instance else { return Ok(false) };
        for slot in job.runnable.outputs.values() {
            if self.driver.ports.extensions.store(instance, slot.kind).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn run(&mut self, job: &Job) -> Result<Outcome> {
        let agent = &self.driver.ports.agent;
        let workload = work::workload(self.driver, &self.run, self.step()?, job).await?;
        agent.submit(&workload).await?;
        let status = agent.wait(&key_of(&self.run, self.step()?), SPRINT).await?;
        match status.phase {
            Phase::Pending | Phase::Running | Phase::Ready => Ok(StepEvent::Submitted.into()),
            Phase::Succeeded => {
                self.collecting.store(true, Ordering::Relaxed);
                self.apply(StepEvent::Submitted)?;
                // A tool is not told of what another job may take the place of.
                if !self.is_staged && self.tells_a_tool(job).await? {
                    return Ok(StepEvent::Ended.into());
                }
                self.apply(StepEvent::Ended)?;
                work::collect(self.driver, &self.run, self.step()?, job, &workload).await
            }
            Phase::Failed | Phase::Cancelled | Phase::Lost => {
                self.apply(StepEvent::Submitted)?;
                Ok(StepEvent::Failed { message: explain(&status), may_pass: true }.into())
            }
        }
    }
}
