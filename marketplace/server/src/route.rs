//! The marketplace over HTTP: `/api/v1`, `/metadata`, `/v2`, and pages for people.

use crate::{
    Caller, Marketplace,
    access::{ANONYMOUS, Rules, presented},
    api,
    limit::{Limits, neighbourhood},
    page::{self, Missing},
};
use axum::{
    Router,
    extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use fuseml_domain::{Error, Name};
use fuseml_rest::{Answer, Json, Path, Problem};
use serde_json::{Value, json};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Body of the API's requests, in bytes; packages come through the registry.
const MOST_BODY: usize = 1 << 20;

/// Whom a request is from.
#[derive(Clone, Copy)]
pub(crate) struct Asker(pub(crate) IpAddr);

pub(crate) type Market = State<Arc<Marketplace>>;

pub(crate) fn router(marketplace: Arc<Marketplace>, limits: Limits) -> Router {
    let rules = Rules { marketplace: marketplace.clone(), limiter: limits.limiter.clone() };
    let registry = fuseml_registry::router(marketplace.store.clone(), Arc::new(rules), marketplace.largest_blob);
    let api = api::router().layer(DefaultBodyLimit::max(MOST_BODY)).with_state(marketplace.clone());
    let pages = Router::new()
        .route("/", get(page::home))
        .route("/extensions/{namespace}/{name}", get(page::extension))
        .route("/extensions/{namespace}/{name}/{version}", get(page::version))
        .route("/namespaces/{namespace}", get(page::namespace))
        .route("/feed.atom", get(page::feed))
        .route("/style.css", get(page::style))
        .with_state(marketplace.clone());
    Router::new()
        .route("/metadata/root.json", get(root))
        .route("/metadata/{namespace}/{file}", get(metadata))
        .route("/v2-token", get(registry_token))
        .route("/healthz", get(async || "ok\n"))
        .with_state(marketplace.clone())
        .merge(api)
        .merge(pages)
        .merge(registry.layer(from_fn_with_state(marketplace.clone(), crate::download::count)))
        .fallback(nowhere)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn(harmless))
        .layer(from_fn_with_state(limits, limited))
}

impl FromRequestParts<Arc<Marketplace>> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, market: &Arc<Marketplace>) -> Answer<Self> {
        let refuse = |why: &str| Problem::new(StatusCode::UNAUTHORIZED, Error::denied("login", why.to_owned()));
        let token =
            presented(&parts.headers).ok_or_else(|| refuse("this needs a login: `fuseml marketplace login`"))?;
        let caller = market.caller(&token).await?;
        caller.ok_or_else(|| refuse("the token is not known here, or has expired; log in again"))
    }
}

/// People read a page, programs a problem.
async fn nowhere(uri: Uri) -> Response {
    let error = Error::not_found("path", format!("there is nothing at {}", uri.path()));
    if uri.path().starts_with("/api/") {
        Problem::from(error).into_response()
    } else {
        Missing::from(error).into_response()
    }
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let error = Error::unsupported("method", format!("{method} is nothing that can be done at {}", uri.path()));
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, error)
}

/// Who asks too often waits.
pub(crate) async fn limited(
    State(limits): State<Limits>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let asker = limits.from(peer.ip(), request.headers());
    request.extensions_mut().insert(Asker(asker));
    if let Err(seconds) = limits.limiter.pass(&neighbourhood(asker).to_string()) {
        let error = Error::unavailable("too-many-requests", format!("too many requests; come again in {seconds} s"));
        let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, error).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        return response;
    }
    next.run(request).await
}

/// Answers carry no scripts, frames or foreign content.
async fn harmless(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The newest root metadata, for who begins to trust this marketplace.
async fn root(State(market): Market) -> Answer<Response> {
    let bytes = market.keys.read().await.newest_root()?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

async fn metadata(State(market): Market, Path((namespace, file)): Path<(Name, String)>) -> Answer<Response> {
    let bytes = market.metadata(&namespace, &file).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// What registry clients ask for before they go on: their own token again, or one for who has none.
async fn registry_token(State(market): Market, headers: HeaderMap) -> Answer<Json<Value>> {
    let token = match presented(&headers) {
        Some(token) if market.caller(&token).await?.is_some() => token,
        Some(_) => {
            let error = Error::denied("login", "the token is not known here, or has expired");
            return Err(Problem::new(StatusCode::UNAUTHORIZED, error));
        }
        None => ANONYMOUS.to_owned(),
    };
    Ok(Json(json!({"token": token, "access_token": token, "expires_in": 300})))
}
