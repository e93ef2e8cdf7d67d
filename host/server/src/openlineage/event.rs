//! Events, as the specification writes them.

use fuseml_catalog::{Lineage, Part, Transition};
use fuseml_domain::{Address, Kind, Name, Run, RunState, StepRun, StepState};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use uuid::Uuid;

const PRODUCER: &str = concat!("https://github.com/fuseml/fuseml/tree/v", env!("CARGO_PKG_VERSION"));
const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// What a run's or a step's event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EventType {
    Start,
    Complete,
    Abort,
    Fail,
}

impl EventType {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "START",
            Self::Complete => "COMPLETE",
            Self::Abort => "ABORT",
            Self::Fail => "FAIL",
        }
    }
}

/// What events say beside the run itself.
pub(super) struct Context<'a> {
    /// The series of artifacts, by address: a model's address does not say it.
    pub(super) names: &'a BTreeMap<String, Name>,
    /// The server's address, under which code is found.
    pub(super) server: &'a str,
}

/// The events of one transition, in their order. `parts` are what the steps used and made, by step.
pub(super) fn of_transition(
    run: &Run,
    transition: &Transition,
    parts: &BTreeMap<String, Vec<Part>>,
    context: &Context<'_>,
) -> Vec<Value> {
    let mut events = Vec::new();
    let describe = Describe { run, context };
    let of_run = |states: &BTreeMap<String, String>| counted(states.get(Transition::RUN).map_or("", String::as_str)).1;
    let round = of_run(&transition.after);
    if transition.before.is_empty() || round > of_run(&transition.before) {
        events.push(describe.run(EventType::Start, transition.at, round));
    }
    for (name, after) in &transition.after {
        let before = transition.before.get(name).map_or("waiting", String::as_str);
        let Some(step) = run.steps.iter().find(|step| *step.name == **name) else { continue };
        let none = Vec::new();
        let parts = parts.get(name).unwrap_or(&none);
        for (kind, attempt) in changes(before, after) {
            events.push(describe.step(step, kind, (transition.at, attempt, round), parts));
        }
    }
    let ended = |states: &BTreeMap<String, String>| {
        let mut steps = states.iter().filter(|(name, _)| *name != Transition::RUN);
        !states.is_empty() && steps.all(|(_, state)| is_end(counted(state).0))
    };
    if ended(&transition.after) && !ended(&transition.before) {
        events.push(describe.run(end_of(run.state), transition.at, round));
    }
    events
}

/// The events of all steps and runs of a lineage.
pub(super) fn of_lineage(lineage: &Lineage, context: &Context<'_>) -> Vec<Value> {
    let mut events = Vec::new();
    for run in &lineage.runs {
        let describe = Describe { run, context };
        events.push(describe.run(EventType::Start, run.created, run.round));
        for step in &run.steps {
            let edges = lineage.edges.iter().filter(|edge| edge.run == run.id.to_string() && edge.step == *step.name);
            let parts: Vec<Part> =
                edges.map(|edge| (edge.slot.clone(), edge.role != "used", edge.artifact.clone())).collect();
            if let (Some(started), false) = (step.started, parts.is_empty()) {
                events.push(describe.step(step, EventType::Start, (started, step.attempt, run.round), &[]));
                if let Some(ended) = step.ended {
                    let changes = changes("running", step.state.to_string().as_str());
                    let kind = changes.last().map_or(EventType::Complete, |change| change.0);
                    events.push(describe.step(step, kind, (ended, step.attempt, run.round), &parts));
                }
            }
        }
        if let Some(ended) = run.ended {
            events.push(describe.run(end_of(run.state), ended, run.round));
        }
    }
    events
}

fn is_end(state: &str) -> bool {
    [StepState::Succeeded, StepState::Failed, StepState::Cancelled, StepState::Skipped]
        .iter()
        .any(|end| end.to_string() == state)
}

fn end_of(state: RunState) -> EventType {
    match state {
        RunState::Failed => EventType::Fail,
        RunState::Cancelled => EventType::Abort,
        RunState::Queued | RunState::Running | RunState::Paused | RunState::Succeeded => EventType::Complete,
    }
}

/// `running#2`: a state, and which try or round it is of.
fn counted(text: &str) -> (&str, u32) {
    match text.split_once('#') {
        Some((state, count)) => (state, count.parse().unwrap_or(1)),
        None => (text, 1),
    }
}

/// What is told when a step goes from one state to another, and of which try: exactly one beginning and one end each.
fn changes(before: &str, after: &str) -> Vec<(EventType, u32)> {
    let begun = |state: &str| !matches!(state, "waiting" | "ready");
    let ((mut before, last), (after, attempt)) = (counted(before), counted(after));
    let mut events = Vec::new();
    if attempt > last {
        if begun(before) && !is_end(before) {
            events.push((EventType::Fail, last));
        }
        before = "waiting";
    }
    let end = match after {
        "succeeded" => Some(EventType::Complete),
        "failed" => Some(EventType::Fail),
        "cancelled" => Some(EventType::Abort),
        _ => None,
    };
    if after == "skipped" || is_end(before) {
        return events;
    }
    if !begun(before) && begun(after) {
        events.push((EventType::Start, attempt));
    }
    events.extend(end.map(|end| (end, attempt)));
    events
}

struct Describe<'a> {
    run: &'a Run,
    context: &'a Context<'a>,
}

impl Describe<'_> {
    fn namespace(&self) -> String {
        format!("fuseml/{}", self.run.project)
    }

    fn event(&self, kind: EventType, at: Timestamp, run: Value, job: Value) -> Value {
        json!({
            "eventType": kind.name(),
            "eventTime": at.to_string(),
            "producer": PRODUCER,
            "schemaURL": SCHEMA,
            "run": run,
            "job": job,
            "inputs": [],
            "outputs": [],
        })
    }

    fn run(&self, kind: EventType, at: Timestamp, round: u32) -> Value {
        let mut facets = engine();
        if kind == EventType::Fail {
            let failed = self.run.steps.iter().find(|step| step.state == StepState::Failed);
            failed.into_iter().for_each(|step| error(&mut facets, step));
        }
        let run = json!({"runId": id_of_round(self.run.id, round).to_string(), "facets": facets});
        self.event(kind, at, run, self.job(self.run.pipeline.to_string(), "PIPELINE", None))
    }

    /// `try_of` is the time, which try of the step, and of which round of the run.
    fn step(&self, step: &StepRun, kind: EventType, try_of: (Timestamp, u32, u32), parts: &[Part]) -> Value {
        let (at, attempt, round) = try_of;
        let mut facets = engine();
        let parent = json!({
            "run": {"runId": id_of_round(self.run.id, round).to_string()},
            "job": {"namespace": self.namespace(), "name": self.run.pipeline.to_string()},
        });
        facets.insert("parent".to_owned(), facet("1-2-0/ParentRunFacet", parent));
        if kind == EventType::Fail {
            error(&mut facets, step);
        }
        let parameters = self.run.parameters.get(&step.name).cloned().unwrap_or_default();
        if !parameters.is_empty() {
            let list: Vec<_> = parameters.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
            let body = json!({"parameters": list});
            facets.insert("executionParameters".to_owned(), facet("1-0-0/ExecutionParametersRunFacet", body));
        }
        let code = parts.iter().find_map(|(_, made, artifact)| {
            artifact.parse::<Address>().ok().filter(|address| !made && address.kind == Kind::Codeset)
        });
        let job = self.job(format!("{}.{}", self.run.pipeline, step.name), "STEP", code.as_ref());
        let run = json!({"runId": id_of(self.run.id, &step.name, attempt).to_string(), "facets": facets});
        let mut event = self.event(kind, at, run, job);
        let datasets = |made: bool| -> Vec<Value> {
            parts.iter().filter(|part| part.1 == made).filter_map(|(_, _, artifact)| self.dataset(artifact)).collect()
        };
        event["inputs"] = datasets(false).into();
        event["outputs"] = datasets(true).into();
        event
    }

    fn job(&self, name: String, kind: &str, code: Option<&Address>) -> Value {
        let body = json!({"processingType": "BATCH", "integration": "FUSEML", "jobType": kind});
        let mut facets = Map::from_iter([("jobType".to_owned(), facet("2-0-4/JobTypeJobFacet", body))]);
        if let Some(code) = code {
            let url = format!("{}/git/{}/{}.git", self.context.server, code.project, code.name);
            let version = code.version.as_ref().map(ToString::to_string);
            let body = json!({"type": "git", "url": url, "repoUrl": url, "version": version});
            facets.insert("sourceCodeLocation".to_owned(), facet("1-1-0/SourceCodeLocationJobFacet", body));
        }
        json!({"namespace": self.namespace(), "name": name, "facets": facets})
    }

    /// `model://shop` and the series.
    fn dataset(&self, artifact: &str) -> Option<Value> {
        let address: Address = artifact.parse().ok()?;
        let (kind, version) = (address.kind, address.version.as_ref().unwrap_or(&address.name));
        let kind_name = match kind {
            Kind::Model => "MODEL",
            Kind::Dataset => "FILE",
            Kind::Codeset => "CODE",
            Kind::Runnable => "RUNNABLE",
        };
        Some(json!({
            "namespace": format!("{}://{}", kind.scheme(), address.project),
            "name": self.context.names.get(artifact).unwrap_or(&address.name).to_string(),
            "facets": {
                "version": facet("1-0-1/DatasetVersionDatasetFacet", json!({"datasetVersion": version.to_string()})),
                "datasetType": facet("1-0-1/DatasetTypeDatasetFacet", json!({"datasetType": kind_name})),
            },
        }))
    }
}

/// A run that is taken up after it ended is another one to whoever keeps lineage: each has one beginning and one end.
fn id_of_round(run: Uuid, round: u32) -> Uuid {
    match round {
        1 => run,
        _ => made_of(&[run.as_bytes(), Transition::RUN.as_bytes(), &round.to_be_bytes()]),
    }
}

/// The same try of a step has the same id, whoever tells of it and however often.
fn id_of(run: Uuid, step: &Name, attempt: u32) -> Uuid {
    match attempt {
        1 => made_of(&[run.as_bytes(), step.as_bytes()]),
        _ => made_of(&[run.as_bytes(), step.as_bytes(), b"#", &attempt.to_be_bytes()]),
    }
}

fn made_of(parts: &[&[u8]]) -> Uuid {
    let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn facet(schema: &str, mut body: Value) -> Value {
    let name = schema.rsplit('/').next().unwrap_or(schema);
    body["_producer"] = PRODUCER.into();
    body["_schemaURL"] = format!("https://openlineage.io/spec/facets/{schema}.json#/$defs/{name}").into();
    body
}

fn engine() -> Map<String, Value> {
    let body = json!({"name": "FuseML", "version": env!("CARGO_PKG_VERSION")});
    Map::from_iter([("processing_engine".to_owned(), facet("1-1-1/ProcessingEngineRunFacet", body))])
}

fn error(facets: &mut Map<String, Value>, step: &StepRun) {
    let message = format!("{}: {}", step.name, step.note.as_deref().unwrap_or("failed"));
    let body = json!({"message": message, "programmingLanguage": "unknown"});
    facets.insert("errorMessage".to_owned(), facet("1-0-1/ErrorMessageRunFacet", body));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_through_a_step_has_one_beginning_and_one_end() {
        use EventType::{Abort, Complete, Fail, Start};
        type Told = (EventType, u32);
        let ways: [(&[&str], &[Told]); 9] = [
            (&["waiting", "ready", "staging", "running", "collecting", "succeeded"], &[(Start, 1), (Complete, 1)]),
            (&["ready", "staging", "failed"], &[(Start, 1), (Fail, 1)]),
            (&["ready", "failed"], &[(Start, 1), (Fail, 1)]),
            (&["waiting", "skipped"], &[]),
            (&["waiting", "cancelled"], &[(Start, 1), (Abort, 1)]),
            (&["running", "running", "cancelled", "cancelled"], &[(Abort, 1)]),
            (
                &["ready", "staging", "running", "ready#2", "staging#2", "failed#2", "ready#3", "succeeded#3"],
                &[(Start, 1), (Fail, 1), (Start, 2), (Fail, 2), (Start, 3), (Complete, 3)],
            ),
            (&["waiting", "skipped", "waiting", "ready", "succeeded"], &[(Start, 1), (Complete, 1)]),
            (&["ready", "awaiting-approval", "succeeded"], &[(Start, 1), (Complete, 1)]),
        ];
        for (states, expected) in ways {
            let told: Vec<_> = states.windows(2).flat_map(|pair| changes(pair[0], pair[1])).collect();
            assert_eq!(told, expected, "{states:?}");
        }
    }
}
