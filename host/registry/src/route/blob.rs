//! Blobs out.

use super::{CONTENT_DIGEST, Registry, value};
use crate::{Code, RegistryError, Repository, error::Result};
use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use fuseml_domain::Digest;
use std::ops::Range;

impl Registry {
    pub(super) async fn blob(&self, parts: &Parts, repository: &Repository, digest: &Digest) -> Result<Response> {
        let size = self.store.blob_size(repository, digest).await?;
        let wanted = range(parts, size)?;
        let part = wanted.clone().unwrap_or(0..size);
        let body = match parts.method {
            Method::HEAD => Body::empty(),
            _ => Body::from_stream(self.store.read_blob(digest, part.clone()).await?),
        };
        let mut response = body.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::ETAG, value(&format!("\"{digest}\""))?);
        headers.insert(CONTENT_DIGEST, value(&digest.to_string())?);
        if wanted.is_some() {
            headers.insert(
                header::CONTENT_RANGE,
                value(&format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1)))?,
            );
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    }
}

/// The one range that was asked for; several are answered with everything, as RFC 9110 allows.
fn range(parts: &Parts, size: u64) -> Result<Option<Range<u64>>> {
    let Some(text) = parts.headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else { return Ok(None) };
    let Ok(parsed) = http_range_header::parse_range_header(text) else { return Ok(None) };
    let ranges = parsed.validate(size).map_err(|_| {
        RegistryError::new(Code::RangeInvalid, format!("the blob has {size} bytes; `{}` is not in it", text))
    })?;
    match ranges.as_slice() {
        [one] => Ok(Some(*one.start()..*one.end() + 1)),
        _ => Ok(None),
    }
}
