//! A lost catalog from what the built-in stores say (S112): descriptors and tags of the registry, and the branches of
//! codesets. What was only in the catalog (runs, lineage, pipelines, labels that came later) does not come back, and
//! nothing starts: it was all registered before.

use crate::{app::App, push, view::RecoveredView};
use fuseml_catalog::Author;
use fuseml_contents::{LATEST, Tagged};
use fuseml_domain::{Address, Descriptor, Digest, ErrorKind, Name, Result, port::Catalog as _};
use std::collections::{BTreeMap, HashSet};

/// Left out and named at the most.
const NAMED: usize = 20;

/// Registers whatever the built-in stores have and the catalog does not.
///
/// # Errors
/// When they cannot be read; what one version lacks is named and the rest goes on.
pub(crate) async fn recover(app: &App) -> Result<RecoveredView> {
    let mut view = RecoveredView::default();
    let mut packs = app.trees.known_packs().await?;
    let (mut tags, mut versions) = (Vec::new(), BTreeMap::new());
    for (repository, tag) in app.trees.all_tags().await? {
        let place = format!("{repository}:{tag}");
        match app.trees.tagged(&repository, &tag).await {
            Ok(Tagged::Version(descriptor)) => {
                let digest = app.trees.resolve(&repository, &tag).await?;
                let there: &mut Vec<Address> = versions.entry((repository.as_str().to_owned(), digest)).or_default();
                there.push(descriptor.address.clone());
                match register(app, &descriptor, &mut packs).await {
                    Ok(is_new) => view.registered += u64::from(is_new),
                    Err(error) => skip(&mut view, &place, &error.message),
                }
            }
            Ok(Tagged::Tag(digest)) => tags.push((repository, tag, digest)),
            Ok(Tagged::Other(why)) => skip(&mut view, &place, &why),
            Err(error) => skip(&mut view, &place, &error.message),
        }
    }
    for (repository, tag, digest) in tags {
        let versions = versions.get(&(repository.as_str().to_owned(), digest)).map_or(&[][..], Vec::as_slice);
        match (versions, tag.as_str().parse::<Name>()) {
            ([address], Ok(tag)) => view.tags += u64::from(point(app, address, &tag).await?),
            ([_, _, ..], Ok(tag)) if &*tag != LATEST => {
                skip(
                    &mut view,
                    &format!("{repository}:{tag}"),
                    "it is the image of several runnables; tag the one that is meant",
                );
            }
            _ => {}
        }
    }
    for (project, name) in app.repositories.all()? {
        create_project(app, &project).await?;
        let tips = push::unregistered_tips(app, &project, &name).await?;
        view.codesets += app.catalog.restore(&tips).await? as u64;
    }
    Ok(view)
}

fn skip(view: &mut RecoveredView, place: &str, why: &str) {
    view.skipped += 1;
    if view.left_out.len() < NAMED {
        view.left_out.push(format!("{place}: {why}"));
    }
}

async fn register(app: &App, descriptor: &Descriptor, packs: &mut HashSet<Digest>) -> Result<bool> {
    match app.catalog.artifact(&descriptor.address).await {
        Ok(_) => return Ok(false),
        Err(error) if error.kind == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    create_project(app, descriptor.project()).await?;
    app.trees.index_packs(descriptor, packs).await?;
    // Tags come from the registry, where they stand now.
    let mut descriptor = descriptor.clone();
    descriptor.tags.clear();
    Ok(app.catalog.restore(std::slice::from_ref(&descriptor)).await? > 0)
}

async fn create_project(app: &App, project: &Name) -> Result<()> {
    match app.catalog.create_project(project).await {
        Err(error) if error.kind != ErrorKind::Conflict => Err(error),
        _ => Ok(()),
    }
}

/// Whether the tag was somewhere else.
async fn point(app: &App, address: &Address, tag: &Name) -> Result<bool> {
    let artifact = app.catalog.artifact(address).await?;
    if **tag == *LATEST || artifact.tags.iter().any(|there| **there == **tag) {
        return Ok(false);
    }
    let author = Author { by: "fuseml".to_owned(), reason: Some("as the registry has it".to_owned()) };
    app.catalog.tag(address, tag, &author).await?;
    Ok(true)
}
