//! What several unit tests begin with.

use crate::{Address, Attributes, Descriptor, Kind, Location, Name, Origin, Store};

/// A model that a run made, of which nothing else is known.
pub(crate) fn model(project: &Name, name: &Name, id: &Name) -> Descriptor {
    Descriptor {
        address: Address::of_version(Kind::Model, project, name, id),
        name: name.clone(),
        id: id.clone(),
        digest: None,
        created: "2026-11-01T12:00:00Z".parse().expect("time"),
        attributes: Attributes::new(),
        metrics: Default::default(),
        labels: Attributes::new(),
        tags: Vec::new(),
        location: Location::new("contents", "x"),
        store: Store::BuiltIn,
        runnable: None,
        origin: Origin::Run { run: "train/1".to_owned(), step: name.clone(), project: None },
    }
}
