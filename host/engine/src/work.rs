//! Jobs: from a step and its inputs to a workload, and from what it left to registered artifacts (S32–S34).

use crate::{
    Ports, anonymous, delivery,
    driver::{Driver, Outcome, key_of},
    location,
};
use fuseml_domain::{
    Address, Attributes, CollectedOutput, DEFAULT_TIMEOUT, Descriptor, Error, InputDelivery, InputSlot, Interpolated,
    Kind, Location, Name, Origin, OutputSlot, Reference, Resources, Result, Run, Runnable, RunnableChoice, Series,
    Step, StepEvent, StepRun, Store, Tree, Value, Work, Workload, WorkloadInput, WorkloadKind, beside_name,
    fill_setting,
    port::{Participation, Role, StoreDraft},
    result_name,
};
use jiff::Timestamp;
use std::{borrow::Cow, collections::BTreeMap};

/// What a step is about to run.
pub(crate) struct Chosen {
    pub(crate) address: Address,
    pub(crate) runnable: Runnable,
    pub(crate) inputs: BTreeMap<String, Descriptor>,
    /// Of every parameter.
    pub(crate) parameters: Attributes,
    pub(crate) variables: Attributes,
    pub(crate) needs: Resources,
}

/// Chooses the runnable and checks that everything fits it.
pub(crate) async fn prepare(ports: &Ports, run: &Run, step: &StepRun) -> Result<Chosen> {
    let work = work_of(run, step)?;
    let mut inputs = inputs_of(ports, run, work).await?;
    let swapped = step.swap.as_ref().and_then(|swap| swap.runnable.clone()).map(RunnableChoice::Address);
    let chosen = choose(ports, run, swapped.as_ref().unwrap_or(&work.runnable), &inputs).await?;
    let address = chosen.address;
    let lacking = || Error::internal("document", format!("{address} lacks its description"));
    let runnable = *chosen.runnable.ok_or_else(lacking)?;
    connect(ports, run, step, &runnable, &mut inputs).await?;
    check_inputs(&runnable, &inputs)?;
    let parameters = runnable.bind(&parameters(run, step, work)?)?;
    let needs = work.needs(&runnable)?;
    // What an engine has, the engine says itself.
    if let (true, Some(machine)) = (is_here(run, step, &runnable)?, ports.agent.machine()) {
        machine.check(&needs)?;
    }
    let variables = variables(ports, &runnable).await?;
    Ok(Chosen { address, runnable, inputs, parameters, variables, needs })
}

/// Whether this server's machine runs it. What a component does is no business of an engine: it runs in the sandbox.
fn is_here(run: &Run, step: &StepRun, runnable: &Runnable) -> Result<bool> {
    Ok(planned(run, step)?.engine().is_none() || runnable.component.is_some())
}

/// What a job that is staged needs.
pub(crate) async fn needed(ports: &Ports, run: &Run, step: &StepRun) -> Result<Resources> {
    let Some(address) = &step.runnable else { return Ok(Resources::default()) };
    match ports.catalog.runnable(address).await {
        Ok(runnable) => work_of(run, step)?.needs(&runnable),
        // Deleted meanwhile: that is said by who runs it.
        Err(error) if error.kind == fuseml_domain::ErrorKind::NotFound => Ok(Resources::default()),
        Err(error) => Err(error),
    }
}

/// Variables with the settings of the runnable's instance filled in.
async fn variables(ports: &Ports, runnable: &Runnable) -> Result<Attributes> {
    let settings = match &runnable.instance {
        Some(instance) => ports.extensions.settings(instance).await?,
        None => Attributes::new(),
    };
    let filled = |(name, value): (&String, &String)| Some((name.clone(), fill_setting(value, &settings)?));
    Ok(runnable.variables.iter().filter_map(filled).collect())
}

pub(crate) async fn stage(driver: &Driver, run: &Run, step: &StepRun) -> Result<Outcome> {
    let chosen = prepare(&driver.engine.ports, run, step).await?;
    let (workload, runnable) = (key_of(run, step), Some(chosen.address));
    Ok(StepEvent::Staged { workload, runnable, note: None, reuse: None }.into())
}

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
    let ports = &driver.engine.ports;
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
    let ports = &driver.engine.ports;
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
    Ok(Outcome {
        earlier: Vec::new(),
        event: StepEvent::Succeeded { outputs, note: None },
        extras: Some(Box::new(move |change| {
            change.artifacts.clone_from(&artifacts);
            change.held = held;
            change.lineage.clone_from(&lineage);
            change.result.clone_from(&result);
        })),
    })
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
    let ports = &driver.engine.ports;
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
    for (name, promised) in &slot.provides {
        // What it is not, whoever takes it would find out later.
        let is = left.report.attributes.get(name).or_else(|| read.get(name)).filter(|is| *is != promised);
        if let Some(is) = is {
            let message = format!(
                "the output `{}` should have {name} {promised}, as `{}` promises, but what was made has {name} {is}",
                left.name, maker.runnable.name
            );
            return Err(Error::invalid("output-type", message));
        }
    }
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

pub(crate) async fn inputs_of(ports: &Ports, run: &Run, work: &Work) -> Result<BTreeMap<String, Descriptor>> {
    let mut inputs = BTreeMap::new();
    for (name, reference) in &work.inputs {
        match resolve(run, reference)? {
            Value::Artifact(address) => {
                inputs.insert(name.clone(), ports.catalog.artifact(&address).await?);
            }
            Value::Anonymous(artifact) => drop(inputs.insert(name.clone(), *artifact)),
            Value::Text(text) => {
                return Err(Error::invalid(
                    "type",
                    format!("the input `{name}` takes an artifact; {reference} is `{text}`"),
                ));
            }
        }
    }
    Ok(inputs)
}

/// Fills what the step of a runnable that its own run built leaves out, which nobody could do before: from the one input
/// of the run, or output of a step above, that fits (S9).
async fn connect(
    ports: &Ports,
    run: &Run,
    step: &StepRun,
    runnable: &Runnable,
    inputs: &mut BTreeMap<String, Descriptor>,
) -> Result<()> {
    let is_lacking = |(name, slot): &(&String, &InputSlot)| !slot.optional && !inputs.contains_key(*name);
    let lacking: Vec<_> = runnable.inputs.iter().filter(is_lacking).collect();
    if lacking.is_empty() || !matches!(work_of(run, step)?.runnable, RunnableChoice::Reference(_)) {
        return Ok(());
    }
    let mut sources = BTreeMap::new();
    let above = run.template.before(&step.name);
    let outputs = run.steps.iter().filter(|other| above.contains(&other.name)).flat_map(|other| other.outputs.values());
    for value in run.inputs.values().map(|input| &input.value).chain(outputs) {
        match value {
            Value::Artifact(address) if !sources.contains_key(address) => {
                sources.insert(address.clone(), ports.catalog.artifact(address).await?);
            }
            Value::Anonymous(artifact) => drop(sources.insert(artifact.address.clone(), (**artifact).clone())),
            _ => {}
        }
    }
    for (name, slot) in lacking {
        let fits = |artifact: &&Descriptor| slot.kind == artifact.kind() && artifact.satisfies(&slot.requires);
        let fitting: Vec<_> = sources.values().filter(fits).collect();
        let [one] = fitting.as_slice() else {
            let found: Vec<_> = fitting.iter().map(|artifact| artifact.address.short()).collect();
            let found = if found.is_empty() { "nothing".to_owned() } else { found.join(" and ") };
            let message = format!(
                "`{}` needs the input `{name}`, a {}, and {found} of what comes before {} fits: say it in `inputs`",
                runnable.name, slot.kind, step.name
            );
            return Err(Error::invalid("missing-input", message));
        };
        inputs.insert(name.clone(), (*one).clone());
    }
    Ok(())
}

async fn choose(
    ports: &Ports,
    run: &Run,
    choice: &RunnableChoice,
    inputs: &BTreeMap<String, Descriptor>,
) -> Result<Descriptor> {
    let catalog = &ports.catalog;
    match choice {
        RunnableChoice::Address(address) => catalog.artifact(address).await,
        RunnableChoice::Reference(reference) => match resolve(run, reference)? {
            Value::Artifact(address) => catalog.artifact(&address).await,
            other => {
                Err(Error::invalid("type", format!("{reference} is `{}`, not a registered runnable", other.shown())))
            }
        },
        RunnableChoice::Kind(wanted) => {
            let candidates = catalog.runnables(&run.project, &wanted.kind).await?;
            let mut fitting: Vec<_> = candidates
                .iter()
                .filter(|found| wanted.is_met_by(found))
                .filter(|found| found.runnable.as_ref().is_some_and(|runnable| check_inputs(runnable, inputs).is_ok()))
                .collect();
            // The runnable built with the artifact's own code knows its packages best.
            let own = of_what(inputs).map(|artifact| artifact.name.to_string());
            fitting.sort_by_key(|found| found.attributes.get("codeset") != own.as_ref());
            fitting.first().copied().cloned().ok_or_else(|| {
                let given: Vec<_> = inputs.values().map(|artifact| artifact.address.short()).collect();
                Error::not_found(
                    "no-runnable",
                    format!(
                        "no {wanted} is registered in {} that takes {}; it has {} of the kind {}",
                        run.project,
                        given.join(", "),
                        candidates.len(),
                        wanted.kind
                    ),
                )
            })
        }
    }
}

/// Whether every slot is filled by an artifact that fits (S26).
fn check_inputs(runnable: &Runnable, inputs: &BTreeMap<String, Descriptor>) -> Result<()> {
    for (name, slot) in &runnable.inputs {
        match inputs.get(name) {
            Some(artifact) => check_fit(runnable, name, slot, artifact)?,
            None if slot.optional => {}
            None => {
                return Err(Error::invalid(
                    "missing-input",
                    format!("`{}` needs the input `{name}`, a {}", runnable.name, slot.kind),
                ));
            }
        }
    }
    match inputs.keys().find(|name| !runnable.inputs.contains_key(*name)) {
        Some(extra) => {
            let known: Vec<_> = runnable.inputs.keys().map(String::as_str).collect();
            Err(Error::invalid(
                "unknown-input",
                format!("`{}` has no input `{extra}`; it has {}", runnable.name, known.join(", ")),
            ))
        }
        None => Ok(()),
    }
}

fn check_fit(runnable: &Runnable, name: &str, slot: &InputSlot, artifact: &Descriptor) -> Result<()> {
    let refuse = |why: String| {
        let shown = artifact.address.short();
        Err(Error::invalid("type", format!("{shown} does not fit the input `{name}` of `{}`: {why}", runnable.name)))
    };
    if artifact.kind() != slot.kind {
        return refuse(format!("it is a {}, not a {}", artifact.kind(), slot.kind));
    }
    let lacking = slot.requires.iter().find(|(attribute, value)| artifact.attributes.get(*attribute) != Some(value));
    match lacking {
        Some((attribute, value)) => {
            let is = artifact.attributes.get(attribute).map_or("not known", String::as_str);
            refuse(format!("its {attribute} is {is}, not {value}"))
        }
        None => Ok(()),
    }
}

/// Values of a step's parameters: the template's, then the pipeline's and the run's own, then what was swapped.
fn parameters(run: &Run, step: &StepRun, work: &Work) -> Result<Attributes> {
    let mut values = Attributes::new();
    for (name, text) in &work.parameters {
        let text: Interpolated = text.parse()?;
        values.insert(name.clone(), text.filled(|reference| said(run, reference))?);
    }
    values.extend(run.parameters.get(&step.name).cloned().unwrap_or_default());
    values.extend(step.swap.iter().flat_map(|swap| swap.parameters.clone()));
    Ok(values)
}
