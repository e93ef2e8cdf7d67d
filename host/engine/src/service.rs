//! Services: predictors that outlive runs. A new version takes over the URL only once it is ready; the old one
//! then goes.

use crate::{
    Engine, Ports,
    driver::{Driver, Outcome, key_of},
    prepare,
    work::{self, Job},
};
use fuseml_domain::{
    Descriptor, Error, Kind, Name, Result, Run, Runnable, StepEvent, StepRun, Value,
    port::{RuntimeAgent, Service},
};
use futures::future::join_all;
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub(crate) async fn stage(driver: &Driver, run: &Run, step: &StepRun) -> Result<Outcome> {
    let ports = &driver.ports;
    let chosen = prepare::prepare(ports, run, step).await?;
    let name = service_name(ports, run, step, &chosen.inputs).await?;
    if let Some(newer) = newer_run(ports, run, &name).await? {
        return Ok(
            StepEvent::Skipped { reason: format!("{}/{newer} already serves a newer model", run.pipeline) }.into()
        );
    }
    let (workload, runnable) = (key_of(run, step), Some(chosen.address));
    Ok(StepEvent::Staged { workload, runnable, note: None, reuse: None }.into())
}

pub(crate) async fn collect(driver: &Driver, run: &Run, step: &StepRun) -> Result<Outcome> {
    let ports = &driver.ports;
    let job = Job::of(ports, run, step).await?;
    let name = service_name(ports, run, step, &job.inputs).await?;
    if let Some(newer) = newer_run(ports, run, &name).await? {
        ports.agent.cancel(&key_of(run, step)).await?;
        return Ok(StepEvent::Skipped { reason: format!("{}/{newer} serves a newer model", run.pipeline) }.into());
    }
    let model = job
        .inputs
        .values()
        .find(|artifact| artifact.kind() == Kind::Model)
        .ok_or_else(|| Error::invalid("service-model", format!("step {} serves no model", step.name)))?;
    let address = work::runnable_of(step)?;
    let spec = job.runnable.service.as_ref().ok_or_else(|| {
        let Runnable { name, kind, .. } = &job.runnable;
        Error::invalid("no-service", format!("`{name}` is a {kind}, which answers no requests"))
    })?;
    let service = Service {
        project: run.project.clone(),
        pipeline: run.pipeline.clone(),
        name,
        run: run.number,
        model: model.address.clone(),
        runnable: address.clone(),
        predict_path: spec.predict_path.clone(),
        workload: work::workload(driver, run, step, &job).await?,
        updated: Timestamp::now(),
    };
    let url = format!("{}{}/predict", driver.engine.config.public_url, base_path(&service));
    let lineage = work::used(step, &job.inputs, address);
    Ok(Outcome::succeeded([("url".to_owned(), Value::Text(url))].into(), None, move |change| {
        change.service = Some(service.clone());
        change.lineage.clone_from(&lineage);
    }))
}

/// Under which the gateway answers for a service.
pub fn base_path(service: &Service) -> String {
    format!("/serve/{}/{}/{}", service.project, service.pipeline, service.name)
}

/// A pipeline has one service for each series of models that starts it.
async fn service_name(ports: &Ports, run: &Run, step: &StepRun, inputs: &BTreeMap<String, Descriptor>) -> Result<Name> {
    let named = work::named_after(ports, run, step, inputs).await?;
    Ok(named.map_or_else(|| run.pipeline.clone(), |artifact| artifact.name))
}

/// The later run that already holds the service: an overtaken run must not put an older model back.
async fn newer_run(ports: &Ports, run: &Run, name: &Name) -> Result<Option<u64>> {
    let current = ports.catalog.service(&run.project, &run.pipeline, name).await?;
    Ok(current.map(|service| service.run).filter(|number| *number > run.number))
}

/// After a service step succeeded: ends every other workload of the same service.
pub(crate) fn retire_replaced(engine: &Arc<Engine>) {
    let engine = engine.clone();
    // The old version finishes what it was asked; nobody waits for that.
    tokio::spawn(async move {
        if let Err(error) = end_orphans(&engine.ports).await {
            tracing::error!(%error, "replaced services could not be ended");
        }
    });
}

/// At the start of a server: services that do not run are started again, workloads that nobody owns are ended.
pub(crate) async fn reconcile(ports: &Ports) -> Result<()> {
    for mut service in ports.catalog.services().await? {
        let status = match ports.agent.status(&service.workload.key).await {
            Ok(status) => status,
            Err(error) => {
                tracing::error!(service = %base_path(&service), %error, "nobody can tell whether a service runs");
                continue;
            }
        };
        if status.phase.ended() {
            let ended = std::mem::take(&mut service.workload.key);
            service.workload.key = next_key(&ended);
            // Saved before it is submitted: nobody takes it for an orphan, and no newer one is replaced. One that is never
            // submitted has ended for whoever starts next.
            if !ports.catalog.restart_service(&service, &ended).await? {
                continue;
            }
            tracing::info!(service = %base_path(&service), "starting a service again");
            if let Err(error) = ports.agent.submit(&service.workload).await {
                tracing::error!(service = %base_path(&service), %error, "a service could not be started again");
            }
        }
    }
    end_orphans(ports).await
}

/// Ends workloads that belong to neither an open run nor a service.
async fn end_orphans(ports: &Ports) -> Result<()> {
    // Read before the owners are, so that what is submitted meanwhile is not taken for an orphan.
    let running = ports.agent.running().await?;
    let mut owned: BTreeSet<String> = BTreeSet::new();
    for run in ports.catalog.open_runs().await? {
        let open = run.steps.iter().filter(|step| !step.state.ended());
        owned.extend(open.flat_map(|step| [key_of(&run, step), format!("{}.{}", run.id, step.name)]));
    }
    owned.extend(ports.catalog.services().await?.into_iter().map(|service| service.workload.key));
    for key in running.into_iter().filter(|key| !owned.contains(key) && !owned.contains(first_try(key))) {
        match tokio::time::timeout(ORPHAN, ports.agent.cancel(&key)).await {
            Ok(Ok(())) => tidy(&*ports.agent, &key).await,
            // What an engine elsewhere does not end now must not keep a server from starting.
            late => {
                tracing::warn!(%key, ?late, "a workload that nobody owns is not ended yet; trying again");
                tokio::spawn(end_in_time(ports.agent.clone(), key));
            }
        }
    }
    Ok(())
}

/// The key of the first try of the same step: of some it is not saved yet which try it is.
fn first_try(key: &str) -> &str {
    match key.rsplit_once('.') {
        Some((first, number)) if number.chars().all(|it| it.is_ascii_digit() || it == '-') => first,
        _ => key,
    }
}

/// Until a workload that nobody owns has ended, at the start; and between two tries after that.
const ORPHAN: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(30);

async fn end_in_time(agent: Arc<dyn RuntimeAgent>, key: String) {
    while let Err(error) = agent.cancel(&key).await {
        tracing::warn!(%key, %error, "a workload that nobody owns is not ended yet; trying again");
        tokio::time::sleep(AGAIN).await;
    }
    tidy(&*agent, &key).await;
}

/// What it served lies elsewhere; its log stays.
async fn tidy(agent: &dyn RuntimeAgent, key: &str) {
    if let Err(error) = agent.tidy(key).await {
        tracing::warn!(%key, %error, "what an ended workload worked with could not be removed");
    }
}

/// `….serve` → `….serve.r1` → `….serve.r2`.
fn next_key(key: &str) -> String {
    match key.rsplit_once(".r").and_then(|(base, count)| Some((base, count.parse::<u32>().ok()?))) {
        Some((base, count)) => format!("{base}.r{}", count + 1),
        None => format!("{key}.r1"),
    }
}

impl Engine {
    /// Ends every service, for a server that shuts down in order; the next start brings them back.
    pub async fn stop_services(self: &Arc<Self>) {
        let services = self.ports.catalog.services().await.unwrap_or_default();
        // Each may take its grace to end; together they take it once.
        join_all(services.iter().map(async |service| {
            if let Err(error) = self.ports.agent.cancel(&service.workload.key).await {
                tracing::warn!(service = %base_path(service), %error, "a service could not be ended");
            }
        }))
        .await;
    }
}
