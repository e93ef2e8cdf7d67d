//! What comes from outside and what goes there: webhooks, events, endpoints.

use crate::{
    app::App,
    endpoints::{self, EndpointSecret},
    view::{EndpointRequest, EventRequest, EventView, NewWebhookView, ReceivedView, WebhookRequest, WebhookView},
    webhook,
};
use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use fuseml_domain::{Endpoint, Error, ErrorKind, Event, Name, Proof, SecretText, Webhook};
use fuseml_rest::{Answer, Json, Path, Problem, Query};
use jiff::Timestamp;
use serde::Deserialize;
use std::sync::Arc;
use uuid::Uuid;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1000;
/// What senders may send in a minute: nobody counts, but the handshake wants a number.
const RATE: &str = "600";

fn url_of(app: &App, webhook: &Webhook) -> String {
    format!("{}/hooks/{}/{}", app.public_url, webhook.project, webhook.name)
}

pub(super) async fn webhooks(State(app): State<Arc<App>>, Path(project): Path<Name>) -> Answer<Json<Vec<WebhookView>>> {
    app.catalog.check_project(&project).await?;
    let webhooks = app.catalog.webhooks(&project).await?;
    let view = |webhook| WebhookView { url: url_of(&app, &webhook), webhook };
    Ok(Json(webhooks.into_iter().map(view).collect()))
}

pub(super) async fn add_webhook(
    State(app): State<Arc<App>>,
    Path(project): Path<Name>,
    Json(request): Json<WebhookRequest>,
) -> Answer<(StatusCode, Json<NewWebhookView>)> {
    app.catalog.check_project(&project).await?;
    let WebhookRequest { name, proof, codeset, secret, by } = request;
    if let Some(codeset) = &codeset
        && app.catalog.import(&project, codeset).await?.is_none()
    {
        let message = format!("{project}/{codeset} follows no outside repository that could be looked at");
        return Err(Error::not_found("unknown-import", message).into());
    }
    let secret = match (secret, proof) {
        (Some(secret), _) => secret,
        (None, Proof::StandardWebhooks) => format!("whsec_{}", BASE64_STANDARD.encode(rand::random::<[u8; 24]>())),
        (None, _) => hex::encode(rand::random::<[u8; 24]>()),
    };
    if proof == Proof::StandardWebhooks && !endpoints::is_signing_secret(&secret) {
        let message =
            "a secret of Standard Webhooks is whsec_ and then 16 bytes or more in base64; left out, one is made";
        return Err(Error::invalid("secret", message).into());
    }
    if secret.len() < endpoints::SHORTEST_SECRET {
        let message = "a webhook's secret has 16 bytes at least; left out, one is made";
        return Err(Error::invalid("secret", message).into());
    }
    let sealed = app.registry.vault();
    let sealed = sealed.seal_for(&project, &format!("webhook/{name}"), &SecretText::new(secret.clone())).await?;
    let webhook = Webhook { project, name, proof, codeset, by, created: Timestamp::now() };
    app.catalog.add_webhook(&webhook, &sealed).await?;
    let view = WebhookView { url: url_of(&app, &webhook), webhook };
    Ok((StatusCode::CREATED, Json(NewWebhookView { view, secret })))
}

pub(super) async fn remove_webhook(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
) -> Answer<StatusCode> {
    app.catalog.remove_webhook(&project, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One that is not there and one that is not proven look the same from outside.
async fn opened(app: &App, project: &Name, name: &Name) -> Answer<(Webhook, SecretText)> {
    let (webhook, sealed) = app.catalog.webhook(project, name).await.map_err(|error| match error.kind {
        ErrorKind::NotFound => unproven(),
        _ => error.into(),
    })?;
    Ok((webhook, app.registry.vault().open(&sealed).await?))
}

fn unproven() -> Problem {
    let message = "this webhook is not there, or takes nothing from who does not prove to know its secret";
    Problem::new(StatusCode::UNAUTHORIZED, Error::denied("webhook", message))
}

/// Takes events; answers once they are kept. The same again is taken and changes nothing.
pub(super) async fn receive(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<(StatusCode, Json<ReceivedView>)> {
    let (webhook, secret) = opened(&app, &project, &name).await?;
    if !webhook::proves(&webhook, &secret, &headers, &body) {
        tracing::warn!(%project, webhook = %name, "a request that proves nothing was refused");
        return Err(unproven());
    }
    let events = webhook::events(&webhook, &headers, &body)?;
    let deliveries = webhook::deliveries(&webhook, &headers, &body, events.len());
    let new = app.catalog.receive(&project, Some(&name), &events, &deliveries).await?;
    // Also for what came before: who sends it again may not have been answered because this failed.
    if let Some(codeset) = &webhook.codeset {
        match app.catalog.look_now(&project, codeset).await {
            Ok(()) => app.following.wake(),
            Err(error) if error.kind == ErrorKind::NotFound => {
                tracing::warn!(%project, webhook = %name, %error, "no codeset is looked at");
            }
            Err(error) => return Err(error.into()),
        }
    }
    app.engine.wake();
    Ok((StatusCode::ACCEPTED, Json(ReceivedView { received: events.len(), new })))
}

/// The handshake of CloudEvents: who may send, and how much. The proof of each request decides anyway.
pub(super) async fn handshake(headers: HeaderMap) -> Answer<(StatusCode, HeaderMap)> {
    let mut answer = HeaderMap::new();
    answer.insert("allow", HeaderValue::from_static("POST, OPTIONS"));
    let origin: HeaderName = HeaderName::from_static("webhook-request-origin");
    if let Some(origin) = headers.get(origin) {
        answer.insert("webhook-allowed-origin", origin.clone());
        answer.insert("webhook-allowed-rate", HeaderValue::from_static(RATE));
    }
    Ok((StatusCode::NO_CONTENT, answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<u32>,
}

/// What came, newest first.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(project): Path<Name>,
    Query(query): Query<ListQuery>,
) -> Answer<Json<Vec<EventView>>> {
    app.catalog.check_project(&project).await?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let events = app.catalog.received_events(&project, limit).await?;
    Ok(Json(events.into_iter().map(|(event, outcome)| EventView { event, outcome }).collect()))
}

/// An event that a person sends.
pub(super) async fn send(
    State(app): State<Arc<App>>,
    Path(project): Path<Name>,
    Json(request): Json<EventRequest>,
) -> Answer<(StatusCode, Json<Event>)> {
    let EventRequest { event_type, subject, data, id, by } = request;
    let event = Event {
        id: id.unwrap_or_else(|| Uuid::now_v7().to_string()),
        source: format!("/people/{by}"),
        event_type,
        subject,
        time: Some(Timestamp::now()),
        data,
    };
    event.check()?;
    app.catalog.receive(&project, None, std::slice::from_ref(&event), &[None]).await?;
    app.engine.wake();
    Ok((StatusCode::ACCEPTED, Json(event)))
}

pub(super) async fn endpoints(State(app): State<Arc<App>>, Path(project): Path<Name>) -> Answer<Json<Vec<Endpoint>>> {
    app.catalog.check_project(&project).await?;
    Ok(Json(app.catalog.endpoints(&project).await?))
}

pub(super) async fn add_endpoint(
    State(app): State<Arc<App>>,
    Path(project): Path<Name>,
    Json(request): Json<EndpointRequest>,
) -> Answer<(StatusCode, Json<Endpoint>)> {
    app.catalog.check_project(&project).await?;
    let EndpointRequest { name, url, headers, signing, format, by } = request;
    let secret = EndpointSecret { url, headers, signing };
    let (url, _) = secret.check()?;
    let endpoint = Endpoint {
        project,
        name,
        origin: endpoints::origin(&url),
        format,
        headers: secret.headers.iter().map(|(name, _)| name.clone()).collect(),
        signed: secret.signing.is_some(),
        by,
        created: Timestamp::now(),
    };
    let sealed = app.registry.vault();
    let purpose = format!("endpoint/{}", endpoint.name);
    let sealed = sealed.seal_for(&endpoint.project, &purpose, &endpoints::sealable(&secret)?).await?;
    app.catalog.add_endpoint(&endpoint, &sealed).await?;
    Ok((StatusCode::CREATED, Json(endpoint)))
}

pub(super) async fn remove_endpoint(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
) -> Answer<StatusCode> {
    app.catalog.remove_endpoint(&project, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
