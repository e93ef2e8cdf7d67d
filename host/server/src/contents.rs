//! The content store as the server keeps it: what is pushed becomes artifacts, and what nothing names is collected.

use crate::{
    app::App,
    provenance,
    view::{ProvenanceView, VerificationView},
};
use async_trait::async_trait;
use axum::http::HeaderMap;
use fuseml_catalog::{ArtifactSearch, Author, Catalog};
use fuseml_contents::{LATEST, TreeStore};
use fuseml_domain::{
    Attributes, Descriptor, Error, Image, Kind, Name, Origin, PushedArtifact, Result, Runnable, Series, Store,
    check_pushed,
    port::{Catalog as _, ContentStore as _},
};
use fuseml_engine::Engine;
use fuseml_registry::{Access, Action, Code, Collected, Refusal, RegistryError, Repository, StoredManifest, Tag};
use jiff::{SignedDuration, Timestamp};
use std::{sync::Arc, time::Duration};

/// Makes the artifact whose files are in the store, or answers the one that is there; and whether it is new.
pub(crate) async fn register(
    catalog: &Catalog,
    trees: &TreeStore,
    engine: &Engine,
    series: &Series,
    pushed: PushedArtifact,
) -> Result<(Descriptor, bool)> {
    check_pushed(series)?;
    catalog.check_project(&series.project).await?;
    let tree = trees.tree(&pushed.tree).await?;
    let id: Name = pushed.tree.hex().parse()?;
    let address = fuseml_domain::Address::of_version(series.kind, &series.project, &series.name, &id);
    match catalog.artifact(&address).await {
        Ok(there) => {
            // Where somebody collected or damaged it this brings it back.
            if there.store == Store::BuiltIn {
                trees.publish(&there, &tree).await?;
            }
            return Ok((there, false));
        }
        Err(error) if error.kind == fuseml_domain::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let read = trees.describe(series.kind, &tree).await?;
    let descriptor = pushed.describe(series, &tree, TreeStore::location(&tree), read, Timestamp::now())?;
    trees.publish(&descriptor, &tree).await?;
    let is_new = catalog.register(std::slice::from_ref(&descriptor)).await? > 0;
    if is_new {
        engine.wake();
    }
    Ok((catalog.artifact(&address).await?, is_new))
}

/// What clients of the registry may do: whoever comes so far has the admin token.
pub(crate) struct Pushes {
    catalog: Catalog,
    trees: Arc<TreeStore>,
    engine: Arc<Engine>,
}

impl Pushes {
    pub(crate) fn new(catalog: Catalog, trees: Arc<TreeStore>, engine: Arc<Engine>) -> Self {
        Self { catalog, trees, engine }
    }

    async fn take(&self, repository: &Repository, tag: &Tag, manifest: &StoredManifest) -> Result<()> {
        // How clients without referrers name what is about another manifest: signatures, say.
        if tag.as_str().starts_with("sha256-") {
            return Ok(());
        }
        let series = series_of(repository)?;
        if series.kind == Kind::Runnable {
            return self.take_image(&series, tag, manifest).await;
        }
        let Some(tree) = self.trees.tree_of_manifest(&series, manifest).await? else { return Ok(()) };
        let pushed = PushedArtifact {
            tree: tree.digest(),
            attributes: Attributes::new(),
            metrics: Default::default(),
            labels: Attributes::new(),
            by: "an OCI client".to_owned(),
        };
        let (descriptor, _) = register(&self.catalog, &self.trees, &self.engine, &series, pushed).await?;
        self.tag(&descriptor, tag).await
    }

    async fn take_image(&self, series: &Series, tag: &Tag, manifest: &StoredManifest) -> Result<()> {
        let Some(configuration) = self.trees.image(series, manifest).await? else { return Ok(()) };
        let image = Image::own(&series.repository(), manifest.digest.clone());
        let runnable = configuration.runnable(&series.name, image)?;
        let by = "an OCI client".to_owned();
        let place = (&self.catalog, &*self.trees, &*self.engine);
        let (descriptor, _) =
            register_runnable(place, &series.project, runnable, configuration.attributes(), by).await?;
        self.tag(&descriptor, tag).await
    }

    async fn tag(&self, descriptor: &Descriptor, tag: &Tag) -> Result<()> {
        // Clients say `latest` when nobody says anything; the newest version needs no tag.
        if let Ok(name) = tag.as_str().parse::<Name>()
            && *name != *descriptor.id
            && &*name != LATEST
        {
            let author = Author { by: "an OCI client".to_owned(), reason: None };
            self.catalog.tag(&descriptor.address, &name, &author).await?;
            self.engine.wake();
            self.engine.arrived(descriptor.project()).await;
            self.trees.point(descriptor, &name).await?;
        }
        Ok(())
    }
}

/// Registers a runnable by its description, or answers the one that is there; and whether it is new. An image of this
/// server comes into the runnable's own repository.
pub(crate) async fn register_runnable(
    (catalog, trees, engine): (&Catalog, &TreeStore, &Engine),
    project: &Name,
    mut runnable: Runnable,
    attributes: Attributes,
    by: String,
) -> Result<(Descriptor, bool)> {
    catalog.check_project(project).await?;
    let series = Series::new(project, Kind::Runnable, &runnable.name);
    runnable.component = None;
    if let Some(image) = runnable.image.as_mut().filter(|image| image.registry.is_none()) {
        *image = trees.adopt_image(&series, image).await?;
        runnable.component = trees.component_in(image).await?;
    }
    let mut descriptor = runnable.describe(project, Origin::Registered { by }, Timestamp::now())?;
    descriptor.attributes.extend(attributes);
    trees.publish_runnable(&descriptor).await?;
    let is_new = catalog.register(std::slice::from_ref(&descriptor)).await? > 0;
    if is_new {
        engine.wake();
    }
    Ok((catalog.artifact(&descriptor.address).await?, is_new))
}

#[async_trait]
impl Access for Pushes {
    async fn allow(&self, _: &HeaderMap, repository: &Repository, action: Action) -> Result<(), Refusal> {
        let series = series_of(repository).map_err(|error| Refusal::Denied(error.message))?;
        if action == Action::Delete {
            let why = format!("versions of {series} are deleted with `fuseml artifact delete`");
            return Err(Refusal::Denied(why));
        }
        self.catalog.check_project(&series.project).await.map_err(|error| Refusal::Denied(error.message))
    }

    async fn greet(&self, _: &HeaderMap) -> Result<(), Refusal> {
        Ok(())
    }

    async fn pushed(&self, repository: &Repository, tag: &Tag, manifest: &StoredManifest) -> Result<(), RegistryError> {
        self.take(repository, tag, manifest)
            .await
            .map_err(|error| RegistryError::new(Code::ManifestInvalid, error.message))
    }
}

/// `<project>/<scheme>/<name>`.
fn series_of(repository: &Repository) -> Result<Series> {
    Series::of_repository(repository.as_str()).ok_or_else(|| {
        let message = format!("`{repository}` is no repository here: <project>/model/<name>, <project>/data/<name> or <project>/runnable/<name>");
        Error::invalid("repository", message)
    })
}

/// Reads an artifact's contents again, wherever they lie, and says what is not as it was registered.
pub(crate) async fn verify(app: &App, artifact: &Descriptor) -> Result<VerificationView> {
    let mut faults = match (artifact.kind(), &artifact.store, &artifact.digest) {
        (Kind::Codeset, ..) => app.repositories.verify(artifact.project(), &artifact.name, &artifact.id).await?,
        (_, Store::BuiltIn, Some(digest)) if artifact.runnable.is_none() => {
            let damages = app.trees.verify(digest).await?;
            damages.iter().map(damage).collect()
        }
        (_, Store::Extension { .. }, Some(_)) => {
            let contents = app.engine.locate(artifact).await?;
            let folder = tempfile::tempdir_in(app.folder.path()).map_err(|error| Error::io("a folder", &error))?;
            match app.contents.stage(&contents, &folder.path().join("contents")).await {
                Ok(()) => Vec::new(),
                Err(error) if matches!(error.code.as_str(), "digest-mismatch" | "missing-file") => vec![error.message],
                Err(error) => return Err(error),
            }
        }
        (_, Store::Extension { instance, .. }, None) => {
            let message = format!(
                "{} was found in {instance}, and nobody recorded what its files were: it cannot be verified",
                artifact.address.short()
            );
            return Err(Error::unsupported("unrecorded", message));
        }
        (_, Store::External, _) => {
            let message = format!("{} is external: nobody here knows what it should be", artifact.address.short());
            return Err(Error::unsupported("external", message));
        }
        _ => Vec::new(),
    };
    let provenance = match (&artifact.origin, provenance::verified(app, artifact).await) {
        (Origin::Run { run, step, .. }, Ok(_)) => {
            let key = app.provenance.public.id().to_string();
            Some(ProvenanceView { run: run.clone(), step: step.to_string(), key })
        }
        (Origin::Run { .. }, Err(error)) => {
            faults.push(format!("its provenance: {}", error.message));
            None
        }
        _ => None,
    };
    Ok(VerificationView { artifact: artifact.address.clone(), whole: faults.is_empty(), faults, provenance })
}

fn damage(damage: &fuseml_contents::Damage) -> String {
    match &damage.found {
        Some(found) => format!("{} is {found}, not {}", damage.path, damage.registered),
        None => format!("{} ({}) is gone", damage.path, damage.registered),
    }
}

/// Deletes an artifact: its descriptor, its contents where only it names them, and what a tool keeps of it.
pub(crate) async fn delete(app: &App, artifact: &Descriptor, author: &Author, force: bool) -> Result<()> {
    if artifact.kind() == Kind::Codeset {
        let message = "registered commits stay: their branch is deleted with git, and lineage still finds them";
        return Err(Error::unsupported("codeset", message));
    }
    // The tool first: what it no longer has is no error when this is tried again.
    let store = app.engine.store_of(artifact).await?;
    app.catalog.check_deletable(artifact, force).await?;
    if let Some((store, id)) = store {
        store.delete(&id).await.map_err(|error| error.context(artifact.address.short()))?;
    }
    app.catalog.delete(&artifact.address, author, force).await?;
    app.trees.withdraw(artifact).await?;
    // The manifest took its tags along; the newest is another one now.
    let newest = fuseml_domain::Address {
        kind: artifact.kind(),
        project: artifact.project().clone(),
        name: artifact.name.clone(),
        version: None,
        tag: None,
    };
    match app.catalog.artifact(&newest).await {
        Ok(newest) => app.trees.point(&newest, &LATEST.parse()?).await,
        Err(error) if error.kind == fuseml_domain::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// What was pushed so lately is not collected: somebody may be about to name it.
pub(crate) const YOUNG: SignedDuration = SignedDuration::from_hours(24);
/// Between two collections, the first of which waits so long too.
pub(crate) const COLLECT_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Artifacts looked at together.
const PORTION: u32 = 500;

/// Runs publish what they made before they save that they did: after so long they have.
const SAVING: Duration = Duration::from_secs(1);

/// Collects what no artifact names and is older than that. Whatever the catalog names is named in the registry before
/// anything is deleted.
pub(crate) async fn collect(app: &App, young: SignedDuration) -> Result<Collected> {
    // What a push to another server relies on is known there alone.
    let _alone = app.peers.alone("contents are collected")?;
    let mut search = ArtifactSearch { limit: PORTION, ..ArtifactSearch::default() };
    loop {
        let page = app.catalog.search(&search).await?;
        for artifact in &page.artifacts {
            keep(&app.trees, artifact).await?;
        }
        search.page_token = page.next_page_token;
        if search.page_token.is_none() {
            break;
        }
    }
    let before = Timestamp::now() - young;
    let mut unnamed = Vec::new();
    for (repository, tag) in app.trees.tags_before(before).await? {
        if !is_named(&app.catalog, &repository, &tag).await? {
            unnamed.push((repository, tag));
        }
    }
    if !unnamed.is_empty() {
        tokio::time::sleep(SAVING).await;
    }
    for (repository, tag) in unnamed {
        if !is_named(&app.catalog, &repository, &tag).await? {
            app.trees.forget_tag(&repository, &tag).await?;
        }
    }
    app.trees.collect(before).await
}

/// Whether the catalog knows what a tag of the registry is.
async fn is_named(catalog: &Catalog, repository: &Repository, tag: &Tag) -> Result<bool> {
    // Who cannot be asked about is kept.
    let Ok(Series { project, kind, name }) = series_of(repository) else { return Ok(true) };
    let address = |version: Option<Name>, tag: Option<Name>| fuseml_domain::Address {
        kind,
        project: project.clone(),
        name: name.clone(),
        version,
        tag,
    };
    let address = match tag.as_str().parse::<Name>() {
        _ if tag.as_str() == LATEST => address(None, None),
        Ok(id) if id.len() == 64 => fuseml_domain::Address::of_version(kind, &project, &name, &id),
        Ok(tag) => address(None, Some(tag)),
        Err(_) => return Ok(false),
    };
    match catalog.artifact(&address).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind == fuseml_domain::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Names in the registry what is not named there.
pub(crate) async fn keep(trees: &TreeStore, artifact: &Descriptor) -> Result<()> {
    if artifact.kind() == Kind::Codeset {
        return Ok(());
    }
    if trees.is_published(artifact).await? {
        for tag in &artifact.tags {
            trees.point(artifact, &tag.parse()?).await?;
        }
        return Ok(());
    }
    let published = match &artifact.digest {
        _ if artifact.runnable.is_some() => trees.publish_runnable(artifact).await,
        Some(digest) if artifact.store != Store::External => match trees.tree(digest).await {
            Ok(tree) => trees.publish(artifact, &tree).await,
            Err(error) => Err(error),
        },
        _ => trees.publish_description(artifact).await,
    };
    // What is lost already is not lost by collecting; `artifact verify` says so.
    if let Err(error) = published {
        tracing::warn!(artifact = %artifact.address, %error, "its contents are not whole");
    }
    Ok(())
}
