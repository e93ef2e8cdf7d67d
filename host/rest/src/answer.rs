//! Answers with a status of their own.

use crate::Json;
use aide::{OperationOutput, generate::GenContext, openapi};
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

/// What was made.
#[derive(Debug, Clone)]
pub struct Created<T>(pub T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

impl<T: JsonSchema> OperationOutput for Created<T> {
    type Inner = T;
    fn operation_response(context: &mut GenContext, operation: &mut openapi::Operation) -> Option<openapi::Response> {
        axum::Json::<T>::operation_response(context, operation)
    }
    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut openapi::Operation,
    ) -> Vec<(Option<u16>, openapi::Response)> {
        Self::operation_response(context, operation).map(|response| (Some(201), response)).into_iter().collect()
    }
}
