//! `MLproject`: entry points, their parameters, and which environment file counts.

use crate::PROJECT_FILE;
use crate::yaml::{self, Node, Place, Value};
use fuseml_extension::builder::ValueType;
use fuseml_extension::{Error, Result, files};

/// An MLproject file; MLflow ignores keys that it does not know, and so does this.
#[derive(Debug)]
pub(crate) struct Project(pub Node);

/// The entry point that a trainer runs, checked.
#[derive(Debug, PartialEq)]
pub(crate) struct EntryPoint {
    pub name: String,
    pub parameters: Vec<Parameter>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Parameter {
    pub name: String,
    pub value_type: ValueType,
    /// MLflow's own word, where it says more than the type: `path`, `uri`.
    pub note: Option<&'static str>,
    pub default: Option<String>,
}

/// The project of the codeset that the call is about.
pub(crate) fn read() -> Result<Project> {
    let Some(text) = files::read_text_if_there(PROJECT_FILE)? else {
        let message = format!(
            "there is no `{PROJECT_FILE}` at the top of the codeset; add one with an entry point `main`, or \
             choose another builder"
        );
        return Err(Error::invalid("no-mlproject", message).detail("file", PROJECT_FILE));
    };
    yaml::parse(PROJECT_FILE, &text).map(Project)
}

impl Project {
    /// `main`, or the only one there is.
    pub(crate) fn main_entry_point(&self) -> Result<EntryPoint> {
        let points = self.0.map("entry_points")?;
        let found = points.iter().find(|(name, _)| name == "main").or(match points {
            [only] => Some(only),
            _ => None,
        });
        if let Some((name, node)) = found {
            return check(name, node);
        }
        let place = Place::file(PROJECT_FILE);
        if points.is_empty() {
            let example = "`entry_points: {main: {command: \"python train.py\"}}`";
            return Err(place.invalid("no-entry-point", format!("it declares no entry point; add {example}")));
        }
        let names: Vec<&str> = points.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join("`, `");
        Err(place.invalid(
            "no-main-entry-point",
            format!("of its entry points `{names}` none is called `main`; rename the one that trains"),
        ))
    }
}

fn check(name: &str, node: &Node) -> Result<EntryPoint> {
    let Some(command) = node.get("command") else {
        let message = format!("the entry point `{name}` has no `command`; add one, such as `python train.py`");
        return Err(node.place.invalid("no-command", message));
    };
    let parameters: Vec<Parameter> =
        node.map("parameters")?.iter().map(|(name, node)| parameter(name, node)).collect::<Result<_>>()?;
    check_command(name, command, &parameters)?;
    Ok(EntryPoint { name: name.to_owned(), parameters })
}

/// `alpha: float`, or `alpha: {type: float, default: 0.5}`.
fn parameter(name: &str, node: &Node) -> Result<Parameter> {
    let place = &node.place;
    // It becomes part of a command line argument, `-Palpha=…`.
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if name.is_empty() || !name.chars().all(fits) {
        let message = format!("`{name}` is no name for a parameter; use letters, digits, `_`, `.` and `-`");
        return Err(place.invalid("parameter-name", message));
    }
    let (type_name, default) = match &node.value {
        Value::Text(type_name) => (Some(type_name.as_str()), None),
        _ => {
            let text = |key: &str| node.get(key).map(|node| node.text(&format!("`{key}`"))).transpose();
            (text("type")?, text("default")?.map(str::to_owned))
        }
    };
    let (value_type, note) = match type_name.unwrap_or("string").to_ascii_lowercase().as_str() {
        "float" | "number" => (ValueType::Number, None),
        "int" | "integer" => (ValueType::Integer, None),
        "path" => (ValueType::Text, Some("a path or URI; MLflow downloads it before the run")),
        "uri" => (ValueType::Text, Some("a URI")),
        _ => (ValueType::Text, None),
    };
    if let Some(text) = &default {
        let (fits, wanted) = match value_type {
            ValueType::Number => (text.parse::<f64>().is_ok_and(f64::is_finite), "a number"),
            ValueType::Integer => (text.parse::<i64>().is_ok(), "an integer"),
            ValueType::Text | ValueType::Boolean => (true, "text"),
        };
        if !fits {
            let message = format!("the default of the parameter `{name}` must be {wanted}, not `{text}`");
            return Err(place.invalid("parameter-default", message));
        }
    }
    Ok(Parameter { name: name.to_owned(), value_type, note, default })
}

/// MLflow fills the command with Python's `str.format`: whatever stands in braces must be a parameter, or the
/// run would fail much later.
fn check_command(entry_point: &str, command: &Node, parameters: &[Parameter]) -> Result<()> {
    let place = &command.place;
    let mut rest = command.text("`command`")?;
    while let Some(at) = rest.find(['{', '}']) {
        let (brace, after) = rest.split_at(at).1.split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            rest = after; // `{{` and `}}` stand for one brace
            continue;
        }
        let Some((field, after)) = after.split_once('}').filter(|_| brace == "{") else {
            let message = format!("the command of `{entry_point}` has a lone `{brace}`; write it twice if it is meant");
            return Err(place.invalid("command-brace", message));
        };
        let name = field.split([':', '!']).next().unwrap_or(field);
        if !parameters.iter().any(|parameter| parameter.name == name) {
            let message = format!(
                "the command of `{entry_point}` uses `{{{field}}}`, and there is no parameter `{name}`; declare it \
                 under `parameters`, or write `{{{{{field}}}}}` if the braces are meant"
            );
            return Err(place.invalid("undeclared-parameter", message));
        }
        rest = after;
    }
    Ok(())
}
