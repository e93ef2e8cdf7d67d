//! Steps by which an artifact comes into the catalog without a job (S128). Whatever is done here is the same when it is done
//! again: contents are known by what they are.

use crate::{
    Ports, anonymous,
    driver::Outcome,
    location,
    work::{self, part},
};
use fuseml_domain::{
    Address, Attributes, Descriptor, Error, ErrorKind, KeepSource, Name, Origin, Result, Run, Series, StepEvent,
    StepRun, Store, Tree, Value, check_pushed,
    port::{Mark, Participation, Role},
};
use jiff::Timestamp;
use std::{collections::BTreeMap, path::Path, time::Duration};

/// So many at one time on one server.
pub(crate) const AT_ONCE: usize = 8;
/// How long a fetch may take where the step says nothing.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// What a step keeps, with all references filled in.
struct Kept {
    artifact: Descriptor,
    /// Whether it is not in the catalog yet.
    is_new: bool,
    /// What it was made of, if that is in the catalog.
    made_of: Option<Address>,
    /// What was used to make what is anonymous.
    behind: Vec<Participation>,
    note: String,
}

/// Fetches, registers or copies, whichever the step does; one that takes too long fails.
pub(crate) async fn keep(
    ports: &Ports,
    run: &Run,
    step: &StepRun,
    keep: &fuseml_domain::Keep,
    timeout: Option<Duration>,
) -> Result<Outcome> {
    let said = |reference: &_| work::said(run, reference);
    let name = keep.name.as_ref().map(|name| name.filled(said)?.parse::<Name>()).transpose()?;
    let limit = timeout.unwrap_or(PATIENCE);
    let work = async {
        match &keep.source {
            KeepSource::Run(reference) => register(ports, run, step, work::resolve(run, reference)?, name).await,
            KeepSource::Copy { artifact, project } => {
                copy(ports, run, step, work::resolve(run, artifact)?, project, name).await
            }
            KeepSource::Endpoint { endpoint, path, kind, sha256 } => {
                let path = path.as_ref().map(|path| path.filled(said)).transpose()?;
                let sha256 = sha256.as_ref().map(|sha256| sha256.filled(said)).transpose()?;
                let name = name.ok_or_else(|| Error::internal("fetch", "what is fetched has no name"))?;
                let series = Series::new(&run.project, *kind, &name);
                fetch(ports, run, step, (endpoint, path.as_deref(), sha256.as_deref(), limit), series).await
            }
        }
    };
    match tokio::time::timeout(limit, work).await {
        Ok(kept) => outcome(ports, run, step, keep, kept?).await,
        // Not once more within the same try.
        Err(_) => {
            let message = format!("stopped after its time limit of {} s", limit.as_secs());
            Ok(StepEvent::Failed { message, may_pass: true }.into())
        }
    }
}

/// What is known before of what a step would keep; and why it could not.
pub(crate) async fn foreseen(ports: &Ports, run: &Run, keep: &fuseml_domain::Keep) -> Result<BTreeMap<String, Value>> {
    let said = |reference: &_| work::said(run, reference);
    if let Some(Ok(name)) = keep.name.as_ref().map(|name| name.filled(said)) {
        name.parse::<Name>()?;
    }
    match &keep.source {
        KeepSource::Run(reference) => {
            if let artifact @ Value::Artifact(_) = work::resolve(run, reference)? {
                return Ok([("artifact".to_owned(), artifact)].into());
            }
        }
        KeepSource::Copy { project, .. } => ports.catalog.has_project(project).await?,
        KeepSource::Endpoint { .. } => {}
    }
    Ok(BTreeMap::new())
}

/// Saves what is kept with its labels and tags, in one transition.
async fn outcome(ports: &Ports, run: &Run, step: &StepRun, keep: &fuseml_domain::Keep, kept: Kept) -> Result<Outcome> {
    let said = |reference: &_| work::said(run, reference);
    let Kept { artifact, is_new, made_of, behind, note } = kept;
    let labels = keep.labels.iter().map(|(label, text)| Ok((label.clone(), Some(text.filled(said)?))));
    let labels: Vec<_> = labels.collect::<Result<_>>()?;
    let tags = keep.tags.iter().map(|tag| tag.filled(said)?.parse()).collect::<Result<Vec<Name>>>()?;
    // Refused before anything is saved, with the labels that it has where it is there already.
    let mut there = match ports.catalog.artifact(&artifact.address).await {
        Ok(there) => there,
        Err(error) if error.kind == ErrorKind::NotFound => artifact.clone(),
        Err(error) => return Err(error),
    };
    there.relabel(&labels)?;
    let mut lineage: Vec<_> = made_of.iter().map(|made_of| part(step, "artifact", Role::Used, made_of)).collect();
    lineage.extend(behind);
    if is_new {
        lineage.push(part(step, "artifact", Role::Made, &artifact.address));
    }
    let outputs = BTreeMap::from([("artifact".to_owned(), Value::Artifact(artifact.address.clone()))]);
    let of = if *artifact.project() == run.project { String::new() } else { format!(" of {}", run.project) };
    let by = format!("{}{of}, step {}", run.label(), step.name);
    let mark = Mark { artifact: artifact.clone(), labels, tags, by };
    Ok(Outcome::succeeded(outputs, Some(note), move |change| {
        if is_new {
            change.artifacts.push(artifact.clone());
        }
        change.lineage.clone_from(&lineage);
        change.marks.push(mark.clone());
    }))
}

/// An anonymous artifact becomes one that lasts; of others only labels and tags are another matter.
async fn register(ports: &Ports, run: &Run, step: &StepRun, value: Value, name: Option<Name>) -> Result<Kept> {
    match value {
        Value::Anonymous(anonymous) => {
            let series = Series::new(&run.project, anonymous.kind(), name.as_ref().unwrap_or(&anonymous.name));
            let artifact = stored(ports, run, step, &anonymous, series).await?;
            let note = format!("{} is registered", artifact.address.short());
            let behind = anonymous::behind(ports, run, step, "artifact", &anonymous).await?;
            Ok(Kept { artifact, is_new: true, made_of: None, behind, note })
        }
        Value::Artifact(address) => {
            let artifact = ports.catalog.artifact(&address).await?;
            if let Some(name) = name.filter(|name| *name != artifact.name) {
                let message = format!(
                    "{} is registered already, as {}; only what is anonymous gets a name here, `{name}`",
                    address.short(),
                    artifact.name
                );
                return Err(Error::conflict("name", message));
            }
            let note = format!("{} is labelled and tagged", address.short());
            let made_of = Some(artifact.address.clone());
            Ok(Kept { made_of, artifact, is_new: false, behind: Vec::new(), note })
        }
        Value::Text(text) => Err(Error::invalid("type", format!("`{text}` is no artifact to register"))),
    }
}

async fn copy(
    ports: &Ports,
    run: &Run,
    step: &StepRun,
    value: Value,
    project: &Name,
    name: Option<Name>,
) -> Result<Kept> {
    ports.catalog.has_project(project).await?;
    let (source, made_of, behind) = match value {
        Value::Anonymous(anonymous) => {
            let behind = anonymous::behind(ports, run, step, "artifact", &anonymous).await?;
            (*anonymous, None, behind)
        }
        Value::Artifact(address) => (ports.catalog.artifact(&address).await?, Some(address), Vec::new()),
        Value::Text(text) => return Err(Error::invalid("type", format!("`{text}` is no artifact to copy"))),
    };
    let series = Series::new(project, source.kind(), name.as_ref().unwrap_or(&source.name));
    check_copied(&series)?;
    let artifact = stored(ports, run, step, &source, series).await?;
    let note = format!("{} is in {project}", artifact.address.short());
    Ok(Kept { artifact, is_new: true, made_of, behind, note })
}

fn check_copied(series: &Series) -> Result<()> {
    check_pushed(series).map_err(|_| {
        let message = format!(
            "a {} is not copied between projects: code goes with git, runnables are registered or built where they run",
            series.kind
        );
        Error::unsupported("kind", message)
    })
}

/// The contents of an artifact, wherever they lie, as one of this series in the built-in store.
async fn stored(ports: &Ports, run: &Run, step: &StepRun, source: &Descriptor, series: Series) -> Result<Descriptor> {
    let scratch = ports.contents.scratch()?;
    let folder = (*scratch).as_ref().join("contents");
    let contents = location::locate(ports, source).await?;
    ports.contents.stage(&contents, &folder).await.map_err(|error| error.context(source.address.short()))?;
    let facts = Facts { attributes: source.attributes.clone(), metrics: source.metrics.clone() };
    let tree = ports.contents.store_tree(&series, &folder).await?;
    made(ports, run, step, series, (&folder, &tree), facts).await
}

async fn fetch(
    ports: &Ports,
    run: &Run,
    step: &StepRun,
    (endpoint, path, sha256, limit): (&Name, Option<&str>, Option<&str>, Duration),
    series: Series,
) -> Result<Kept> {
    let scratch = ports.contents.scratch()?;
    let folder = (*scratch).as_ref();
    ports.endpoints.fetch(&run.project, endpoint, path, folder, limit).await?;
    let tree = ports.contents.store_tree(&series, folder).await?;
    if let Some(wanted) = sha256 {
        let came = tree.files().first().map(|file| file.digest.hex().to_owned()).unwrap_or_default();
        // What nothing names is collected.
        if !came.eq_ignore_ascii_case(wanted.trim_start_matches("sha256:")) {
            let message = format!("what came from {endpoint} is sha256:{came}, not {wanted}");
            return Err(Error::invalid("digest", message));
        }
    }
    let artifact = made(ports, run, step, series, (folder, &tree), Facts::default()).await?;
    let note = format!("{} came from {endpoint}", artifact.address.short());
    Ok(Kept { artifact, is_new: true, made_of: None, behind: Vec::new(), note })
}

/// What is known of contents besides what they say themselves.
#[derive(Default)]
struct Facts {
    attributes: Attributes,
    metrics: BTreeMap<String, f64>,
}

/// An artifact of contents that are stored.
async fn made(
    ports: &Ports,
    run: &Run,
    step: &StepRun,
    series: Series,
    (folder, tree): (&Path, &Tree),
    facts: Facts,
) -> Result<Descriptor> {
    let mut attributes = ports.contents.describe(series.kind, folder, tree).await;
    attributes.extend(facts.attributes);
    attributes.insert("size-bytes".to_owned(), tree.size_bytes().to_string());
    // Who reads it in another project has to know whose run that was.
    let project = Some(run.project.clone()).filter(|project| *project != series.project);
    let digest = tree.digest();
    let id: Name = digest.hex().parse()?;
    let artifact = Descriptor {
        address: Address::of_version(series.kind, &series.project, &series.name, &id),
        name: series.name,
        id,
        digest: Some(digest),
        created: Timestamp::now(),
        attributes,
        metrics: facts.metrics,
        labels: Attributes::new(),
        tags: Vec::new(),
        location: ports.contents.location(tree),
        store: Store::BuiltIn,
        runnable: None,
        origin: Origin::Run { run: run.label(), step: step.name.clone(), project },
    };
    // A model's address does not say its name, so it has one.
    match ports.catalog.artifact(&artifact.address).await {
        Ok(there) if there.name != artifact.name => {
            let message = format!(
                "these contents are in {} already, as {}; they cannot be called {}, too",
                there.project(),
                there.name,
                artifact.name
            );
            return Err(Error::conflict("name", message));
        }
        Err(error) if error.kind != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    ports.contents.publish(&artifact, tree, true).await.map_err(|error| error.context(artifact.address.short()))?;
    Ok(artifact)
}
