//! Artifacts and their lineage.

use crate::{app::App, contents, difference, openlineage};
use axum::{extract::State, http::StatusCode};
use fuseml_catalog::{ArtifactPage, ArtifactSearch, Author, HistoryEntry, Lineage};
use fuseml_domain::{
    Address, ArtifactDifference, Attributes, Condition, Descriptor, ExternalArtifact, Kind, Name, Runnable, Series,
    port::Catalog as _,
};
use fuseml_rest::{Answer, Json, Path, Query};
use jiff::Timestamp;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};

/// Artifacts in one answer when nobody says how many.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    kind: Option<Kind>,
    name: Option<String>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
pub(super) struct AddressQuery {
    pub(super) address: Address,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(project): Path<Name>,
    Query(query): Query<ListQuery>,
) -> Answer<Json<Vec<Descriptor>>> {
    app.catalog.check_project(&project).await?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    Ok(Json(app.catalog.list_artifacts(&project, query.kind, query.name.as_deref(), limit).await?))
}

pub(super) async fn show(State(app): State<Arc<App>>, Query(query): Query<AddressQuery>) -> Answer<Json<Descriptor>> {
    Ok(Json(app.catalog.artifact(&query.address).await?))
}

/// Whose lineage, and how many steps far; all of it if that is not said.
#[derive(Deserialize)]
pub(super) struct LineageQuery {
    address: Address,
    depth: Option<u32>,
}

/// What is looked for; see `docs/artifacts.md` for conditions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchQuery {
    project: Option<Name>,
    #[serde(rename = "where")]
    condition: Option<Condition>,
    /// Only runnables that take this artifact.
    taking: Option<Address>,
    /// Only artifacts that this runnable takes, all its inputs or one.
    taken_by: Option<Address>,
    input: Option<String>,
    limit: Option<u32>,
    page_token: Option<String>,
}

pub(super) async fn search(
    State(app): State<Arc<App>>,
    Query(query): Query<SearchQuery>,
) -> Answer<Json<ArtifactPage>> {
    let SearchQuery { project, condition, taking, taken_by, input, limit, page_token } = query;
    if let Some(project) = &project {
        app.catalog.check_project(project).await?;
    }
    let mut conditions: Vec<Condition> = condition.into_iter().collect();
    let taking = match taking {
        Some(address) => Some(Box::new(app.catalog.artifact(&address).await?)),
        None => None,
    };
    conditions.extend(taking.iter().map(|artifact| Runnable::with_input(artifact.kind())));
    if let Some(address) = taken_by {
        conditions.push(app.catalog.runnable(&address).await?.wants(input.as_deref())?);
    }
    let condition = Some(Condition::All(conditions)).filter(|all| *all != Condition::All(Vec::new()));
    let limit = limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let search = ArtifactSearch { project, condition, taking, without_held: false, limit, page_token };
    Ok(Json(app.catalog.search(&search).await?))
}

/// Records what lies elsewhere.
pub(super) async fn register(
    State(app): State<Arc<App>>,
    Path(project): Path<Name>,
    Json(external): Json<ExternalArtifact>,
) -> Answer<(StatusCode, Json<Descriptor>)> {
    app.catalog.check_project(&project).await?;
    let descriptor = external.describe(&project, Timestamp::now())?;
    app.trees.publish_description(&descriptor).await?;
    let is_new = app.catalog.register(std::slice::from_ref(&descriptor)).await? > 0;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    if is_new {
        app.engine.wake();
    }
    Ok((status, Json(app.catalog.artifact(&descriptor.address).await?)))
}

/// A runnable as it was described, and by whom.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunnableRequest {
    runnable: Runnable,
    by: String,
}

pub(super) async fn register_runnable(
    State(app): State<Arc<App>>,
    Path(project): Path<Name>,
    Json(request): Json<RunnableRequest>,
) -> Answer<(StatusCode, Json<Descriptor>)> {
    let RunnableRequest { runnable, by } = request;
    let place = (&app.catalog, &*app.trees, &*app.engine);
    let (descriptor, is_new) = contents::register_runnable(place, &project, runnable, Attributes::new(), by).await?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(descriptor)))
}

/// Labels to set, and to remove where there is no value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LabelRequest {
    labels: BTreeMap<String, Option<String>>,
    by: String,
    reason: Option<String>,
}

pub(super) async fn label(
    State(app): State<Arc<App>>,
    Query(query): Query<AddressQuery>,
    Json(request): Json<LabelRequest>,
) -> Answer<Json<Descriptor>> {
    let labels: Vec<_> = request.labels.into_iter().collect();
    let author = Author { by: request.by, reason: request.reason };
    let artifact = app.catalog.label(&query.address, &labels, &author).await?;
    app.engine.wake();
    app.engine.arrived(artifact.project()).await;
    Ok(Json(artifact))
}

/// Who moves a tag, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TagRequest {
    by: String,
    reason: Option<String>,
}

pub(super) async fn tag(
    State(app): State<Arc<App>>,
    Path(tag): Path<Name>,
    Query(query): Query<AddressQuery>,
    Json(request): Json<TagRequest>,
) -> Answer<Json<Descriptor>> {
    let author = Author { by: request.by, reason: request.reason };
    let artifact = app.catalog.tag(&query.address, &tag, &author).await?;
    app.engine.wake();
    app.engine.arrived(artifact.project()).await;
    app.trees.point(&artifact, &tag).await?;
    Ok(Json(artifact))
}

pub(super) async fn untag(
    State(app): State<Arc<App>>,
    Path(tag): Path<Name>,
    Query(query): Query<AddressQuery>,
    Json(request): Json<TagRequest>,
) -> Answer<Json<Descriptor>> {
    let author = Author { by: request.by, reason: request.reason };
    let artifact = app.catalog.untag(&query.address, &tag, &author).await?;
    app.engine.wake();
    app.engine.arrived(artifact.project()).await;
    app.trees.unpoint(&Series::of(&artifact), &tag).await?;
    Ok(Json(artifact))
}

/// Whose history, and how much of it.
#[derive(Deserialize)]
pub(super) struct HistoryQuery {
    address: Address,
    limit: Option<u32>,
}

pub(super) async fn history(
    State(app): State<Arc<App>>,
    Query(query): Query<HistoryQuery>,
) -> Answer<Json<Vec<HistoryEntry>>> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    Ok(Json(app.catalog.history(&query.address, limit).await?))
}

/// Two artifacts.
#[derive(Deserialize)]
pub(super) struct DiffQuery {
    address: Address,
    other: Address,
}

pub(super) async fn diff(
    State(app): State<Arc<App>>,
    Query(query): Query<DiffQuery>,
) -> Answer<Json<Vec<ArtifactDifference>>> {
    let (before, after) = (app.catalog.artifact(&query.address).await?, app.catalog.artifact(&query.other).await?);
    Ok(Json(difference::explain(&app, &before, &after).await?))
}

/// The same as OpenLineage events.
pub(super) async fn openlineage(
    State(app): State<Arc<App>>,
    Query(query): Query<LineageQuery>,
) -> Answer<Json<Vec<serde_json::Value>>> {
    let artifact = app.catalog.artifact(&query.address).await?;
    let lineage = app.catalog.lineage(&artifact.address, query.depth).await?;
    Ok(Json(openlineage::of_lineage(&app, &lineage).await?))
}

pub(super) async fn lineage(State(app): State<Arc<App>>, Query(query): Query<LineageQuery>) -> Answer<Json<Lineage>> {
    let artifact = app.catalog.artifact(&query.address).await?;
    Ok(Json(app.catalog.lineage(&artifact.address, query.depth).await?))
}
