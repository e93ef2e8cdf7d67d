//! Runs, their logs, and the services that they leave.

use crate::{
    app::App,
    view::{ActivityView, CommandRequest, RerunRequest, RunRequest, ServiceView},
};
use axum::{extract::State, http::StatusCode};
use fuseml_catalog::RunFilter;
use fuseml_domain::{
    Address, Attributes, Descriptor, Error, ErrorKind, LogChunk, Name, Pipeline, Plan, Run, RunCommand, StepState,
    Value,
    port::{Catalog as _, Service},
};
use fuseml_rest::{Answer, Json, Path, Query};
use jiff::Timestamp;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1000;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    pipeline: Option<Name>,
    root: Option<Address>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
pub(super) struct LogsQuery {
    step: Name,
    #[serde(default)]
    cursor: u64,
}

#[derive(Deserialize)]
pub(super) struct ActivityQuery {
    pub(super) root: Address,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(project): Path<Name>,
    Query(query): Query<ListQuery>,
) -> Answer<Json<Vec<Run>>> {
    app.catalog.check_project(&project).await?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let filter = RunFilter { pipeline: query.pipeline, root: query.root, limit, ..RunFilter::default() };
    Ok(Json(app.catalog.list_runs(&project, &filter).await?))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path((project, pipeline, number)): Path<(Name, Name, u64)>,
) -> Answer<Json<Run>> {
    app.catalog.check_project(&project).await?;
    Ok(Json(app.catalog.run_by_number(&project, &pipeline, number).await?))
}

pub(super) async fn start(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
    Json(request): Json<RunRequest>,
) -> Answer<(StatusCode, Json<Run>)> {
    let (pipeline, artifacts) = given(&app, &project, &name, request.inputs, request.parameters).await?;
    let by = request.by.unwrap_or_else(|| "hand".to_owned());
    let mut run = app.engine.plan_manual(&pipeline, artifacts, format!("started by {by}")).await?;
    run.reuse = request.reuse;
    if request.paused {
        let reason = Some("begins step by step".to_owned());
        run.command(RunCommand::Pause, &by, reason, Timestamp::now())?;
    }
    Ok((StatusCode::CREATED, Json(app.engine.start_run(run).await?)))
}

pub(super) async fn plan(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
    Json(request): Json<RunRequest>,
) -> Answer<Json<Plan>> {
    let (pipeline, artifacts) = given(&app, &project, &name, request.inputs, request.parameters).await?;
    Ok(Json(app.engine.plan(&pipeline, artifacts, request.reuse).await?))
}

pub(super) async fn rerun(
    State(app): State<Arc<App>>,
    Path((project, pipeline, number)): Path<(Name, Name, u64)>,
    Json(request): Json<RerunRequest>,
) -> Answer<(StatusCode, Json<Run>)> {
    let before = app.catalog.run_by_number(&project, &pipeline, number).await?;
    let by = request.by.map(|by| format!(" by {by}")).unwrap_or_default();
    let reason = format!("{} again{by}", before.label());
    let mut run = match request.current {
        true => {
            let (pipeline, artifacts) = same_inputs(&app, &before).await?;
            app.engine.plan_manual(&pipeline, artifacts, reason).await?
        }
        false => app.engine.plan_rerun(&before, reason).await?,
    };
    run.reuse = request.reuse;
    Ok((StatusCode::CREATED, Json(app.engine.start_run(run).await?)))
}

/// A pipeline as it is now with what an earlier run of it took.
async fn same_inputs(app: &App, run: &Run) -> fuseml_domain::Result<(Pipeline, BTreeMap<Name, Descriptor>)> {
    let pipeline = app.catalog.pipeline(&run.project, &run.pipeline).await?;
    let (mut artifacts, mut values) = (BTreeMap::new(), BTreeMap::new());
    for (name, input) in &run.inputs {
        // What is another thing now is what the pipeline says.
        let Some(now) = pipeline.template.inputs.get(name) else { continue };
        match &input.value {
            Value::Artifact(address) if now.kind == Some(address.kind) => {
                artifacts.insert(name.clone(), app.catalog.artifact(address).await?);
            }
            Value::Text(text) if !input.is_default && now.value_type.is_some() => {
                values.insert(name.clone(), text.clone());
            }
            Value::Artifact(_) | Value::Anonymous(_) | Value::Text(_) => {}
        }
    }
    Ok((pipeline.with(values, BTreeMap::new())?, artifacts))
}

/// A pipeline with the values and parameters that a person gives a run of it, and the artifacts that they name.
async fn given(
    app: &App,
    project: &Name,
    name: &Name,
    inputs: BTreeMap<Name, String>,
    parameters: BTreeMap<Name, Attributes>,
) -> fuseml_domain::Result<(Pipeline, BTreeMap<Name, Descriptor>)> {
    let pipeline = app.catalog.pipeline(project, name).await?;
    let (mut artifacts, mut values) = (BTreeMap::new(), BTreeMap::new());
    for (input, text) in inputs {
        let Some(kind) = pipeline.template.inputs.get(&input).and_then(|input| input.kind) else {
            values.insert(input, text);
            continue;
        };
        let address = Address::parse_in(&text, kind, project)?;
        if address.kind != kind {
            return Err(Error::invalid("type", format!("the input `{input}` takes a {kind}, not {address}")));
        }
        artifacts.insert(input, app.catalog.artifact(&address).await?);
    }
    Ok((pipeline.with(values, parameters)?, artifacts))
}

/// A chunk of one step's log; a step that has none yet answers an empty one.
pub(super) async fn logs(
    State(app): State<Arc<App>>,
    Path((project, pipeline, number)): Path<(Name, Name, u64)>,
    Query(query): Query<LogsQuery>,
) -> Answer<Json<LogChunk>> {
    let run = app.catalog.run_by_number(&project, &pipeline, number).await?;
    let step = run.step(&query.step).ok_or_else(|| {
        let steps: Vec<_> = run.steps.iter().map(|step| &*step.name).collect();
        Error::not_found(
            "unknown-step",
            format!("{} has no step {}; it has {}", run.label(), query.step, steps.join(", ")),
        )
    })?;
    let empty = LogChunk { text: String::new(), cursor: query.cursor, ended: step.state.ended() };
    match &step.workload {
        Some(key) if step.state != StepState::Staging => match app.agent.logs(key, query.cursor).await {
            // What was there already needed no work.
            Err(error) if error.kind == ErrorKind::NotFound && step.state == StepState::Succeeded => Ok(Json(empty)),
            chunk => Ok(Json(chunk?)),
        },
        _ => Ok(Json(empty)),
    }
}

pub(super) async fn command(
    State(app): State<Arc<App>>,
    Path((project, pipeline, number)): Path<(Name, Name, u64)>,
    Json(request): Json<CommandRequest>,
) -> Answer<Json<Run>> {
    let run = app.catalog.run_by_number(&project, &pipeline, number).await?;
    Ok(Json(app.engine.command(run.id, request.command, &request.by, request.reason).await?))
}

pub(super) async fn activity(
    State(app): State<Arc<App>>,
    Query(query): Query<ActivityQuery>,
) -> Answer<Json<ActivityView>> {
    Ok(Json(activity_of(&app, &query.root).await?))
}

/// What followed from an artifact so far.
pub(super) async fn activity_of(app: &App, root: &Address) -> fuseml_domain::Result<ActivityView> {
    let root = app.catalog.artifact(root).await?;
    // Settled is read first: a run that begins in between is then still in the list.
    let before = app.catalog.following(&root.address, &root.id).await?;
    let root_of = Some(root.address.clone());
    let filter = RunFilter { root: root_of, everywhere: true, limit: MAX_LIMIT, ..RunFilter::default() };
    let mut runs = app.catalog.list_runs(root.project(), &filter).await?;
    runs.reverse();
    // What ends in between has made what nobody looked at yet.
    let quiet = before.is_quiet() && app.catalog.following(&root.address, &root.id).await? == before;
    let unstarted = app.catalog.unstarted(&root.address, &root.id).await?;
    Ok(ActivityView { settled: before.is_settled(), quiet, runs, unstarted })
}

pub(super) async fn services(State(app): State<Arc<App>>, Path(project): Path<Name>) -> Answer<Json<Vec<ServiceView>>> {
    app.catalog.check_project(&project).await?;
    let mut views = Vec::new();
    for service in app.catalog.services().await?.into_iter().filter(|service| service.project == project) {
        views.push(view(&app, service).await);
    }
    Ok(Json(views))
}

async fn view(app: &App, service: Service) -> ServiceView {
    let state = match app.agent.status(&service.workload.key).await {
        Ok(status) => format!("{:?}", status.phase).to_lowercase(),
        Err(error) => format!("unknown: {error}"),
    };
    ServiceView {
        state,
        model: service.model.to_string(),
        runnable: service.runnable.to_string(),
        run: format!("{}/{}", service.pipeline, service.run),
        url: format!("{}{}/predict", app.url, fuseml_engine::base_path(&service)),
        updated: service.updated,
        project: service.project,
        pipeline: service.pipeline,
        name: service.name,
    }
}
