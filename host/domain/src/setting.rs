//! Settings of an instance: what a manifest declares of them, and what a value must be.

use crate::{AllowedHost, Error, Result};
use jsonschema::{PatternOptions, Validator};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The type of an instance's setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SettingType {
    Text,
    Url,
    Integer,
    Boolean,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Setting {
    #[serde(rename = "type")]
    pub setting_type: SettingType,
    pub description: String,
    #[serde(default)]
    pub required: bool,
    pub default: Option<String>,
    /// More about the value, as a JSON Schema (2020-12) of [`KEYWORDS`].
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub schema: Map<String, Value>,
}

/// What a schema may say. References and combinations could make a check run for ever, and one value needs none.
const KEYWORDS: [&str; 13] = [
    "const",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxLength",
    "maximum",
    "minLength",
    "minimum",
    "multipleOf",
    "pattern",
    "title",
];

impl Setting {
    /// Refuses a schema that says what it may not, or a default that its own schema refuses.
    pub(crate) fn check_declaration(&self, name: &str) -> Result<()> {
        if let Some(keyword) = self.schema.keys().find(|keyword| !KEYWORDS.contains(&keyword.as_str())) {
            let known = KEYWORDS.join(", ");
            let message = format!("the schema of the setting `{name}` says `{keyword}`; it may say {known}");
            return Err(Error::invalid("setting-schema", message));
        }
        self.validator(name)?;
        match &self.default {
            Some(default) => self.check(name, default).map(drop).map_err(|error| error.context("a default")),
            None => Ok(()),
        }
    }

    fn validator(&self, name: &str) -> Result<Validator> {
        // Patterns are a stranger's: this engine's time grows with the text alone.
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
        options.build(&Value::Object(self.schema.clone())).map_err(|error| {
            Error::invalid("setting-schema", format!("the schema of the setting `{name}` is not valid: {error}"))
        })
    }

    /// The value in its canonical text.
    pub(crate) fn check(&self, name: &str, value: &str) -> Result<String> {
        let refuse = |expected: &str| {
            Error::invalid("setting", format!("the setting `{name}` takes {expected}, not `{}`", value.escape_debug()))
        };
        let (text, json) = match self.setting_type {
            SettingType::Text => (value.to_owned(), Value::from(value)),
            SettingType::Integer => {
                let number = value.parse::<i64>().map_err(|_| refuse("an integer"))?;
                (number.to_string(), Value::from(number))
            }
            SettingType::Boolean => {
                let answer = value.parse::<bool>().map_err(|_| refuse("true or false"))?;
                (answer.to_string(), Value::from(answer))
            }
            SettingType::Url => {
                value.parse::<AllowedHost>().map_err(|_| refuse("a URL such as http://mlflow.example:5000"))?;
                let url = value.trim_end_matches('/');
                (url.to_owned(), Value::from(url))
            }
        };
        if !self.schema.is_empty() {
            self.validator(name)?.validate(&json).map_err(|error| {
                Error::invalid("setting", format!("the setting `{name}` is not what it should be: {error}"))
            })?;
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(toml: &str) -> Setting {
        toml::from_str(&format!("description = \"d\"\n{toml}")).expect("a setting")
    }

    #[test]
    fn a_value_is_what_its_type_and_its_schema_say() {
        let port = setting("type = \"integer\"\nschema = {minimum = 1, maximum = 65535}");
        let mode = setting("type = \"text\"\nschema = {enum = [\"fast\", \"safe\"]}");
        let name = setting("type = \"text\"\nschema = {pattern = \"^[a-z]+$\", maxLength = 5}");
        for (setting, value, said) in [
            (&port, "8080", None),
            (&port, "0", Some("0 is less than the minimum of 1")),
            (&port, "many", Some("takes an integer")),
            (&mode, "safe", None),
            (&mode, "slow", Some("\"slow\" is not one of")),
            (&name, "abc", None),
            (&name, "ABC", Some("does not match")),
            (&name, "abcdef", Some("is longer than 5 characters")),
        ] {
            match (setting.check("it", value), said) {
                (Ok(kept), None) => assert_eq!(kept, value),
                (Err(error), Some(said)) => assert!(error.message.contains(said), "{value}: {error}"),
                (got, _) => panic!("{value}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_schema_that_could_do_harm_or_means_nothing_is_refused() {
        for (toml, said) in [
            ("schema = {\"$ref\" = \"#\"}", "says `$ref`"),
            ("schema = {allOf = [{}]}", "says `allOf`"),
            ("schema = {pattern = \"(\"}", "is not valid"),
            ("schema = {pattern = \"(a)\\\\1\"}", "is not valid"),
            ("schema = {minLength = \"long\"}", "is not valid"),
            ("default = \"x\"\nschema = {minLength = 2}", "a default"),
        ] {
            let error = setting(&format!("type = \"text\"\n{toml}")).check_declaration("it").expect_err(toml);
            assert!(error.message.contains(said), "{toml}: {error}");
        }
    }
}
