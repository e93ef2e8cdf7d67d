//! Events from outside: what a webhook brought, as CloudEvents say it (S72, S130).

use crate::{Error, Name, Result};
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::{borrow::Cow, fmt, str::FromStr};

/// The longest id, source, type or subject, in bytes.
const LONGEST: usize = 512;
/// The longest data, in bytes of JSON: as much as CloudEvents wants everybody to take.
const MOST_DATA: usize = 64 << 10;
/// How deep data may be nested: what is kept is read again.
const DEEPEST: usize = 32;

/// One event with the attributes of CloudEvents 1.0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Says with the source which one it is: the same twice is one event.
    pub id: String,
    pub source: String,
    #[serde(rename = "type")]
    pub event_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub data: Json,
}

impl Event {
    /// Refuses attributes that CloudEvents does not allow, or that are too long to be kept.
    ///
    /// # Errors
    /// `invalid`, naming the attribute.
    pub fn check(&self) -> Result<()> {
        let required = [("id", &self.id), ("source", &self.source), ("type", &self.event_type)];
        if let Some((name, _)) = required.iter().find(|(_, text)| text.is_empty()) {
            return Err(Error::invalid("event", format!("the event's `{name}` is empty")));
        }
        let all = required.into_iter().chain(self.subject.iter().map(|subject| ("subject", subject)));
        for (name, text) in all {
            if text.len() > LONGEST || text.chars().any(char::is_control) {
                let message = format!("the event's `{name}` is longer than {LONGEST} bytes or has control characters");
                return Err(Error::invalid("event", message));
            }
        }
        if is_deeper(&self.data, DEEPEST) {
            return Err(Error::invalid("event", format!("the event's data is nested more than {DEEPEST} deep")));
        }
        if self.size() > MOST_DATA {
            return Err(Error::invalid("event", format!("the event's data has more than {MOST_DATA} bytes")));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        serde_json::to_vec(&self.data).map_or(usize::MAX, |data| data.len())
    }

    /// The same with what is at the top of its data alone, where all of it is too much to be kept.
    #[must_use]
    pub fn cut(self) -> Self {
        if self.size() <= MOST_DATA && !is_deeper(&self.data, DEEPEST) {
            return self;
        }
        let members = self.data.as_object().into_iter().flatten();
        let short = |value: &Json| scalar(value).is_some_and(|text| text.len() <= LONGEST);
        let members = members.filter(|(_, value)| short(value)).take(100);
        let data = Json::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect());
        Self { data, ..self }
    }

    /// A text, number or truth value of it: `subject`, `source`, `type`, `id`, or one in its data, `data.model.name`.
    pub fn field(&self, path: &str) -> Option<String> {
        match path {
            "id" => Some(self.id.clone()),
            "source" => Some(self.source.clone()),
            "type" => Some(self.event_type.clone()),
            "subject" => self.subject.clone(),
            _ => {
                let found = path.strip_prefix("data.")?.split('.').try_fold(&self.data, |value, name| value.get(name));
                scalar(found?)
            }
        }
    }

    /// The texts, numbers and truth values of its data by name.
    pub fn scalars(&self) -> impl Iterator<Item = (String, String)> {
        let members = self.data.as_object().into_iter().flatten();
        members.filter_map(|(name, value)| Some((name.clone(), scalar(value)?)))
    }
}

fn is_deeper(value: &Json, most: usize) -> bool {
    match value {
        Json::Array(items) => most == 0 || items.iter().any(|item| is_deeper(item, most - 1)),
        Json::Object(members) => most == 0 || members.values().any(|member| is_deeper(member, most - 1)),
        _ => false,
    }
}

/// A value as the text that a parameter would have; `None` for lists, objects and null.
pub fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(is) => Some(is.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// An event of a project, and how it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedEvent {
    /// In the order in which they came.
    pub sequence: i64,
    pub project: Name,
    /// The webhook that it came by; `None` for one that a person sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Name>,
    pub received: Timestamp,
    #[serde(flatten)]
    pub event: Event,
}

/// Which types of events are meant: `com.example.labelled`, or all that begin alike, `com.example.*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventPattern(String);

impl EventPattern {
    pub fn matches(&self, event: &Event) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => event.event_type.starts_with(beginning),
            None => event.event_type == self.0,
        }
    }
}

impl FromStr for EventPattern {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let fixed = text.strip_suffix('*').unwrap_or(text);
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '*';
        if text.is_empty() || text.len() > LONGEST || !fixed.chars().all(is_plain) {
            let message =
                format!("`{}` is no type of events such as com.example.labelled or com.example.*", text.escape_debug());
            return Err(Error::invalid("event-type", message));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for EventPattern {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<EventPattern> for String {
    fn from(pattern: EventPattern) -> Self {
        pattern.0
    }
}

impl JsonSchema for EventPattern {
    fn schema_name() -> Cow<'static, str> {
        "EventPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": r"^[^\s*]*\*?$", "description": "Such as `com.example.labelled` or `com.example.*`"})
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn event(event_type: &str, data: Json) -> Event {
        let (id, source) = ("1".to_owned(), "https://labels.example".to_owned());
        Event { id, source, event_type: event_type.to_owned(), subject: None, time: None, data }
    }

    #[test]
    fn a_pattern_means_one_type_or_all_that_begin_alike() {
        let event = event("com.example.labelled", Json::Null);
        for (pattern, is_meant) in [
            ("com.example.labelled", true),
            ("com.example.*", true),
            ("*", true),
            ("com.example", false),
            ("com.example.l", false),
            ("org.*", false),
        ] {
            assert_eq!(pattern.parse::<EventPattern>().expect(pattern).matches(&event), is_meant, "{pattern}");
        }
        for wrong in ["", "a b", "a*b", "**", "a\n"] {
            assert!(wrong.parse::<EventPattern>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_field_is_an_attribute_or_lies_in_the_data() {
        let event = event("t", json!({"model": {"name": "wine"}, "rows": 12, "ok": true, "list": [1]}));
        for (path, value) in [
            ("source", Some("https://labels.example")),
            ("data.model.name", Some("wine")),
            ("data.rows", Some("12")),
            ("data.ok", Some("true")),
            ("data.list", None),
            ("data.model", None),
            ("data.nothing", None),
            ("model", None),
            ("subject", None),
        ] {
            assert_eq!(event.field(path).as_deref(), value, "{path}");
        }
        assert_eq!(event.scalars().collect::<Vec<_>>(), [("ok".into(), "true".into()), ("rows".into(), "12".into())]);
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let sound = event("t", Json::Null);
        sound.check().expect("sound");
        for wrong in [
            Event { id: String::new(), ..sound.clone() },
            Event { source: "a".repeat(LONGEST + 1), ..sound.clone() },
            Event { subject: Some("a\nb".to_owned()), ..sound.clone() },
            Event { data: (0..40).fold(json!(1), |inner, _| json!([inner])), ..sound.clone() },
            Event { data: json!({"ref": "main", "commits": "x".repeat(MOST_DATA)}), ..sound.clone() },
        ] {
            assert_eq!(wrong.check().expect_err("refused").code, "event");
        }
        let much = Event { data: json!({"ref": "main", "commits": ["x".repeat(MOST_DATA)]}), ..sound };
        assert_eq!(much.cut().data, json!({"ref": "main"}));
    }
}
