//! What steps make for others of their run alone: it stays where it lies, and goes when the run has ended (S76-S78).

use crate::{
    Ports,
    driver::{Driver, Outcome},
    work::{self, Job, Maker},
};
use fuseml_domain::{
    Address, Descriptor, Location, Origin, Result, Run, StepRun, Store, Value, Workload,
    port::{Participation, Role},
};
use futures::future::BoxFuture;
use std::collections::BTreeMap;

/// What a step made for others of its run stays where it lies (S76): it is listed, so that who takes it can tell that it
/// is whole.
pub(crate) async fn collect(driver: &Driver, maker: &Maker<'_>, workload: &Workload) -> Result<Outcome> {
    let ports = &driver.ports;
    let mut outputs = BTreeMap::new();
    for left in ports.agent.outputs(workload).await? {
        let slot = maker.slot(&left)?;
        let series = maker.series(ports, &slot, &left).await?;
        let tree = ports.contents.store_listing(&series, &left.path).await?;
        let read = ports.contents.describe(slot.kind, &left.path, &tree).await;
        let location = Location::new("file", left.path.to_string_lossy()).with_digest(tree.digest());
        let mut made = work::describe(maker, series, &slot, &left, (&tree, read, location))?;
        made.address = Address::of_version(slot.kind, &maker.run.project, &ANONYMOUS.parse()?, &made.id);
        made.store = Store::Local;
        outputs.insert(left.name.clone(), Value::Anonymous(Box::new(made)));
    }
    let lineage = work::used(maker.step, maker.inputs, work::runnable_of(maker.step)?);
    Ok(Outcome::succeeded(outputs, None, move |change| change.lineage.clone_from(&lineage)))
}

/// The name in addresses of what has none.
const ANONYMOUS: &str = "anonymous";

/// What the steps used that led to something anonymous, which nobody can be told of later (S77).
pub(crate) fn behind<'a>(
    ports: &'a Ports,
    run: &'a Run,
    step: &'a StepRun,
    slot: &'a str,
    anonymous: &'a Descriptor,
) -> BoxFuture<'a, Result<Vec<Participation>>> {
    Box::pin(async move {
        let Origin::Run { step: maker, .. } = &anonymous.origin else { return Ok(Vec::new()) };
        let Some(maker) = run.step(maker) else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        let slot_of = |inner: &str| format!("{slot}.{inner}");
        if let Some(runnable) = &maker.runnable {
            all.push(work::part(step, &slot_of("runnable"), Role::Used, runnable));
        }
        for (inner, artifact) in Job::of(ports, run, maker).await?.inputs {
            match artifact.store {
                Store::Local => all.extend(behind(ports, run, step, &slot_of(&inner), &artifact).await?),
                _ => all.push(work::part(step, &slot_of(&inner), Role::Used, &artifact.address)),
            }
        }
        Ok(all)
    })
}

/// The same of all inputs.
pub(crate) async fn behind_all(
    ports: &Ports,
    run: &Run,
    step: &StepRun,
    inputs: &BTreeMap<String, Descriptor>,
) -> Result<Vec<Participation>> {
    let mut all = Vec::new();
    for (slot, artifact) in inputs.iter().filter(|(_, artifact)| artifact.store == Store::Local) {
        all.extend(behind(ports, run, step, slot, artifact).await?);
    }
    Ok(all)
}
