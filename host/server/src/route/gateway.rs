//! The gateway: one URL a service, whichever workload answers behind it now.

use crate::app::App;
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderName, header},
    response::Response,
};
use fuseml_domain::{Error, Name, port::Catalog as _};
use fuseml_rest::{Answer, Problem};
use futures::TryStreamExt as _;
use std::sync::Arc;

/// Headers that belong to one connection, and the server's own credentials, which no service may see.
const NOT_FORWARDED: [HeaderName; 9] = [
    header::HOST,
    header::AUTHORIZATION,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
];

/// `predict` goes to the path that the runnable names for predictions; every other path goes through as it is.
pub(super) async fn forward(
    State(app): State<Arc<App>>,
    Path((project, pipeline, name, path)): Path<(Name, Name, Name, String)>,
    request: Request,
) -> Answer<Response> {
    let service = app.catalog.service(&project, &pipeline, &name).await?.ok_or_else(|| {
        Error::not_found(
            "unknown-service",
            format!("{project} has no service {pipeline}/{name}; `fuseml service list` shows those it has"),
        )
    })?;
    let endpoint = app.agent.endpoint(&service.workload.key).await?;
    let path = if path == "predict" { service.predict_path } else { format!("/{path}") };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let (parts, body) = request.into_parts();
    let answer = app
        .client
        .request(parts.method, format!("{endpoint}{path}{query}"))
        .headers(without_own(&parts.headers))
        .body(reqwest::Body::wrap_stream(body.into_data_stream()))
        .send()
        .await
        .map_err(|error| {
            let error = error.without_url();
            Problem::from(Error::unavailable(
                "service-silent",
                format!("the service {pipeline}/{name} does not answer: {error}"),
            ))
        })?;
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        *headers = without_own(answer.headers());
    }
    let stream = answer.bytes_stream().map_err(std::io::Error::other);
    response.body(Body::from_stream(stream)).map_err(|error| Error::internal("gateway", error.to_string()).into())
}

fn without_own(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for name in NOT_FORWARDED {
        kept.remove(name);
    }
    kept
}
