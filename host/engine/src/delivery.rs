//! How a job learns what it was given: its parameters, and what its step has (S32).

use crate::work::Job;
use fuseml_domain::{
    ARTIFACTS_BESIDE, Attributes, Delivery, InputDelivery, OutputSlot, Run, Runnable, StepRun, Workload, WorkloadOutput,
};
use serde_json::json;
use std::collections::BTreeMap;

pub(crate) fn deliver(workload: &mut Workload, runnable: &Runnable, values: Attributes) {
    for (name, value) in values {
        let parameter = &runnable.parameters[&name];
        match parameter.delivery {
            Delivery::Environment => drop(workload.variables.insert(parameter.target.clone(), value)),
            Delivery::Argument => workload.command.push(parameter.target.replace("{}", &value)),
            Delivery::File => workload.files.push((parameter.target.clone(), value)),
        }
    }
}

/// The variable that says what the step has, for code that wants to know (`sdk/python`).
pub(crate) const STEP: &str = "FUSEML_STEP";

pub(crate) fn step_as_said(run: &Run, step: &StepRun, workload: &Workload, job: &Job, values: &Attributes) -> String {
    let given = job.runnable.inputs.iter().filter(|(name, _)| job.inputs.contains_key(*name));
    let (elsewhere, inputs): (Vec<_>, Vec<_>) = given.partition(|(_, slot)| slot.delivery == InputDelivery::Location);
    let inputs: BTreeMap<_, _> = inputs.into_iter().map(|(name, slot)| (name, &slot.path)).collect();
    // The variables that say where they lie.
    let locations: BTreeMap<_, _> = elsewhere.into_iter().map(|(name, slot)| (name, &slot.path)).collect();
    let report = |output: &WorkloadOutput| json!({"path": output.path, "report": output.report});
    let outputs: BTreeMap<_, _> = workload.outputs.iter().map(|output| (&output.name, report(output))).collect();
    // A file may be longer than a variable.
    let is_file = |name: &String| job.runnable.parameters.get(name).is_some_and(|it| it.delivery == Delivery::File);
    let (files, values): (BTreeMap<_, _>, BTreeMap<_, _>) = values.iter().partition(|(name, _)| is_file(name));
    let files: BTreeMap<_, _> = files.into_keys().map(|name| (name, &job.runnable.parameters[name].target)).collect();
    json!({
        "run": run.label(), "step": step.name, "inputs": inputs, "outputs": outputs, "parameters": values,
        "parameter_files": files, "artifacts": ARTIFACTS_BESIDE, "locations": locations,
    })
    .to_string()
}

/// An output of which the description does not say where more is said of it has a place for that all the same.
pub(crate) fn output((position, (name, slot)): (usize, (&String, &OutputSlot))) -> WorkloadOutput {
    let usual = || format!(".fuseml/{position}.json");
    let report = slot.report.clone().unwrap_or_else(usual);
    WorkloadOutput { name: name.clone(), path: slot.path.clone(), report: Some(report) }
}
