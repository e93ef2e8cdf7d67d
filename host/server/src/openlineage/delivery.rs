//! Events on their way: in order, each at least once. How far that got is kept; what an endpoint does not take because
//! it is away or busy is sent again, what it refuses for good is skipped and said in the log.

use super::{
    event::{Context, of_transition},
    names_of,
};
use crate::app::App;
use fuseml_domain::{Error, ErrorKind, Result, SecretText, port::Catalog as _};
use reqwest::{StatusCode, Url};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// Who is told.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    pub(crate) api_key: Option<SecretText>,
}

const EVERY: Duration = Duration::from_secs(1);
/// Doubles with each failure in a row, up to the longest.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(30);
const PORTION: u32 = 100;

/// Each endpoint has its own progress: a new one is told all that is known.
fn progress(endpoint: &Endpoint) -> String {
    format!("openlineage {}", endpoint.url)
}

/// Tells the endpoint what runs do. Never ends.
pub(crate) async fn deliver_all(app: &App) {
    let Some(endpoint) = &app.openlineage else { return std::future::pending().await };
    let mut failures = 0;
    loop {
        let pause = match deliver_portion(app, endpoint).await {
            Ok(count) => {
                failures = 0;
                if count == PORTION as usize { Duration::ZERO } else { EVERY }
            }
            Err(error) => {
                tracing::warn!(%error, endpoint = %endpoint.url, "OpenLineage events wait");
                failures += 1;
                LONGEST.min(AFTER_FAILURE * 2u32.saturating_pow(failures))
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn deliver_portion(app: &App, endpoint: &Endpoint) -> Result<usize> {
    let name = progress(endpoint);
    let after = app.catalog.progress(&name).await?;
    let transitions = app.catalog.transitions_after(after, PORTION).await?;
    for transition in &transitions {
        let run = app.catalog.run(transition.run).await?;
        let mut parts = BTreeMap::new();
        for step in
            run.steps.iter().filter(|step| transition.after.get(&*step.name) != transition.before.get(&*step.name))
        {
            parts.insert(step.name.to_string(), app.catalog.parts_of(run.id, &step.name).await?);
        }
        let names = names_of(&app.catalog, parts.values().flatten().map(|(_, _, artifact)| artifact)).await?;
        let context = Context { names: &names, server: &app.url };
        for event in of_transition(&run, transition, &parts, &context) {
            send(app, endpoint, &event).await?;
        }
        app.catalog.set_progress(&name, transition.sequence).await?;
    }
    Ok(transitions.len())
}

async fn send(app: &App, endpoint: &Endpoint, event: &Value) -> Result<()> {
    let mut request = app.client.post(endpoint.url.clone()).timeout(PATIENCE).json(event);
    if let Some(key) = &endpoint.api_key {
        request = request.bearer_auth(String::from_utf8_lossy(key.expose()));
    }
    let response = request.send().await.map_err(|error| {
        Error::unavailable("openlineage", format!("{} does not answer: {}", endpoint.url, error.without_url()))
    })?;
    let status = response.status();
    let again = matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
    );
    if status.is_success() {
        return Ok(());
    }
    if status.is_client_error() && !again {
        tracing::error!(%status, endpoint = %endpoint.url, event = %event["run"]["runId"], "an OpenLineage event was refused");
        return Ok(());
    }
    let message = format!("{} answered {status}", endpoint.url);
    Err(Error { kind: ErrorKind::Unavailable, code: "openlineage".to_owned(), message })
}
