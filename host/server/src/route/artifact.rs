//! Artifacts and their lineage.

use crate::app::App;
use axum::extract::State;
use fuseml_catalog::Lineage;
use fuseml_domain::{Address, Descriptor, Kind, Name, port::Catalog as _};
use fuseml_rest::{Answer, Json, Path, Query};
use serde::Deserialize;
use std::sync::Arc;

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

pub(super) async fn current_codesets(
    State(app): State<Arc<App>>,
    Path(project): Path<Name>,
) -> Answer<Json<Vec<Descriptor>>> {
    app.catalog.check_project(&project).await?;
    Ok(Json(app.catalog.current_codesets(&project).await?))
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

pub(super) async fn lineage(State(app): State<Arc<App>>, Query(query): Query<LineageQuery>) -> Answer<Json<Lineage>> {
    let artifact = app.catalog.artifact(&query.address).await?;
    Ok(Json(app.catalog.lineage(&artifact.address, query.depth).await?))
}
