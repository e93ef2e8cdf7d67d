//! Drafts and queries to an artifact store, its descriptors and locations back. Pure.

use super::{
    convert::{Checked, digest, pairs, unique},
    store,
    types::types,
};
use fuseml_domain::{
    Descriptor, Kind, Location, check_relative_path,
    port::{StoreDraft, StoredArtifact},
};

pub(crate) fn draft(draft: &StoreDraft) -> store::Draft {
    store::Draft {
        descriptor: described(&draft.descriptor),
        contents: location(&draft.location),
        idempotency_key: draft.key.clone(),
    }
}

/// Versions of a kind, of one name or of all.
pub(crate) fn query(kind: Kind, name: Option<&str>) -> store::Query {
    let by_name =
        |name: &str| store::Condition { field: "name".to_owned(), operator: "=".to_owned(), value: name.to_owned() };
    store::Query { kind: kind.name().to_owned(), conditions: name.map(by_name).into_iter().collect() }
}

/// One page of a search.
#[derive(Debug)]
pub(crate) struct Found {
    /// With the time of creation, by which the host sorts.
    pub(crate) artifacts: Vec<(u64, StoredArtifact)>,
    pub(crate) next: Option<String>,
}

/// A page of the answer to [`query`]; the name is compared again, whether or not the tool could.
pub(crate) fn found(results: store::Results, name: Option<&str>) -> Checked<Found> {
    let artifacts = results
        .items
        .into_iter()
        .filter(|item| name.is_none_or(|name| item.name == name))
        .map(|item| Ok((item.created, artifact(item)?)))
        .collect::<Checked<_>>()?;
    Ok(Found { artifacts, next: results.next })
}

pub(crate) fn artifact(descriptor: types::Descriptor) -> Checked<StoredArtifact> {
    if descriptor.id.is_empty() {
        return Err("an artifact without an id".to_owned());
    }
    Ok(StoredArtifact {
        id: descriptor.id,
        name: descriptor.name,
        version: descriptor.version,
        attributes: unique("attribute", descriptor.attributes)?,
        metrics: unique("metric", descriptor.metrics)?,
    })
}

/// Root, and path and URI of each file; a path that would leave the target folder is refused.
pub(crate) fn contents(contents: store::Contents) -> Checked<(Location, Vec<(String, String)>)> {
    let root = Location { scheme: contents.root.scheme, uri: contents.root.uri, digest: digest(contents.root.digest)? };
    let files: Vec<_> = contents.files.into_iter().map(|file| (file.path, file.uri)).collect();
    for (path, _) in &files {
        check_relative_path(path).map_err(|error| error.message)?;
    }
    Ok((root, files))
}

fn described(descriptor: &Descriptor) -> types::Descriptor {
    types::Descriptor {
        id: descriptor.id.to_string(),
        kind: descriptor.kind().name().to_owned(),
        name: descriptor.name.to_string(),
        version: descriptor.id.to_string(),
        digest: descriptor.digest.as_ref().map(ToString::to_string),
        created: u64::try_from(descriptor.created.as_millisecond()).unwrap_or(0),
        attributes: pairs(&descriptor.attributes),
        metrics: descriptor.metrics.iter().map(|(name, value)| (name.clone(), *value)).collect(),
        labels: pairs(&descriptor.labels),
        tags: descriptor.tags.clone(),
        parents: Vec::new(),
    }
}

pub(super) fn location(location: &Location) -> types::Location {
    types::Location {
        scheme: location.scheme.clone(),
        uri: location.uri.clone(),
        credential: types::Credential { kind: "none".to_owned(), secret: None, parameters: Vec::new() },
        digest: location.digest.as_ref().map(ToString::to_string),
        size_bytes: None,
        expires: None,
    }
}
