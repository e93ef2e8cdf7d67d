//! Pipeline templates: a DAG of steps with typed inputs and outputs (S66, S117, S124).
//!
//! A template that parses is sound as far as it can be known before a run: every reference leads somewhere,
//! kinds fit where both ends are declared, and no step waits for itself.

use crate::{Address, Error, InstanceChoice, Kind, Name, Reference, Result, ValueType, runnable::list_or_none};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};

/// What a template takes: an artifact of a kind, or a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateInput {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub value_type: Option<ValueType>,
    #[serde(default)]
    pub description: String,
    /// A literal, or `${inputs.<artifact>.attributes.<attribute>}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Attributes that a fitting artifact must have.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub requires: crate::Attributes,
}

/// What a template gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateOutput {
    /// `None` for a value such as a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    pub from: Reference,
}

/// Which runnable a step runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RunnableChoice {
    /// A build step's output, by the kind of runnable.
    Reference(Reference),
    Address(Address),
    /// The newest of this kind whose inputs fit, preferably from the build that the inputs came from.
    Kind(RunnableKind),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunnableKind {
    pub kind: String,
}

/// A step as it stands in the file: exactly one of `build`, `run` and `serve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepText {
    build: Option<InstanceChoice>,
    codeset: Option<Reference>,
    run: Option<RunnableChoice>,
    serve: Option<RunnableChoice>,
    #[serde(default)]
    inputs: IndexMap<String, Reference>,
    #[serde(default)]
    parameters: IndexMap<String, String>,
    /// Steps to wait for of which nothing is taken.
    #[serde(default)]
    after: Vec<Name>,
    timeout: Option<String>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "action")]
pub enum Action {
    /// An instance's builder turns the codeset into runnables.
    Build { instance: InstanceChoice, codeset: Reference },
    /// A job.
    Run(Work),
    /// A service; its one output is `url`.
    Serve(Work),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    pub runnable: RunnableChoice,
    pub inputs: IndexMap<String, Reference>,
    /// Literals or references.
    pub parameters: IndexMap<String, String>,
    pub timeout: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub name: Name,
    /// Steps that come before it although it takes nothing of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Name>,
    #[serde(flatten)]
    pub action: Action,
}

impl Step {
    /// Every reference the step holds.
    pub fn references(&self) -> Result<Vec<Reference>> {
        match &self.action {
            Action::Build { codeset, .. } => Ok(vec![codeset.clone()]),
            Action::Run(work) | Action::Serve(work) => {
                let mut all: Vec<_> = work.inputs.values().cloned().collect();
                if let RunnableChoice::Reference(reference) = &work.runnable {
                    all.push(reference.clone());
                }
                for value in work.parameters.values().filter(|value| Reference::is(value)) {
                    all.push(value.parse()?);
                }
                Ok(all)
            }
        }
    }

    /// The steps that must have succeeded before it.
    pub fn needs(&self) -> BTreeSet<Name> {
        let references = self.references().unwrap_or_default();
        references
            .into_iter()
            .filter_map(|reference| match reference {
                Reference::Output { step, .. } => Some(step),
                _ => None,
            })
            .chain(self.after.iter().cloned())
            .collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateText {
    schema_version: u32,
    name: Name,
    description: String,
    inputs: IndexMap<Name, TemplateInput>,
    steps: IndexMap<Name, StepText>,
    #[serde(default)]
    outputs: IndexMap<Name, TemplateOutput>,
}

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    pub name: Name,
    pub description: String,
    pub inputs: IndexMap<Name, TemplateInput>,
    /// In an order in which each follows what it needs.
    pub steps: Vec<Step>,
    pub outputs: IndexMap<Name, TemplateOutput>,
}

/// The longest a job may run when its step says nothing.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60 * 60);

impl Template {
    /// Reads a YAML template; `source` is the file's name, for messages.
    pub fn parse(text: &str, source: &str) -> Result<Self> {
        let options = serde_saphyr::options! { with_snippet: false };
        let read: TemplateText = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| Error::invalid("template", format!("{source}: {error}")))?;
        Self::checked(read).map_err(|error| error.context(source))
    }

    fn checked(read: TemplateText) -> Result<Self> {
        if read.schema_version != 1 {
            return Err(Error::unsupported(
                "schema-version",
                format!("schema_version is {}; this server reads 1", read.schema_version),
            ));
        }
        let steps = read.steps.into_iter().map(|(name, step)| read_step(name, step)).collect::<Result<Vec<_>>>()?;
        let mut template =
            Self { name: read.name, description: read.description, inputs: read.inputs, steps, outputs: read.outputs };
        template.check_inputs()?;
        for index in 0..template.steps.len() {
            template.check_step(&template.steps[index])?;
        }
        for (name, output) in &template.outputs {
            let kind = template.kind_of(&output.from).map_err(|error| error.context(format!("output {name}")))?;
            fits(&output.from, kind, output.kind).map_err(|error| error.context(format!("output {name}")))?;
        }
        template.steps = in_order(template.steps)?;
        Ok(template)
    }

    fn check_inputs(&self) -> Result<()> {
        for (name, input) in &self.inputs {
            match (input.kind, input.value_type, &input.default) {
                (Some(_), Some(_), _) | (None, None, _) => {
                    return Err(Error::invalid("input", format!("the input `{name}` needs either a kind or a type")));
                }
                (Some(_), None, Some(_)) => {
                    return Err(Error::invalid(
                        "input",
                        format!("the input `{name}` is an artifact and can have no default"),
                    ));
                }
                (None, Some(_), Some(default)) if Reference::is(default) => {
                    let reference: Reference = default.parse()?;
                    let artifact = match &reference {
                        Reference::Attribute { input, .. } => self.inputs.get(input).and_then(|input| input.kind),
                        _ => None,
                    };
                    if artifact.is_none() {
                        return Err(Error::invalid(
                            "input",
                            format!("the default of `{name}`, {reference}, is not an attribute of an artifact input"),
                        ));
                    }
                }
                (None, Some(value_type), Some(default)) => drop(value_type.check(name, default)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn check_step(&self, step: &Step) -> Result<()> {
        let here = |error: Error| error.context(format!("step {}", step.name));
        for reference in step.references().map_err(here)? {
            self.kind_of(&reference).map_err(here)?;
        }
        if let Some(unknown) = step.after.iter().find(|name| self.step(name).is_none()) {
            return Err(here(Error::invalid("reference", format!("it comes after `{unknown}`, which is no step"))));
        }
        match &step.action {
            Action::Build { codeset, .. } => fits(codeset, self.kind_of(codeset)?, Some(Kind::Codeset)).map_err(here),
            Action::Run(work) | Action::Serve(work) => match &work.runnable {
                RunnableChoice::Reference(reference) => {
                    fits(reference, self.kind_of(reference)?, Some(Kind::Runnable)).map_err(here)
                }
                RunnableChoice::Address(address) if address.kind != Kind::Runnable => {
                    Err(here(Error::invalid("type", format!("{address} is a {}, not a runnable", address.kind))))
                }
                _ => Ok(()),
            },
        }
    }

    /// What a reference leads to: a known kind, a value, or (`Unknown`) what only the run will know.
    fn kind_of(&self, reference: &Reference) -> Result<Leads> {
        match reference {
            Reference::Input { name } => match self.inputs.get(name) {
                Some(input) => Ok(input.kind.map_or(Leads::Value, Leads::Kind)),
                None => {
                    let known: Vec<_> = self.inputs.keys().map(|name| &**name).collect();
                    Err(Error::invalid(
                        "reference",
                        format!("{reference} names an input that is not declared; there are {}", list_or_none(&known)),
                    ))
                }
            },
            Reference::Attribute { input, .. } => match self.inputs.get(input).and_then(|input| input.kind) {
                Some(_) => Ok(Leads::Value),
                None => Err(Error::invalid("reference", format!("{reference}: `{input}` is no artifact input"))),
            },
            Reference::Output { step, output } => {
                let Some(step) = self.steps.iter().find(|candidate| candidate.name == *step) else {
                    let known: Vec<_> = self.steps.iter().map(|step| &*step.name).collect();
                    return Err(Error::invalid(
                        "reference",
                        format!("{reference} names a step that is not there; there are {}", list_or_none(&known)),
                    ));
                };
                match &step.action {
                    Action::Build { .. } => Ok(Leads::Kind(Kind::Runnable)),
                    Action::Run(_) => Ok(Leads::Unknown),
                    Action::Serve(_) if output == "url" => Ok(Leads::Value),
                    Action::Serve(_) => Err(Error::invalid(
                        "reference",
                        format!("{reference}: a serving step has only the output `url`"),
                    )),
                }
            }
        }
    }

    pub fn step(&self, name: &Name) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == *name)
    }
}

enum Leads {
    Kind(Kind),
    Value,
    Unknown,
}

/// Refuses a connection whose two ends are declared and differ. `wanted` is `None` for a value.
fn fits(reference: &Reference, leads: Leads, wanted: Option<Kind>) -> Result<()> {
    let name = |kind: Option<Kind>| kind.map_or("a value".to_owned(), |kind| format!("a {kind}"));
    let is = match leads {
        Leads::Unknown => return Ok(()),
        Leads::Kind(kind) => Some(kind),
        Leads::Value => None,
    };
    if is == wanted {
        return Ok(());
    }
    Err(Error::invalid("type", format!("{reference} is {}, but {} is needed here", name(is), name(wanted))))
}

fn read_step(name: Name, step: StepText) -> Result<Step> {
    let refuse = |why: &str| Error::invalid("step", format!("step {name}: {why}"));
    let timeout = step
        .timeout
        .as_deref()
        .map(read_duration)
        .transpose()
        .map_err(|error| error.context(format!("step {name}")))?;
    let work = |runnable| Work { runnable, inputs: step.inputs.clone(), parameters: step.parameters.clone(), timeout };
    let action = match (step.build, step.run, step.serve) {
        (Some(instance), None, None) => {
            if !step.inputs.is_empty() || !step.parameters.is_empty() {
                return Err(refuse("a build step takes a `codeset`, no inputs or parameters"));
            }
            let codeset = step.codeset.clone().ok_or_else(|| refuse("a build step needs a `codeset`"))?;
            Action::Build { instance, codeset }
        }
        (None, Some(runnable), None) => Action::Run(work(runnable)),
        (None, None, Some(runnable)) => Action::Serve(work(runnable)),
        _ => return Err(refuse("a step is exactly one of `build`, `run` and `serve`")),
    };
    Ok(Step { name, after: step.after, action })
}

/// `90s`, `30m`, `2h`.
fn read_duration(text: &str) -> Result<Duration> {
    let refuse = || Error::invalid("duration", format!("`{text}` is not a length of time such as 90s, 30m or 2h"));
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => return Err(refuse()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| refuse())?;
    count.checked_mul(unit).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(refuse)
}

/// Each step after those it needs, else as written; a circle is an error naming its steps.
fn in_order(mut steps: Vec<Step>) -> Result<Vec<Step>> {
    let mut ordered: Vec<Step> = Vec::with_capacity(steps.len());
    while !steps.is_empty() {
        let done: BTreeSet<_> = ordered.iter().map(|step| step.name.clone()).collect();
        let Some(next) = steps.iter().position(|step| step.needs().is_subset(&done)) else {
            let names: Vec<_> = steps.iter().map(|step| &*step.name).collect();
            return Err(Error::invalid("cycle", format!("the steps {} wait for each other", list_or_none(&names))));
        };
        ordered.push(steps.remove(next));
    }
    Ok(ordered)
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
