//! Projects, templates and pipelines.

use crate::{
    app::App,
    suggestions::{self, Suggestions},
    view::{PipelineRequest, PipelineUpdate, ProjectView, TemplateView},
};
use axum::{extract::State, http::StatusCode};
use fuseml_domain::{
    Address, Connected, Edited, Error, Freeze, Goal, InstanceChoice, Kind, Name, Pipeline, PipelineChange, Template,
    port::{Catalog as _, Engines as _},
};
use fuseml_rest::{Answer, Json, Path, Query};
use jiff::Timestamp;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProject {
    name: String,
}

pub(super) async fn projects(State(app): State<Arc<App>>) -> Answer<Json<Vec<ProjectView>>> {
    let projects = app.catalog.projects().await?;
    Ok(Json(projects.into_iter().map(|(name, created)| ProjectView { name, created }).collect()))
}

pub(super) async fn create_project(State(app): State<Arc<App>>, Json(new): Json<NewProject>) -> Answer<StatusCode> {
    app.catalog.create_project(&new.name.parse()?).await?;
    Ok(StatusCode::CREATED)
}

pub(super) async fn templates(State(app): State<Arc<App>>) -> Answer<Json<Vec<TemplateView>>> {
    let templates = app.catalog.templates().await?;
    let view = |(extension, version, template)| TemplateView { extension, version, template };
    Ok(Json(templates.into_iter().map(view).collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SuggestQuery {
    from: String,
    to: Goal,
}

/// Chains of pipelines that would lead from an artifact to a goal.
pub(super) async fn suggest(
    State(app): State<Arc<App>>,
    Path(project): Path<Name>,
    Query(query): Query<SuggestQuery>,
) -> Answer<Json<Suggestions>> {
    app.catalog.check_project(&project).await?;
    let address = Address::parse_in(&query.from, Kind::Codeset, &project)?;
    if address.project != project {
        let message = format!("{address} is of another project; pipelines of {project} start with what it has");
        return Err(Error::invalid("from", message).into());
    }
    let from = app.catalog.artifact(&address).await?;
    Ok(Json(suggestions::find(&app, &project, from, query.to).await?))
}

pub(super) async fn list(State(app): State<Arc<App>>, Path(project): Path<Name>) -> Answer<Json<Vec<Pipeline>>> {
    app.catalog.check_project(&project).await?;
    Ok(Json(app.catalog.pipelines(&project).await?))
}

pub(super) async fn add(
    State(app): State<Arc<App>>,
    Path(project): Path<Name>,
    Json(request): Json<PipelineRequest>,
) -> Answer<(StatusCode, Json<Pipeline>)> {
    app.catalog.check_project(&project).await?;
    let connected = connect(&app, &project, &request.template, request.text.as_deref(), &request.parts).await?;
    let (inputs, parameters) = (&request.inputs, request.parameters);
    let pipeline = Pipeline::new(project, request.name, connected, inputs, parameters, Timestamp::now())?
        .starting(request.starts)?
        .at(request.agent.as_ref(), &request.agents)?;
    check_agents(&app, &pipeline, None).await?;
    app.catalog.add_pipeline(&pipeline).await?;
    app.engine.wake_schedules();
    Ok((StatusCode::CREATED, Json(pipeline)))
}

/// A template, by name or as text, taken apart, whose steps take what they leave out of what fits.
async fn connect(
    app: &App,
    project: &Name,
    name: &str,
    text: Option<&str>,
    parts: &BTreeMap<String, String>,
) -> fuseml_domain::Result<Connected> {
    let (provider, template) = match text {
        Some(text) => (None, Template::parse(text, name)?),
        None => {
            let (provider, template) = app.catalog.template(name).await?;
            (Some(provider), template)
        }
    };
    let parts = parts.iter().map(|(name, text)| Ok((name.clone(), Template::parse(text, name)?)));
    let template = app.catalog.flattened(&template, parts.collect::<fuseml_domain::Result<_>>()?).await?;
    Ok(Connected { provider, ..app.engine.connect(project, &template).await? })
}

/// Refuses agents that are not there; those that the pipeline had before are looked for when a job goes there.
async fn check_agents(app: &App, pipeline: &Pipeline, before: Option<&Pipeline>) -> fuseml_domain::Result<()> {
    fn of(pipeline: &Pipeline) -> Vec<&InstanceChoice> {
        let mut agents: Vec<_> = pipeline.template.steps.iter().filter_map(|step| step.agent.as_ref()).collect();
        agents.dedup();
        agents
    }
    let before = before.map(of).unwrap_or_default();
    for agent in of(pipeline).into_iter().filter(|agent| !before.contains(agent)) {
        if let Some(name) = app.engine.agent(&pipeline.project, agent).await? {
            app.registry.engine(&name).await?;
        }
    }
    Ok(())
}

/// Saves another version of a pipeline: runs that there are go on as they are.
pub(super) async fn update(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
    Json(request): Json<PipelineUpdate>,
) -> Answer<Json<Pipeline>> {
    let before = app.catalog.pipeline(&project, &name).await?;
    if before.version != request.of_version {
        let message = format!("{name} was changed meanwhile: it is version {} now", before.version);
        return Err(Error::conflict("stale-pipeline", message).into());
    }
    request.check()?;
    let edited = Edited { at: Timestamp::now(), by: request.by.clone(), reason: request.reason.clone() };
    let pipeline = match request.as_version {
        Some(version) => {
            let all = app.catalog.pipeline_versions(&project, &name).await?;
            let then = all.iter().find(|it| it.version == version).ok_or_else(|| {
                Error::not_found("unknown-version", format!("{name} has the versions 1 to {}", before.version))
            })?;
            before.as_it_was(then, edited)
        }
        None => {
            let template = match &request.template {
                Some(template) => {
                    let text = request.text.as_deref();
                    Some(connect(&app, &project, template, text, &request.parts).await?)
                }
                None => None,
            };
            let PipelineUpdate { inputs, parameters, unset, starts, agent, agents, .. } = request;
            let change = PipelineChange { template, inputs, parameters, unset, starts, agent, agents };
            before.changed_by(change, edited)?
        }
    };
    if pipeline.is_as(&before) {
        return Ok(Json(before));
    }
    check_agents(&app, &pipeline, Some(&before)).await?;
    let pipeline = app.catalog.update_pipeline(&pipeline).await?;
    app.engine.wake_schedules();
    Ok(Json(pipeline))
}

/// What a pipeline was and is, oldest first.
pub(super) async fn versions(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
) -> Answer<Json<Vec<Pipeline>>> {
    app.catalog.check_project(&project).await?;
    Ok(Json(app.catalog.pipeline_versions(&project, &name).await?))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
) -> Answer<Json<Pipeline>> {
    app.catalog.check_project(&project).await?;
    Ok(Json(app.catalog.pipeline(&project, &name).await?))
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
) -> Answer<StatusCode> {
    app.catalog.check_project(&project).await?;
    app.catalog.remove_pipeline(&project, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Why somebody freezes a pipeline.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FreezeRequest {
    reason: String,
}

pub(super) async fn freeze(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
    Json(request): Json<FreezeRequest>,
) -> Answer<StatusCode> {
    app.catalog.pipeline(&project, &name).await?;
    let freeze = Freeze { reason: request.reason, at: Timestamp::now(), because_of: None, thawed: None };
    app.catalog.freeze(&[(project, name)], &freeze).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn thaw(State(app): State<Arc<App>>, Path((project, name)): Path<(Name, Name)>) -> Answer<StatusCode> {
    app.catalog.pipeline(&project, &name).await?;
    app.catalog.thaw(&project, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
