//! Which pipelines would lead from an artifact to what somebody wants, of what is installed (S9, S26, S128).

use crate::app::App;
use fuseml_domain::{Descriptor, Form, Goal, Kind, Link, Name, Piece, Reference, Result, Template, suggest};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Runnables, and artifacts of each kind, that are considered: the newest.
const MOST: u32 = 200;

/// Chains of pipelines from an artifact to a goal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Suggestions {
    pub from: Descriptor,
    pub to: Goal,
    /// The shortest first.
    pub chains: Vec<Vec<Link>>,
    /// What is not considered, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeftOut {
    pub template: Name,
    pub reason: String,
}

pub(crate) async fn find(app: &Arc<App>, project: &Name, from: Descriptor, to: Goal) -> Result<Suggestions> {
    let (mut pieces, mut left_out) = (Vec::new(), Vec::new());
    for (_, _, template) in app.catalog.templates().await? {
        let template = match app.catalog.flattened(&template, BTreeMap::new()).await {
            Ok(template) => template,
            Err(error) => {
                left_out.push(LeftOut { template: template.name, reason: error.message });
                continue;
            }
        };
        match unbuildable(app, project, &from, &template).await? {
            Some(reason) => left_out.push(LeftOut { template: template.name, reason }),
            None => pieces.push(Piece::of_template(&template)),
        }
    }
    let mut names = BTreeSet::new();
    // What a builder made of a codeset is run by pipelines that build.
    let is_built = |found: &Descriptor| found.attributes.contains_key("codeset");
    for found in app.catalog.list_artifacts(project, Some(Kind::Runnable), None, MOST).await? {
        if let Some(runnable) =
            found.runnable.as_deref().filter(|_| names.insert(found.name.clone()) && !is_built(&found))
        {
            pieces.extend(Piece::of_runnable(&found.address, runnable)?);
        }
    }
    let mut others = Vec::new();
    for kind in Kind::all() {
        others.extend(app.catalog.list_artifacts(project, Some(kind), None, MOST).await?.iter().map(Form::of));
    }
    let chains = suggest(&Form::of(&from), to, &pieces, &others);
    Ok(Suggestions { from, to, chains, left_out })
}

/// Why a template's builder can do nothing with a codeset; `None` where it can, or is not asked about it.
async fn unbuildable(app: &App, project: &Name, from: &Descriptor, template: &Template) -> Result<Option<String>> {
    if from.kind() != Kind::Codeset {
        return Ok(None);
    }
    for (instance, codeset) in template.builds() {
        if !matches!(codeset, Reference::Input { .. }) {
            continue;
        }
        match app.engine.detect(project, instance, from).await {
            Ok((0, reason)) => return Ok(Some(reason)),
            Ok(_) => {}
            // No instance, or one that rests: the template could not be used now.
            Err(error) => return Ok(Some(error.message)),
        }
    }
    Ok(None)
}
