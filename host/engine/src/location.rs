//! Where an artifact's contents are for whoever uses them: in the built-in store, or in a tool's (S96).

use crate::Ports;
use fuseml_domain::{
    Contents, Descriptor, Error, ErrorKind, Location, Result, Series, Store, Tree, port::ArtifactStore,
};
use std::{path::Path, sync::Arc};

/// A tool's store and the id by which it knows an artifact.
pub type Kept = (Arc<dyn ArtifactStore>, String);

pub(crate) async fn store_of(ports: &Ports, artifact: &Descriptor) -> Result<Option<Kept>> {
    let Store::Extension { instance, id } = &artifact.store else { return Ok(None) };
    let store = ports.extensions.store(instance, artifact.kind()).await?.ok_or_else(|| {
        Error::unavailable(
            "store-gone",
            format!("{} lies in the store of {instance}, which is not configured any more", artifact.address.short()),
        )
    })?;
    Ok(Some((store, id.clone())))
}

/// How whoever uses an artifact reaches its contents (S96).
pub(crate) async fn locate(ports: &Ports, artifact: &Descriptor) -> Result<Contents> {
    if artifact.store == Store::External {
        let message = format!(
            "{} is external: FuseML knows where it lies ({}) and does not fetch it; let the job take it `as: location`, \
             register it with its contents, or let a store bring it",
            artifact.address.short(),
            artifact.location.uri
        );
        return Err(Error::unsupported("external", message));
    }
    if let (Store::Local, Some(digest)) = (&artifact.store, &artifact.digest) {
        let tree = match ports.contents.tree(digest).await {
            // Nothing names the list, so that it was collected while the run waited: what lies there says it again.
            Err(error) if error.kind == ErrorKind::NotFound => {
                let folder = Path::new(&artifact.location.uri);
                ports.contents.store_listing(&Series::of(artifact), folder).await?
            }
            tree => tree?,
        };
        if tree.digest() != *digest {
            let message = format!("{} is not as it was left: something wrote into it", artifact.address.short());
            return Err(Error::invalid("digest", message));
        }
        return Ok(Contents { location: artifact.location.clone(), tree: Some(tree), files: Vec::new() });
    }
    let Some((store, id)) = store_of(ports, artifact).await? else {
        return Ok(Contents { location: artifact.location.clone(), tree: None, files: Vec::new() });
    };
    let (location, files) = store.locate(&id).await.map_err(|error| error.context(artifact.address.short()))?;
    let tree = match &artifact.digest {
        Some(digest) => Some(ports.contents.tree(digest).await?),
        None => Some(record(ports, artifact, &location, &files).await?),
    };
    Ok(Contents { location, tree, files })
}

/// Where code that reads an artifact itself finds it: outside, or in a tool.
pub(crate) async fn address_of(ports: &Ports, artifact: &Descriptor) -> Result<String> {
    if artifact.store == Store::External {
        return Ok(artifact.location.uri.clone());
    }
    let Some((store, id)) = store_of(ports, artifact).await? else {
        let message = format!(
            "{} lies in FuseML's own store, which a job does not reach: let it take a directory or a file",
            artifact.address.short()
        );
        return Err(Error::unsupported("location", message));
    };
    let (location, _) = store.locate(&id).await.map_err(|error| error.context(artifact.address.short()))?;
    Ok(location.uri)
}

/// At its first use what was found in a tool is read and listed: from then on it is verified against that.
async fn record(ports: &Ports, artifact: &Descriptor, location: &Location, files: &[(String, String)]) -> Result<Tree> {
    let contents = Contents { location: location.clone(), tree: None, files: files.to_vec() };
    let series = Series::of(artifact);
    let (tree, read) =
        ports.contents.record(&series, &contents).await.map_err(|error| error.context(artifact.address.short()))?;
    let recorded = ports.catalog.record(&artifact.address, &tree.digest(), &read).await?;
    match &recorded.digest {
        // Somebody was quicker, and saw something else.
        Some(digest) if *digest != tree.digest() => ports.contents.tree(digest).await,
        _ => {
            ports.contents.publish(&recorded, &tree, true).await?;
            Ok(tree)
        }
    }
}
