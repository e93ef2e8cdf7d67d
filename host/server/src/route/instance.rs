//! Instances of extensions: settings, grants, secrets, and what their calls left.

use crate::{
    app::App,
    view::{ConfigureRequest, EnableRequest, GrantRequest, InstanceRequest, InstanceView, ReplayView, SecretRequest},
};
use axum::{extract::State, http::StatusCode};
use fuseml_catalog::{CallFilter, CallRecord, LogRecord};
use fuseml_domain::{Capability, Error, Name};
use fuseml_rest::{Answer, Json, Path, Query};
use fuseml_sandbox::Tape;
use serde::Deserialize;
use std::sync::Arc;

/// Receipts and lines answered at once, at the most.
const PAGE: u32 = 1000;

pub(super) async fn add(
    State(app): State<Arc<App>>,
    Path(extension): Path<Name>,
    Json(request): Json<InstanceRequest>,
) -> Answer<(StatusCode, Json<InstanceView>)> {
    let name = request.name.clone();
    app.registry.add_instance(&extension, request).await?;
    Ok((StatusCode::CREATED, Json(view(&app, &name).await?)))
}

pub(super) async fn show(State(app): State<Arc<App>>, Path(name): Path<Name>) -> Answer<Json<InstanceView>> {
    Ok(Json(view(&app, &name).await?))
}

async fn view(app: &App, name: &Name) -> Answer<InstanceView> {
    Ok(app.registry.instance_view(app.catalog.instance(name).await?).await?)
}

pub(super) async fn configure(
    State(app): State<Arc<App>>,
    Path(name): Path<Name>,
    Json(request): Json<ConfigureRequest>,
) -> Answer<Json<InstanceView>> {
    app.registry.configure(&name, request).await?;
    Ok(Json(view(&app, &name).await?))
}

pub(super) async fn grant(
    State(app): State<Arc<App>>,
    Path((name, capability)): Path<(Name, Capability)>,
    Json(request): Json<GrantRequest>,
) -> Answer<Json<InstanceView>> {
    app.registry.grant(&name, capability, &request.hosts).await?;
    Ok(Json(view(&app, &name).await?))
}

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Path((name, capability)): Path<(Name, Capability)>,
) -> Answer<Json<InstanceView>> {
    app.registry.revoke(&name, capability).await?;
    Ok(Json(view(&app, &name).await?))
}

pub(super) async fn enable(
    State(app): State<Arc<App>>,
    Path(name): Path<Name>,
    Json(request): Json<EnableRequest>,
) -> Answer<StatusCode> {
    app.registry.enable_instance(&name, request.enabled).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(State(app): State<Arc<App>>, Path(name): Path<Name>) -> Answer<StatusCode> {
    app.registry.remove_instance(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn put_secret(
    State(app): State<Arc<App>>,
    Path((name, secret)): Path<(Name, String)>,
    Json(request): Json<SecretRequest>,
) -> Answer<StatusCode> {
    let value = zeroize::Zeroizing::new(request.value);
    app.registry.put_secret(&name, &secret, value.as_bytes()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove_secret(
    State(app): State<Arc<App>>,
    Path((name, secret)): Path<(Name, String)>,
) -> Answer<StatusCode> {
    app.registry.remove_secret(&name, &secret).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Seals all secrets with a new key.
pub(super) async fn rotate_secrets(State(app): State<Arc<App>>) -> Answer<Json<usize>> {
    // Another server would seal with the old key.
    let _alone = app.peers.alone("keys are changed")?;
    Ok(Json(app.registry.rotate_secrets().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallQuery {
    instance: Option<Name>,
    subject: Option<String>,
    #[serde(default)]
    refused: bool,
    limit: Option<u32>,
}

pub(super) async fn calls(
    State(app): State<Arc<App>>,
    Query(query): Query<CallQuery>,
) -> Answer<Json<Vec<CallRecord>>> {
    app.registry.flush().await;
    let filter = CallFilter {
        instance: query.instance,
        subject: query.subject,
        only_refused: query.refused,
        limit: query.limit.unwrap_or(50).min(PAGE),
    };
    if let Some(instance) = &filter.instance {
        app.catalog.instance(instance).await?;
    }
    Ok(Json(app.catalog.calls(&filter).await?))
}

pub(super) async fn call(State(app): State<Arc<App>>, Path(id): Path<String>) -> Answer<Json<CallRecord>> {
    app.registry.flush().await;
    Ok(Json(app.catalog.call(&id).await?.0))
}

/// The whole of a recorded call.
pub(super) async fn tape(State(app): State<Arc<App>>, Path(id): Path<String>) -> Answer<Json<Tape>> {
    app.registry.flush().await;
    Ok(Json(app.registry.tape(&id).await?.1))
}

/// Runs a recorded call again, offline.
pub(super) async fn replay(State(app): State<Arc<App>>, Path(id): Path<String>) -> Answer<Json<ReplayView>> {
    app.registry.flush().await;
    Ok(Json(app.registry.replay(&id).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    #[serde(default)]
    after: i64,
    limit: Option<u32>,
}

/// `(sequence, line)`, oldest first.
pub(super) async fn logs(
    State(app): State<Arc<App>>,
    Path(name): Path<Name>,
    Query(query): Query<LogQuery>,
) -> Answer<Json<Vec<(i64, LogRecord)>>> {
    app.registry.flush().await;
    app.catalog.instance(&name).await?;
    if query.after < 0 {
        return Err(Error::invalid("after", "`after` is a sequence number, 0 or more").into());
    }
    Ok(Json(app.catalog.extension_log(&name, query.after, query.limit.unwrap_or(200).min(PAGE)).await?))
}
