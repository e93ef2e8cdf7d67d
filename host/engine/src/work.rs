//! Jobs: from a step and its inputs to a workload, and from what it left to registered artifacts (S32–S34).

use crate::{
    Ports, anonymous, delivery,
    driver::{Driver, Outcome, key_of},
    location,
    prepare::{Chosen, connect, inputs_of, parameters, variables},
};
use fuseml_domain::{
    Address, Attributes, CollectedOutput, DEFAULT_TIMEOUT, Descriptor, Error, InputDelivery, Kind, Location, Name,
    Origin, OutputSlot, Reference, Result, Run, Runnable, Series, Step, StepRun, Store, Tree, Value, Work, Workload,
    WorkloadInput, WorkloadKind, beside_name,
    port::{Participation, Role, StoreDraft},
    result_name,
};
use jiff::Timestamp;
use std::{borrow::Cow, collections::BTreeMap};

/// What a staged step runs, and on what.
pub(crate) struct Job {
    pub(crate) runnable: Runnable,
    pub(crate) inputs: BTreeMap<String, Descriptor>,
}

impl From<Chosen> for Job {
    fn from(chosen: Chosen) -> Self {
        Self { runnable: chosen.runnable, inputs: chosen.inputs }
    }
}

impl Job {
    /// Of a step that was staged by this server or another.
    pub(crate) async fn of(ports: &Ports, run: &Run, step: &StepRun) -> Result<Self> {
        let mut inputs = inputs_of(ports, run, work_of(run, step)?).await?;
        let runnable = ports.catalog.runnable(runnable_of(step)?).await?;
        connect(ports, run, step, &runnable, &mut inputs).await?;
        Ok(Self { runnable, inputs })
    }
}

pub(crate) async fn workload(driver: &Driver, run: &Run, step: &StepRun, job: &Job) -> Result<Workload> {
    let ports = &driver.ports;
    let (work, Job { runnable, inputs }) = (work_of(run, step)?, job);
    let agent = planned(run, step)?.engine().filter(|_| runnable.component.is_none()).cloned();
    let mut workload = Workload {
        key: key_of(run, step),
        builds: None,
        kind: if runnable.service.is_some() { WorkloadKind::Service } else { WorkloadKind::Job },
        environment: runnable.environment.clone(),
        image: runnable.image.clone().filter(|_| runnable.component.is_none()),
        agent,
        component: runnable.component.clone(),
        command: runnable.command.clone(),
        variables: variables(ports, runnable).await?,
        files: runnable.scripts.iter().map(|(path, text)| (path.clone(), text.clone())).collect(),
        inputs: Vec::new(),
        outputs: runnable.outputs.iter().enumerate().map(delivery::output).collect(),
        readiness_path: runnable.service.as_ref().map(|service| service.readiness_path.clone()),
        timeout: Some(match runnable.service {
            Some(_) => work.timeout.unwrap_or(driver.engine.config.service_start),
            None => work.timeout.unwrap_or(DEFAULT_TIMEOUT),
        }),
        resources: work.needs(runnable)?,
        labels: labels(run, step),
    };
    let given = runnable.bind(&parameters(run, step, work)?)?;
    workload.variables.insert(delivery::STEP.to_owned(), delivery::step_as_said(run, step, &workload, job, &given));
    delivery::deliver(&mut workload, runnable, given);
    for (name, artifact) in inputs {
        let Some(slot) = runnable.inputs.get(name) else { continue };
        if slot.delivery == InputDelivery::Location {
            let uri = location::address_of(ports, artifact).await?;
            workload.variables.insert(slot.path.clone(), uri);
            continue;
        }
        let contents = location::locate(ports, artifact).await?;
        let is_file = slot.delivery == InputDelivery::File;
        workload.inputs.push(WorkloadInput { name: name.clone(), path: slot.path.clone(), is_file, contents });
    }
    Ok(workload)
}

pub(crate) async fn collect(
    driver: &Driver,
    run: &Run,
    step: &StepRun,
    job: &Job,
    workload: &Workload,
) -> Result<Outcome> {
    let ports = &driver.ports;
    let Job { runnable, inputs } = job;
    let maker = Maker { run, step, runnable, inputs };
    if planned(run, step)?.anonymous {
        return anonymous::collect(driver, &maker, workload).await;
    }
    let mut artifacts = Vec::new();
    let mut outputs = BTreeMap::new();
    for left in ports.agent.outputs(workload).await? {
        let slot = maker.slot(&left)?;
        let made = register(driver, &maker, &slot, &left).await?;
        outputs.insert(left.name.clone(), Value::Artifact(made.address.clone()));
        artifacts.push((left.name, made));
    }
    let mut lineage = used(step, inputs, runnable_of(step)?);
    lineage.extend(anonymous::behind_all(ports, run, step, inputs).await?);
    lineage.extend(artifacts.iter().map(|(slot, made)| part(step, slot, Role::Made, &made.address)));
    let artifacts: Vec<_> = artifacts.into_iter().map(|(_, made)| made).collect();
    let result = crate::reuse::result(run, step, &outputs);
    let held = planned(run, step)?.is_internal();
    Ok(Outcome::succeeded(outputs, None, move |change| {
        change.artifacts.clone_from(&artifacts);
        change.held = held;
        change.lineage.clone_from(&lineage);
        change.result.clone_from(&result);
    }))
}

pub(crate) struct Maker<'a> {
    pub(crate) run: &'a Run,
    pub(crate) step: &'a StepRun,
    pub(crate) runnable: &'a Runnable,
    pub(crate) inputs: &'a BTreeMap<String, Descriptor>,
}

impl Maker<'_> {
    /// What an output is declared to be; what is beside them says it itself.
    pub(crate) fn slot<'a>(&'a self, left: &CollectedOutput) -> Result<Cow<'a, OutputSlot>> {
        let undeclared =
            || Error::internal("output", format!("`{}` is no output of {}", left.name, self.runnable.name));
        match (left.beside, self.runnable.outputs.get(&left.name)) {
            (None, slot) => slot.map(Cow::Borrowed).ok_or_else(undeclared),
            (Some(_), Some(_)) => {
                let message = format!("the step made an artifact `{}` beside its output of that name", left.name);
                Err(Error::invalid("output-name", message))
            }
            (Some(kind), None) => Ok(Cow::Owned(OutputSlot {
                description: None,
                kind,
                provides: Attributes::new(),
                path: String::new(),
                report: None,
            })),
        }
    }

    /// What an output is called.
    pub(crate) async fn series(&self, ports: &Ports, slot: &OutputSlot, left: &CollectedOutput) -> Result<Series> {
        let made_of = named_after(ports, self.run, self.step, self.inputs).await?;
        let name = match left.beside {
            Some(_) => beside_name(made_of.as_ref().map(|it| &it.name), &self.run.pipeline, &left.name)?,
            None => {
                let made_of = made_of.as_ref().map(|artifact| (artifact.kind(), &artifact.name));
                result_name(made_of, &self.run.pipeline, slot.kind, &left.name)?
            }
        };
        Ok(Series::new(&self.run.project, slot.kind, &name))
    }
}

/// Stores an output where artifacts of its kind belong: in the tool of the runnable's instance when that has a
/// store for the kind and already holds the contents, else in the built-in store.
async fn register(driver: &Driver, maker: &Maker<'_>, slot: &OutputSlot, left: &CollectedOutput) -> Result<Descriptor> {
    let ports = &driver.ports;
    let held = left.report.location.as_ref();
    let store = match (held, &maker.runnable.instance) {
        (Some(_), Some(instance)) => {
            ports.extensions.store(instance, slot.kind).await?.map(|store| (instance.clone(), store))
        }
        _ => None,
    };
    let series = maker.series(ports, slot, left).await?;
    let tree = match store {
        Some(_) => ports.contents.store_listing(&series, &left.path).await?,
        None => ports.contents.store_tree(&series, &left.path).await?,
    };
    let read = ports.contents.describe(slot.kind, &left.path, &tree).await;
    let mut made = describe(maker, series, slot, left, (&tree, read, ports.contents.location(&tree)))?;
    if let (Some((instance, store)), Some(held)) = (store, held) {
        let draft = StoreDraft {
            location: Location::new(held.split(':').next().unwrap_or_default(), held).with_digest(tree.digest()),
            key: format!("{}.{}", key_of(maker.run, maker.step), left.name),
            descriptor: made.clone(),
        };
        let stored = store
            .register(&draft)
            .await
            .map_err(|error| error.context(format!("registering {}", made.address.short())))?;
        made.attributes.extend(stored.attributes);
        made.metrics.extend(stored.metrics);
        made.location = draft.location;
        made.store = Store::Extension { instance, id: stored.id };
    }
    let is_newest = !planned(maker.run, maker.step)?.is_internal();
    ports.contents.publish(&made, &tree, is_newest).await.map_err(|error| error.context(made.address.short()))?;
    Ok(made)
}

pub(crate) fn describe(
    maker: &Maker<'_>,
    series: Series,
    slot: &OutputSlot,
    left: &CollectedOutput,
    (tree, read, location): (&Tree, Attributes, Location),
) -> Result<Descriptor> {
    let digest = tree.digest();
    let id: Name = digest.hex().parse()?;
    check_promises(maker, slot, left, &read)?;
    // What the runnable promises and its code reports counts more than what the files say.
    let mut attributes = read;
    attributes.extend(slot.provides.clone());
    attributes.extend(left.report.attributes.clone());
    attributes.extend(left.report.parameters.iter().map(|(name, value)| (format!("parameter.{name}"), value.clone())));
    attributes.insert("size-bytes".to_owned(), tree.size_bytes().to_string());
    Ok(Descriptor {
        address: Address::of_version(slot.kind, &series.project, &series.name, &id),
        name: series.name,
        id,
        digest: Some(digest),
        created: Timestamp::now(),
        attributes,
        metrics: left.report.metrics.clone(),
        labels: Attributes::new(),
        tags: Vec::new(),
        location,
        store: Store::BuiltIn,
        runnable: None,
        origin: Origin::Run { run: maker.run.label(), step: maker.step.name.clone(), project: None },
    })
}

/// Refuses what is not what the runnable promises: whoever takes it would find out later.
fn check_promises(maker: &Maker<'_>, slot: &OutputSlot, left: &CollectedOutput, read: &Attributes) -> Result<()> {
    for (name, promised) in &slot.provides {
        let is = left.report.attributes.get(name).or_else(|| read.get(name));
        if let Some(is) = is.filter(|is| *is != promised) {
            let message = format!(
                "the output `{}` should have {name} {promised}, as `{}` promises, but what was made has {name} {is}",
                left.name, maker.runnable.name
            );
            return Err(Error::invalid("output-type", message));
        }
    }
    Ok(())
}

/// The artifact after which a step's results are called: the input whose name counts, as it was before any conversion.
pub(crate) async fn named_after(
    ports: &Ports,
    run: &Run,
    step: &StepRun,
    inputs: &BTreeMap<String, Descriptor>,
) -> Result<Option<Descriptor>> {
    let Some(artifact) = of_what(inputs) else { return Ok(None) };
    let work = work_of(run, step)?;
    let slot = inputs.iter().find(|(_, input)| input.address == artifact.address).map(|(slot, _)| slot);
    let Some(reference) = slot.and_then(|slot| work.inputs.get(slot)) else { return Ok(Some(artifact.clone())) };
    let original = run.template.unconverted(reference);
    match resolve(run, original)? {
        Value::Artifact(address) if original != reference => Ok(Some(ports.catalog.artifact(&address).await?)),
        _ => Ok(Some(artifact.clone())),
    }
}

/// The input whose name counts: the codeset, else the model.
pub(crate) fn of_what(inputs: &BTreeMap<String, Descriptor>) -> Option<&Descriptor> {
    let of = |kind| inputs.values().find(|artifact| artifact.kind() == kind);
    of(Kind::Codeset).or_else(|| of(Kind::Model)).or_else(|| of(Kind::Dataset))
}

pub(crate) fn part(step: &StepRun, slot: &str, role: Role, artifact: &Address) -> Participation {
    Participation { step: step.name.clone(), slot: slot.to_owned(), role, artifact: artifact.clone() }
}

/// What a step used that has an address: its inputs and its runnable.
pub(crate) fn used(step: &StepRun, inputs: &BTreeMap<String, Descriptor>, runnable: &Address) -> Vec<Participation> {
    let inputs = inputs.iter().filter(|(_, artifact)| artifact.store != Store::Local);
    let inputs = inputs.map(|(slot, artifact)| part(step, slot, Role::Used, &artifact.address));
    inputs.chain([part(step, "runnable", Role::Used, runnable)]).collect()
}

pub(crate) fn planned<'a>(run: &'a Run, step: &StepRun) -> Result<&'a Step> {
    let lost = || Error::internal("unknown-step", format!("{} lost its step {}", run.label(), step.name));
    run.template.step(&step.name).ok_or_else(lost)
}

pub(crate) fn work_of<'a>(run: &'a Run, step: &StepRun) -> Result<&'a Work> {
    planned(run, step)?.work().ok_or_else(|| Error::internal("step", format!("{} runs nothing", step.name)))
}

pub(crate) fn runnable_of(step: &StepRun) -> Result<&Address> {
    step.runnable
        .as_ref()
        .ok_or_else(|| Error::internal("state", format!("step {} was staged without a runnable", step.name)))
}

pub(crate) fn labels(run: &Run, step: &StepRun) -> Attributes {
    [("project", run.project.to_string()), ("run", run.label()), ("step", step.name.to_string())]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// The value a reference has in this run.
pub(crate) fn resolve(run: &Run, reference: &Reference) -> Result<Value> {
    let missing = || Error::invalid("reference", format!("{reference} has no value in {}", run.label()));
    match reference {
        Reference::Input { name } => run.inputs.get(name).map(|input| input.value.clone()).ok_or_else(missing),
        Reference::Output { step, output } => {
            let step = run.step(step).ok_or_else(missing)?;
            step.outputs.get(output).cloned().ok_or_else(|| {
                let has: Vec<_> = step.outputs.keys().map(String::as_str).collect();
                Error::invalid(
                    "reference",
                    format!("step {} gave no `{output}`; it gave {}", step.name, has.join(", ")),
                )
            })
        }
        Reference::Attribute { .. } => {
            Err(Error::unsupported("reference", format!("{reference} can only be a default")))
        }
    }
}

/// The same as a text that others can work with: an address in full.
pub(crate) fn said(run: &Run, reference: &Reference) -> Result<String> {
    resolve(run, reference).map(Value::said)
}

/// The same for people.
pub(crate) fn shown(run: &Run, reference: &Reference) -> Result<String> {
    resolve(run, reference).map(|value| value.shown())
}
