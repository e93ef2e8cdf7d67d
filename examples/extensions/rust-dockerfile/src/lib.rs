//! Code with a Dockerfile becomes an image, and what `runnables.json` names becomes runnables in it.

#[cfg(test)]
mod tests;

use fuseml_extension::{Builder, Error, Result, builder::*, export_builder, files};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

const DOCKERFILE: &str = "Dockerfile";
const RUNNABLES: &str = "runnables.json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    name: String,
    kind: String,
    command: Vec<String>,
    #[serde(default)]
    inputs: BTreeMap<String, Slot>,
    #[serde(default)]
    outputs: BTreeMap<String, Slot>,
    #[serde(default)]
    parameters: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Slot {
    kind: String,
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Value {
    #[serde(rename = "type", default)]
    of: Type,
    default: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    #[default]
    Text,
    Integer,
    Number,
    Boolean,
}

/// Plans from the codeset's files alone.
#[derive(Debug)]
pub struct DockerfileBuilder;

impl Builder for DockerfileBuilder {
    fn new() -> Result<Self> {
        Ok(Self)
    }

    fn detect(&self) -> Result<Match> {
        match (files::exists(DOCKERFILE)?, files::exists(RUNNABLES)?) {
            (true, true) => Ok(Match::certain(DOCKERFILE)),
            (true, false) => Ok(Match::no(format!("there is a {DOCKERFILE}, but no {RUNNABLES}"))),
            (false, _) => Ok(Match::no(format!("there is no {DOCKERFILE}"))),
        }
    }

    fn plan(&self, codeset: Codeset, previous: Option<Previous>) -> Result<BuildPlan> {
        let described: Vec<Described> = serde_json::from_str(&files::read_text(RUNNABLES)?)
            .map_err(|error| Error::invalid("runnables", format!("{RUNNABLES}: {error}")))?;
        if described.is_empty() {
            return Err(Error::invalid("runnables", format!("{RUNNABLES} names no runnable")));
        }
        let environment = Environment {
            name: codeset.name.clone(),
            dockerfile: files::read_text(DOCKERFILE)?,
            python: None,
            requirements: Vec::new(),
            digest: digest()?,
        };
        let rebuild = previous.is_none_or(|previous| previous.environment_digest != environment.digest);
        let reason = match (rebuild, codeset.changed_files.as_slice()) {
            (false, _) => "no file of the image changed".to_owned(),
            (true, []) => "the image is new".to_owned(),
            (true, [one]) => format!("{one} changed"),
            (true, [one, others @ ..]) => format!("{one} and {} more changed", others.len()),
        };
        let runnables = described.into_iter().map(|it| runnable(it, &environment.name)).collect();
        Ok(BuildPlan { rebuild, reason, environments: vec![environment], runnables })
    }
}

/// Of all files that the image may be made of: nobody here reads what a Dockerfile copies.
fn digest() -> Result<String> {
    let mut hash = Sha256::new();
    for file in files::find("**")?.into_iter().filter(|file| file.path != RUNNABLES) {
        hash.update(format!("{} {} {}\n", file.path, file.digest, file.executable));
    }
    Ok(format!("sha256:{}", hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

fn runnable(described: Described, environment: &str) -> Runnable {
    let input = |(name, slot): (String, Slot)| InputSlot {
        name,
        description: None,
        kind: slot.kind,
        requires: Vec::new(),
        optional: false,
        path: slot.path,
        change_filter: Vec::new(),
    };
    let output = |(name, slot): (String, Slot)| OutputSlot {
        name,
        description: None,
        kind: slot.kind,
        provides: Vec::new(),
        path: slot.path,
        report: None,
    };
    let parameter = |(name, value): (String, Value)| Parameter {
        target: name.to_uppercase().replace('-', "_"),
        name,
        description: None,
        value_type: match value.of {
            Type::Text => ValueType::Text,
            Type::Integer => ValueType::Integer,
            Type::Number => ValueType::Number,
            Type::Boolean => ValueType::Boolean,
        },
        default: value.default,
        delivery: Delivery::Environment,
    };
    Runnable {
        name: described.name,
        kind: described.kind,
        environment: environment.to_owned(),
        command: described.command,
        scripts: Vec::new(),
        variables: Vec::new(),
        inputs: described.inputs.into_iter().map(input).collect(),
        outputs: described.outputs.into_iter().map(output).collect(),
        parameters: described.parameters.into_iter().map(parameter).collect(),
        service: None,
        resources: Vec::new(),
        labels: Vec::new(),
    }
}

export_builder!(DockerfileBuilder);
