//! How a server of FuseML's fails over HTTP: with an RFC 9457 problem document, whatever went wrong.
//!
//! [`Json`], [`Path`] and [`Query`] are axum's, but for what they say to a request that is not understood.

mod extract;

pub use extract::{Json, Path, Query};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use fuseml_domain::{Error, ErrorKind};
use serde_json::json;

/// What every handler fails with.
#[derive(Debug)]
pub struct Problem {
    pub error: Error,
    status: StatusCode,
}

/// What every handler answers.
pub type Answer<T> = Result<T, Problem>;

/// The HTTP status of a kind of failure.
pub fn status(kind: ErrorKind) -> StatusCode {
    StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl Problem {
    /// For a status that the error's kind does not imply, such as 401 or 429.
    pub fn new(status: StatusCode, error: Error) -> Self {
        Self { error, status }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self { status: status(error.kind), error }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { error: Error { kind, code, message }, status } = self;
        if kind == ErrorKind::Internal {
            tracing::error!(%code, %message, "request failed");
        }
        let body = json!({
            "type": format!("urn:fuseml:error:{code}"),
            "title": code,
            "status": status.as_u16(),
            "detail": message,
            "kind": kind,
        });
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
