//! Files of artifacts: lists of them, and small ones in packs. Large ones go through the registry's blobs.

use super::artifact::AddressQuery;
use crate::{
    app::App,
    contents, provenance, recover,
    view::{RecoveredView, VerificationView},
};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use fuseml_catalog::Author;
use fuseml_contents::Missing;
use fuseml_domain::{
    Descriptor, Digest, Error, Kind, Name, PushedArtifact, Series, Tree, check_pushed, port::Catalog as _,
};
use fuseml_marketplace::BUNDLE;
use fuseml_registry::Collected;
use fuseml_rest::{Answer, Json, Path, Query};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

async fn series(app: &App, (project, kind, name): (Name, Kind, Name)) -> fuseml_domain::Result<Series> {
    let series = Series { project, kind, name };
    check_pushed(&series)?;
    app.catalog.check_project(&series.project).await?;
    Ok(series)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectQuery {
    /// Read again what is stored of them.
    #[serde(default)]
    repair: bool,
}

/// Takes a list of files and says which of them are still to come.
pub(super) async fn expect(
    State(app): State<Arc<App>>,
    Path(place): Path<(Name, Kind, Name)>,
    Query(query): Query<ExpectQuery>,
    body: Bytes,
) -> Answer<Json<Missing>> {
    let series = series(&app, place).await?;
    Ok(Json(app.trees.expect(&series, &Tree::parse(&body)?, query.repair).await?))
}

/// How many files a pack had.
#[derive(Serialize)]
pub(super) struct Taken {
    files: usize,
}

pub(super) async fn take_pack(
    State(app): State<Arc<App>>,
    Path(place): Path<(Name, Kind, Name)>,
    body: Body,
) -> Answer<Json<Taken>> {
    let series = series(&app, place).await?;
    Ok(Json(Taken { files: app.trees.take_pack(&series, body.into_data_stream()).await? }))
}

/// All files are there: they become a version.
pub(super) async fn register(
    State(app): State<Arc<App>>,
    Path(place): Path<(Name, Kind, Name)>,
    Json(pushed): Json<PushedArtifact>,
) -> Answer<(StatusCode, Json<Descriptor>)> {
    let series = series(&app, place).await?;
    let (descriptor, is_new) = contents::register(&app.catalog, &app.trees, &app.engine, &series, pushed).await?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(descriptor)))
}

/// The list of an artifact's files.
pub(super) async fn tree(State(app): State<Arc<App>>, Query(query): Query<AddressQuery>) -> Answer<Json<Tree>> {
    let artifact = app.catalog.artifact(&query.address).await?;
    Ok(Json(app.trees.tree(&digest(&artifact)?).await?))
}

fn digest(artifact: &Descriptor) -> fuseml_domain::Result<Digest> {
    artifact.digest.clone().filter(|_| artifact.runnable.is_none()).ok_or_else(|| {
        let message = format!("no list of files is kept of {}", artifact.address.short());
        Error::unsupported("no-tree", message)
    })
}

/// Numbers of files, counted from 0 in the order of the tree.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PackRequest {
    files: Vec<usize>,
}

pub(super) async fn send_pack(
    State(app): State<Arc<App>>,
    Query(query): Query<AddressQuery>,
    Json(request): Json<PackRequest>,
) -> Answer<Response> {
    const BUFFER: usize = 1 << 20;
    let digest = digest(&app.catalog.artifact(&query.address).await?)?;
    let (writer, reader) = tokio::io::duplex(BUFFER);
    let trees = app.trees.clone();
    tokio::task::spawn_blocking(move || {
        let writer = std::io::BufWriter::with_capacity(BUFFER / 4, tokio_util::io::SyncIoBridge::new(writer));
        // A pack without its end is no pack: whoever reads it notices.
        if let Err(error) = trees.send_pack(&digest, &request.files, writer) {
            tracing::warn!(%error, "a pack could not be sent");
        }
    });
    let body = Body::from_stream(tokio_util::io::ReaderStream::with_capacity(reader, BUFFER / 4));
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], body).into_response())
}

/// Where the contents are, for whoever fetches them.
pub(super) async fn locate(
    State(app): State<Arc<App>>,
    Query(query): Query<AddressQuery>,
) -> Answer<Json<fuseml_domain::Contents>> {
    let artifact = app.catalog.artifact(&query.address).await?;
    Ok(Json(app.engine.locate(&artifact).await?))
}

pub(super) async fn verify(
    State(app): State<Arc<App>>,
    Query(query): Query<AddressQuery>,
) -> Answer<Json<VerificationView>> {
    let artifact = app.catalog.artifact(&query.address).await?;
    Ok(Json(contents::verify(&app, &artifact).await?))
}

/// The signed bundle about a run's result, as sigstore writes them.
pub(super) async fn provenance(State(app): State<Arc<App>>, Query(query): Query<AddressQuery>) -> Answer<Response> {
    let artifact = app.catalog.artifact(&query.address).await?;
    let bundle = provenance::bundle(&app, &artifact).await?;
    Ok(([(header::CONTENT_TYPE, BUNDLE)], bundle).into_response())
}

/// The public key that bundles of this server are verified with, in PEM.
pub(super) async fn provenance_key(State(app): State<Arc<App>>) -> String {
    app.provenance.public.to_string()
}

/// Who deletes, why, and whether also what a tag points at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteRequest {
    by: String,
    reason: Option<String>,
    #[serde(default)]
    force: bool,
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Query(query): Query<AddressQuery>,
    Json(request): Json<DeleteRequest>,
) -> Answer<Json<Descriptor>> {
    let artifact = app.catalog.artifact(&query.address).await?;
    let author = Author { by: request.by, reason: request.reason };
    contents::delete(&app, &artifact, &author, request.force).await?;
    Ok(Json(artifact))
}

/// What is younger stays: a push may be about to name it. A day if that is not said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CollectQuery {
    older_than_seconds: Option<u32>,
}

/// Deletes contents that no artifact names.
pub(super) async fn collect(State(app): State<Arc<App>>, Query(query): Query<CollectQuery>) -> Answer<Json<Collected>> {
    let young = query.older_than_seconds.map(|seconds| jiff::SignedDuration::from_secs(i64::from(seconds)));
    Ok(Json(contents::collect(&app, young.unwrap_or(contents::YOUNG)).await?))
}

/// Registers whatever the built-in stores have and the catalog does not.
pub(super) async fn recover(State(app): State<Arc<App>>) -> Answer<Json<RecoveredView>> {
    Ok(Json(recover::recover(&app).await?))
}

/// The whole catalog as of one moment, as a SQLite file.
pub(super) async fn copy_catalog(State(app): State<Arc<App>>) -> Answer<Response> {
    let io = |error: std::io::Error| Error::io("a copy of the catalog", &error);
    let folder = tempfile::tempdir_in(app.folder.path()).map_err(io)?;
    let place = folder.path().join("catalog.db");
    app.catalog.copy(&place).await?;
    let file = tokio::fs::File::open(&place).await.map_err(io)?;
    // The open file is read to its end although nobody finds it any more.
    drop(folder);
    let body = Body::from_stream(tokio_util::io::ReaderStream::with_capacity(file, 1 << 18));
    Ok(([(header::CONTENT_TYPE, "application/vnd.sqlite3")], body).into_response())
}
