//! OpenLineage (2-0-2): what runs did, told to whoever keeps lineage elsewhere.
//!
//! A run is an OpenLineage run of the job `<pipeline>`, each of its steps one of `<pipeline>.<step>` with the run as its
//! parent. Every version of an artifact is a dataset named by its series, with the version as a facet.

mod delivery;
mod event;

pub(crate) use delivery::{Endpoint, deliver_all};

use crate::app::App;
use event::Context;
use fuseml_catalog::{Catalog, Lineage};
use fuseml_domain::{Address, ErrorKind, Name, Result, port::Catalog as _};
use serde_json::Value;
use std::collections::BTreeMap;

/// The events of all steps and runs of a lineage.
pub(crate) async fn of_lineage(app: &App, lineage: &Lineage) -> Result<Vec<Value>> {
    let names = names_of(&app.catalog, lineage.edges.iter().map(|edge| &edge.artifact)).await?;
    Ok(event::of_lineage(lineage, &Context { names: &names, server: &app.url }))
}

/// The series of artifacts that are still there.
async fn names_of(catalog: &Catalog, artifacts: impl Iterator<Item = &String>) -> Result<BTreeMap<String, Name>> {
    let mut names = BTreeMap::new();
    for artifact in artifacts {
        let Ok(address) = artifact.parse::<Address>() else { continue };
        match catalog.artifact(&address).await {
            Ok(found) => drop(names.insert(artifact.clone(), found.name)),
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(names)
}
