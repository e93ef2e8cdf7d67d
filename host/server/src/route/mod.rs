//! Which path is answered by what.

mod artifact;
mod codeset;
mod contents;
mod event;
mod extension;
mod follow;
mod gateway;
mod git;
mod instance;
mod pipeline;
mod run;
mod store;
mod work;

use crate::{app::App, auth, contents::Pushes, view::ServerView};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    middleware,
    routing::{any, delete, get, patch, post, put},
};
use fuseml_rest::Answer;
use std::sync::Arc;

/// The largest request to the REST interface but for packages, in bytes.
const MAX_BODY: usize = 4 << 20;
/// What a webhook takes in one request, in bytes.
const MAX_EVENTS: usize = 1 << 20;
const MAX_PACKAGE: usize = 512 << 20;
/// A list of a million files with long paths.
const MAX_TREE: usize = 256 << 20;
/// The largest file of an artifact, in bytes: what S3 keeps as one object.
const MAX_BLOB: u64 = 5 << 40;

pub(crate) fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/projects", get(pipeline::projects).post(pipeline::create_project))
        .route("/templates", get(pipeline::templates))
        .route("/projects/{project}/pipelines", get(pipeline::list).post(pipeline::add))
        .route(
            "/projects/{project}/pipelines/{name}",
            get(pipeline::show).patch(pipeline::update).delete(pipeline::remove),
        )
        .route("/projects/{project}/pipelines/{name}/versions", get(pipeline::versions))
        .route("/projects/{project}/suggestions", get(pipeline::suggest))
        .route("/projects/{project}/pipelines/{name}/frozen", put(pipeline::freeze).delete(pipeline::thaw))
        .route("/projects/{project}/pipelines/{name}/runs", post(run::start))
        .route("/projects/{project}/pipelines/{name}/plan", post(run::plan))
        .route("/projects/{project}/artifacts", get(artifact::list).post(artifact::register))
        .route("/projects/{project}/runnables", post(artifact::register_runnable))
        .route("/projects/{project}/codesets", get(codeset::list))
        .route("/projects/{project}/codesets/{name}", get(codeset::show))
        .route("/projects/{project}/codesets/{name}/log", get(codeset::log))
        .route("/projects/{project}/codesets/{name}/import", put(codeset::import).delete(codeset::end_import))
        .route("/projects/{project}/codesets/{name}/sync", post(codeset::sync))
        .route("/artifacts", get(artifact::search))
        .route("/artifact", get(artifact::show).delete(contents::delete))
        .route("/artifact/contents", get(contents::locate))
        .route("/artifact/verify", post(contents::verify))
        .route("/artifact/provenance", get(contents::provenance))
        .route("/provenance-key", get(contents::provenance_key))
        .route("/artifact/labels", patch(artifact::label))
        .route("/artifact/tags/{tag}", put(artifact::tag).delete(artifact::untag))
        .route("/artifact/history", get(artifact::history))
        .route("/artifact/diff", get(artifact::diff))
        .route("/artifact/tree", get(contents::tree))
        .route("/artifact/pack", post(contents::send_pack))
        .route("/projects/{project}/versions/{kind}/{name}", post(contents::register))
        .route("/artifact/page", get(store::page))
        .route("/stores", get(store::list))
        .route("/stores/{instance}", get(store::show))
        .route("/stores/{instance}/sync", post(store::sync))
        .route("/stores/{instance}/collect", post(store::collect))
        .route("/servers", get(servers))
        .route("/catalog/copy", get(contents::copy_catalog))
        .route("/contents/recover", post(contents::recover))
        .route("/contents/collect", post(contents::collect))
        .route("/lineage", get(artifact::lineage))
        .route("/lineage/openlineage", get(artifact::openlineage))
        .route("/activity", get(run::activity))
        .route("/activity/events", get(follow::activity))
        .route("/projects/{project}/runs", get(run::list))
        .route("/projects/{project}/runs/{pipeline}/{number}", get(run::show))
        .route("/projects/{project}/runs/{pipeline}/{number}/events", get(follow::run))
        .route("/projects/{project}/runs/{pipeline}/{number}/logs", get(run::logs))
        .route("/projects/{project}/runs/{pipeline}/{number}/commands", post(run::command))
        .route("/projects/{project}/runs/{pipeline}/{number}/rerun", post(run::rerun))
        .route("/projects/{project}/services", get(run::services))
        .route("/projects/{project}/webhooks", get(event::webhooks).post(event::add_webhook))
        .route("/projects/{project}/webhooks/{name}", delete(event::remove_webhook))
        .route("/projects/{project}/endpoints", get(event::endpoints).post(event::add_endpoint))
        .route("/projects/{project}/endpoints/{name}", delete(event::remove_endpoint))
        .route("/projects/{project}/events", get(event::list).post(event::send))
        .route("/extensions", get(extension::list))
        .route("/extensions-audit", post(extension::audit))
        .route("/extensions-lock", get(extension::lock))
        .route("/packages", post(extension::fetch))
        .route("/packages/plan", post(extension::plan))
        .route("/marketplaces", get(extension::marketplaces).post(extension::add_marketplace))
        .route("/marketplaces/{name}", delete(extension::remove_marketplace))
        .route("/extensions/{name}", get(extension::show).delete(extension::remove))
        .route("/extensions/{name}/approve", post(extension::approve).delete(extension::discard))
        .route("/extensions/{name}/rollback", post(extension::rollback))
        .route("/extensions/{name}/enabled", put(extension::enable))
        .route("/extensions/{name}/verify", get(extension::verify))
        .route("/extensions/{name}/instances", post(instance::add))
        .route("/instances/{name}", get(instance::show).delete(instance::remove))
        .route("/instances/{name}/settings", put(instance::configure))
        .route("/instances/{name}/enabled", put(instance::enable))
        .route("/instances/{name}/grants/{capability}", put(instance::grant).delete(instance::revoke))
        .route("/instances/{name}/secrets/{secret}", put(instance::put_secret).delete(instance::remove_secret))
        .route("/instances/{name}/logs", get(instance::logs))
        .route("/secrets/rotate", post(instance::rotate_secrets))
        .route("/calls", get(instance::calls))
        .route("/calls/{id}", get(instance::call))
        .route("/calls/{id}/tape", get(instance::tape))
        .route("/calls/{id}/replay", post(instance::replay))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .route("/projects/{project}/trees/{kind}/{name}", post(contents::expect).layer(DefaultBodyLimit::max(MAX_TREE)))
        .route("/projects/{project}/packs/{kind}/{name}", post(contents::take_pack).layer(DefaultBodyLimit::disable()))
        .route("/projects/{project}/codesets/{name}/plan", post(codeset::plan).layer(DefaultBodyLimit::disable()))
        .route("/marketplaces-import", post(extension::import).layer(DefaultBodyLimit::max(MAX_PACKAGE)))
        .route("/extensions", post(extension::install).layer(DefaultBodyLimit::max(MAX_PACKAGE)))
        .route("/extensions/{name}/upgrade", post(extension::upgrade).layer(DefaultBodyLimit::max(MAX_PACKAGE)));
    let pushes = Pushes::new(app.catalog.clone(), app.trees.clone(), app.engine.clone());
    let registry = fuseml_registry::router(app.blobs.clone(), Arc::new(pushes), MAX_BLOB);
    // What asks with a token or a proof of its own.
    let others = Router::new()
        .route("/work/{key}", get(work::order))
        .route("/work/{key}/worker.py", get(work::worker))
        .route("/work/{key}/inputs/{name}/{*path}", get(work::input))
        .route("/work/{key}/files/{*path}", put(work::put).layer(DefaultBodyLimit::disable()))
        .route("/work/{key}/begin", post(work::begin))
        .route("/work/{key}/end", post(work::end))
        .route(
            "/hooks/{project}/{name}",
            post(event::receive).options(event::handshake).layer(DefaultBodyLimit::max(MAX_EVENTS)),
        )
        .with_state(app.clone())
        .layer(middleware::from_fn_with_state(app.clone(), auth::guard_names));
    let guarded = Router::new()
        .nest("/api/v1", api)
        .route("/git/{project}/{name}/{*service}", any(git::serve).layer(DefaultBodyLimit::disable()))
        .route("/serve/{project}/{pipeline}/{name}/{*path}", any(gateway::forward).layer(DefaultBodyLimit::disable()))
        .with_state(app.clone())
        .merge(registry)
        .layer(middleware::from_fn_with_state(app, auth::guard));
    Router::new().route("/healthz", get(|| async { "ok\n" })).merge(others).merge(guarded)
}

/// The servers that share this one's catalog.
async fn servers(State(app): State<Arc<App>>) -> Answer<Json<Vec<ServerView>>> {
    Ok(Json(app.peers.all().await?))
}
