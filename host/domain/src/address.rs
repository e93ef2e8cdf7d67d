//! The one addressing scheme of every artifact (S105): parser, formatter, selectors.
//!
//! `<scheme>://<project>/<name>[/<version>][@<tag>]`; where a name adds nothing the one segment after the
//! project is the immutable id. Which of the two a segment is only the catalog can say. A selector may go on with
//! ` where <condition>`.

use crate::{Comparison, Condition, Descriptor, Error, Field, Kind, Name, Result, Test};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Where an artifact is found. A reference as a person writes it or, from a descriptor, the canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    pub kind: Kind,
    pub project: Name,
    /// The artifact's name, or its id (or the beginning of it) where no version follows.
    pub name: Name,
    /// Commit, digest (or the beginning of it), or number of the version.
    pub version: Option<Name>,
    /// A movable reference; excludes a version.
    pub tag: Option<Name>,
}

impl Address {
    /// The canonical address of one version: what a descriptor carries.
    pub fn of_version(kind: Kind, project: &Name, name: &Name, id: &Name) -> Self {
        let (name, version) = if kind.named() { (name, Some(id.clone())) } else { (id, None) };
        Self { kind, project: project.clone(), name: name.clone(), version, tag: None }
    }

    /// Parses with short forms resolved inside `project`: `myapp`, `myapp/f3b0924` and `myapp@prod` of `kind`.
    pub fn parse_in(text: &str, kind: Kind, project: &Name) -> Result<Self> {
        if text.contains("://") {
            return text.parse();
        }
        format!("{}://{project}/{text}", kind.scheme()).parse()
    }

    /// For people: the identity cut to the digits they can compare.
    pub fn short(&self) -> String {
        let digits = self.kind.shown_digits();
        let cut = |id: &str| if is_hex(id) { id.chars().take(digits).collect() } else { id.to_owned() };
        let mut shown = self.clone();
        let last = shown.version.as_mut().unwrap_or(&mut shown.name);
        if let Ok(short) = cut(last).parse() {
            *last = short;
        }
        shown.to_string()
    }
}

fn is_hex(text: &str) -> bool {
    text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.kind.scheme(), self.project, self.name)?;
        if let Some(version) = &self.version {
            write!(f, "/{version}")?;
        }
        if let Some(tag) = &self.tag {
            write!(f, "@{tag}")?;
        }
        Ok(())
    }
}

/// The parts of an address or selector, before names are checked.
struct Parts<'a> {
    kind: Kind,
    segments: Vec<&'a str>,
    tag: Option<&'a str>,
}

fn malformed(what: &str, text: &str, why: impl fmt::Display) -> Error {
    Error::invalid(
        what,
        format!(
            "`{}` is not {}: {why}; the form is <scheme>://<project>/<name>[/<version>][@<tag>]",
            text.escape_debug(),
            if what == "address" { "an address" } else { "a selector" },
        ),
    )
}

fn split<'a>(what: &str, text: &'a str) -> Result<Parts<'a>> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| malformed(what, text, "it has no scheme"))?;
    let kind = Kind::from_scheme(scheme).ok_or_else(|| {
        let schemes: Vec<_> = Kind::all().map(Kind::scheme).collect();
        malformed(what, text, format!("`{scheme}` is not one of the schemes {}", schemes.join(", ")))
    })?;
    let (path, tag) = match rest.split_once('@') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    let segments: Vec<_> = path.split('/').collect();
    if segments.len() > 3 {
        return Err(malformed(what, text, "it has more than three parts"));
    }
    if segments.len() == 3 && tag.is_some() {
        return Err(malformed(what, text, "a version and a tag exclude each other"));
    }
    Ok(Parts { kind, segments, tag })
}

fn part(what: &str, text: &str, part: &str) -> Result<Name> {
    part.parse().map_err(|error: Error| malformed(what, text, error.message))
}

impl FromStr for Address {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parts = split("address", text)?;
        let checked = |segment: &str| {
            if segment == "*" {
                return Err(malformed("address", text, "`*` belongs to selectors"));
            }
            part("address", text, segment)
        };
        let [project, name, version @ ..] = parts.segments.as_slice() else {
            return Err(malformed("address", text, "it needs a project and a name"));
        };
        Ok(Self {
            kind: parts.kind,
            project: checked(project)?,
            name: checked(name)?,
            version: version.first().map(|v| checked(v)).transpose()?,
            tag: parts.tag.map(checked).transpose()?,
        })
    }
}

impl TryFrom<String> for Address {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// Between a selector's pattern and its condition.
const WHERE: &str = " where ";

/// A pattern that matches addresses: `code://*`, `model://myproj/*`, `model://*@production`, and
/// `model://* where accuracy > 0.9`. A part that is `None` matches anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    pub kind: Kind,
    pub project: Option<Name>,
    pub name: Option<Name>,
    pub version: Option<Name>,
    pub tag: Option<Name>,
    /// What else it must be.
    pub condition: Option<Box<Condition>>,
}

impl Selector {
    /// Whether the artifact is meant.
    pub fn matches(&self, artifact: &Descriptor) -> bool {
        self.condition().matches(artifact)
    }

    /// The same as one condition.
    pub fn condition(&self) -> Condition {
        let equals =
            |field, value: &str| Condition::Is(Test { field, comparison: Comparison::Equals(value.to_owned()) });
        let mut all = vec![equals(Field::Kind, self.kind.name())];
        all.extend(self.project.iter().map(|project| equals(Field::Project, project)));
        all.extend(self.name.iter().map(|name| match self.version {
            Some(_) => equals(Field::Name, name),
            None => Condition::Any(vec![equals(Field::Name, name), equals(Field::Version, name)]),
        }));
        all.extend(self.version.iter().map(|version| equals(Field::Version, version)));
        all.extend(self.tag.iter().map(|tag| equals(Field::Tag, tag)));
        all.extend(self.condition.as_deref().cloned());
        Condition::All(all)
    }

    /// The address, when the selector names exactly one artifact, whatever else it must be.
    pub fn exact(&self) -> Option<Address> {
        Some(Address {
            kind: self.kind,
            project: self.project.clone()?,
            name: self.name.clone()?,
            version: self.version.clone(),
            tag: self.tag.clone(),
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_any = |part: &Option<Name>| part.as_ref().map_or("*".to_owned(), ToString::to_string);
        write!(f, "{}://{}", self.kind.scheme(), or_any(&self.project))?;
        if self.project.is_some() || self.name.is_some() || self.version.is_some() {
            write!(f, "/{}", or_any(&self.name))?;
        }
        if let Some(version) = &self.version {
            write!(f, "/{version}")?;
        }
        if let Some(tag) = &self.tag {
            write!(f, "@{tag}")?;
        }
        if let Some(condition) = &self.condition {
            write!(f, "{WHERE}{condition}")?;
        }
        Ok(())
    }
}

impl FromStr for Selector {
    type Err = Error;
    fn from_str(whole: &str) -> Result<Self> {
        let (text, condition) = match whole.split_once(WHERE) {
            Some((text, condition)) => (text.trim(), Some(Box::new(condition.parse::<Condition>()?))),
            None => (whole, None),
        };
        let parts = split("selector", text)?;
        let pattern = |segment: Option<&&str>| match segment {
            None | Some(&"*") => Ok(None),
            Some(segment) => part("selector", text, segment).map(Some),
        };
        let segments = &parts.segments;
        Ok(Self {
            kind: parts.kind,
            project: pattern(segments.first())?,
            name: pattern(segments.get(1))?,
            version: pattern(segments.get(2))?,
            tag: parts.tag.map(|tag| part("selector", text, tag)).transpose()?,
            condition,
        })
    }
}

impl TryFrom<String> for Selector {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
