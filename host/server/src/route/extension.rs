//! Installing and configuring extensions.

use crate::{
    app::App,
    problem::{Answer, Problem},
    view::{ConfigureRequest, ExtensionView, InstallOptions},
};
use axum::{
    Json,
    extract::{Multipart, Path, State, multipart::MultipartError},
    http::StatusCode,
};
use fuseml_domain::{Error, Name};
use std::sync::Arc;

pub(super) async fn list(State(app): State<Arc<App>>) -> Answer<Json<Vec<ExtensionView>>> {
    let mut views = Vec::new();
    for extension in app.catalog.extensions().await? {
        views.push(view(&app, &extension.manifest.name).await?);
    }
    Ok(Json(views))
}

/// Two parts: `options` (JSON, [`InstallOptions`]) and `package` (tar).
pub(super) async fn install(
    State(app): State<Arc<App>>,
    mut form: Multipart,
) -> Answer<(StatusCode, Json<ExtensionView>)> {
    let damaged = |error: MultipartError| Problem(Error::invalid("form", error.body_text()));
    let mut options = InstallOptions::default();
    let mut package = None;
    while let Some(field) = form.next_field().await.map_err(damaged)? {
        match field.name() {
            Some("options") => {
                options = serde_json::from_slice(&field.bytes().await.map_err(damaged)?).map_err(|error| {
                    Error::invalid("options", format!("the install options are not valid: {error}"))
                })?;
            }
            Some("package") => package = Some(field.bytes().await.map_err(damaged)?.to_vec()),
            _ => return Err(Error::invalid("form", "the form has the parts `options` and `package`").into()),
        }
    }
    let package = package.ok_or_else(|| Error::invalid("form", "the form lacks the part `package`"))?;
    let manifest = app.registry.install(package, options).await?;
    Ok((StatusCode::CREATED, Json(view(&app, &manifest.name).await?)))
}

pub(super) async fn configure(
    State(app): State<Arc<App>>,
    Path(name): Path<Name>,
    Json(request): Json<ConfigureRequest>,
) -> Answer<Json<ExtensionView>> {
    app.registry.configure(&name, request.settings).await?;
    Ok(Json(view(&app, &name).await?))
}

async fn view(app: &App, name: &Name) -> Answer<ExtensionView> {
    let instance = app.catalog.instance(name).await?;
    let extension = app.catalog.extension(&instance.extension).await?;
    let extension =
        extension.ok_or_else(|| Error::not_found("unknown-extension", format!("{name} is not installed")))?;
    let health = app.registry.health(name).await?.map(|health| match health {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.message,
    });
    Ok(ExtensionView { manifest: extension.manifest, settings: instance.settings, granted: instance.granted, health })
}
