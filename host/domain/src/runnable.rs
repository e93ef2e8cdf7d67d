//! Runnables: what can be run, what it takes and what it gives (S20–S31).

use crate::{
    Address, Attributes, Comparison, Condition, Descriptor, Digest, Error, Field, Image, Kind, Location, Name, Origin,
    Range, Resources, Result, Store, Test, external::check_facts,
};
use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, path::Path};

/// The type of a parameter (S28).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ValueType {
    Text,
    Integer,
    Number,
    Boolean,
}

impl ValueType {
    /// The value in its canonical text, or why it is none of this type.
    pub fn check(self, name: &str, text: &str) -> Result<String> {
        let fits = match self {
            Self::Text => true,
            Self::Integer => text.parse::<i64>().is_ok(),
            Self::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Boolean => matches!(text, "true" | "false"),
        };
        if fits {
            return Ok(text.to_owned());
        }
        Err(Error::invalid(
            "parameter-type",
            format!("the parameter `{name}` takes {self}, not `{}`", text.escape_debug()),
        ))
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "true or false",
        })
    }
}

/// How a parameter reaches the workload (S29).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    Environment,
    Argument,
    File,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    pub description: Option<String>,
    pub value_type: ValueType,
    #[serde(default, skip_serializing_if = "Range::is_any")]
    pub range: Range,
    pub default: Option<String>,
    pub delivery: Delivery,
    /// Variable name, argument template (`--alpha={}`) or file path.
    pub target: String,
}

impl Parameter {
    fn check(&self, name: &str, text: &str) -> Result<String> {
        self.range.check(name, self.value_type, text)
    }
}

/// How an input reaches the workload (S32, S96).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InputDelivery {
    /// Its files, in a folder.
    #[default]
    Directory,
    /// Its one file.
    File,
    /// Nothing is staged: a variable says where it lies. For what the code itself reads, such as external artifacts.
    Location,
}

impl InputDelivery {
    pub(crate) fn is_directory(&self) -> bool {
        *self == Self::Directory
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSlot {
    pub description: Option<String>,
    pub kind: Kind,
    pub requires: Attributes,
    pub optional: bool,
    #[serde(default, skip_serializing_if = "InputDelivery::is_directory")]
    pub delivery: InputDelivery,
    /// Relative to the working directory; of a location, the variable.
    pub path: String,
    pub change_filter: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSlot {
    pub description: Option<String>,
    pub kind: Kind,
    pub provides: Attributes,
    pub path: String,
    /// JSON file with an [`OutputReport`].
    pub report: Option<String>,
}

/// A runnable that answers requests until stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    pub readiness_path: String,
    pub predict_path: String,
}

/// What running it needs besides its contents: an interpreter and packages, as a Dockerfile or for agents
/// without containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    pub name: String,
    pub dockerfile: String,
    pub python: Option<String>,
    pub requirements: Vec<String>,
    /// Of all that decides it.
    pub digest: Digest,
}

impl Environment {
    /// Whether only an image can be it: its Dockerfile says more than a Python and packages.
    pub fn is_image(&self) -> bool {
        self.python.is_none() && self.requirements.is_empty() && !self.dockerfile.trim().is_empty()
    }
}

/// The immutable description of one runnable version; its digest is the runnable's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runnable {
    pub name: Name,
    /// `trainer`, `predictor`, `builder`, `converter`, `validator`, …
    pub kind: String,
    /// `None` runs with what the machine itself has.
    pub environment: Option<Environment>,
    /// What it runs in, for agents of containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// The WebAssembly component in that image, for agents of components: the digest of its bytes. The server says it,
    /// whatever a description does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Digest>,
    pub command: Vec<String>,
    /// Path and text.
    pub scripts: IndexMap<String, String>,
    pub variables: Attributes,
    pub inputs: IndexMap<String, InputSlot>,
    pub outputs: IndexMap<String, OutputSlot>,
    pub parameters: IndexMap<String, Parameter>,
    pub service: Option<ServiceSpec>,
    pub resources: Attributes,
    pub labels: Attributes,
    /// The instance whose builder described it; its settings fill `${settings.…}` in `variables`.
    pub instance: Option<Name>,
}

impl Runnable {
    /// Of the canonical JSON.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("a runnable is always JSON"))
    }

    /// As an artifact of the project: the same description is the same version.
    ///
    /// # Errors
    /// `invalid` for one that could not run, or labels that nobody could read.
    pub fn describe(self, project: &Name, origin: Origin, created: Timestamp) -> Result<Descriptor> {
        self.check()?;
        let digest = self.digest();
        let id: Name = digest.hex().parse()?;
        let mut attributes = Attributes::from([("runnable-kind".to_owned(), self.kind.clone())]);
        if let Some(environment) = &self.environment {
            attributes.insert("environment".to_owned(), environment.digest.to_string());
            attributes.extend(environment.python.iter().map(|python| ("python".to_owned(), python.clone())));
        }
        let location = match (&self.image, &self.environment) {
            (Some(image), _) => {
                attributes.insert("image".to_owned(), image.to_string());
                Location::new("oci", image.to_string())
            }
            (None, Some(environment)) => Location::new("environment", environment.digest.to_string()),
            (None, None) => Location::new("description", digest.to_string()),
        };
        check_facts(&attributes, &BTreeMap::new())?;
        let labels: Vec<_> = self.labels.clone().into_iter().map(|(name, value)| (name, Some(value))).collect();
        let mut descriptor = Descriptor {
            address: Address::of_version(Kind::Runnable, project, &self.name, &id),
            name: self.name.clone(),
            id,
            digest: Some(digest),
            created,
            attributes,
            metrics: BTreeMap::new(),
            labels: Attributes::new(),
            tags: Vec::new(),
            location,
            store: Store::BuiltIn,
            runnable: Some(Box::new(self)),
            origin,
        };
        descriptor.relabel(&labels)?;
        Ok(descriptor)
    }

    /// The input that would take the artifact (S11, S26).
    pub fn takes(&self, artifact: &Descriptor) -> Option<&str> {
        let fits = |slot: &InputSlot| slot.kind == artifact.kind() && artifact.satisfies(&slot.requires);
        self.inputs.iter().find(|(_, slot)| fits(slot)).map(|(name, _)| name.as_str())
    }

    /// Runnables that take artifacts of this kind at all.
    pub fn with_input(kind: Kind) -> Condition {
        Condition::Is(Test { field: Field::Input, comparison: Comparison::Equals(kind.name().to_owned()) })
    }

    /// What an artifact must be for one of these inputs, or for this one alone (S11, S26).
    ///
    /// # Errors
    /// `invalid` where there is no such input.
    pub fn wants(&self, input: Option<&str>) -> Result<Condition> {
        let equals =
            |field, value: &str| Condition::Is(Test { field, comparison: Comparison::Equals(value.to_owned()) });
        let of = |slot: &InputSlot| {
            let requires = slot.requires.iter().map(|(name, value)| equals(Field::Attribute(name.clone()), value));
            Condition::All(std::iter::once(equals(Field::Kind, slot.kind.name())).chain(requires).collect())
        };
        let slots: Vec<_> = self
            .inputs
            .iter()
            .filter(|(name, _)| input.is_none_or(|input| input == *name))
            .map(|(_, slot)| of(slot))
            .collect();
        if slots.is_empty() {
            let names: Vec<_> = self.inputs.keys().map(String::as_str).collect();
            let message = match input {
                Some(input) => format!("`{}` has no input `{input}`; it has {}", self.name, list_or_none(&names)),
                None => format!("`{}` takes no artifacts", self.name),
            };
            return Err(Error::invalid("unknown-input", message));
        }
        Ok(Condition::Any(slots))
    }

    /// Refuses slots, scripts and parameter files that would lie outside the working directory, and commands
    /// of no word: builders are guests.
    pub fn check(&self) -> Result<()> {
        if self.command.is_empty() && self.image.is_none() {
            return Err(self.refuse("has no command"));
        }
        self.check_parts()
    }

    fn refuse(&self, why: impl fmt::Display) -> Error {
        Error::invalid("runnable", format!("the runnable `{}` {why}", self.name))
    }

    /// The same for one that does not know yet what it runs.
    pub(crate) fn check_parts(&self) -> Result<()> {
        let refuse = |why: String| self.refuse(why);
        if self.component.is_some() && (self.environment.is_some() || self.service.is_some()) {
            return Err(refuse("is a component, which has neither an environment nor a service".to_owned()));
        }
        if self.kind.parse::<Name>().is_err() {
            return Err(refuse(format!("is of the kind `{}`, which is no name", self.kind.escape_debug())));
        }
        Resources::read(&self.resources).map_err(|error| error.context(&self.name))?;
        let files = self.parameters.values().filter(|p| p.delivery == Delivery::File).map(|p| &p.target);
        let staged = |slot: &&InputSlot| slot.delivery != InputDelivery::Location;
        let paths = self.inputs.values().filter(staged).map(|slot| &slot.path);
        for (name, slot) in self.inputs.iter().filter(|(_, slot)| slot.delivery == InputDelivery::Location) {
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if slot.path.is_empty() || !slot.path.bytes().all(is_word) || slot.path.as_bytes()[0].is_ascii_digit() {
                let variable = slot.path.escape_debug();
                return Err(refuse(format!(
                    "takes the location of `{name}` in `{variable}`, which is no variable's name"
                )));
            }
        }
        let outputs = self.outputs.values().flat_map(|slot| slot.report.iter().chain([&slot.path]));
        for path in paths.chain(outputs).chain(self.scripts.keys()).chain(files) {
            crate::check_relative_path(path)
                .map_err(|error| refuse(format!("asks for a path it may not have: {error}")))?;
        }
        for (name, parameter) in &self.parameters {
            parameter.range.check_itself(name, parameter.value_type).map_err(|error| error.context(&self.name))?;
            if let Some(default) = &parameter.default {
                parameter.check(name, default).map_err(|error| error.context(&self.name))?;
            }
        }
        if let Some(service) = &self.service
            && !(service.readiness_path.starts_with('/') && service.predict_path.starts_with('/'))
        {
            return Err(refuse("is a service whose paths do not begin with `/`".to_owned()));
        }
        Ok(())
    }

    /// Values for every parameter: those given, checked, and defaults for the rest.
    pub fn bind(&self, given: &Attributes) -> Result<Attributes> {
        if let Some(name) = given.keys().find(|name| !self.parameters.contains_key(*name)) {
            let known: Vec<_> = self.parameters.keys().map(String::as_str).collect();
            return Err(Error::invalid(
                "unknown-parameter",
                format!("`{}` takes no parameter `{name}`; it takes {}", self.name, list_or_none(&known)),
            ));
        }
        let mut values = Attributes::new();
        for (name, parameter) in &self.parameters {
            let value = given.get(name).or(parameter.default.as_ref()).ok_or_else(|| {
                Error::invalid("missing-parameter", format!("`{}` needs a value for the parameter `{name}`", self.name))
            })?;
            values.insert(name.clone(), parameter.check(name, value)?);
        }
        Ok(values)
    }
}

/// `a, b and c`, or `none`: for messages.
pub(crate) fn list_or_none(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// What a workload said of one of its outputs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputReport {
    /// Where a tool already holds the same contents.
    pub location: Option<String>,
    pub metrics: BTreeMap<String, f64>,
    pub parameters: Attributes,
    pub attributes: Attributes,
}

impl OutputReport {
    /// Reads the file's bytes; `path` is for the message.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|error| {
            Error::invalid("output-report", format!("the workload's report {} is not valid: {error}", path.display()))
        })
    }
}

/// What a builder decided about a codeset (S37–S53).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildPlan {
    pub rebuild: bool,
    pub reason: String,
    pub environments: Vec<Environment>,
    pub runnables: Vec<Runnable>,
}
