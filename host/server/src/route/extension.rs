//! Extensions: install, change version, remove.

use crate::{
    app::App,
    problem::{Answer, Problem},
    view::{EnableRequest, ExtensionView, InstallOptions, UpgradeOptions, UpgradeView, VerifiedFile},
};
use axum::{
    Json,
    extract::{Multipart, Path, State, multipart::MultipartError},
    http::StatusCode,
};
use fuseml_domain::{Error, Name};
use serde::de::DeserializeOwned;
use std::sync::Arc;

pub(super) async fn list(State(app): State<Arc<App>>) -> Answer<Json<Vec<ExtensionView>>> {
    let names = app.catalog.extensions().await?.into_iter().map(|extension| extension.name);
    let views = names.map(|name| {
        let registry = app.registry.clone();
        async move { registry.extension_view(&name).await }
    });
    Ok(Json(futures::future::try_join_all(views).await?))
}

pub(super) async fn show(State(app): State<Arc<App>>, Path(name): Path<Name>) -> Answer<Json<ExtensionView>> {
    Ok(Json(app.registry.extension_view(&name).await?))
}

/// Two parts: `options` (JSON) and `package` (tar).
async fn read_form<O: DeserializeOwned + Default>(mut form: Multipart) -> Answer<(O, Vec<u8>)> {
    let damaged = |error: MultipartError| Problem(Error::invalid("form", error.body_text()));
    let mut options = O::default();
    let mut package = None;
    while let Some(field) = form.next_field().await.map_err(damaged)? {
        match field.name() {
            Some("options") => {
                options = serde_json::from_slice(&field.bytes().await.map_err(damaged)?)
                    .map_err(|error| Error::invalid("options", format!("the options are not valid: {error}")))?;
            }
            Some("package") => package = Some(field.bytes().await.map_err(damaged)?.to_vec()),
            _ => return Err(Error::invalid("form", "the form has the parts `options` and `package`").into()),
        }
    }
    let package = package.ok_or_else(|| Error::invalid("form", "the form lacks the part `package`"))?;
    Ok((options, package))
}

pub(super) async fn install(State(app): State<Arc<App>>, form: Multipart) -> Answer<(StatusCode, Json<ExtensionView>)> {
    let (options, package) = read_form::<InstallOptions>(form).await?;
    let instance = app.registry.install(package, options).await?;
    let extension = app.catalog.instance(&instance).await?.extension;
    Ok((StatusCode::CREATED, Json(app.registry.extension_view(&extension).await?)))
}

pub(super) async fn upgrade(
    State(app): State<Arc<App>>,
    Path(name): Path<Name>,
    form: Multipart,
) -> Answer<Json<UpgradeView>> {
    let (options, package) = read_form::<UpgradeOptions>(form).await?;
    Ok(Json(app.registry.upgrade(&name, package, options).await?))
}

pub(super) async fn approve(State(app): State<Arc<App>>, Path(name): Path<Name>) -> Answer<Json<UpgradeView>> {
    Ok(Json(app.registry.approve(&name).await?))
}

pub(super) async fn discard(State(app): State<Arc<App>>, Path(name): Path<Name>) -> Answer<StatusCode> {
    app.registry.discard(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn rollback(State(app): State<Arc<App>>, Path(name): Path<Name>) -> Answer<Json<UpgradeView>> {
    Ok(Json(app.registry.rollback(&name).await?))
}

pub(super) async fn enable(
    State(app): State<Arc<App>>,
    Path(name): Path<Name>,
    Json(request): Json<EnableRequest>,
) -> Answer<StatusCode> {
    app.registry.enable_extension(&name, request.enabled).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(State(app): State<Arc<App>>, Path(name): Path<Name>) -> Answer<StatusCode> {
    app.registry.remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn verify(State(app): State<Arc<App>>, Path(name): Path<Name>) -> Answer<Json<Vec<VerifiedFile>>> {
    Ok(Json(app.registry.verify(&name).await?))
}
