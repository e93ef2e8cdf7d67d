//! Jobs that were done before: their earlier result is taken, if it is still there.

use crate::{
    Ports, anonymous,
    driver::{Driver, Outcome, key_of},
    prepare::{self, Chosen},
    sprint, work,
};
use fuseml_domain::{
    Descriptor, Digest, Error, ErrorKind, Identity, Kind, Resources, Result, Reuse, ReuseVerdict, Run, StepEvent,
    StepResult, StepRun, Store, Value, port::Role,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::atomic::AtomicBool};

/// What came of looking for an earlier result.
pub(crate) enum Look {
    Found(Box<StepResult>),
    Nothing(ReuseVerdict),
}

/// Stages a job, or takes what it made before.
pub(crate) async fn stage(driver: &Driver, run: &Run, step: &StepRun, collecting: &AtomicBool) -> Result<Outcome> {
    let ports = &driver.ports;
    let chosen = prepare::prepare(ports, run, step).await?;
    let identity = identity(ports, &chosen).await?;
    match look(ports, run, step, &chosen, identity.as_ref()).await? {
        Look::Found(result) => {
            let mut lineage = work::used(step, &chosen.inputs, &chosen.address);
            lineage.extend(anonymous::behind_all(ports, run, step, &chosen.inputs).await?);
            for (slot, value) in &result.outputs {
                if let Value::Artifact(address) = value {
                    lineage.push(work::part(step, slot, Role::Reused, address));
                }
            }
            let reuse = ReuseVerdict::Hit { run: result.run, step: result.step };
            let event = StepEvent::Reused { runnable: chosen.address, outputs: result.outputs, reuse };
            // What a sweep or a converter made, and nobody chose, is a result like others here.
            let released: Vec<_> = match work::planned(run, step)?.is_internal() {
                true => Vec::new(),
                false => lineage.iter().filter(|it| it.role == Role::Reused).map(|it| it.artifact.clone()).collect(),
            };
            let extras: crate::driver::Extras = Box::new(move |change| {
                change.lineage.clone_from(&lineage);
                change.released.clone_from(&released);
            });
            Ok(Outcome { extras: Some(extras), ..event.into() })
        }
        Look::Nothing(verdict) => {
            let reuse = Some((identity.ok().map(Box::new), verdict));
            let (workload, runnable) = (key_of(run, step), Some(chosen.address.clone()));
            let staged = StepEvent::Staged { workload, runnable, note: None, reuse };
            match chosen.runnable.component {
                // What needs more than a place waits for it first.
                Some(_) if chosen.needs == Resources::default() => {
                    sprint::from_ready(driver, run, step, staged, chosen.into(), collecting).await
                }
                _ => Ok(Outcome { job: Some(chosen.into()), ..staged.into() }),
            }
        }
    }
}

/// What the step made, for others; nothing where nobody can say that theirs is the same job.
pub(crate) fn result(run: &Run, step: &StepRun, outputs: &BTreeMap<String, Value>) -> Option<StepResult> {
    let seconds = step.started.map(|started| Timestamp::now().duration_since(started).as_secs_f64());
    step.identity.as_ref().map(|identity| StepResult {
        pipeline: run.pipeline.clone(),
        run: run.label(),
        step: step.name.clone(),
        identity: (**identity).clone(),
        outputs: outputs.clone(),
        seconds: seconds.unwrap_or_default(),
    })
}

/// All that decides what the job makes, or why nobody can tell.
pub(crate) async fn identity(ports: &Ports, chosen: &Chosen) -> Result<std::result::Result<Identity, String>> {
    let mut inputs = BTreeMap::new();
    for (name, artifact) in &chosen.inputs {
        if artifact.store == Store::External {
            let shown = artifact.address.short();
            return Ok(Err(format!("the input `{name}`, {shown}, is external: nobody knows whether it changed")));
        }
        let watched = chosen.runnable.inputs.get(name).map(|slot| slot.change_filter.as_slice()).unwrap_or_default();
        let value = match (artifact.kind(), watched) {
            (Kind::Codeset, [_, ..]) => watched_files(ports, artifact, watched).await?,
            _ => artifact.address.to_string(),
        };
        inputs.insert(name.clone(), value);
    }
    let environment = chosen.runnable.environment.as_ref().map(|environment| environment.digest.to_string());
    let image = chosen.runnable.image.as_ref().map(ToString::to_string);
    let variables = serde_json::to_vec(&chosen.variables).unwrap_or_default();
    Ok(Ok(Identity {
        runnable: chosen.address.clone(),
        environment: environment.or(image),
        inputs,
        parameters: chosen.parameters.clone(),
        variables: Digest::of(&variables),
    }))
}

/// The digest of the names and contents of the files that the runnable watches (S27).
async fn watched_files(ports: &Ports, codeset: &Descriptor, globs: &[String]) -> Result<String> {
    let files = ports.codesets.files(codeset).await?;
    let mut found = std::collections::BTreeSet::new();
    for glob in globs {
        let mut after: Option<String> = None;
        loop {
            let page = files.find(glob, after.as_deref())?;
            let Some(last) = page.last() else { break };
            after = Some(last.path.clone());
            found.extend(page.into_iter().map(|file| format!("{} {} {}", file.path, file.digest, file.executable)));
        }
    }
    let listed: Vec<_> = found.into_iter().collect();
    Ok(format!("{} of {}: {}", globs.join(" "), codeset.name, Digest::of(listed.join("\n").as_bytes())))
}

/// Looks for what a job of this identity made, and whether that is still there.
pub(crate) async fn look(
    ports: &Ports,
    run: &Run,
    step: &StepRun,
    chosen: &Chosen,
    identity: std::result::Result<&Identity, &String>,
) -> Result<Look> {
    let off = |reason: &str| Ok(Look::Nothing(ReuseVerdict::Off { reason: reason.to_owned() }));
    if work::planned(run, step)?.anonymous {
        return off("what it makes is anonymous, and gone when its run has ended");
    }
    if chosen.runnable.outputs.is_empty() {
        return off("it makes nothing that could be taken; it is there for what it does");
    }
    let identity = match identity {
        Ok(identity) => identity,
        Err(why) => return off(why),
    };
    if step.attempt > 1 {
        return off("it is tried again");
    }
    let own = run.template.step(&step.name).map(|step| step.reuse).unwrap_or_default();
    match run.reuse.unwrap_or(own) {
        Reuse::On => {}
        Reuse::Off => return off("reuse is off"),
        Reuse::Refresh => return off("the result is refreshed"),
    }
    let miss = |reasons| Ok(Look::Nothing(ReuseVerdict::Miss { reasons }));
    let Some(result) = ports.catalog.result(&run.project, &identity.digest()).await? else {
        let before = ports.catalog.results(&run.project, &run.pipeline, &step.name, 1).await?;
        return miss(match before.first() {
            Some(before) => {
                let differences = identity.differences(&before.identity);
                differences.into_iter().map(|what| format!("{what} (in {})", before.run)).collect()
            }
            None => vec!["nothing was made before".to_owned()],
        });
    };
    match gone(ports, &result).await? {
        None => Ok(Look::Found(Box::new(result))),
        Some(gone) => miss(vec![format!("{gone}; {} had made it", result.run)]),
    }
}

/// What of a result is not there any more.
async fn gone(ports: &Ports, result: &StepResult) -> Result<Option<String>> {
    for value in result.outputs.values() {
        let Value::Artifact(address) = value else { continue };
        let artifact = match ports.catalog.artifact(address).await {
            Ok(artifact) => artifact,
            Err(error) if error.kind == ErrorKind::NotFound => {
                return Ok(Some(format!("{} was deleted", address.short())));
            }
            Err(error) => return Err(error),
        };
        // A store that does not answer cannot hand it out either.
        if let Err(error) = kept(ports, &artifact).await {
            return Ok(Some(format!("{} is not whole: {}", address.short(), error.message)));
        }
    }
    Ok(None)
}

/// Whether an artifact's bytes are there.
async fn kept(ports: &Ports, artifact: &Descriptor) -> Result<()> {
    if let Some((store, id)) = crate::location::store_of(ports, artifact).await? {
        return store.get(&id).await.map(drop);
    }
    let Some(digest) = &artifact.digest else { return Ok(()) };
    let damaged = ports.contents.damaged(&ports.contents.tree(digest).await?).await?;
    match damaged.as_slice() {
        [] => Ok(()),
        [one] => Err(Error::not_found("damaged", format!("{one} is missing or damaged"))),
        [first, more @ ..] => {
            let message = format!("{first} and {} more files are missing or damaged", more.len());
            Err(Error::not_found("damaged", message))
        }
    }
}
