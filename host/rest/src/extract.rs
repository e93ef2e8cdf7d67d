//! Parts of a request. One that is not understood is a problem like any other.

use crate::Problem;
use aide::{
    OperationInput, OperationOutput,
    generate::GenContext,
    openapi::{Operation, Response as Described},
};
use axum::{
    extract::{
        FromRequest, FromRequestParts,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use fuseml_domain::Error;
use schemars::JsonSchema;
use serde::Serialize;

/// A body of JSON, and an answer of it.
#[derive(Debug, Clone, Copy, Default, FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub struct Json<T>(pub T);

/// Parts of the path.
#[derive(Debug, Clone, Copy, Default, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct Path<T>(pub T);

/// What follows the path's question mark.
#[derive(Debug, Clone, Copy, Default, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct Query<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: JsonSchema> OperationInput for Json<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        axum::Json::<T>::operation_input(context, operation);
    }
}

impl<T: JsonSchema> OperationInput for Path<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        axum::extract::Path::<T>::operation_input(context, operation);
    }
}

impl<T: JsonSchema> OperationInput for Query<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        axum::extract::Query::<T>::operation_input(context, operation);
    }
}

impl<T: JsonSchema> OperationOutput for Json<T> {
    type Inner = T;
    fn operation_response(context: &mut GenContext, operation: &mut Operation) -> Option<Described> {
        axum::Json::<T>::operation_response(context, operation)
    }
    fn inferred_responses(context: &mut GenContext, operation: &mut Operation) -> Vec<(Option<u16>, Described)> {
        axum::Json::<T>::inferred_responses(context, operation)
    }
}

fn not_understood(code: &'static str, status: StatusCode, text: String) -> Problem {
    let error = Error::invalid(code, text);
    // Too large, or of a type that is not read here, has a status of its own; all else is invalid as everywhere.
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => error.into(),
        status => Problem::new(status, error),
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        not_understood("body", rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        not_understood("path", rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        not_understood("query", rejection.status(), rejection.body_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, body::Body, extract::Request, routing::post};
    use http_body_util::BodyExt as _;
    use serde::Deserialize;
    use tower::ServiceExt as _;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[allow(dead_code)]
        number: u8,
    }

    #[tokio::test]
    async fn whatever_is_not_understood_is_a_problem_document_that_says_what() {
        let app: Router =
            Router::new().route("/{number}", post(async |_: Path<u8>, _: Query<Wanted>, _: Json<Wanted>| "understood"));
        let ask = async |path: &str, kind: &str, body: &str| {
            let request = Request::post(path).header("content-type", kind).body(Body::from(body.to_owned()));
            let response = app.clone().oneshot(request.expect("request")).await.expect("answer");
            let (status, kind) = (response.status().as_u16(), response.headers()["content-type"].clone());
            let bytes = response.into_body().collect().await.expect("body").to_bytes();
            (status, kind, String::from_utf8(bytes.to_vec()).expect("text"))
        };
        let json = "application/json";
        assert_eq!(ask("/1?number=2", json, r#"{"number": 3}"#).await.0, 200);
        for (path, kind, body, status, says) in [
            ("/x?number=2", json, r#"{"number": 3}"#, 422, "path"),
            ("/1?number=x", json, r#"{"number": 3}"#, 422, "query"),
            ("/1?number=2", json, r#"{"nmber": 3}"#, 422, "unknown field `nmber`"),
            ("/1?number=2", json, r#"{"number""#, 422, "EOF"),
            ("/1?number=2", "text/plain", r#"{"number": 3}"#, 415, "application/json"),
        ] {
            let (code, media_type, text) = ask(path, kind, body).await;
            assert_eq!((code, media_type.as_bytes()), (status, &b"application/problem+json"[..]), "{text}");
            assert!(text.contains(says), "{text}");
        }
    }
}
