//! Steps that call endpoints or tell them how the run stands (S128). What is sent has a key that stays the same when it
//! is sent again, because a server may die before it notes the answer.

use crate::{Ports, driver::Outcome, work};
use fuseml_domain::{
    Call, CallContent, InterpolatedJson, Intervention, Notice, Notify, OutgoingCall, Result, Run, RunCommand,
    StepEvent, StepRun, StepState, Value, event_scalar,
};
use std::{collections::BTreeMap, time::Duration};

/// How long an answer may take where the step says nothing.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn call(
    ports: &Ports,
    run: &Run,
    step: &StepRun,
    call: &Call,
    timeout: Option<Duration>,
) -> Result<Outcome> {
    let said = |reference: &_| work::said(run, reference);
    let path = call.path.as_ref().map(|path| path.filled(said)).transpose()?;
    let body = call.body.as_ref().map(|body: &InterpolatedJson| body.filled(said)).transpose()?;
    let content = CallContent::Request { method: call.method, path, body };
    let outgoing = OutgoingCall { endpoint: call.endpoint.clone(), key: key(run, step), content };
    let answer = ports.endpoints.call(&run.project, &outgoing, timeout.unwrap_or(PATIENCE)).await?;
    let members = answer.body.as_object().into_iter().flatten();
    let mut outputs: BTreeMap<_, _> =
        members.filter_map(|(name, value)| Some((name.clone(), Value::Text(event_scalar(value)?)))).collect();
    outputs.insert("status".to_owned(), Value::Text(answer.status.to_string()));
    let note = Some(format!("{} answered {}", call.endpoint, answer.status));
    Ok(StepEvent::Succeeded { outputs, note }.into())
}

pub(crate) async fn notify(ports: &Ports, run: &Run, step: &StepRun, notify: &Notify) -> Result<Outcome> {
    let failed = run.steps.iter().filter(|step| step.state == StepState::Failed);
    let notice = Notice {
        message: notify.message.filled(|reference| work::shown(run, reference))?,
        project: run.project.clone(),
        run: run.label(),
        step: step.name.clone(),
        failures: failed.map(|step| (step.name.clone(), step.note.clone().unwrap_or_default())).collect(),
    };
    let content = CallContent::Notice(notice);
    let outgoing = OutgoingCall { endpoint: notify.endpoint.clone(), key: key(run, step), content };
    ports.endpoints.call(&run.project, &outgoing, PATIENCE).await?;
    Ok(StepEvent::Succeeded { outputs: BTreeMap::new(), note: Some(format!("told {}", notify.endpoint)) }.into())
}

/// The same for every try that the template asks for, and another once a person wants it done again.
fn key(run: &Run, step: &StepRun) -> String {
    let again = |it: &&Intervention| matches!(it.command, RunCommand::Retry { .. } | RunCommand::Resume);
    match run.interventions.iter().filter(again).count() {
        0 => format!("{}.{}", run.id, step.name),
        count => format!("{}.{}.{count}", run.id, step.name),
    }
}
