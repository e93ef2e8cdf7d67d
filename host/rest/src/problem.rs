//! Failures.

use aide::{
    OperationOutput,
    generate::GenContext,
    openapi::{self, MediaType, SchemaObject},
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use fuseml_domain::{Error, ErrorKind};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;

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
        let body = ProblemDocument {
            problem_type: format!("urn:fuseml:error:{code}"),
            title: code.clone(),
            status: status.as_u16(),
            detail: message,
            kind,
        };
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What went wrong (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
struct ProblemDocument {
    /// `urn:fuseml:error:` and a code for programs.
    #[serde(rename = "type")]
    problem_type: String,
    /// The code alone.
    title: String,
    status: u16,
    /// For people: what, on which input, and what to do next.
    detail: String,
    kind: ErrorKind,
}

impl OperationOutput for Problem {
    type Inner = Self;
    fn operation_response(context: &mut GenContext, _: &mut openapi::Operation) -> Option<openapi::Response> {
        let json_schema = context.schema.subschema_for::<ProblemDocument>();
        let schema = Some(SchemaObject { json_schema, example: None, external_docs: None });
        let content = MediaType { schema, ..MediaType::default() };
        Some(openapi::Response {
            description: "What went wrong.".to_owned(),
            content: IndexMap::from_iter([("application/problem+json".to_owned(), content)]),
            ..openapi::Response::default()
        })
    }
    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut openapi::Operation,
    ) -> Vec<(Option<u16>, openapi::Response)> {
        Self::operation_response(context, operation).map(|response| (None, response)).into_iter().collect()
    }
}
