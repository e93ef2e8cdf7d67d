//! Extensions: install, change version, remove.

use crate::{
    app::App,
    extension::PackageSource,
    view::{
        AuditView, EnableRequest, ExtensionView, ImportRequest, ImportView, InstallOptions, MarketplaceRequest,
        MarketplaceView, PackageView, UpgradeOptions, UpgradeView, VerifiedFile,
    },
};
use axum::{
    extract::{Multipart, State, multipart::MultipartError},
    http::StatusCode,
};
use fuseml_domain::{Digest, Error, ExtensionLock, Name, PackageReference};
use fuseml_rest::{Answer, Json, Path, Problem};
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
async fn read_form<O: DeserializeOwned + Default>(mut form: Multipart) -> Answer<(O, Option<Vec<u8>>)> {
    let damaged = |error: MultipartError| Problem::from(Error::invalid("form", error.body_text()));
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
    Ok((options, package))
}

fn source(package: Option<Vec<u8>>, fetched: Option<&Digest>) -> Result<PackageSource, Error> {
    match (package, fetched) {
        (Some(tar), None) => Ok(PackageSource::Tar(tar)),
        (None, Some(digest)) => Ok(PackageSource::Fetched(digest.clone())),
        _ => Err(Error::invalid("form", "the form has either the part `package`, or a `package` in its options")),
    }
}

/// What has to be fetched for a package, in the order in which it can be installed.
pub(super) async fn plan(
    State(app): State<Arc<App>>,
    Json(reference): Json<PackageReference>,
) -> Answer<Json<Vec<PackageReference>>> {
    Ok(Json(app.registry.plan(&reference).await?))
}

pub(super) async fn lock(State(app): State<Arc<App>>) -> Answer<Json<ExtensionLock>> {
    Ok(Json(app.registry.lock().await?))
}

/// Fetches a package from a marketplace and says what it asks for.
pub(super) async fn fetch(
    State(app): State<Arc<App>>,
    Json(reference): Json<PackageReference>,
) -> Answer<Json<PackageView>> {
    Ok(Json(app.marketplaces.fetch(&reference).await?))
}

pub(super) async fn marketplaces(State(app): State<Arc<App>>) -> Answer<Json<Vec<MarketplaceView>>> {
    Ok(Json(app.marketplaces.list()?))
}

pub(super) async fn add_marketplace(
    State(app): State<Arc<App>>,
    Json(request): Json<MarketplaceRequest>,
) -> Answer<(StatusCode, Json<MarketplaceView>)> {
    Ok((StatusCode::CREATED, Json(app.marketplaces.add(request).await?)))
}

/// Two parts: `options` (JSON) and `package`, the bundle as a tar.
pub(super) async fn import(State(app): State<Arc<App>>, form: Multipart) -> Answer<Json<ImportView>> {
    let (ImportRequest { name, root_key }, bundle) = read_form::<ImportRequest>(form).await?;
    let bundle = bundle.ok_or_else(|| Error::invalid("form", "the form lacks the part `package`"))?;
    let name = name.ok_or_else(|| Error::invalid("form", "the options lack the marketplace's name"))?;
    let folder =
        tempfile::tempdir_in(app.folder.path()).map_err(|error| Error::io(app.folder.path().display(), &error))?;
    let target = folder.path().join("bundle");
    let place = target.clone();
    let unpacked = tokio::task::spawn_blocking(move || {
        std::fs::create_dir(&place).map_err(|error| Error::io(place.display(), &error))?;
        crate::package::unpack(bundle.as_slice(), &place)
    });
    unpacked.await.map_err(|error| Error::internal("import", error.to_string()))??;
    Ok(Json(app.marketplaces.import(&target, &name, root_key).await?))
}

pub(super) async fn remove_marketplace(State(app): State<Arc<App>>, Path(name): Path<Name>) -> Answer<StatusCode> {
    app.marketplaces.remove(&name)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn audit(State(app): State<Arc<App>>) -> Answer<Json<Vec<AuditView>>> {
    Ok(Json(app.registry.audit(&app.marketplaces).await?))
}

pub(super) async fn install(State(app): State<Arc<App>>, form: Multipart) -> Answer<(StatusCode, Json<ExtensionView>)> {
    let (options, package) = read_form::<InstallOptions>(form).await?;
    let source = source(package, options.package.as_ref())?;
    let instance = app.registry.install(source, options).await?;
    let extension = app.catalog.instance(&instance).await?.extension;
    Ok((StatusCode::CREATED, Json(app.registry.extension_view(&extension).await?)))
}

pub(super) async fn upgrade(
    State(app): State<Arc<App>>,
    Path(name): Path<Name>,
    form: Multipart,
) -> Answer<Json<UpgradeView>> {
    let (options, package) = read_form::<UpgradeOptions>(form).await?;
    let source = source(package, options.package.as_ref())?;
    Ok(Json(app.registry.upgrade(&name, source, options).await?))
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
