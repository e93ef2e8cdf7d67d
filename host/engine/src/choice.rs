//! Which of a sweep's results counts.

use crate::{Ports, driver::Outcome};
use fuseml_domain::{Address, Choice, Error, Result, Run, StepRun, Value};
use std::collections::BTreeMap;

/// What the best of a choice's steps made, and why it is the best; nothing where all count alike.
pub(crate) struct Chosen {
    pub(crate) outputs: BTreeMap<String, Value>,
    pub(crate) why: String,
    /// Artifacts that start other pipelines from here on.
    released: Vec<Address>,
}

/// Chooses among steps that succeeded.
pub(crate) async fn choose(ports: &Ports, run: &Run, choice: &Choice) -> Result<Chosen> {
    let steps: Vec<_> = choice.among.iter().filter_map(|name| run.step(name)).collect();
    let Some(best) = &choice.best else {
        let released = steps.iter().flat_map(|step| artifacts(step)).cloned().collect();
        return Ok(Chosen { outputs: BTreeMap::new(), why: format!("{} were done", steps.len()), released });
    };
    let mut values = Vec::new();
    for step in &steps {
        values.push(metric(ports, step, best.metric()).await?);
    }
    let at = best.of(&values).ok_or_else(|| {
        Error::invalid("metric", format!("the `{}` of one of {} is no number", best.metric(), choice.among.len()))
    })?;
    let (step, value) = (steps[at], values[at]);
    let varied = run.combination(step).map(|combination| format!(" ({combination})")).unwrap_or_default();
    let others = (0..values.len()).filter(|other| *other != at).map(|other| values[other]);
    let (low, high) = others.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), it| (low.min(it), high.max(it)));
    let beside = match values.len() {
        1 => String::new(),
        2 => format!("; the other has {low}"),
        _ => format!("; the others have {low} to {high}"),
    };
    Ok(Chosen {
        outputs: step.outputs.clone(),
        why: format!("{}{varied} has {best}, {value}{beside}", step.name),
        released: artifacts(step).cloned().collect(),
    })
}

/// The step's result.
pub(crate) async fn collect(ports: &Ports, run: &Run, choice: &Choice) -> Result<Outcome> {
    let Chosen { outputs, why, released } = choose(ports, run, choice).await?;
    make_newest(ports, &released).await?;
    Ok(Outcome::succeeded(outputs, Some(why), move |change| change.released.clone_from(&released)))
}

/// Who names no version gets these from here on; before it is saved that they are chosen, for it can be done again.
pub(crate) async fn make_newest(ports: &Ports, released: &[Address]) -> Result<()> {
    for address in released {
        ports.contents.make_newest(&ports.catalog.artifact(address).await?).await?;
    }
    Ok(())
}

fn artifacts(step: &StepRun) -> impl Iterator<Item = &Address> {
    step.outputs.values().filter_map(|value| match value {
        Value::Artifact(address) => Some(address),
        Value::Anonymous(_) | Value::Text(_) => None,
    })
}

/// The metric that one of a step's results says.
async fn metric(ports: &Ports, step: &StepRun, name: &str) -> Result<f64> {
    let mut says = Vec::new();
    for address in artifacts(step) {
        let artifact = ports.catalog.artifact(address).await?;
        if let Some(value) = artifact.metrics.get(name) {
            return Ok(*value);
        }
        says.extend(artifact.metrics.into_keys());
    }
    let says = if says.is_empty() { "no metric".to_owned() } else { says.join(", ") };
    Err(Error::invalid("metric", format!("what {} made says no `{name}`; it says {says}", step.name)))
}
