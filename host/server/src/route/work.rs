//! What workers on engines ask: their work's own token opens it, nothing else does.

use crate::app::App;
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use fuseml_agents::{Ending, Order, WORKER};
use fuseml_domain::{Error, Result};
use fuseml_rest::{Answer, Json, Path, Query};
use futures::TryStreamExt as _;
use serde::Deserialize;
use std::{os::unix::fs::PermissionsExt as _, sync::Arc};

/// Bytes that are read and sent at once.
const PORTION: usize = 1 << 18;

fn token(headers: &HeaderMap) -> &str {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.strip_prefix("Bearer ").unwrap_or_default()
}

/// The program itself holds no secret.
pub(super) async fn worker() -> &'static str {
    WORKER
}

pub(super) async fn order(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Answer<Json<Order>> {
    let token = token(&headers).to_owned();
    // Every file of the inputs is read.
    let order = tokio::task::spawn_blocking(move || app.engines.order(&key, &token)).await;
    Ok(Json(order.map_err(|error| Error::internal("work", error.to_string()))??))
}

pub(super) async fn input(
    State(app): State<Arc<App>>,
    Path((key, name, path)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Answer<Body> {
    let file = app.engines.input(&key, token(&headers), &name, &path)?;
    let file = tokio::fs::File::open(file).await.map_err(|error| Error::io(&path, &error))?;
    Ok(Body::from_stream(tokio_util::io::ReaderStream::with_capacity(file, PORTION)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileQuery {
    #[serde(default)]
    executable: bool,
}

pub(super) async fn put(
    State(app): State<Arc<App>>,
    Path((key, path)): Path<(String, String)>,
    Query(query): Query<FileQuery>,
    headers: HeaderMap,
    body: Body,
) -> Answer<StatusCode> {
    let place = app.engines.output(&key, token(&headers), &path)?;
    write(&place, body, query.executable).await.map_err(|error| error.context(&path))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn write(place: &std::path::Path, body: Body, executable: bool) -> Result<()> {
    let failed = |error: std::io::Error| Error::io("it could not be kept", &error);
    let mut file = tokio::fs::File::create(place).await.map_err(failed)?;
    let body = body.into_data_stream().map_err(std::io::Error::other);
    tokio::io::copy(&mut tokio_util::io::StreamReader::new(body), &mut file).await.map_err(failed)?;
    if executable {
        file.set_permissions(std::fs::Permissions::from_mode(0o755)).await.map_err(failed)?;
    }
    file.sync_all().await.map_err(failed)
}

/// All inputs are there; the command begins.
pub(super) async fn begin(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    app.engines.begin(&key, token(&headers))?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn end(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Answer<StatusCode> {
    let ending: Ending = serde_json::from_str(&body)
        .map_err(|error| Error::invalid("work", format!("this does not say how a command ended: {error}")))?;
    app.engines.end(&key, token(&headers), &ending)?;
    Ok(StatusCode::NO_CONTENT)
}
