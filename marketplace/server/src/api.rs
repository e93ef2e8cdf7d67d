//! The REST interface, and its OpenAPI document.

use crate::{
    About, Caller, Marketplace, Page, Query, Role, Scope, TokenRequest, TokenView, Verification, VersionRecord,
    namespace::NamespaceView, route::Market,
};
use aide::{
    OperationInput,
    axum::{
        ApiRouter,
        routing::{delete_with, get_with, post_with, put_with},
    },
    openapi::{OpenApi, SecurityScheme},
    transform::{TransformOpenApi, TransformOperation},
};
use axum::{Extension, Router, extract::State, routing::get};
use fuseml_domain::{Digest, Error, Name};
use fuseml_marketplace::{Advisory, Deprecation, Envelope, KeyState, PublicKey, StatusChange, Vulnerability};
use fuseml_registry::Collected;
use fuseml_rest::{Answer, Created, Json, NoContent, Path, Query as Parameters};
use jiff::Timestamp;
use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Everything below `/api/v1`.
pub(crate) fn router() -> Router<Arc<Marketplace>> {
    // What several operations take or answer is described once.
    aide::generate::extract_schemas(true);
    let mut document = OpenApi::default();
    let api = documented().finish_api_with(&mut document, described);
    api.route("/api/v1/openapi.json", get(openapi)).layer(Extension(Arc::new(document)))
}

async fn openapi(Extension(document): Extension<Arc<OpenApi>>) -> axum::Json<OpenApi> {
    axum::Json((*document).clone())
}

fn described(document: TransformOpenApi) -> TransformOpenApi {
    let token = "A token of `fuseml marketplace login`, `account add` or `token add`.".to_owned();
    let scheme = "bearer".to_owned();
    let bearer =
        SecurityScheme::Http { scheme, bearer_format: None, description: Some(token), extensions: Default::default() };
    document
        .title("FuseML marketplace")
        .version(env!("CARGO_PKG_VERSION"))
        .summary("Extensions: who owns them, which versions there are, how to find them.")
        .description(
            "Packages themselves are pushed and pulled through the OCI distribution interface below `/v2`, and what \
             vouches for them is TUF metadata below `/metadata`.",
        )
        .security_scheme("token", bearer)
}

/// Who asks is part of every request that needs a login.
impl OperationInput for Caller {
    fn operation_input(_: &mut aide::generate::GenContext, operation: &mut aide::openapi::Operation) {
        operation.security.push([("token".to_owned(), Vec::new())].into_iter().collect());
    }
}

fn says(summary: &'static str) -> impl FnOnce(TransformOperation) -> TransformOperation {
    move |operation| operation.summary(summary)
}

fn documented() -> ApiRouter<Arc<Marketplace>> {
    ApiRouter::new()
        .api_route("/api/v1/me", get_with(me, says("Who asks")))
        .api_route("/api/v1/accounts", post_with(add_account, says("Make an account, as an operator")))
        .api_route(
            "/api/v1/tokens",
            get_with(tokens, says("List the caller's tokens")).post_with(add_token, says("Make a token")),
        )
        .api_route("/api/v1/collect", post_with(collect, says("Delete what nothing names any more, as an operator")))
        .api_route("/api/v1/tokens/{id}", delete_with(remove_token, says("End a token at once")))
        .api_route("/api/v1/namespaces", post_with(add_namespace, says("Take a namespace")))
        .api_route(
            "/api/v1/namespaces/{namespace}",
            get_with(namespace, says("Members and keys of a namespace"))
                .put_with(describe, says("Say where a namespace's sources are; verify it, as an operator")),
        )
        .api_route(
            "/api/v1/namespaces/{namespace}/verification",
            post_with(verify, says("Look whether a namespace's website or repository proves who it is")),
        )
        .api_route("/api/v1/namespaces/{namespace}/members", post_with(invite, says("Invite an account")))
        .api_route(
            "/api/v1/namespaces/{namespace}/members/{account}",
            delete_with(remove_member, says("Remove a member, or leave")),
        )
        .api_route("/api/v1/namespaces/{namespace}/accept", post_with(accept, says("Accept an invitation")))
        .api_route("/api/v1/namespaces/{namespace}/keys", put_with(put_key, says("Add, retire or revoke a key")))
        .api_route("/api/v1/extensions", get_with(search, says("Find extensions")))
        .api_route("/api/v1/extensions/{namespace}/{name}", get_with(extension, says("All versions of an extension")))
        .api_route(
            "/api/v1/extensions/{namespace}/{name}/versions",
            post_with(publish, says("Check a package that was pushed, and make it a public version")),
        )
        .api_route(
            "/api/v1/extensions/{namespace}/{name}/versions/{version}",
            get_with(version, says("One version of an extension")),
        )
        .api_route(
            "/api/v1/extensions/{namespace}/{name}/status",
            post_with(status, says("Yank, revoke or restore a version by a signed statement")),
        )
        .api_route(
            "/api/v1/extensions/{namespace}/{name}/advisories/{id}",
            put_with(advise, says("Say that versions have a vulnerability, or that they do not")),
        )
        .api_route(
            "/api/v1/extensions/{namespace}/{name}/deprecation",
            put_with(deprecate, says("Say that nobody should begin with an extension any more"))
                .delete_with(undeprecate, says("Recommend it again")),
        )
        .api_route("/api/v1/log/checkpoint", get_with(checkpoint, says("The public log's head, as a signed note")))
        .api_route("/api/v1/log/entries", get_with(entries, says("Entries of the public log")))
        .api_route("/api/v1/log/proof", get_with(proof, says("That the log only grew since it had `old` entries")))
}

#[derive(Deserialize, JsonSchema)]
struct TokenPath {
    id: String,
}

#[derive(Deserialize, JsonSchema)]
struct NamespacePath {
    namespace: Name,
}

#[derive(Deserialize, JsonSchema)]
struct MemberPath {
    namespace: Name,
    account: Name,
}

#[derive(Deserialize, JsonSchema)]
struct ExtensionPath {
    namespace: Name,
    name: Name,
}

#[derive(Deserialize, JsonSchema)]
struct AdvisoryPath {
    namespace: Name,
    name: Name,
    id: String,
}

#[derive(Deserialize, JsonSchema)]
struct VersionPath {
    namespace: Name,
    name: Name,
    version: Version,
}

/// Who asks, as the marketplace knows them.
#[derive(Serialize, JsonSchema)]
struct Me {
    account: Name,
    operator: bool,
    scope: Scope,
}

async fn me(Caller { account, operator, scope }: Caller) -> Json<Me> {
    Json(Me { account, operator, scope })
}

#[derive(Deserialize, JsonSchema)]
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

async fn collect(State(market): Market, caller: Caller) -> Answer<Json<Collected>> {
    caller.whole()?;
    if !caller.operator {
        return Err(Error::denied("operator", "an operator collects what nothing names any more").into());
    }
    let collected = market.collect().await?;
    market.audit(&caller.account, "collect", &format!("{} bytes", collected.bytes)).await?;
    Ok(Json(collected))
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

async fn remove_token(
    State(market): Market,
    caller: Caller,
    Path(TokenPath { id }): Path<TokenPath>,
) -> Answer<NoContent> {
    caller.whole()?;
    market.remove_token(&caller.account, &id).await?;
    market.audit(&caller.account, "token-remove", &id).await?;
    Ok(NoContent)
}

async fn add_namespace(State(market): Market, caller: Caller, Json(body): Json<Named>) -> Answer<NoContent> {
    market.add_namespace(&caller, &body.name).await?;
    Ok(NoContent)
}

async fn namespace(
    State(market): Market,
    Path(NamespacePath { namespace }): Path<NamespacePath>,
) -> Answer<Json<NamespaceView>> {
    Ok(Json(market.namespace(&namespace).await?))
}

async fn verify(
    State(market): Market,
    caller: Caller,
    Path(NamespacePath { namespace }): Path<NamespacePath>,
) -> Answer<Json<Verification>> {
    Ok(Json(market.verify_namespace(&caller, &namespace).await?))
}

async fn describe(
    State(market): Market,
    caller: Caller,
    Path(NamespacePath { namespace }): Path<NamespacePath>,
    Json(about): Json<About>,
) -> Answer<NoContent> {
    market.describe(&caller, &namespace, about).await?;
    Ok(NoContent)
}

/// Who is invited, and as what.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberRequest {
    pub account: Name,
    pub role: Role,
}

async fn invite(
    State(market): Market,
    caller: Caller,
    Path(NamespacePath { namespace }): Path<NamespacePath>,
    Json(MemberRequest { account, role }): Json<MemberRequest>,
) -> Answer<NoContent> {
    market.invite(&caller, &namespace, &account, role).await?;
    Ok(NoContent)
}

async fn remove_member(
    State(market): Market,
    caller: Caller,
    Path(MemberPath { namespace, account }): Path<MemberPath>,
) -> Answer<NoContent> {
    market.remove_member(&caller, &namespace, &account).await?;
    Ok(NoContent)
}

async fn accept(
    State(market): Market,
    caller: Caller,
    Path(NamespacePath { namespace }): Path<NamespacePath>,
) -> Answer<NoContent> {
    market.accept(&caller, &namespace).await?;
    Ok(NoContent)
}

/// A namespace's key, and what becomes of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    pub key: PublicKey,
    pub state: KeyState,
}

async fn put_key(
    State(market): Market,
    caller: Caller,
    Path(NamespacePath { namespace }): Path<NamespacePath>,
    Json(KeyRequest { key, state }): Json<KeyRequest>,
) -> Answer<NoContent> {
    market.put_key(&caller, &namespace, &key, state).await?;
    Ok(NoContent)
}

async fn search(State(market): Market, Parameters(query): Parameters<Query>) -> Answer<Json<Page>> {
    Ok(Json(market.search(&query).await?))
}

/// What is public of one version.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VersionView {
    pub namespace: Name,
    #[serde(flatten)]
    pub record: VersionRecord,
}

/// An extension's versions, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ExtensionView {
    pub namespace: Name,
    pub name: Name,
    pub versions: Vec<VersionRecord>,
    /// Known vulnerabilities.
    #[serde(default)]
    pub advisories: Vec<Advisory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecation: Option<Deprecation>,
}

pub(crate) async fn records(market: &Marketplace, namespace: &Name, name: &Name) -> Answer<Vec<VersionRecord>> {
    let records = market.versions(namespace, name).await?;
    match records.is_empty() {
        true => Err(Error::not_found("extension", format!("there is no extension {namespace}/{name}")).into()),
        false => Ok(records),
    }
}

async fn extension(
    State(market): Market,
    Path(ExtensionPath { namespace, name }): Path<ExtensionPath>,
) -> Answer<Json<ExtensionView>> {
    let versions = records(&market, &namespace, &name).await?;
    let advisories = market.advisories(&namespace, Some(&name)).await?;
    let deprecation = market.deprecation(&namespace, &name).await?;
    Ok(Json(ExtensionView { namespace, name, versions, advisories, deprecation }))
}

async fn version(
    State(market): Market,
    Path(VersionPath { namespace, name, version }): Path<VersionPath>,
) -> Answer<Json<VersionView>> {
    let records = records(&market, &namespace, &name).await?;
    let record = records.into_iter().find(|record| record.published.version == version);
    let record =
        record.ok_or_else(|| Error::not_found("version", format!("there is no {namespace}/{name} {version}")))?;
    Ok(Json(VersionView { namespace, record }))
}

/// The package that was pushed and is to be public.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishRequest {
    pub digest: Digest,
}

async fn publish(
    State(market): Market,
    caller: Caller,
    Path(ExtensionPath { namespace, name }): Path<ExtensionPath>,
    Json(request): Json<PublishRequest>,
) -> Answer<Created<VersionView>> {
    let record = market.publish(&caller, &namespace, &name, &request.digest).await?;
    Ok(Created(VersionView { namespace, record }))
}

/// A change of a version's status; operators may leave the signature to the marketplace.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusRequest {
    pub change: StatusChange,
    #[serde(default)]
    pub statement: Option<Envelope>,
}

async fn status(
    State(market): Market,
    caller: Caller,
    Path(ExtensionPath { namespace, name }): Path<ExtensionPath>,
    Json(StatusRequest { change, statement }): Json<StatusRequest>,
) -> Answer<NoContent> {
    market.change_status(&caller, &namespace, &name, statement, change).await?;
    Ok(NoContent)
}

async fn advise(
    State(market): Market,
    caller: Caller,
    Path(AdvisoryPath { namespace, name: extension, id }): Path<AdvisoryPath>,
    Json(vulnerability): Json<Vulnerability>,
) -> Answer<Json<Advisory>> {
    let advisory = Advisory { id, extension, published: Timestamp::now(), vulnerability };
    Ok(Json(market.advise(&caller, &namespace, advisory).await?))
}

/// Why nobody should begin with an extension any more.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeprecationRequest {
    /// One line, for people.
    pub reason: String,
    /// `<namespace>/<extension>` to use instead.
    #[serde(default)]
    pub instead: Option<String>,
}

async fn deprecate(
    State(market): Market,
    caller: Caller,
    Path(ExtensionPath { namespace, name }): Path<ExtensionPath>,
    Json(DeprecationRequest { reason, instead }): Json<DeprecationRequest>,
) -> Answer<NoContent> {
    let deprecation = Deprecation { extension: name.clone(), reason, instead, since: Timestamp::now() };
    market.deprecate(&caller, &namespace, &name, Some(deprecation)).await?;
    Ok(NoContent)
}

async fn undeprecate(
    State(market): Market,
    caller: Caller,
    Path(ExtensionPath { namespace, name }): Path<ExtensionPath>,
) -> Answer<NoContent> {
    market.deprecate(&caller, &namespace, &name, None).await?;
    Ok(NoContent)
}

async fn checkpoint(State(market): Market) -> Answer<String> {
    let log = market.log.lock().await;
    let origin = market.url.split_once("://").map_or(market.url.as_str(), |(_, host)| host);
    Ok(log.checkpoint(origin, &market.keys.read().await.online))
}

#[derive(Deserialize, JsonSchema)]
struct Span {
    #[serde(default)]
    from: usize,
}

/// A part of the log.
#[derive(Serialize, JsonSchema)]
struct Entries {
    from: usize,
    /// Of the whole log, in entries.
    size: u64,
    /// Each as it was hashed: a JSON document.
    entries: Vec<String>,
}

async fn entries(State(market): Market, Parameters(span): Parameters<Span>) -> Json<Entries> {
    let log = market.log.lock().await;
    let entries = log.entries(span.from, 1_000).iter().map(|entry| String::from_utf8_lossy(entry).into_owned());
    Json(Entries { from: span.from, size: log.size(), entries: entries.collect() })
}

#[derive(Deserialize, JsonSchema)]
struct Since {
    old: u64,
}

async fn proof(State(market): Market, Parameters(since): Parameters<Since>) -> Answer<String> {
    Ok(market.log.lock().await.consistency(since.old)?)
}
