//! From registered artifacts to runs.

use crate::{Engine, Ports, compose, received};
use fuseml_domain::{
    Address, Binding, Cause, Converter, Descriptor, Error, ErrorKind, Kind, Name, Origin, Pipeline, Result, Run,
    Template, Unstarted,
    port::{ArtifactEvent, Catalog, Unmarked},
    unchanged,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::OnceCell;

/// Events worked through in one look.
const BATCH: u32 = 100;
/// How long to wait without being woken: only another server on the same catalog makes this needed.
const IDLE: Duration = Duration::from_secs(30);

/// Turns every pending event into runs, for ever.
pub(crate) async fn follow(engine: Arc<Engine>) {
    loop {
        let settled = async { Ok(settle_pending(&engine).await? + received::settle_pending(&engine, BATCH).await?) };
        match settled.await {
            Ok(0) => {
                tokio::select! {
                    () = engine.stopping.cancelled() => return,
                    () = engine.news.notified() => {}
                    () = tokio::time::sleep(IDLE) => {}
                }
            }
            Ok(_) => {}
            Err::<_, Error>(error) => {
                tracing::error!(%error, "events could not be settled; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn settle_pending(engine: &Arc<Engine>) -> Result<usize> {
    let catalog = &engine.ports.catalog;
    let events = catalog.pending_events(BATCH).await?;
    for event in &events {
        let (root, runs, unstarted) = runs_started_by(&engine.ports, event).await?;
        for Unstarted { pipeline, reason } in &unstarted {
            tracing::info!(%pipeline, artifact = %event.artifact.address, %reason, "not started");
        }
        engine.take_up(catalog.settle(event, runs, unstarted).await?).await;
        engine.arrived(event.artifact.project()).await;
        root.iter().for_each(|root| engine.root_moves.tell(root));
    }
    Ok(events.len())
}

/// The artifact that an event follows from, the runs that it starts, and why other pipelines that select its artifact do
/// not start.
async fn runs_started_by(ports: &Ports, event: &ArtifactEvent) -> Result<(Option<Address>, Vec<Run>, Vec<Unstarted>)> {
    let (artifact, catalog) = (&event.artifact, &*ports.catalog);
    let maker = match event.run {
        Some(id) => Some(catalog.run(id).await?),
        None => None,
    };
    let starter = Starter::of(ports, artifact, event.before.as_ref(), maker.as_ref());
    let before = event.before.as_ref().map(|before| before.of(artifact));
    let (mut runs, mut unstarted) = (Vec::new(), Vec::new());
    for pipeline in catalog.pipelines(artifact.project()).await? {
        let Some(input) = pipeline.started_by(artifact) else { continue };
        // What selected it before its labels or tags changed was started then.
        if before.as_ref().is_some_and(|before| pipeline.started_by(before).is_some()) {
            continue;
        }
        match starter.begin(&pipeline, input).await? {
            Ok((run, _)) => runs.push(run),
            Err(reason) => unstarted.push(Unstarted { pipeline: pipeline.name.clone(), reason }),
        }
    }
    Ok((starter.cause.root, runs, unstarted))
}

/// Makes the runs that one artifact starts.
pub(crate) struct Starter<'a> {
    ports: &'a Ports,
    artifact: &'a Descriptor,
    cause: Cause,
    /// The project's, looked for once for all pipelines.
    converters: OnceCell<Vec<Converter>>,
}

impl<'a> Starter<'a> {
    /// Of one that was registered, or whose labels and tags were others before; by a run, if that did it.
    pub(crate) fn of(
        ports: &'a Ports,
        artifact: &'a Descriptor,
        before: Option<&Unmarked>,
        maker: Option<&Run>,
    ) -> Self {
        Self { ports, artifact, cause: cause_of(artifact, before, maker), converters: OnceCell::new() }
    }

    /// The run of a pipeline that selects the artifact for this input, and all artifacts that it takes; or why it does
    /// not start.
    pub(crate) async fn begin(
        &self,
        pipeline: &Pipeline,
        input: &Name,
    ) -> Result<std::result::Result<(Run, BTreeMap<Name, Descriptor>), String>> {
        match hindrance(self.ports, pipeline, input, self.artifact, &self.cause).await? {
            Some(reason) => Ok(Err(reason)),
            None => Ok(self.make(pipeline, input).await.map_err(|error| error.message)),
        }
    }

    async fn make(&self, pipeline: &Pipeline, input: &Name) -> Result<(Run, BTreeMap<Name, Descriptor>)> {
        let catalog = &*self.ports.catalog;
        let given = BTreeMap::from([(input.clone(), self.artifact.clone())]);
        let artifacts = bind_inputs(catalog, pipeline, given).await?;
        let converters = self.converters.get_or_try_init(|| compose::converters(catalog, &pipeline.project)).await?;
        let run = make(self.ports, pipeline, &artifacts, self.cause.clone(), converters).await?;
        Ok((run.by_itself(&pipeline.starts, &format!("{input} {}", self.artifact.name)), artifacts))
    }
}

async fn make(
    ports: &Ports,
    pipeline: &Pipeline,
    artifacts: &BTreeMap<Name, Descriptor>,
    cause: Cause,
    converters: &[Converter],
) -> Result<Run> {
    let values = pipeline.values(artifacts)?;
    let pipeline = compose::completed(ports, pipeline, converters).await?;
    let pipeline = compose::converted(ports, &pipeline, artifacts, converters).await?;
    let pipeline = pipeline.into_owned().with_attributes_of(artifacts)?;
    let template = compose::placed(ports, &pipeline.project, pipeline.template).await?;
    let pipeline = Pipeline { template, ..pipeline };
    Run::new(&pipeline, values, cause, Timestamp::now())
}

/// What keeps an artifact that a pipeline selects from starting it.
async fn hindrance(
    ports: &Ports,
    pipeline: &Pipeline,
    input: &Name,
    artifact: &Descriptor,
    cause: &Cause,
) -> Result<Option<String>> {
    if cause.chain.iter().any(|started| **started == *pipeline.name) {
        return Ok(Some("it would start itself".to_owned()));
    }
    if let Some(freeze) = pipeline.frozen().next() {
        return Ok(Some(format!("it is frozen: {}", freeze.reason)));
    }
    let Some(watched) = pipeline.starts.watch.get(input) else { return Ok(None) };
    let before = ports.catalog.last_input(&pipeline.project, &pipeline.name, input, &artifact.name).await?;
    // The first version starts it, and one that follows what was deleted.
    let Some(before) = before else { return Ok(None) };
    let before = match ports.catalog.artifact(&before).await {
        Ok(before) => before,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if artifact.kind() != Kind::Codeset {
        return unchanged(watched, &before, artifact);
    }
    let changed = match ports.codesets.changed_files(&before, artifact).await {
        Ok(changed) => changed,
        // One run too many does less harm than an event that holds up all that come after it.
        Err(error) => {
            tracing::warn!(pipeline = %pipeline.name, artifact = %artifact.address, %error, "what changed cannot be told");
            return Ok(None);
        }
    };
    let is_watched = pipeline.starts.watches(input, &changed)?;
    let since = before.address.short();
    Ok((!is_watched).then(|| format!("no file that it watches ({}) changed since {since}", watched.join(", "))))
}

/// The artifacts for every artifact input: those given, the newest that match for the rest.
pub(crate) async fn bind_inputs(
    catalog: &dyn Catalog,
    pipeline: &Pipeline,
    mut artifacts: BTreeMap<Name, Descriptor>,
) -> Result<BTreeMap<Name, Descriptor>> {
    for (name, binding) in &pipeline.inputs {
        let Binding::Selector(selector) = binding else { continue };
        if artifacts.contains_key(name) {
            continue;
        }
        let newest = catalog.newest(&pipeline.project, selector).await?;
        let newest =
            newest.filter(|found| found.satisfies(&pipeline.template.inputs[name].requires)).ok_or_else(|| {
                Error::not_found(
                    "no-artifact",
                    format!("the project has nothing that {selector} selects for the input `{name}`"),
                )
            })?;
        artifacts.insert(name.clone(), newest);
    }
    Ok(artifacts)
}

/// The pipelines that led to what a run made, as the project calls them where that is: others' with their project.
fn chain_in(project: &Name, maker: &Run) -> Vec<String> {
    let own = maker.cause.chain.iter().cloned().chain([maker.pipeline.to_string()]);
    if *project == maker.project {
        return own.collect();
    }
    let elsewhere = |pipeline: String| match pipeline.split_once('/') {
        Some((of, pipeline)) if of == &**project => pipeline.to_owned(),
        Some(_) => pipeline,
        None => format!("{}/{pipeline}", maker.project),
    };
    own.map(elsewhere).collect()
}

fn cause_of(artifact: &Descriptor, before: Option<&Unmarked>, maker: Option<&Run>) -> Cause {
    let shown = artifact.address.short();
    let made = match (&artifact.origin, maker) {
        (_, Some(run)) if run.project != *artifact.project() => {
            format!("{shown} was made by {} of {}", run.label(), run.project)
        }
        (_, Some(run)) => format!("{shown} was made by {}", run.label()),
        (Origin::Push { reference, .. }, None) => format!("{shown} was pushed to {reference}"),
        (Origin::Run { run, .. }, None) => format!("{shown} was made by {run}"),
        (Origin::Registered { by }, None) => format!("{shown} was registered by {by}"),
    };
    let chain = maker.map(|run| chain_in(artifact.project(), run));
    Cause {
        reason: before.map_or(made, |before| format!("{shown} {}", before.told(artifact))),
        artifact: Some(artifact.address.clone()),
        root: maker.and_then(|run| run.cause.root.clone()).or_else(|| Some(artifact.address.clone())),
        chain: chain.unwrap_or_default(),
    }
}

impl Engine {
    /// A run that a person asks for, with other artifacts than the newest that fit where given (S64).
    pub async fn plan_manual(
        &self,
        pipeline: &Pipeline,
        given: BTreeMap<Name, Descriptor>,
        reason: String,
    ) -> Result<Run> {
        if let Some(freeze) = pipeline.frozen().next() {
            let (name, reason) = (&pipeline.name, freeze.reason.trim_end_matches('.'));
            let message = format!("{name} is frozen: {reason}; `fuseml pipeline thaw {name}` lets it start again");
            return Err(Error::conflict("frozen", message));
        }
        let artifacts = bind_inputs(&*self.ports.catalog, pipeline, given).await?;
        manual(&self.ports, pipeline, &artifacts, reason).await
    }

    /// The same pipeline with the same inputs and parameters as a run had, in the template that it had then.
    ///
    /// # Errors
    /// `not-found` or `conflict` where a job has nowhere to go any more.
    pub async fn plan_rerun(&self, run: &Run, reason: String) -> Result<Run> {
        let root = run.cause.root.clone();
        let cause = Cause { reason, artifact: None, root, chain: run.cause.chain.clone() };
        let again = run.again(cause, Timestamp::now())?;
        let template = compose::placed(&self.ports, &run.project, Template::clone(&again.template)).await?;
        Ok(Run { template: template.into(), ..again })
    }
}

/// A run that nothing but a person starts; a frozen pipeline is not looked for here.
pub(crate) async fn manual(
    ports: &Ports,
    pipeline: &Pipeline,
    artifacts: &BTreeMap<Name, Descriptor>,
    reason: String,
) -> Result<Run> {
    let root = artifacts.values().next().map(|artifact| artifact.address.clone());
    let cause = Cause { reason, artifact: None, root, chain: Vec::new() };
    let converters = compose::converters(&*ports.catalog, &pipeline.project).await?;
    make(ports, pipeline, artifacts, cause, &converters).await
}

/// The same with the newest artifacts that fit.
pub(crate) async fn newest(ports: &Ports, pipeline: &Pipeline, reason: String) -> Result<Run> {
    let artifacts = bind_inputs(&*ports.catalog, pipeline, BTreeMap::new()).await?;
    manual(ports, pipeline, &artifacts, reason).await
}
