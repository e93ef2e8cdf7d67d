//! Steps that wait for what happens elsewhere (S72). Whether it did is looked up, not remembered: a server that died
//! while it happened finds it at its next look.

use crate::{
    Ports,
    driver::{Driver, Outcome},
    work,
};
use fuseml_domain::{
    Address, Awaited, Descriptor, Error, ErrorKind, ReceivedEvent, Result, Run, Selector, StepEvent, StepRun, Value,
    Wait, WaitArtifact, WaitEvent,
    port::{Participation, Role},
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeMap, time::Duration};

/// How long nobody looks without being told: only another server on the same catalog makes this needed, where it is there
/// and where it is not known yet.
const IDLE: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];
/// Events looked at in one go.
const BATCH: u32 = 500;

/// Succeeds at once where it happened already.
pub(crate) async fn begin(ports: &Ports, run: &Run, step: &StepRun, wait: &Wait) -> Result<Outcome> {
    match look(ports, run, step, wait, &mut 0).await? {
        Some(met) => Ok(met.outcome(step)),
        None => Ok(StepEvent::WaitBegan { message: format!("waits for {}", shown(run, wait)) }.into()),
    }
}

/// Resolves once it happened, or the time is over.
pub(crate) async fn until_met(
    driver: &Driver,
    run: &Run,
    step: &StepRun,
    wait: &Wait,
    timeout: Option<Duration>,
) -> Result<Outcome> {
    let engine = &driver.engine;
    let arrivals = engine.arrivals.of(&run.project);
    let due = timeout.map(|limit| step.started.unwrap_or(run.created).saturating_add(limit)).transpose();
    let due = due.map_err(|error| Error::invalid("timeout", error.to_string()))?;
    let mut after = 0;
    loop {
        // Before the look, so that what comes during it is not missed.
        let arrival = arrivals.notified();
        tokio::pin!(arrival);
        arrival.as_mut().enable();
        match look(&driver.ports, run, step, wait, &mut after).await {
            Ok(Some(met)) => return Ok(met.outcome(step)),
            Ok(None) => {}
            // Who waits for days outlives a database that is away for minutes.
            Err(error) if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Internal) => {
                tracing::warn!(run = %run.label(), step = %step.name, %error, "what is waited for could not be looked up");
            }
            Err(error) => return Err(error),
        }
        let left = due.map(|due| due.duration_since(Timestamp::now()));
        if left.is_some_and(|left| left <= SignedDuration::ZERO) {
            let message = format!("nothing came within its time limit: it waited for {}", shown(run, wait));
            return Ok(StepEvent::Failed { message, may_pass: false }.into());
        }
        let idle = if engine.has_others() { IDLE[0] } else { IDLE[1] };
        let pause = left.and_then(|left| Duration::try_from(left).ok()).map_or(idle, |left| left.min(idle));
        tokio::select! {
            () = arrival => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What a step waited for.
pub(crate) struct Met {
    pub(crate) outputs: BTreeMap<String, Value>,
    pub(crate) note: String,
    artifact: Option<Address>,
}

impl Met {
    fn outcome(self, step: &StepRun) -> Outcome {
        let Self { outputs, note, artifact } = self;
        let lineage: Vec<_> = artifact
            .into_iter()
            .map(|artifact| Participation {
                step: step.name.clone(),
                slot: "artifact".to_owned(),
                role: Role::Used,
                artifact,
            })
            .collect();
        Outcome::succeeded(outputs, Some(note), move |change| change.lineage.clone_from(&lineage))
    }
}

/// Looks whether it happened; events up to `after` were looked at before.
pub(crate) async fn look(
    ports: &Ports,
    run: &Run,
    step: &StepRun,
    wait: &Wait,
    after: &mut i64,
) -> Result<Option<Met>> {
    match wait {
        Wait::Artifact(wait) => Ok(artifact(ports, run, wait).await?.map(|found| Met {
            note: format!("{} is there", found.address.short()),
            outputs: [("artifact".to_owned(), Value::Artifact(found.address.clone()))].into(),
            artifact: Some(found.address),
        })),
        Wait::Event(wait) => Ok(event(ports, run, step, wait, after).await?.map(|found| Met {
            note: format!("{} came from {}", found.event.event_type, found.event.source),
            outputs: found.event.scalars().map(|(name, value)| (name, Value::Text(value))).collect(),
            artifact: None,
        })),
    }
}

async fn artifact(ports: &Ports, run: &Run, wait: &WaitArtifact) -> Result<Option<Descriptor>> {
    let found = match &wait.artifact {
        Awaited::Selector(selector) => {
            let both = [selector.condition.as_deref(), wait.condition.as_ref()].into_iter().flatten().cloned();
            let condition = both.reduce(|a, b| fuseml_domain::Condition::All(vec![a, b])).map(Box::new);
            let selector = Selector { condition, ..selector.clone() };
            ports.catalog.newest(&run.project, &selector).await?
        }
        Awaited::Reference(reference) => match work::resolve(run, reference)? {
            Value::Artifact(address) => Some(ports.catalog.artifact(&address).await?)
                .filter(|it| wait.condition.as_ref().is_none_or(|condition| condition.matches(it))),
            other => {
                let shown = other.shown();
                let message = format!("it waits for {reference} to become something, but that is `{shown}`");
                return Err(Error::invalid("type", message));
            }
        },
    };
    Ok(found.filter(|found| !wait.new || found.created >= run.began.unwrap_or(run.created)))
}

async fn event(
    ports: &Ports,
    run: &Run,
    step: &StepRun,
    wait: &WaitEvent,
    after: &mut i64,
) -> Result<Option<ReceivedEvent>> {
    // What ended an earlier try of the step does not end the next.
    let since = step.earlier.last().and_then(|earlier| earlier.ended).or(run.began).unwrap_or(run.created);
    loop {
        let portion = ports.catalog.received_since(&run.project, since, *after, BATCH).await?;
        for received in &portion {
            *after = received.sequence;
            if wait.is_met_by(received, |reference| work::said(run, reference))? {
                return Ok(Some(received.clone()));
            }
        }
        if portion.len() < BATCH as usize {
            return Ok(None);
        }
    }
}

/// What is waited for, with what its references lead to.
pub(crate) fn shown(run: &Run, wait: &Wait) -> String {
    match wait {
        Wait::Artifact(WaitArtifact {
            artifact: Awaited::Reference(reference), condition: Some(condition), ..
        }) => {
            let artifact = work::resolve(run, reference).map(|value| value.shown());
            format!("{} to be what was asked for: {condition}", artifact.unwrap_or_else(|_| reference.to_string()))
        }
        Wait::Event(event) => {
            let filled = |(path, wanted): (&String, &fuseml_domain::Interpolated)| {
                let said = wanted.filled(|reference| work::said(run, reference));
                format!("{path} is {}", said.unwrap_or_else(|_| wanted.to_string()))
            };
            let fields: Vec<_> = event.fields.iter().map(filled).collect();
            let fields = if fields.is_empty() { String::new() } else { format!(" whose {}", fields.join(" and ")) };
            format!("the event {}{fields}", event.event)
        }
        Wait::Artifact(_) => wait.to_string(),
    }
}
