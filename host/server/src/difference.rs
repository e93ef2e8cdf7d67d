//! Explains how two artifacts differ, with what they were made from.

use crate::app::App;
use fuseml_catalog::Lineage;
use fuseml_domain::{
    Address, ArtifactDifference, Attributes, Descriptor, ErrorKind, Kind, Result, Tree, differences,
    port::{Catalog as _, Codesets as _},
    runnable_differences,
};
use std::collections::BTreeMap;

/// Files named at the most, of contents and of code each.
const MOST_FILES: usize = 100;

/// # Errors
/// When something that should be known of one of them cannot be read.
pub(crate) async fn explain(app: &App, before: &Descriptor, after: &Descriptor) -> Result<Vec<ArtifactDifference>> {
    let mut found = differences(before, after);
    let (one, other) = (made_from(app, before).await?, made_from(app, after).await?);
    for (slot, from) in &one.inputs {
        if let Some(to) = other.inputs.get(slot).filter(|to| *to != from) {
            found.extend(input(app, slot, from, to).await?);
        }
    }
    let gone = one.inputs.iter().filter(|(slot, _)| !other.inputs.contains_key(*slot));
    let new = other.inputs.iter().filter(|(slot, _)| !one.inputs.contains_key(*slot));
    let only = |slot: &String, before: Option<&Address>, after: Option<&Address>| {
        let [before, after] = [before, after].map(|address| address.map(Address::short));
        ArtifactDifference { about: "input".to_owned(), name: slot.clone(), before, after }
    };
    found.extend(gone.map(|(slot, address)| only(slot, Some(address), None)));
    found.extend(new.map(|(slot, address)| only(slot, None, Some(address))));
    found.extend(ArtifactDifference::between("run", &one.run, &other.run));
    found.extend(ArtifactDifference::between("extension", &one.extensions, &other.extensions));
    if before.kind() == Kind::Codeset && before.name == after.name {
        found.extend(code(app, before, after).await?);
    }
    if let (Some(one), Some(other)) = (tree(app, before).await?, tree(app, after).await?) {
        found.extend(files(&one, &other));
    }
    Ok(found)
}

/// What a run made an artifact from.
#[derive(Default)]
struct Made {
    inputs: BTreeMap<String, Address>,
    run: Attributes,
    extensions: Attributes,
}

async fn made_from(app: &App, artifact: &Descriptor) -> Result<Made> {
    let Lineage { edges, runs, calls, .. } = app.catalog.lineage(&artifact.address, Some(1)).await?;
    let own = artifact.address.to_string();
    let Some(maker) = edges.iter().find(|edge| edge.role == "made" && edge.artifact == own) else {
        return Ok(Made::default());
    };
    let used = edges.iter().filter(|edge| edge.role == "used" && edge.run == maker.run && edge.step == maker.step);
    let inputs = used.filter_map(|edge| Some((edge.slot.clone(), edge.artifact.parse().ok()?))).collect();
    let run = runs.iter().find(|run| run.id.to_string() == maker.run);
    let run = run.map(|run| {
        let of = [("pipeline", run.pipeline.to_string()), ("template", run.template.name.to_string())];
        of.map(|(name, value)| (name.to_owned(), value)).into()
    });
    let extensions = calls.iter().filter(|calls| calls.artifact == own);
    let extensions =
        extensions.map(|calls| (format!("{} {}", calls.extension, calls.component), calls.version.clone())).collect();
    Ok(Made { inputs, run: run.unwrap_or_default(), extensions })
}

/// One input of both, which is another version or another artifact.
async fn input(app: &App, slot: &str, from: &Address, to: &Address) -> Result<Vec<ArtifactDifference>> {
    let (one, other) = (still_there(app, from).await?, still_there(app, to).await?);
    if let (Some(one), Some(other)) = (&one, &other)
        && let (Some(before), Some(after)) = (&one.runnable, &other.runnable)
    {
        let found = runnable_differences(before, after);
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let mut found = vec![ArtifactDifference {
        about: if from.kind == Kind::Codeset { "code" } else { "input" }.to_owned(),
        name: slot.to_owned(),
        before: Some(from.short()),
        after: Some(to.short()),
    }];
    if let (Some(one), Some(other)) = (one, other)
        && from.kind == Kind::Codeset
        && one.name == other.name
    {
        found.extend(code(app, &one, &other).await?);
    }
    Ok(found)
}

async fn still_there(app: &App, address: &Address) -> Result<Option<Descriptor>> {
    match app.catalog.artifact(address).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Files of code that changed between two commits.
async fn code(app: &App, before: &Descriptor, after: &Descriptor) -> Result<Vec<ArtifactDifference>> {
    let changed = app.repositories.changed_files(before, after).await?;
    let of = |path: String| ArtifactDifference {
        about: "code".to_owned(),
        name: path,
        before: Some(before.address.short()),
        after: Some(after.address.short()),
    };
    Ok(changed.into_iter().take(MOST_FILES).map(of).collect())
}

async fn tree(app: &App, artifact: &Descriptor) -> Result<Option<Tree>> {
    let Some(digest) = artifact.digest.as_ref().filter(|_| artifact.runnable.is_none()) else { return Ok(None) };
    match app.trees.tree(digest).await {
        Ok(tree) => Ok(Some(tree)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn files(before: &Tree, after: &Tree) -> Vec<ArtifactDifference> {
    let sizes = |tree: &Tree| -> BTreeMap<String, String> {
        let shown =
            |file: &fuseml_domain::TreeFile| format!("{} bytes, {}", file.size_bytes, &file.digest.to_string()[..19]);
        tree.files().iter().map(|file| (file.path.clone(), shown(file))).collect()
    };
    let mut found = ArtifactDifference::between("file", &sizes(before), &sizes(after));
    found.truncate(MOST_FILES);
    found
}
