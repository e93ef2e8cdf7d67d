//! What a step runs and on what: its inputs, a runnable that takes them, and values of its parameters (S26, S28).

use crate::{
    Ports,
    work::{Job, of_what, planned, resolve, said, work_of},
};
use fuseml_domain::{
    Address, Attributes, Descriptor, Error, ErrorKind, InputSlot, Interpolated, Resources, Result, Run, Runnable,
    RunnableChoice, StepRun, Value, Work, fill_setting,
};
use std::collections::BTreeMap;

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

/// What a job that is staged needs: that one, or the one that the catalog has.
pub(crate) async fn needed(ports: &Ports, run: &Run, step: &StepRun, job: Option<&Job>) -> Result<Resources> {
    if let Some(job) = job {
        return work_of(run, step)?.needs(&job.runnable);
    }
    let Some(address) = &step.runnable else { return Ok(Resources::default()) };
    match ports.catalog.runnable(address).await {
        Ok(runnable) => work_of(run, step)?.needs(&runnable),
        // Deleted meanwhile: that is said by who runs it.
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Resources::default()),
        Err(error) => Err(error),
    }
}

/// Variables with the settings of the runnable's instance filled in.
pub(crate) async fn variables(ports: &Ports, runnable: &Runnable) -> Result<Attributes> {
    let settings = match &runnable.instance {
        Some(instance) => ports.extensions.settings(instance).await?,
        None => Attributes::new(),
    };
    let filled = |(name, value): (&String, &String)| Some((name.clone(), fill_setting(value, &settings)?));
    Ok(runnable.variables.iter().filter_map(filled).collect())
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
pub(crate) async fn connect(
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
pub(crate) fn parameters(run: &Run, step: &StepRun, work: &Work) -> Result<Attributes> {
    let mut values = Attributes::new();
    for (name, text) in &work.parameters {
        let text: Interpolated = text.parse()?;
        values.insert(name.clone(), text.filled(|reference| said(run, reference))?);
    }
    values.extend(run.parameters.get(&step.name).cloned().unwrap_or_default());
    values.extend(step.swap.iter().flat_map(|swap| swap.parameters.clone()));
    Ok(values)
}
