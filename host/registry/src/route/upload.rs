//! Blobs in: whole, in chunks, or from another repository.

use super::{Registry, created, query, value};
use crate::{Action, Code, RegistryError, Repository, error::Result, name};
use axum::{
    body::Body,
    http::{HeaderName, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use uuid::Uuid;

impl Registry {
    pub(super) async fn begin_upload(&self, parts: &Parts, body: Body, repository: &Repository) -> Result<Response> {
        let query = query(parts);
        if let (Some(digest), Some(from)) = (query.get("mount"), query.get("from")) {
            let digest = name::digest(digest)?;
            // Who may not read there is told nothing about what is there.
            if let Ok(from) = from.parse::<Repository>()
                && self.access.allow(&parts.headers, &from, Action::Pull).await.is_ok()
                && self.store.mount(&from, repository, &digest).await?
            {
                return created(format!("/v2/{repository}/blobs/{digest}"), &digest);
            }
        }
        let id = self.store.uploads.begin().await?;
        match query.contains_key("digest") {
            true => self.finish_upload(parts, body, repository, id).await,
            false => accepted(repository, id, 0),
        }
    }

    pub(super) async fn upload_status(&self, repository: &Repository, id: Uuid) -> Result<Response> {
        let size = self.store.uploads.size(id).await?;
        let mut response = accepted(repository, id, size)?;
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    pub(super) async fn append(
        &self,
        parts: &Parts,
        body: Body,
        repository: &Repository,
        id: Uuid,
    ) -> Result<Response> {
        let size = self.write(begins(parts)?, body, id).await?;
        accepted(repository, id, size)
    }

    pub(super) async fn finish_upload(
        &self,
        parts: &Parts,
        body: Body,
        repository: &Repository,
        id: Uuid,
    ) -> Result<Response> {
        let query = query(parts);
        let digest = query
            .get("digest")
            .ok_or_else(|| RegistryError::new(Code::DigestInvalid, "the last request of an upload says ?digest="))?;
        let digest = name::digest(digest)?;
        self.write(begins(parts)?, body, id).await?;
        let upload = self.store.uploads.finish(id, &digest).await?;
        self.store.adopt(repository, upload).await?;
        created(format!("/v2/{repository}/blobs/{digest}"), &digest)
    }

    /// In a task of its own: a client that goes away must not stop a write in its middle.
    async fn write(&self, begins: Option<u64>, body: Body, id: Uuid) -> Result<u64> {
        let (uploads, most) = (self.store.uploads.clone(), self.most_blob);
        tokio::spawn(async move { uploads.append(id, begins, most, body.into_data_stream()).await })
            .await
            .map_err(|error| RegistryError::machine("an upload", &error))?
    }
}

/// Where the client says its chunk begins.
fn begins(parts: &Parts) -> Result<Option<u64>> {
    let Some(range) = parts.headers.get(header::CONTENT_RANGE) else { return Ok(None) };
    let text = range.to_str().unwrap_or_default().trim_start_matches("bytes ");
    let begins = text.split_once('-').and_then(|(begins, _)| begins.parse().ok());
    begins.map(Some).ok_or_else(|| RegistryError::new(Code::BlobUploadInvalid, "Content-Range is <first>-<last>"))
}

fn accepted(repository: &Repository, id: Uuid, size: u64) -> Result<Response> {
    let headers = [
        (header::LOCATION, value(&format!("/v2/{repository}/blobs/uploads/{id}"))?),
        (header::RANGE, value(&format!("0-{}", size.saturating_sub(1)))?),
        (HeaderName::from_static("docker-upload-uuid"), value(&id.to_string())?),
    ];
    Ok((StatusCode::ACCEPTED, headers).into_response())
}
