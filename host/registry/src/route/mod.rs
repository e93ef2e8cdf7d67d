//! The distribution protocol's paths. Repository names hold slashes, so paths are taken apart here.

mod blob;
mod manifest;
mod upload;

use crate::{Access, Action, Code, RegistryError, Repository, Store, error::Result, name};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::any,
};
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

#[derive(Clone)]
struct Registry {
    store: Store,
    access: Arc<dyn Access>,
    most_blob: u64,
}

/// Everything under `/v2`. `most_blob` is the largest blob that is taken, in bytes.
pub fn router(store: Store, access: Arc<dyn Access>, most_blob: u64) -> Router {
    Router::new()
        .route("/v2", any(greet))
        .route("/v2/", any(greet))
        .route("/v2/{*path}", any(answer))
        .with_state(Registry { store, access, most_blob })
}

async fn greet(State(registry): State<Registry>, request: Request) -> Response {
    match registry.access.greet(request.headers()).await {
        Ok(()) => {
            ([(HeaderName::from_static("docker-distribution-api-version"), "registry/2.0")], "{}").into_response()
        }
        Err(refusal) => RegistryError::from(refusal).into_response(),
    }
}

async fn answer(State(registry): State<Registry>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let is_head = parts.method == Method::HEAD;
    let response = match registry.route(parts, body).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    // Answers to HEAD have the headers of the answer to GET and no body, failures too.
    if is_head { response.map(|_| Body::empty()) } else { response }
}

/// What a path is about.
enum Place {
    Blob(String),
    Uploads,
    Upload(Uuid),
    Manifest(String),
    Tags,
    Referrers(String),
}

fn place(path: &str) -> Result<(Repository, Place)> {
    let unknown = || RegistryError::new(Code::NameInvalid, format!("`/v2/{}` is nothing here", path.escape_debug()));
    let parts: Vec<&str> = path.split('/').collect();
    let (name, place) = match parts.as_slice() {
        [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => (name, Place::Uploads),
        [name @ .., "blobs", "uploads", id] => {
            let message = || RegistryError::new(Code::BlobUploadUnknown, "there is no such upload; begin again");
            (name, Place::Upload(id.parse().map_err(|_| message())?))
        }
        [name @ .., "blobs", digest] => (name, Place::Blob((*digest).to_owned())),
        [name @ .., "manifests", reference] => (name, Place::Manifest((*reference).to_owned())),
        [name @ .., "tags", "list"] => (name, Place::Tags),
        [name @ .., "referrers", digest] => (name, Place::Referrers((*digest).to_owned())),
        _ => return Err(unknown()),
    };
    Ok((name.join("/").parse()?, place))
}

impl Registry {
    async fn route(&self, parts: Parts, body: Body) -> Result<Response> {
        let path = parts.uri.path().trim_start_matches("/v2/").to_owned();
        let (repository, place) = place(&path)?;
        let method = parts.method.clone();
        let action = match (&method, &place) {
            (&Method::GET | &Method::HEAD, Place::Upload(_)) => Action::Push,
            (&Method::GET | &Method::HEAD, _) => Action::Pull,
            (&Method::DELETE, Place::Upload(_)) => Action::Push,
            (&Method::DELETE, _) => Action::Delete,
            _ => Action::Push,
        };
        self.access.allow(&parts.headers, &repository, action).await?;
        match (&method, place) {
            (&Method::GET | &Method::HEAD, Place::Blob(text)) => {
                self.blob(&parts, &repository, &name::digest(&text)?).await
            }
            (&Method::DELETE, Place::Blob(text)) => {
                self.store.unlink(&repository, &name::digest(&text)?).await?;
                Ok(StatusCode::ACCEPTED.into_response())
            }
            (&Method::POST, Place::Uploads) => self.begin_upload(&parts, body, &repository).await,
            (&Method::GET | &Method::HEAD, Place::Upload(id)) => self.upload_status(&repository, id).await,
            (&Method::PATCH, Place::Upload(id)) => self.append(&parts, body, &repository, id).await,
            (&Method::PUT, Place::Upload(id)) => self.finish_upload(&parts, body, &repository, id).await,
            (&Method::DELETE, Place::Upload(id)) => {
                self.store.uploads.cancel(id).await?;
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            (&Method::GET | &Method::HEAD, Place::Manifest(text)) => self.manifest(&repository, text.parse()?).await,
            (&Method::PUT, Place::Manifest(text)) => self.put_manifest(&parts, body, &repository, text.parse()?).await,
            (&Method::DELETE, Place::Manifest(text)) => self.delete_manifest(&repository, text.parse()?).await,
            (&Method::GET, Place::Tags) => self.tags(&parts, &repository).await,
            (&Method::GET, Place::Referrers(text)) => self.referrers(&parts, &repository, &name::digest(&text)?).await,
            _ => Err(RegistryError::new(Code::Unsupported, format!("{method} is nothing that can be done there"))),
        }
    }
}

fn query(parts: &Parts) -> HashMap<String, String> {
    url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

fn created(location: String, digest: &fuseml_domain::Digest) -> Result<Response> {
    let headers = [(header::LOCATION, value(&location)?), (CONTENT_DIGEST, value(&digest.to_string())?)];
    Ok((StatusCode::CREATED, headers).into_response())
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|error| RegistryError::machine("writing a header", &error))
}
