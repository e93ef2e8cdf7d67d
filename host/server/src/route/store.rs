//! Stores of artifacts.

use super::artifact::AddressQuery;
use crate::{
    app::App,
    stores,
    view::{PageView, StoreView, SyncRequest},
};
use axum::extract::State;
use fuseml_domain::{Error, ErrorKind, Kind, Name, Store, StoreCollected, StoreSync, port::Catalog as _};
use fuseml_rest::{Answer, Json, Path, Query};
use serde::Deserialize;
use std::sync::Arc;

pub(super) async fn list(State(app): State<Arc<App>>) -> Answer<Json<Vec<StoreView>>> {
    Ok(Json(stores::list(&app).await?))
}

pub(super) async fn show(State(app): State<Arc<App>>, Path(instance): Path<Name>) -> Answer<Json<StoreView>> {
    let view = match stores::show(&app, &instance, true).await {
        // An instance may have the name of a built-in store: then it is meant.
        Err(error) if error.kind == ErrorKind::NotFound => {
            let built_in = StoreView::built_in(app.blobs_place.clone());
            Some(built_in.into_iter().find(|store| *store.store == *instance).ok_or(error)?)
        }
        view => view?,
    };
    let view = view.ok_or_else(|| Error::not_found("no-store", format!("{instance} has no artifact store")))?;
    Ok(Json(view))
}

pub(super) async fn sync(
    State(app): State<Arc<App>>,
    Path(instance): Path<Name>,
    Json(request): Json<SyncRequest>,
) -> Answer<Json<StoreSync>> {
    Ok(Json(stores::sync(&app, &instance, &request).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CollectQuery {
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn collect(
    State(app): State<Arc<App>>,
    Path(instance): Path<Name>,
    Query(query): Query<CollectQuery>,
) -> Answer<Json<StoreCollected>> {
    Ok(Json(stores::collect(&app, &instance, query.dry_run).await?))
}

/// Where a person looks at the artifact: in its tool, or with git.
pub(super) async fn page(State(app): State<Arc<App>>, Query(query): Query<AddressQuery>) -> Answer<Json<PageView>> {
    let artifact = app.catalog.artifact(&query.address).await?;
    if let Some((store, id)) = app.engine.store_of(&artifact).await? {
        return Ok(Json(PageView { url: store.page_of(&id).await? }));
    }
    match (artifact.kind(), &artifact.store) {
        (Kind::Codeset, _) => {
            Ok(Json(PageView { url: format!("{}/git/{}/{}.git", app.url, artifact.project(), artifact.name) }))
        }
        (_, Store::External) if artifact.location.uri.starts_with("http") => {
            Ok(Json(PageView { url: artifact.location.uri }))
        }
        _ => {
            let message = format!(
                "{} has no page of its own; `fuseml artifact show` shows all that is known of it",
                artifact.address.short()
            );
            Err(Error::unsupported("no-page", message).into())
        }
    }
}
