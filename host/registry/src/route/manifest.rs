//! Manifests, tags and referrers.

use super::{CONTENT_DIGEST, Registry, created, query, value};
use crate::{Code, MOST_MANIFEST, RegistryError, Repository, StoredManifest, error::Result, name::Reference};
use axum::{
    Json,
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use fuseml_domain::Digest;
use serde_json::json;

/// Names answered at one time when the client does not say how many it wants.
const PAGE: usize = 1000;

impl Registry {
    async fn resolve(&self, repository: &Repository, reference: Reference) -> Result<Digest> {
        match reference {
            Reference::Digest(digest) => Ok(digest),
            Reference::Tag(tag) => self.store.resolve(repository, &tag).await,
        }
    }

    pub(super) async fn manifest(&self, repository: &Repository, reference: Reference) -> Result<Response> {
        let digest = self.resolve(repository, reference).await?;
        let manifest = self.store.manifest(repository, &digest).await?;
        let headers = [
            (header::CONTENT_TYPE, value(&manifest.media_type)?),
            (header::CONTENT_LENGTH, HeaderValue::from(manifest.bytes.len())),
            (header::ETAG, value(&format!("\"{digest}\""))?),
            (CONTENT_DIGEST, value(&digest.to_string())?),
        ];
        Ok((headers, manifest.bytes).into_response())
    }

    pub(super) async fn put_manifest(
        &self,
        parts: &Parts,
        body: Body,
        repository: &Repository,
        reference: Reference,
    ) -> Result<Response> {
        let bytes = axum::body::to_bytes(body, MOST_MANIFEST).await.map_err(|_| {
            RegistryError::new(Code::SizeInvalid, format!("a manifest has at most {MOST_MANIFEST} bytes"))
        })?;
        let media_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type
            .ok_or_else(|| RegistryError::new(Code::ManifestInvalid, "a manifest comes with its Content-Type"))?;
        if let Reference::Digest(expected) = &reference
            && Digest::of(&bytes) != *expected
        {
            return Err(RegistryError::new(Code::DigestInvalid, format!("what came is not {expected}")));
        }
        let (digest, subject) = self.store.put_manifest(repository, media_type, bytes.clone()).await?;
        if let Reference::Tag(tag) = &reference {
            let manifest = StoredManifest { digest: digest.clone(), media_type: media_type.to_owned(), bytes };
            self.access.pushed(repository, tag, &manifest).await?;
            self.store.tag(repository, tag, &digest, self.access.is_fixed(repository, tag)).await?;
        }
        let mut response = created(format!("/v2/{repository}/manifests/{digest}"), &digest)?;
        if let Some(subject) = subject {
            response.headers_mut().insert(HeaderName::from_static("oci-subject"), value(&subject.to_string())?);
        }
        Ok(response)
    }

    pub(super) async fn delete_manifest(&self, repository: &Repository, reference: Reference) -> Result<Response> {
        match reference {
            Reference::Digest(digest) => self.store.delete_manifest(repository, &digest).await?,
            Reference::Tag(tag) if self.access.is_fixed(repository, &tag) => {
                return Err(RegistryError::new(Code::Denied, format!("{repository}:{tag} is never deleted")));
            }
            Reference::Tag(tag) => self.store.delete_tag(repository, &tag).await?,
        }
        Ok(StatusCode::ACCEPTED.into_response())
    }

    pub(super) async fn tags(&self, parts: &Parts, repository: &Repository) -> Result<Response> {
        let query = query(parts);
        let most = match query.get("n") {
            Some(text) => text
                .parse::<usize>()
                .map_err(|_| RegistryError::new(Code::Unsupported, "?n= is how many tags are wanted"))?
                .min(PAGE),
            None => PAGE,
        };
        let (tags, more) = self.store.tags(repository, query.get("last").map(String::as_str), most).await?;
        let next = tags
            .last()
            .filter(|_| more)
            .map(|last| value(&format!("</v2/{repository}/tags/list?n={most}&last={last}>; rel=\"next\"")));
        let mut response = Json(json!({"name": repository.as_str(), "tags": tags})).into_response();
        if let Some(next) = next {
            response.headers_mut().insert(header::LINK, next?);
        }
        Ok(response)
    }

    pub(super) async fn referrers(&self, parts: &Parts, repository: &Repository, subject: &Digest) -> Result<Response> {
        let query = query(parts);
        let wanted = query.get("artifactType");
        let found = self.store.referrers(repository, subject).await?.into_iter().map(|referrer| referrer.descriptor);
        let found: Vec<_> = found
            .filter(|one| {
                let is = one.artifact_type().as_ref().map(AsRef::as_ref);
                wanted.is_none_or(|wanted| is == Some(wanted.as_str()))
            })
            .collect();
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": found,
        });
        let mut response = Json(index).into_response();
        let headers = response.headers_mut();
        let media_type = HeaderValue::from_static("application/vnd.oci.image.index.v1+json");
        headers.insert(header::CONTENT_TYPE, media_type);
        if wanted.is_some() {
            let name = HeaderName::from_static("oci-filters-applied");
            headers.insert(name, HeaderValue::from_static("artifactType"));
        }
        Ok(response)
    }
}
