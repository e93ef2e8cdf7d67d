//! The marketplace over HTTP: `/api/v1`, `/metadata`, `/v2`, and pages for people.

use crate::{
    About, Caller, Marketplace, Page, Query, Role, TokenRequest, TokenView, VersionRecord,
    access::{ANONYMOUS, Rules, presented},
    limit::Limits,
    namespace::NamespaceView,
    page,
};
use axum::{
    Router,
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use fuseml_domain::{Digest, Error, Name};
use fuseml_marketplace::{Envelope, KeyState, PublicKey, StatusChange};
use fuseml_problem::{Answer, Json, Path, Problem, Query as Parameters};
use serde::{Deserialize, Serialize};
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

type Market = State<Arc<Marketplace>>;

pub(crate) fn router(marketplace: Arc<Marketplace>, limits: Limits) -> Router {
    let rules = Rules { marketplace: marketplace.clone(), limiter: limits.limiter.clone() };
    let registry = fuseml_registry::router(marketplace.store.clone(), Arc::new(rules), crate::MOST_BLOB);
    let api = Router::new()
        .route("/api/v1/me", get(me))
        .route("/api/v1/accounts", post(add_account))
        .route("/api/v1/tokens", get(tokens).post(add_token))
        .route("/api/v1/tokens/{id}", delete(remove_token))
        .route("/api/v1/namespaces", post(add_namespace))
        .route("/api/v1/namespaces/{namespace}", get(namespace).put(describe))
        .route("/api/v1/namespaces/{namespace}/members", post(invite))
        .route("/api/v1/namespaces/{namespace}/members/{account}", delete(remove_member))
        .route("/api/v1/namespaces/{namespace}/accept", post(accept))
        .route("/api/v1/namespaces/{namespace}/keys", put(put_key))
        .route("/api/v1/extensions", get(search))
        .route("/api/v1/extensions/{namespace}/{name}", get(extension))
        .route("/api/v1/extensions/{namespace}/{name}/versions", post(publish))
        .route("/api/v1/extensions/{namespace}/{name}/versions/{version}", get(version))
        .route("/api/v1/extensions/{namespace}/{name}/status", post(status))
        .route("/api/v1/log/checkpoint", get(checkpoint))
        .route("/api/v1/log/entries", get(entries))
        .route("/api/v1/log/proof", get(proof))
        .layer(axum::extract::DefaultBodyLimit::max(MOST_BODY))
        .with_state(marketplace.clone());
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

/// Who asks too often waits.
pub(crate) async fn limited(
    State(limits): State<Limits>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let asker = limits.from(peer.ip(), request.headers());
    request.extensions_mut().insert(Asker(asker));
    if let Err(seconds) = limits.limiter.pass(&asker.to_string()) {
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

async fn me(caller: Caller) -> Json<Value> {
    Json(json!({"account": caller.account, "operator": caller.operator, "scope": caller.scope}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: Name,
}

async fn add_account(State(market): Market, caller: Caller, Json(body): Json<Named>) -> Answer<Json<TokenView>> {
    caller.whole()?;
    if !caller.operator {
        return Err(Error::denied("operator", "an operator makes accounts").into());
    }
    let view = market.add_account(&body.name, false).await?;
    market.audit(&caller.account, "account-add", &body.name).await?;
    Ok(Json(view))
}

async fn tokens(State(market): Market, caller: Caller) -> Answer<Json<Vec<TokenView>>> {
    caller.whole()?;
    Ok(Json(market.tokens(&caller.account).await?))
}

async fn add_token(
    State(market): Market,
    caller: Caller,
    Json(request): Json<TokenRequest>,
) -> Answer<Json<TokenView>> {
    caller.whole()?;
    let view = market.add_token(&caller.account, request).await?;
    market.audit(&caller.account, "token-add", &view.id).await?;
    Ok(Json(view))
}

async fn remove_token(State(market): Market, caller: Caller, Path(id): Path<String>) -> Answer<StatusCode> {
    caller.whole()?;
    market.remove_token(&caller.account, &id).await?;
    market.audit(&caller.account, "token-remove", &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn add_namespace(State(market): Market, caller: Caller, Json(body): Json<Named>) -> Answer<StatusCode> {
    market.add_namespace(&caller, &body.name).await?;
    Ok(StatusCode::CREATED)
}

async fn namespace(State(market): Market, Path(namespace): Path<Name>) -> Answer<Json<NamespaceView>> {
    Ok(Json(market.namespace(&namespace).await?))
}

async fn describe(
    State(market): Market,
    caller: Caller,
    Path(namespace): Path<Name>,
    Json(about): Json<About>,
) -> Answer<StatusCode> {
    market.describe(&caller, &namespace, about).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is invited, and as what.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRequest {
    pub account: Name,
    pub role: Role,
}

async fn invite(
    State(market): Market,
    caller: Caller,
    Path(namespace): Path<Name>,
    Json(MemberRequest { account, role }): Json<MemberRequest>,
) -> Answer<StatusCode> {
    market.invite(&caller, &namespace, &account, role).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_member(
    State(market): Market,
    caller: Caller,
    Path((namespace, account)): Path<(Name, Name)>,
) -> Answer<StatusCode> {
    market.remove_member(&caller, &namespace, &account).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn accept(State(market): Market, caller: Caller, Path(namespace): Path<Name>) -> Answer<StatusCode> {
    market.accept(&caller, &namespace).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A namespace's key, and what becomes of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    pub key: PublicKey,
    pub state: KeyState,
}

async fn put_key(
    State(market): Market,
    caller: Caller,
    Path(namespace): Path<Name>,
    Json(KeyRequest { key, state }): Json<KeyRequest>,
) -> Answer<StatusCode> {
    market.put_key(&caller, &namespace, &key, state).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn search(State(market): Market, Parameters(query): Parameters<Query>) -> Answer<Json<Page>> {
    Ok(Json(market.search(&query).await?))
}

/// What is public of one version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionView {
    pub namespace: Name,
    #[serde(flatten)]
    pub record: VersionRecord,
}

/// An extension's versions, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExtensionView {
    pub namespace: Name,
    pub name: Name,
    pub versions: Vec<VersionRecord>,
}

pub(crate) async fn records(market: &Marketplace, namespace: &Name, name: &Name) -> Answer<Vec<VersionRecord>> {
    let records = market.versions(namespace, name).await?;
    match records.is_empty() {
        true => Err(Error::not_found("extension", format!("there is no extension {namespace}/{name}")).into()),
        false => Ok(records),
    }
}

async fn extension(State(market): Market, Path((namespace, name)): Path<(Name, Name)>) -> Answer<Json<ExtensionView>> {
    let versions = records(&market, &namespace, &name).await?;
    Ok(Json(ExtensionView { namespace, name, versions }))
}

async fn version(
    State(market): Market,
    Path((namespace, name, version)): Path<(Name, Name, String)>,
) -> Answer<Json<VersionView>> {
    let records = records(&market, &namespace, &name).await?;
    let record = records.into_iter().find(|record| record.published.version.to_string() == version);
    let record = record.ok_or_else(|| {
        Error::not_found("version", format!("there is no {namespace}/{name} {}", version.escape_debug()))
    })?;
    Ok(Json(VersionView { namespace, record }))
}

/// The package that was pushed and is to be public.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishRequest {
    pub digest: Digest,
}

async fn publish(
    State(market): Market,
    caller: Caller,
    Path((namespace, name)): Path<(Name, Name)>,
    Json(request): Json<PublishRequest>,
) -> Answer<(StatusCode, Json<VersionView>)> {
    let record = market.publish(&caller, &namespace, &name, &request.digest).await?;
    Ok((StatusCode::CREATED, Json(VersionView { namespace, record })))
}

/// A change of a version's status; operators may leave the signature to the marketplace.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusRequest {
    pub change: StatusChange,
    #[serde(default)]
    pub statement: Option<Envelope>,
}

async fn status(
    State(market): Market,
    caller: Caller,
    Path((namespace, name)): Path<(Name, Name)>,
    Json(StatusRequest { change, statement }): Json<StatusRequest>,
) -> Answer<StatusCode> {
    market.change_status(&caller, &namespace, &name, statement, change).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn checkpoint(State(market): Market) -> Answer<String> {
    let log = market.log.lock().await;
    let origin = market.url.split_once("://").map_or(market.url.as_str(), |(_, host)| host);
    Ok(log.checkpoint(origin, &market.keys.read().await.online))
}

#[derive(Deserialize)]
struct Span {
    #[serde(default)]
    from: usize,
}

async fn entries(State(market): Market, Parameters(span): Parameters<Span>) -> Json<Value> {
    let log = market.log.lock().await;
    let entries = log.entries(span.from, 1_000).iter().map(|entry| String::from_utf8_lossy(entry).into_owned());
    Json(json!({"from": span.from, "size": log.size(), "entries": entries.collect::<Vec<_>>()}))
}

#[derive(Deserialize)]
struct Since {
    old: u64,
}

async fn proof(State(market): Market, Parameters(since): Parameters<Since>) -> Answer<String> {
    Ok(market.log.lock().await.consistency(since.old)?)
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
