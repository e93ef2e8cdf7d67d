//! What may stand in a file, said from its JSON Schema.

use crate::output::Rows;
use fuseml_domain::{Error, Result};
use serde_json::{Map, Value};

/// Where somebody looks, and what may stand there.
pub(crate) struct Explained {
    pub(crate) says: String,
    pub(crate) fields: Rows,
}

/// Explains a path such as `steps.wait.event`; names that a person chooses are left out of it.
///
/// # Errors
/// `not-found` for a field that is not there, with those that are.
pub(crate) fn explain(schema: &Value, path: Option<&str>) -> Result<Explained> {
    let (mut here, mut says) = (schema, description(schema, schema));
    let mut place = String::new();
    for name in path.into_iter().flat_map(|path| path.split('.')) {
        let fields = fields(schema, here);
        let field = fields.as_ref().and_then(|fields| fields.get(name)).ok_or_else(|| {
            let known: Vec<_> = fields.iter().flat_map(|fields| fields.keys()).map(String::as_str).collect();
            let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
            let place = if place.is_empty() { "it".to_owned() } else { format!("`{place}`") };
            Error::not_found("field", format!("{place} has no field `{name}`; there is {known}"))
        })?;
        says = description(schema, field);
        here = field;
        place += &format!("{}{name}", if place.is_empty() { "" } else { "." });
    }
    let mut rows = Rows::new(&["Field", "Takes", "Says"]);
    for (name, field) in fields(schema, here).into_iter().flatten() {
        rows.push([name.clone(), takes(schema, field), description(schema, field)]);
    }
    let takes = takes(schema, here);
    Ok(Explained { says: format!("{} ({takes})", says.trim_end_matches('.')), fields: rows })
}

/// What a reference means, and what may be left out as if it were there.
fn meant<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    if let Some(name) = node["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/")) {
        return meant(schema, &schema["$defs"][name]);
    }
    let one = node["anyOf"].as_array().and_then(|all| match all.as_slice() {
        [one, none] if none["type"] == "null" => Some(one),
        _ => None,
    });
    one.map_or(node, |one| meant(schema, one))
}

/// The fields of an object, or of what a list or a map has.
fn fields<'a>(schema: &'a Value, node: &'a Value) -> Option<&'a Map<String, Value>> {
    let node = meant(schema, node);
    match (&node["properties"], &node["additionalProperties"], &node["items"]) {
        (Value::Object(fields), _, _) => Some(fields),
        (_, inner @ Value::Object(_), _) | (_, _, inner @ Value::Object(_)) => fields(schema, inner),
        _ => None,
    }
}

/// The field's own words, else those of what it takes.
fn description(schema: &Value, node: &Value) -> String {
    let own = node["description"].as_str().or(node["title"].as_str());
    own.or(meant(schema, node)["description"].as_str()).unwrap_or_default().replace("\n ", " ")
}

fn takes(schema: &Value, node: &Value) -> String {
    let node = meant(schema, node);
    if let Some(values) = node["enum"].as_array() {
        return values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    }
    if let Some(one) = node["const"].as_str() {
        return one.to_owned();
    }
    let several = node["anyOf"].as_array().or(node["oneOf"].as_array()).filter(|_| node["properties"].is_null());
    if let Some(several) = several {
        let mut all: Vec<_> = several.iter().map(|one| takes(schema, one)).collect();
        all.dedup();
        return all.join(" or ");
    }
    let of = |inner: &Value| takes(schema, inner);
    match (&node["type"], &node["additionalProperties"], &node["items"]) {
        (Value::String(object), inner @ Value::Object(_), _) if object == "object" => format!("by name: {}", of(inner)),
        (Value::String(array), _, inner) if array == "array" => format!("a list: {}", of(inner)),
        (Value::String(object), _, _) if object == "object" => "fields".to_owned(),
        (Value::String(string), _, _) if string == "string" => "text".to_owned(),
        (Value::String(other), _, _) => other.clone(),
        (Value::Array(types), _, _) => {
            let types = types.iter().filter_map(Value::as_str).filter(|it| *it != "null");
            types.map(|it| if it == "string" { "text" } else { it }).collect::<Vec<_>>().join(" or ")
        }
        _ => "anything".to_owned(),
    }
}
