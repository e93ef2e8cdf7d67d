//! Texts with references in them: `Publish ${steps.train.model}?`. What is written `$${` is `${`.

use crate::{Error, Reference, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::{borrow::Cow, fmt, str::FromStr};

const OPEN: &str = "${";
const ESCAPED: &str = "$${";

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Reference(Reference),
}

/// A text in which references stand for what they lead to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interpolated(Vec<Piece>);

impl Interpolated {
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Reference(reference) => Some(reference),
            Piece::Literal(_) => None,
        })
    }

    /// The text with what is said for each reference.
    ///
    /// # Errors
    /// Those of `said`.
    pub fn filled(&self, said: impl Fn(&Reference) -> Result<String>) -> Result<String> {
        let said = |piece: &Piece| match piece {
            Piece::Literal(text) => Ok(text.clone()),
            Piece::Reference(reference) => said(reference),
        };
        self.0.iter().map(said).collect()
    }

    /// The same with other references, or texts, in place of its own.
    pub(crate) fn replaced(&self, by: &impl Fn(&Reference) -> Result<Replacement>) -> Result<Self> {
        let mut pieces = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => pieces.push(Piece::Literal(text.clone())),
                Piece::Reference(reference) => match by(reference)? {
                    Replacement::Reference(reference) => pieces.push(Piece::Reference(reference)),
                    Replacement::Literal(text) => pieces.push(Piece::Literal(text)),
                    Replacement::Text(text) => pieces.extend(text.0),
                },
            }
        }
        Self::of(pieces)
    }

    /// A text that is only that, whatever it looks like.
    pub(crate) fn literal(text: &str) -> Self {
        Self(vec![Piece::Literal(text.to_owned())])
    }

    /// What it is where it is one reference, or none.
    pub(crate) fn alone(mut self) -> Replacement {
        match (self.0.pop(), self.0.is_empty()) {
            (None, _) => Replacement::Literal(String::new()),
            (Some(Piece::Reference(reference)), true) => Replacement::Reference(reference),
            (Some(Piece::Literal(text)), true) => Replacement::Literal(text),
            (Some(last), false) => {
                self.0.push(last);
                Replacement::Text(self)
            }
        }
    }

    /// With texts that stand beside each other as one, so that what is shown reads as the same.
    fn of(pieces: Vec<Piece>) -> Result<Self> {
        let mut all: Vec<Piece> = Vec::new();
        for piece in pieces {
            match (all.last_mut(), piece) {
                (Some(Piece::Literal(before)), Piece::Literal(text)) => before.push_str(&text),
                (Some(Piece::Literal(before)), Piece::Reference(reference)) if before.ends_with('$') => {
                    let message =
                        format!("`{before}` ends with `$`, and {reference} follows: put something in between");
                    return Err(Error::invalid("reference", message));
                }
                (_, piece) => all.push(piece),
            }
        }
        Ok(Self(all))
    }
}

/// What stands in the place of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replacement {
    Reference(Reference),
    Literal(String),
    /// A text with references in it.
    Text(Interpolated),
}

impl FromStr for Interpolated {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('$') {
            literal.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix(ESCAPED) {
                literal.push_str(OPEN);
                rest = after;
            } else if rest.starts_with(OPEN) {
                let end = rest.find('}').ok_or_else(|| {
                    let message = format!("`{text}` has a reference without an end; write `{ESCAPED}` for `{OPEN}`");
                    Error::invalid("reference", message)
                })?;
                let reference = rest[..=end].parse()?;
                pieces.extend((!literal.is_empty()).then(|| Piece::Literal(std::mem::take(&mut literal))));
                pieces.push(Piece::Reference(reference));
                rest = &rest[end + 1..];
            } else {
                literal.push('$');
                rest = &rest[1..];
            }
        }
        literal.push_str(rest);
        pieces.extend((!literal.is_empty()).then_some(Piece::Literal(literal)));
        Self::of(pieces)
    }
}

impl fmt::Display for Interpolated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Literal(text) => f.write_str(&text.replace(OPEN, ESCAPED)),
            Piece::Reference(reference) => write!(f, "{reference}"),
        })
    }
}

impl TryFrom<String> for Interpolated {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Interpolated> for String {
    fn from(text: Interpolated) -> Self {
        text.to_string()
    }
}

impl JsonSchema for Interpolated {
    fn schema_name() -> Cow<'static, str> {
        "Interpolated".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "A text with references in it; `$${` is `${`"})
    }
}

/// JSON whose texts are interpolated; the names of members are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Json", into = "Json")]
#[schemars(transparent)]
pub struct InterpolatedJson(Json);

impl InterpolatedJson {
    pub fn references(&self) -> Vec<Reference> {
        let mut found = Vec::new();
        // Each was read before.
        drop(each_text(&self.0, &mut |text| {
            found.extend(text.references().cloned());
            Ok(String::new())
        }));
        found
    }

    /// The JSON with what is said for each reference.
    ///
    /// # Errors
    /// Those of `said`.
    pub fn filled(&self, said: impl Fn(&Reference) -> Result<String>) -> Result<Json> {
        each_text(&self.0, &mut |text| text.filled(&said))
    }

    pub(crate) fn replaced(&self, by: &impl Fn(&Reference) -> Result<Replacement>) -> Result<Self> {
        each_text(&self.0, &mut |text| text.replaced(by).map(String::from)).map(Self)
    }
}

fn each_text(json: &Json, become_: &mut impl FnMut(Interpolated) -> Result<String>) -> Result<Json> {
    Ok(match json {
        Json::String(text) => Json::String(become_(text.parse()?)?),
        Json::Array(items) => Json::Array(items.iter().map(|item| each_text(item, become_)).collect::<Result<_>>()?),
        Json::Object(members) => {
            let each = members.iter().map(|(name, value)| Ok((name.clone(), each_text(value, become_)?)));
            Json::Object(each.collect::<Result<_>>()?)
        }
        other => other.clone(),
    })
}

impl TryFrom<Json> for InterpolatedJson {
    type Error = Error;
    fn try_from(json: Json) -> Result<Self> {
        each_text(&json, &mut |_| Ok(String::new()))?;
        Ok(Self(json))
    }
}

impl From<InterpolatedJson> for Json {
    fn from(json: InterpolatedJson) -> Self {
        json.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn said(reference: &Reference) -> Result<String> {
        Ok(format!("<{reference}>"))
    }

    #[test]
    fn references_stand_within_a_text_and_are_filled() {
        let text: Interpolated = "5 $ for ${inputs.code}, not $${this}: ${steps.train.model}".parse().expect("text");
        let found: Vec<_> = text.references().map(ToString::to_string).collect();
        assert_eq!(found, ["${inputs.code}", "${steps.train.model}"]);
        let filled = text.filled(said).expect("filled");
        assert_eq!(filled, "5 $ for <${inputs.code}>, not ${this}: <${steps.train.model}>");
        for wrong in ["${inputs.code", "${nothing}", "a ${steps.x} b"] {
            assert_eq!(wrong.parse::<Interpolated>().expect_err(wrong).code, "reference", "{wrong}");
        }
    }

    #[test]
    fn what_is_replaced_by_a_text_stays_that_text() {
        let text: Interpolated = "${inputs.a}${inputs.b} ${inputs.c}".parse().expect("text");
        let by = |b: &'static str| {
            move |reference: &Reference| {
                Ok(match reference.to_string().as_str() {
                    "${inputs.a}" => Replacement::Literal("$".to_owned()),
                    "${inputs.b}" => Replacement::Literal(b.to_owned()),
                    _ => Replacement::Reference(reference.clone()),
                })
            }
        };
        let replaced = text.replaced(&by("{inputs.x}")).expect("replaced");
        assert_eq!(replaced.to_string().parse::<Interpolated>().expect("again"), replaced);
        assert_eq!(replaced.filled(said).expect("filled"), "${inputs.x} <${inputs.c}>");
        let dollar: Interpolated = "${inputs.a}${inputs.c}".parse().expect("text");
        assert!(dollar.replaced(&by("")).expect_err("two readings").message.contains("put something in between"));
    }

    #[test]
    fn the_texts_of_json_are_filled_wherever_they_stand() {
        let json = json!({"${a}": ["x ${inputs.code}", 1, null, {"deep": "${inputs.code}"}]});
        let read = InterpolatedJson::try_from(json).expect("json");
        assert_eq!(read.references().len(), 2);
        let filled = read.filled(|_| Ok("c".to_owned())).expect("filled");
        assert_eq!(filled, json!({"${a}": ["x c", 1, null, {"deep": "c"}]}));
        assert!(InterpolatedJson::try_from(json!({"a": "${wrong}"})).is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_as_the_same(text in "[a$ {}.]{0,12}(\\$\\{inputs\\.a\\})?[a$ {}.]{0,12}") {
            if let Ok(read) = text.parse::<Interpolated>() {
                prop_assert_eq!(read.to_string().parse::<Interpolated>().expect("again"), read);
            }
        }
    }
}
