//! Drafts and queries to an artifact store, its descriptors and locations back. Pure.

use super::{artifact_events, store};
use crate::api::v0_1::{
    convert::{Checked, digest, location, pairs, unique},
    types::types,
};
use fuseml_domain::{
    Descriptor, Location, StoreChange, StoreCondition, StoreInfo, StorePage, StorePattern, StoreQuery, StoredArtifact,
    check_relative_path,
    port::{ArtifactEvent, StoreDraft},
};

pub(crate) fn draft(draft: &StoreDraft) -> store::Draft {
    store::Draft {
        descriptor: described(&draft.descriptor),
        contents: location(&draft.location),
        idempotency_key: draft.key.clone(),
    }
}

pub(crate) fn query(query: &StoreQuery) -> store::Query {
    let condition = |condition: &StoreCondition| store::Condition {
        field: condition.field.clone(),
        operator: condition.operator.clone(),
        value: condition.value.clone(),
    };
    store::Query { kind: query.kind.clone(), conditions: query.conditions.iter().map(condition).collect() }
}

pub(crate) fn info(info: store::Info) -> Checked<StoreInfo> {
    let pattern = match info.pattern {
        store::Pattern::Adapter => StorePattern::Adapter,
        store::Pattern::AdapterWithDescriptors => StorePattern::AdapterWithDescriptors,
        store::Pattern::SharedBackend => StorePattern::SharedBackend,
        store::Pattern::Mirror => StorePattern::Mirror,
    };
    Ok(StoreInfo { kinds: info.kinds, pattern, schemes: info.schemes, operations: info.operations })
}

pub(crate) fn page(results: store::Results) -> Checked<StorePage> {
    let condition = |condition: store::Condition| StoreCondition {
        field: condition.field,
        operator: condition.operator,
        value: condition.value,
    };
    Ok(StorePage {
        artifacts: results.items.into_iter().map(artifact).collect::<Checked<_>>()?,
        next: results.next,
        unapplied: results.unapplied.into_iter().map(condition).collect(),
    })
}

pub(crate) fn change(change: &StoreChange) -> store::Change {
    store::Change {
        labels: change.labels.as_ref().map(pairs),
        add_tags: change.add_tags.clone(),
        remove_tags: change.remove_tags.clone(),
    }
}

pub(crate) fn artifact(descriptor: types::Descriptor) -> Checked<StoredArtifact> {
    if descriptor.id.is_empty() {
        return Err("an artifact without an id".to_owned());
    }
    Ok(StoredArtifact {
        id: descriptor.id,
        kind: descriptor.kind,
        name: descriptor.name,
        version: descriptor.version,
        digest: digest(descriptor.digest)?,
        created: descriptor.created,
        attributes: unique("attribute", descriptor.attributes)?,
        metrics: unique("metric", descriptor.metrics)?,
        labels: unique("label", descriptor.labels)?,
        tags: descriptor.tags,
        parents: descriptor.parents,
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
        created: millis(descriptor.created),
        attributes: pairs(&descriptor.attributes),
        metrics: descriptor.metrics.iter().map(|(name, value)| (name.clone(), *value)).collect(),
        labels: pairs(&descriptor.labels),
        tags: descriptor.tags.clone(),
        parents: Vec::new(),
    }
}

pub(crate) fn event(event: ArtifactEvent) -> artifact_events::Event {
    let artifact = event.artifact;
    artifact_events::Event {
        sequence: u64::try_from(event.sequence).unwrap_or(0),
        address: artifact.address.to_string(),
        kind: artifact.kind().name().to_owned(),
        attributes: pairs(&artifact.attributes),
        created: millis(artifact.created),
    }
}

fn millis(at: jiff::Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}
