//! Codesets to a builder, its plans back. Pure.

use super::{
    build,
    convert::{Checked, unique},
};
use fuseml_domain::{
    BuildPlan, Delivery, Environment, Error, InputDelivery, InputSlot, Name, OutputSlot, Parameter, Range, Runnable,
    ServiceSpec, ValueType,
    port::{CodesetToBuild, PreviousBuild},
};

pub(crate) fn codeset(codeset: &CodesetToBuild) -> build::Codeset {
    build::Codeset {
        address: codeset.address.to_string(),
        name: codeset.name.to_string(),
        changed_files: codeset.changed_files.clone(),
    }
}

pub(crate) fn previous(previous: &PreviousBuild) -> build::Previous {
    build::Previous {
        environment_digest: previous.environment_digest.to_string(),
        runnables: previous.runnables.iter().map(|(name, address)| (name.clone(), address.to_string())).collect(),
    }
}

/// Confidence and reason.
pub(crate) fn matched(answer: build::Match) -> (u8, String) {
    (answer.confidence.min(100), answer.reason)
}

/// The plan, checked: every runnable has its environment and stays inside its working directory.
pub(crate) fn plan(plan: build::BuildPlan, instance: &Name) -> Checked<BuildPlan> {
    let environments: Vec<_> = plan.environments.into_iter().map(environment).collect::<Checked<_>>()?;
    let runnables: Vec<_> = plan
        .runnables
        .into_iter()
        .map(|described| {
            let name = described.name.clone();
            runnable(described, &environments, instance).map_err(|why| format!("of the runnable `{name}`: {why}"))
        })
        .collect::<Checked<_>>()?;
    for (index, runnable) in runnables.iter().enumerate() {
        if runnables[..index].iter().any(|other| other.name == runnable.name) {
            return Err(format!("it describes the runnable `{}` twice", runnable.name));
        }
    }
    Ok(BuildPlan { rebuild: plan.rebuild, reason: plan.reason, environments, runnables })
}

fn environment(environment: build::Environment) -> Checked<Environment> {
    let digest = environment.digest.parse().map_err(said)?;
    Ok(Environment {
        name: environment.name,
        dockerfile: environment.dockerfile,
        python: environment.python,
        requirements: environment.requirements,
        digest,
    })
}

fn runnable(described: build::Runnable, environments: &[Environment], instance: &Name) -> Checked<Runnable> {
    let environment = environments
        .iter()
        .find(|environment| environment.name == described.environment)
        .ok_or_else(|| format!("its environment `{}` is not in the plan", described.environment))?;
    let inputs =
        described.inputs.into_iter().map(|slot| Ok((slot.name.clone(), input(slot)?))).collect::<Checked<_>>()?;
    let outputs =
        described.outputs.into_iter().map(|slot| Ok((slot.name.clone(), output(slot)?))).collect::<Checked<_>>()?;
    let parameters = described.parameters.into_iter().map(|it| (it.name.clone(), parameter(it))).collect();
    let runnable = Runnable {
        name: described.name.parse().map_err(said)?,
        kind: described.kind,
        environment: Some(environment.clone()),
        image: None,
        component: None,
        command: described.command,
        scripts: unique("script", described.scripts)?,
        variables: unique("variable", described.variables)?,
        inputs: unique("input", inputs)?,
        outputs: unique("output", outputs)?,
        parameters: unique("parameter", parameters)?,
        service: described
            .service
            .map(|service| ServiceSpec { readiness_path: service.readiness_path, predict_path: service.predict_path }),
        resources: unique("resource", described.resources)?,
        labels: unique("label", described.labels)?,
        instance: Some(instance.clone()),
    };
    runnable.check().map_err(said)?;
    Ok(runnable)
}

fn input(slot: build::InputSlot) -> Checked<InputSlot> {
    Ok(InputSlot {
        description: slot.description,
        kind: slot.kind.parse().map_err(said)?,
        requires: unique("attribute", slot.requires)?,
        optional: slot.optional,
        path: slot.path,
        // The contract has no other.
        delivery: InputDelivery::Directory,
        change_filter: slot.change_filter,
    })
}

fn output(slot: build::OutputSlot) -> Checked<OutputSlot> {
    Ok(OutputSlot {
        description: slot.description,
        kind: slot.kind.parse().map_err(said)?,
        provides: unique("attribute", slot.provides)?,
        path: slot.path,
        report: slot.report,
    })
}

fn parameter(parameter: build::Parameter) -> Parameter {
    Parameter {
        description: parameter.description,
        value_type: match parameter.value_type {
            build::ValueType::Text => ValueType::Text,
            build::ValueType::Integer => ValueType::Integer,
            build::ValueType::Number => ValueType::Number,
            build::ValueType::Boolean => ValueType::Boolean,
        },
        // The contract has none.
        range: Range::default(),
        default: parameter.default,
        delivery: match parameter.delivery {
            build::Delivery::Environment => Delivery::Environment,
            build::Delivery::Argument => Delivery::Argument,
            build::Delivery::File => Delivery::File,
        },
        target: parameter.target,
    }
}

fn said(error: Error) -> String {
    error.message
}
