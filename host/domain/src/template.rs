//! Pipeline templates: a DAG of steps with typed inputs and outputs (S66, S117, S124).
//!
//! A template that parses is sound as far as it can be known before a run: every reference leads somewhere,
//! kinds fit where both ends are declared, and no step waits for itself.

use crate::{
    Action, Awaited, Error, InstanceChoice, Interpolated, KeepSource, Kind, Name, Range, Reference, Result,
    RunnableChoice, Runs, Step, ValueType, Values, Wait, WaitArtifact, When, runnable::list_or_none, scalar::Scalar,
    step_text::StepText,
};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Steps of one template.
const MOST_STEPS: usize = 1_000;

/// What a template takes: an artifact of a kind, or a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateInput {
    /// Of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Of a value.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub value_type: Option<ValueType>,
    /// For whoever has to give it.
    #[serde(default)]
    pub description: String,
    /// A literal, or `${inputs.<artifact>.attributes.<attribute>}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Scalar>,
    /// The least number that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Scalar>,
    /// The greatest number that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Scalar>,
    /// All values that it takes.
    #[serde(rename = "enum", default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<Scalar>,
    /// Attributes that a fitting artifact must have.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub requires: crate::Attributes,
}

impl TemplateInput {
    /// A value for it in its canonical text.
    ///
    /// # Errors
    /// `invalid` for one that it does not take; any is taken where it has no type.
    pub(crate) fn check(&self, name: &str, text: &str) -> Result<String> {
        match self.value_type {
            Some(value_type) => self.range().check(name, value_type, text),
            None => Ok(text.to_owned()),
        }
    }

    fn range(&self) -> Range {
        Range { minimum: self.minimum.clone(), maximum: self.maximum.clone(), one_of: self.one_of.clone() }
    }
}

/// What a template gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateOutput {
    /// Left out for a value such as a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Where it comes from.
    pub from: Reference,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "A pipeline template of FuseML")]
struct TemplateText {
    /// 1.
    schema_version: u32,
    /// What pipelines of it are said to be of.
    name: Name,
    /// For whoever looks for one.
    description: String,
    /// What it takes, by name.
    #[serde(default)]
    inputs: IndexMap<Name, TemplateInput>,
    /// What it does, by name; each begins when what it takes is there.
    steps: IndexMap<Name, StepText>,
    /// What it gives, by name.
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

impl Template {
    /// The JSON Schema of the file: what an editor completes and checks. What only reading can tell, such as where a
    /// reference leads, it does not know.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(TemplateText).to_value()
    }

    /// Its name and nothing else.
    pub(crate) fn empty(&self) -> Self {
        Self {
            name: self.name.clone(),
            description: String::new(),
            inputs: IndexMap::new(),
            steps: Vec::new(),
            outputs: IndexMap::new(),
        }
    }

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
        let steps = read.steps.into_iter().map(|(name, step)| step.read(name)).collect::<Result<Vec<_>>>()?;
        let mut template =
            Self { name: read.name, description: read.description, inputs: read.inputs, steps, outputs: read.outputs };
        template.check_count()?;
        template.wait_for_the_rest();
        template.settle()
    }

    /// Checks what it connects, and orders its steps.
    pub(crate) fn settle(mut self) -> Result<Self> {
        self.check_inputs()?;
        let mut names = BTreeSet::new();
        if let Some(twice) = self.steps.iter().find(|step| !names.insert(&step.name)) {
            return Err(Error::invalid("step", format!("two steps are called `{}`", twice.name)));
        }
        for index in 0..self.steps.len() {
            self.check_step(&self.steps[index])?;
        }
        for (name, output) in &self.outputs {
            let kind = self.kind_of(&output.from).map_err(|error| error.context(format!("output {name}")))?;
            fits(&output.from, kind, output.kind).map_err(|error| error.context(format!("output {name}")))?;
        }
        self.steps = in_order(self.steps)?;
        Ok(self)
    }

    pub(crate) fn check_count(&self) -> Result<()> {
        if self.steps.len() > MOST_STEPS {
            let message = format!("{} steps; a template has at most {MOST_STEPS}", self.steps.len());
            return Err(Error::invalid("steps", message));
        }
        Ok(())
    }

    fn check_inputs(&self) -> Result<()> {
        for (name, input) in &self.inputs {
            match input.value_type {
                Some(value_type) => input.range().check_itself(name, value_type)?,
                None if !input.range().is_any() => {
                    let message = format!("the input `{name}` is an artifact and has no range");
                    return Err(Error::invalid("input", message));
                }
                None => {}
            }
            match (input.kind, input.value_type, input.default.as_ref().map(|default| &default.0)) {
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
                (None, Some(_), Some(default)) => drop(input.check(name, default)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// A step for when things went wrong, or however they went, that names nothing to wait for waits for all others.
    fn wait_for_the_rest(&mut self) {
        let on_success = self.steps.iter().filter(|step| step.runs == Runs::OnSuccess);
        let all: Vec<_> = on_success.map(|step| step.name.clone()).collect();
        for step in &mut self.steps {
            if step.runs != Runs::OnSuccess && step.needs().is_empty() {
                step.after.clone_from(&all);
            }
        }
    }

    fn check_step(&self, step: &Step) -> Result<()> {
        let here = |error: Error| error.context(format!("step {}", step.name));
        for text in step.parameter_texts() {
            text.parse::<Interpolated>().map_err(here)?;
        }
        for reference in step.references() {
            self.kind_of(&reference).map_err(here)?;
            if let (Reference::Output { step: of, .. }, true) = (&reference, step.runs != Runs::OnSuccess) {
                let message = format!("it cannot take {reference}: it runs also where `{of}` failed and gave nothing");
                return Err(here(Error::invalid("reference", message)));
            }
        }
        if let (Some(sweep), Action::Run(work)) = (&step.sweep, &step.action) {
            sweep.check(work).map_err(here)?;
        }
        for (parameter, values) in step.sweep.iter().flat_map(|sweep| &sweep.each) {
            if let Values::Reference(reference) = values
                && !matches!(self.kind_of(reference)?, Leads::Value)
            {
                let message = format!("`each` takes a list for `{parameter}`, and {reference} is an artifact");
                return Err(here(Error::invalid("type", message)));
            }
        }
        if let Some(When::Artifact { artifact, .. }) = &step.when
            && matches!(self.kind_of(artifact)?, Leads::Value)
        {
            let message = format!("`when` asks {artifact} with `where`, but that is a value; use `value` and `in`");
            return Err(here(Error::invalid("type", message)));
        }
        if let Some(unknown) = step.after.iter().find(|name| self.step(name).is_none()) {
            return Err(here(Error::invalid("reference", format!("it comes after `{unknown}`, which is no step"))));
        }
        if let Action::Serve(work) = &step.action {
            // A service outlives its run.
            work.inputs.values().try_for_each(|reference| self.check_lasts(reference)).map_err(here)?;
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
            Action::Wait {
                wait: Wait::Artifact(WaitArtifact { artifact: Awaited::Reference(reference), .. }), ..
            } => match self.kind_of(reference)? {
                _ if self.check_lasts(reference).is_err() => {
                    let message = format!("it waits for {reference} to become something, but that is anonymous");
                    Err(here(Error::invalid("type", message)))
                }
                Leads::Value => {
                    let message = format!("it waits for {reference} to become something, but that is a value");
                    Err(here(Error::invalid("type", message)))
                }
                Leads::Kind(_) | Leads::Unknown => Ok(()),
            },
            Action::Keep { keep, .. } => match keep.artifact().map(|artifact| (artifact, self.kind_of(artifact))) {
                Some((artifact, Ok(Leads::Value))) => {
                    let message = format!("{artifact} is a value; only an artifact is registered or copied");
                    Err(here(Error::invalid("type", message)))
                }
                Some((artifact, Ok(Leads::Kind(kind @ (Kind::Codeset | Kind::Runnable)))))
                    if matches!(keep.source, KeepSource::Copy { .. }) =>
                {
                    let message = format!("{artifact} is a {kind}, which is not copied between projects");
                    Err(here(Error::unsupported("kind", message)))
                }
                _ => keep.check().map_err(here),
            },
            _ => Ok(()),
        }
    }

    /// Refuses outputs that are gone when the run has ended. Those of a part are for other steps, so this holds of whole
    /// pipelines alone.
    ///
    /// # Errors
    /// `invalid`, naming the output.
    pub fn check_outputs_last(&self) -> Result<()> {
        self.outputs.iter().try_for_each(|(name, output)| {
            self.check_lasts(&output.from).map_err(|error| error.context(format!("output {name}")))
        })
    }

    /// Refuses what is gone when the run has ended.
    fn check_lasts(&self, reference: &Reference) -> Result<()> {
        let Reference::Output { step, .. } = reference else { return Ok(()) };
        match self.step(step) {
            Some(step) if step.anonymous => {
                let message = format!("{reference} is anonymous: it is gone when the run has ended");
                Err(Error::invalid("anonymous", message))
            }
            _ => Ok(()),
        }
    }

    /// What a reference leads to: a known kind, a value, or (`Unknown`) what only the run will know.
    pub(crate) fn kind_of(&self, reference: &Reference) -> Result<Leads> {
        self.kind_within(reference, self.steps.len())
    }

    /// The same by way of at most so many steps that hand on what they take.
    fn kind_within(&self, reference: &Reference, most: usize) -> Result<Leads> {
        let hand_on = |taken: &Reference| match most.checked_sub(1) {
            Some(fewer) => self.kind_within(taken, fewer),
            None => Err(Error::invalid("cycle", format!("{taken} waits for itself"))),
        };
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
                    Action::Run(_) if step.sweep.as_ref().is_some_and(|sweep| sweep.best.is_none()) => {
                        Err(Error::invalid(
                            "reference",
                            format!(
                                "{reference}: {} gives one for each of its values; say which counts with `best`",
                                step.name
                            ),
                        ))
                    }
                    Action::Run(_) | Action::Choose(_) | Action::Template(_) => Ok(Leads::Unknown),
                    Action::Serve(_) if output == "url" => Ok(Leads::Value),
                    Action::Serve(_) => Err(Error::invalid(
                        "reference",
                        format!("{reference}: a serving step has only the output `url`"),
                    )),
                    Action::Wait { wait: Wait::Event(_), .. } | Action::Call { .. } => Ok(Leads::Value),
                    Action::Wait { wait, .. } if output == "artifact" => Ok(match wait {
                        Wait::Artifact(WaitArtifact { artifact: Awaited::Reference(awaited), .. }) => hand_on(awaited)?,
                        other => other.selected().map_or(Leads::Unknown, Leads::Kind),
                    }),
                    Action::Keep { keep, .. } if output == "artifact" => match (&keep.source, keep.artifact()) {
                        (KeepSource::Endpoint { kind, .. }, _) => Ok(Leads::Kind(*kind)),
                        (_, Some(artifact)) => hand_on(artifact),
                        (_, None) => Ok(Leads::Unknown),
                    },
                    Action::Keep { .. } => {
                        Err(Error::invalid("reference", format!("{reference}: what is kept is the output `artifact`")))
                    }
                    Action::Wait { .. } => Err(Error::invalid(
                        "reference",
                        format!("{reference}: who waits for an artifact has only the output `artifact`"),
                    )),
                    Action::Approve(_) | Action::Notify(_) => Err(Error::invalid(
                        "reference",
                        format!("{reference}: that step gives nothing; name it in `after`"),
                    )),
                }
            }
        }
    }

    /// The steps that must have ended before this one, and those before them.
    pub fn before(&self, name: &Name) -> BTreeSet<Name> {
        let mut found = BTreeSet::from([name.clone()]);
        // Each step follows what it needs: one pass from the end reaches them all.
        for step in self.steps.iter().rev() {
            if found.contains(&step.name) {
                found.extend(step.needs());
            }
        }
        found.remove(name);
        found
    }

    /// What its build steps ask builders about.
    pub fn builds(&self) -> impl Iterator<Item = (&InstanceChoice, &Reference)> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Build { instance, codeset } => Some((instance, codeset)),
            _ => None,
        })
    }

    pub fn step(&self, name: &Name) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == *name)
    }
}

pub(crate) enum Leads {
    Kind(Kind),
    Value,
    Unknown,
}

/// Refuses a connection whose two ends are declared and differ. `wanted` is `None` for a value.
pub(crate) fn fits(reference: &Reference, leads: Leads, wanted: Option<Kind>) -> Result<()> {
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
