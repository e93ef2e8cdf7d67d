//! Domain errors as HTTP answers: RFC 9457 problem documents.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use fuseml_domain::{Error, ErrorKind};
use serde_json::json;

/// What every handler fails with.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) Error);

pub(crate) type Answer<T> = std::result::Result<T, Problem>;

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

pub(crate) fn status(kind: ErrorKind) -> StatusCode {
    StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Error { kind, code, message } = self.0;
        if kind == ErrorKind::Internal {
            tracing::error!(%code, %message, "request failed");
        }
        let status = status(kind);
        let body = json!({
            "type": format!("urn:fuseml:error:{code}"),
            "title": code,
            "status": status.as_u16(),
            "detail": message,
            "kind": kind,
        });
        let mut response = (status, Json(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}
