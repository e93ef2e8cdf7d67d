//! Pipelines: a template attached to a project, its inputs bound, started by the artifacts that match.

use crate::{
    Action, Address, Attributes, Connected, Connection, Descriptor, Edited, Error, Freeze, InstanceChoice, Kind, Made,
    Name, Reference, Result, Selector, Starts, Step, Template, interpolated::Replacement as Given,
    runnable::list_or_none, step_run::first,
};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What an input is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "value")]
pub enum Binding {
    Selector(Selector),
    Value(String),
}

/// The extension that brought a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    pub extension: String,
    pub version: String,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.extension, self.version)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    pub project: Name,
    pub name: Name,
    /// The version it was attached with: later versions of the template do not change it.
    pub template: Template,
    /// Whose template it is; `None` where it was given as a text, or before that was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    pub inputs: IndexMap<Name, Binding>,
    /// Parameters of steps, by step.
    pub parameters: BTreeMap<Name, Attributes>,
    pub created: Timestamp,
    /// Counts what it was, from 1.
    #[serde(default = "first")]
    pub version: u32,
    /// Who made this version of it, if it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<Edited>,
    /// When it starts, beside what its selectors say.
    #[serde(default, skip_serializing_if = "Starts::is_plain")]
    pub starts: Starts,
    /// Inputs of steps that the template left out, and what was found for them when the pipeline was added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<Connection>,
    /// Steps whose runnable was not registered then: what they leave out is found when a run is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Name>,
    /// What its steps made when the pipeline was added, beside what the template gives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub makes: Vec<Made>,
    /// What keeps it from starting, one for each cause, and causes that a person overruled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
}

impl Pipeline {
    /// Binds the inputs of a template whose steps take what they need from the texts a person gave; every artifact input must be bound.
    pub fn new(
        project: Name,
        name: Name,
        connected: impl Into<Connected>,
        given: &BTreeMap<String, String>,
        parameters: BTreeMap<Name, Attributes>,
        created: Timestamp,
    ) -> Result<Self> {
        let Connected { template, provider, connections, open, makes } = connected.into();
        let known: Vec<_> = template.inputs.keys().map(|name| &**name).collect();
        if let Some(unknown) = given.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(Error::invalid(
                "unknown-input",
                format!("the template {} has no input `{unknown}`; it has {}", template.name, list_or_none(&known)),
            ));
        }
        template.check_parameters(&parameters)?;
        template.check_outputs_last()?;
        let mut inputs = IndexMap::new();
        for (input_name, input) in &template.inputs {
            let text = given.get(&**input_name);
            let binding = match (input.kind, input.value_type, text) {
                (Some(kind), _, Some(text)) => {
                    Some(Binding::Selector(bind_selector(&project, input_name, kind, text)?))
                }
                (Some(kind), _, None) => {
                    return Err(Error::invalid(
                        "missing-input",
                        format!(
                            "the template {} needs the input `{input_name}`, a {kind}; add --input {input_name}='{}://*'",
                            template.name,
                            kind.scheme()
                        ),
                    ));
                }
                (None, Some(_), Some(text)) => Some(Binding::Value(input.check(input_name, text)?)),
                (None, _, None) if input.default.is_none() => {
                    return Err(Error::invalid(
                        "missing-input",
                        format!("the template {} needs a value for the input `{input_name}`", template.name),
                    ));
                }
                _ => None,
            };
            if let Some(binding) = binding {
                inputs.insert(input_name.clone(), binding);
            }
        }
        let starts = Starts::default();
        Ok(Self {
            project,
            name,
            template,
            provider,
            inputs,
            parameters,
            created,
            version: first(),
            edited: None,
            starts,
            connections,
            open,
            makes,
            freezes: Vec::new(),
        })
    }

    /// The same, started as that says.
    ///
    /// # Errors
    /// `invalid` for what cannot be watched of an input, or brought by an event.
    pub fn starting(mut self, starts: Starts) -> Result<Self> {
        starts.check(&self.template)?;
        self.starts = starts;
        Ok(self)
    }

    /// The same with its jobs at these agents: one for all that the template sends nowhere, others by step.
    ///
    /// # Errors
    /// `invalid` for a step that is not there or is no job.
    pub fn at(self, agent: Option<&InstanceChoice>, by_step: &BTreeMap<Name, InstanceChoice>) -> Result<Self> {
        self.at_but(agent, by_step, &BTreeSet::new())
    }

    /// The same, but for those that stay on the server.
    pub(crate) fn at_but(
        mut self,
        agent: Option<&InstanceChoice>,
        by_step: &BTreeMap<Name, InstanceChoice>,
        here: &BTreeSet<Name>,
    ) -> Result<Self> {
        let is_job = |step: &Step| matches!(step.action, Action::Run(_));
        for name in by_step.keys() {
            if !self.template.step(name).is_some_and(is_job) {
                let jobs: Vec<_> =
                    self.template.steps.iter().filter(|step| is_job(step)).map(|step| &*step.name).collect();
                let (template, jobs) = (&self.template.name, list_or_none(&jobs));
                let message = format!("the template {template} has no job `{name}`; it has {jobs}");
                return Err(Error::invalid("agent", message));
            }
        }
        for step in self.template.steps.iter_mut().filter(|step| is_job(step) && !here.contains(&step.name)) {
            if let Some(chosen) = by_step.get(&step.name).or(step.agent.as_ref()).or(agent) {
                step.agent = Some(chosen.clone());
            }
        }
        Ok(self)
    }

    /// The same for one run, with other values and parameters where given (S64).
    ///
    /// # Errors
    /// `invalid` for an input that takes no value, a value of the wrong type, or parameters of no step.
    pub fn with(mut self, values: BTreeMap<Name, String>, parameters: BTreeMap<Name, Attributes>) -> Result<Self> {
        for (name, text) in values {
            let input =
                self.template.inputs.get(&name).filter(|input| input.value_type.is_some()).ok_or_else(|| {
                    Error::invalid("unknown-input", format!("{} has no input `{name}` that takes a value", self.name))
                })?;
            let value = input.check(&name, &text)?;
            self.inputs.insert(name, Binding::Value(value));
        }
        self.template.check_parameters(&parameters)?;
        for (step, given) in parameters {
            self.parameters.entry(step).or_default().extend(given);
        }
        Ok(self)
    }

    /// The same for one run whose artifacts are known: what its steps take of their attributes is said.
    ///
    /// # Errors
    /// `invalid` for an attribute where an artifact is needed.
    pub fn with_attributes_of(mut self, artifacts: &BTreeMap<Name, Descriptor>) -> Result<Self> {
        for step in &mut self.template.steps {
            // Whatever a stranger wrote into an attribute is only a text.
            step.give(&|reference| {
                Ok(match reference {
                    Reference::Attribute { input, attribute } => {
                        Given::Literal(attribute_of(artifacts, input, attribute))
                    }
                    other => Given::Reference(other.clone()),
                })
            })?;
        }
        Ok(self)
    }

    /// The inputs that this artifact would fill.
    pub fn started_by(&self, artifact: &Descriptor) -> Option<&Name> {
        self.inputs.iter().find_map(|(name, binding)| match binding {
            Binding::Selector(selector)
                if *artifact.project() == self.project
                    && selector.matches(artifact)
                    && artifact.satisfies(&self.template.inputs[name].requires) =>
            {
                Some(name)
            }
            _ => None,
        })
    }

    /// The values of inputs for a run whose artifacts are known.
    pub fn values(&self, artifacts: &BTreeMap<Name, Descriptor>) -> Result<IndexMap<Name, InputValue>> {
        let mut values = IndexMap::new();
        for (name, input) in &self.template.inputs {
            let value = match (artifacts.get(name), self.inputs.get(name), &input.default) {
                (Some(artifact), _, _) => {
                    InputValue { value: Value::Artifact(artifact.address.clone()), is_default: false }
                }
                (None, Some(Binding::Value(text)), _) => {
                    InputValue { value: Value::Text(text.clone()), is_default: false }
                }
                (None, None, Some(default)) => {
                    InputValue { value: default_value(&default.0, artifacts)?, is_default: true }
                }
                _ => return Err(Error::not_found("input", format!("nothing was found for the input `{name}`"))),
            };
            values.insert(name.clone(), value);
        }
        Ok(values)
    }
}

fn bind_selector(project: &Name, input: &Name, kind: Kind, text: &str) -> Result<Selector> {
    let selector: Selector = text.parse().map_err(|error: Error| error.context(format!("input {input}")))?;
    if selector.kind != kind {
        return Err(Error::invalid(
            "type",
            format!(
                "the input `{input}` takes a {kind}, but {selector} selects a {}; use {}://…",
                selector.kind,
                kind.scheme()
            ),
        ));
    }
    if let Some(other) = selector.project.as_ref().filter(|other| *other != project)
        && (selector.exact().is_none() || selector.condition.is_some())
    {
        let message = format!(
            "the input `{input}` selects in {other} by {selector}, but a pipeline of {project} is started by what {project} \
             has: name one artifact of {other}, or let a step of {other} `copy` it here"
        );
        return Err(Error::unsupported("selector", message));
    }
    Ok(selector)
}

fn default_value(default: &str, artifacts: &BTreeMap<Name, Descriptor>) -> Result<Value> {
    if !Reference::is(default) {
        return Ok(Value::Text(default.to_owned()));
    }
    match default.parse()? {
        Reference::Attribute { input, attribute } => Ok(Value::Text(attribute_of(artifacts, &input, &attribute))),
        other => Err(Error::invalid("reference", format!("{other} cannot be a default"))),
    }
}

fn attribute_of(artifacts: &BTreeMap<Name, Descriptor>, input: &Name, attribute: &str) -> String {
    let found = artifacts.get(input).and_then(|artifact| artifact.attributes.get(attribute));
    found.cloned().unwrap_or_else(|| "unknown".to_owned())
}

/// Something that an input or output is: an artifact, or a text such as a parameter or URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    Artifact(Address),
    /// One that nobody registered: steps of the same run take it, and it is gone after (S76).
    Anonymous(Box<Descriptor>),
    Text(String),
}

impl Value {
    /// For people: addresses shortened.
    pub fn shown(&self) -> String {
        match self {
            Self::Artifact(address) => address.short(),
            Self::Anonymous(artifact) => artifact.address.short(),
            Self::Text(text) => text.clone(),
        }
    }

    /// The same for programs: addresses in full.
    pub fn said(self) -> String {
        match self {
            Self::Artifact(address) => address.to_string(),
            Self::Anonymous(artifact) => artifact.address.to_string(),
            Self::Text(text) => text,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputValue {
    #[serde(flatten)]
    pub value: Value,
    #[serde(rename = "default")]
    pub is_default: bool,
}
