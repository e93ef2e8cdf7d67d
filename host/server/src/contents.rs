//! The content store as the server keeps it: what is pushed becomes artifacts, and what nothing names is collected.

use crate::app::App;
use async_trait::async_trait;
use axum::http::HeaderMap;
use fuseml_catalog::{ArtifactSearch, Catalog};
use fuseml_contents::TreeStore;
use fuseml_domain::{Attributes, Descriptor, Error, Kind, Name, PushedArtifact, Result, Series, Store, check_pushed, port::Catalog as _};
use fuseml_engine::Engine;
use fuseml_registry::{Access, Action, Code, Collected, Refusal, RegistryError, Repository, StoredManifest, Tag};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

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
    let descriptor =
        pushed.describe(series, &tree, TreeStore::location(&tree), Attributes::new(), Timestamp::now())?;
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
        let series = series_of(repository)?;
        let Some(tree) = self.trees.tree_of_manifest(&series, manifest).await? else { return Ok(()) };
        let pushed = PushedArtifact {
            tree: tree.digest(),
            attributes: Attributes::new(),
            metrics: Default::default(),
            labels: Attributes::new(),
            by: "an OCI client".to_owned(),
        };
        let (descriptor, _) = register(&self.catalog, &self.trees, &self.engine, &series, pushed).await?;
        // Clients say `latest` when nobody says anything; the newest version needs no tag.
        if let Ok(name) = tag.as_str().parse::<Name>()
            && *name != *descriptor.id
            && &*name != "latest"
        {
            let author = fuseml_catalog::Author { by: "an OCI client".to_owned(), reason: None };
            self.catalog.tag(&descriptor.address, &name, &author).await?;
        }
        Ok(())
    }
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
        self.take(repository, tag, manifest).await.map_err(|error| RegistryError::new(Code::ManifestInvalid, error.message))
    }
}

/// `<project>/<scheme>/<name>`.
fn series_of(repository: &Repository) -> Result<Series> {
    let parts: Vec<_> = repository.as_str().split('/').collect();
    if let [project, scheme, name] = parts.as_slice()
        && let Some(kind) = Kind::from_scheme(scheme)
    {
        return Ok(Series { project: project.parse()?, kind, name: name.parse()? });
    }
    let message = format!("`{repository}` is no repository here: <project>/model/<name> or <project>/data/<name>");
    Err(Error::invalid("repository", message))
}

/// What was pushed so lately is not collected: somebody may be about to name it.
const YOUNG: SignedDuration = SignedDuration::from_hours(24);
/// Artifacts looked at together.
const PORTION: u32 = 500;

/// Collects what no artifact names. Whatever the catalog names is named in the registry before anything is deleted.
pub(crate) async fn collect(app: &App) -> Result<Collected> {
    let mut search = ArtifactSearch { project: None, condition: None, limit: PORTION, page_token: None };
    loop {
        let page = app.catalog.search(&search).await?;
        for artifact in &page.artifacts {
            if let Some(digest) = artifact.digest.as_ref().filter(|_| artifact.store != Store::External) {
                keep(&app.trees, artifact, digest).await?;
            }
        }
        search.page_token = page.next_page_token;
        if search.page_token.is_none() {
            break;
        }
    }
    app.trees.collect(Timestamp::now() - YOUNG).await
}

async fn keep(trees: &TreeStore, artifact: &Descriptor, digest: &fuseml_domain::Digest) -> Result<()> {
    if trees.is_published(artifact).await? {
        return Ok(());
    }
    let published = match trees.tree(digest).await {
        Ok(tree) => trees.publish(artifact, &tree).await,
        Err(error) => Err(error),
    };
    // What is lost already is not lost by collecting; `artifact verify` says so.
    if let Err(error) = published {
        tracing::warn!(artifact = %artifact.address, %error, "its contents are not whole");
    }
    Ok(())
}
