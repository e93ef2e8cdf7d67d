//! Steps that wait for what happens elsewhere: an artifact that comes or becomes something, an event (S72).

use crate::{Condition, Error, EventPattern, Interpolated, Kind, ReceivedEvent, Reference, Result, Selector};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    Artifact(WaitArtifact),
    Event(WaitEvent),
}

/// Until there is such an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitArtifact {
    pub artifact: Awaited,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Only one that was made since the run began counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new: bool,
}

/// Any artifact that fits, or one that the run knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Awaited {
    Reference(Reference),
    Selector(Selector),
}

impl TryFrom<String> for Awaited {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        match Reference::is(&text) {
            true => text.parse().map(Self::Reference),
            false => text.parse().map(Self::Selector),
        }
    }
}

impl From<Awaited> for String {
    fn from(awaited: Awaited) -> Self {
        awaited.to_string()
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => write!(f, "{reference}"),
            Self::Selector(selector) => write!(f, "{selector}"),
        }
    }
}

/// Until such an event comes; one that came since the run began counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitEvent {
    pub event: EventPattern,
    /// By field of the event: what it has to be.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub fields: IndexMap<String, Interpolated>,
}

impl WaitEvent {
    /// Whether this event is waited for; `said` is what a reference leads to.
    ///
    /// # Errors
    /// Those of `said`.
    pub fn is_met_by(&self, received: &ReceivedEvent, said: impl Fn(&Reference) -> Result<String>) -> Result<bool> {
        if !self.event.matches(&received.event) {
            return Ok(false);
        }
        for (path, wanted) in &self.fields {
            if received.event.field(path) != Some(wanted.filled(&said)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Wait {
    pub(crate) fn references(&self) -> Vec<&Reference> {
        match self {
            Self::Artifact(WaitArtifact { artifact: Awaited::Reference(reference), .. }) => vec![reference],
            Self::Artifact(_) => Vec::new(),
            Self::Event(event) => event.fields.values().flat_map(Interpolated::references).collect(),
        }
    }

    /// The kind that its output `artifact` has where the selector says it.
    pub(crate) fn selected(&self) -> Option<Kind> {
        match self {
            Self::Artifact(WaitArtifact { artifact: Awaited::Selector(selector), .. }) => Some(selector.kind),
            _ => None,
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Artifact(wait) => {
                f.write_str(if wait.new { "a new " } else { "" })?;
                write!(f, "{}", wait.artifact)?;
                wait.condition.iter().try_for_each(|condition| write!(f, " where {condition}"))
            }
            Self::Event(wait) => {
                write!(f, "the event {}", wait.event)?;
                let fields: Vec<_> = wait.fields.iter().map(|(path, wanted)| format!("{path} is {wanted}")).collect();
                if fields.is_empty() { Ok(()) } else { write!(f, " whose {}", fields.join(" and ")) }
            }
        }
    }
}

/// An artifact or an event that a step waits for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Wait", extend("oneOf" = [{"required": ["artifact"]}, {"required": ["event"]}]))]
pub(crate) struct WaitText {
    /// An artifact that the run knows, or any that a selector matches.
    artifact: Option<Awaited>,
    /// Only an artifact that was made since the run began counts.
    #[serde(default)]
    new: bool,
    /// A type of events.
    event: Option<EventPattern>,
    /// Of an artifact a condition; of an event what its fields have to be, such as `data.model: '${inputs.model}'`.
    #[serde(rename = "where")]
    demands: Option<Demands>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Demands {
    Condition(String),
    Fields(IndexMap<String, crate::scalar::Scalar>),
}

impl WaitText {
    /// # Errors
    /// `invalid` for both an artifact and an event, or neither, and for demands of the other.
    pub(crate) fn read(self) -> Result<Wait> {
        let refuse = |why: &str| Error::invalid("wait", why.to_owned());
        match (self.artifact, self.event, self.demands) {
            (Some(_), Some(_), _) | (None, None, _) => {
                Err(refuse("`wait` is for an `artifact` or for an `event`: say one of them"))
            }
            (Some(_), None, Some(Demands::Fields(_))) => {
                Err(refuse("`where` of an artifact is a condition, such as 'accuracy > 0.9'"))
            }
            (None, Some(_), Some(Demands::Condition(_))) => {
                Err(refuse("`where` of an event names its fields, such as {data.model: '${inputs.model}'}"))
            }
            (None, Some(_), _) if self.new => Err(refuse("`new` is for artifacts: an event is always a new one")),
            (Some(Awaited::Reference(_)), None, _) if self.new => {
                Err(refuse("`new` is for a selector: what a reference leads to is there already"))
            }
            (Some(Awaited::Reference(_)), None, None) => {
                Err(refuse("say with `where` what the artifact has to become: it is there already"))
            }
            (Some(artifact), None, Some(Demands::Condition(text))) => {
                Ok(Wait::Artifact(WaitArtifact { artifact, condition: Some(text.parse()?), new: self.new }))
            }
            (Some(artifact), None, None) => {
                Ok(Wait::Artifact(WaitArtifact { artifact, condition: None, new: self.new }))
            }
            (None, Some(event), demands) => {
                let fields = match demands {
                    Some(Demands::Fields(fields)) => fields,
                    _ => IndexMap::new(),
                };
                if let Some(path) = fields.keys().find(|path| !is_field(path)) {
                    let message =
                        format!("an event has no field `{path}`; there are id, source, type, subject and data.<name>");
                    return Err(Error::invalid("wait", message));
                }
                let read = |(path, text): (String, crate::scalar::Scalar)| Ok((path, text.0.parse()?));
                let fields = fields.into_iter().map(read).collect::<Result<_>>()?;
                Ok(Wait::Event(WaitEvent { event, fields }))
            }
        }
    }
}

/// Whether an event may have something under this path.
pub(crate) fn is_field(path: &str) -> bool {
    match path.strip_prefix("data.") {
        Some(rest) => rest.split('.').all(|name| !name.is_empty()),
        None => matches!(path, "id" | "source" | "type" | "subject"),
    }
}
