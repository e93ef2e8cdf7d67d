//! YAML as a tree that remembers its lines, so that every error can name file and line.
//!
//! Scalars stay text as written: `python: 3.10` is 3.10 and a default of `1e-3` is 1e-3. Trees are bounded in
//! depth and size, aliases included: the files are a stranger's. An event parser and this module make a
//! component a third of the size that a serde-based reader makes.

use fuseml_extension::{Error, Result};
use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

const MOST_NODES: usize = 20_000;
const DEEPEST: usize = 32;

/// Where a sentence about a file points to: `` `conda.yaml` line 7 ``.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub file: Rc<str>,
    /// 0 for the file as a whole.
    pub line: usize,
}

impl Place {
    /// The file as a whole.
    pub(crate) fn file(file: &str) -> Self {
        Self { file: file.into(), line: 0 }
    }

    /// An error at this place.
    pub(crate) fn invalid(&self, code: &str, message: impl fmt::Display) -> Error {
        self.locate(Error::invalid(code, format!("{self}: {message}")))
    }

    /// The same for what is right and cannot be done here.
    pub(crate) fn unsupported(&self, code: &str, message: impl fmt::Display) -> Error {
        self.locate(Error::unsupported(code, format!("{self}: {message}")))
    }

    fn locate(&self, error: Error) -> Error {
        let error = error.detail("file", &*self.file);
        if self.line == 0 { error } else { error.detail("line", self.line.to_string()) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "`{}`", self.file),
            line => write!(f, "`{}` line {line}", self.file),
        }
    }
}

/// A value and where it starts.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Text(String),
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The value of a key; a key with nothing behind it is none.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|(name, node)| name == key && !matches!(node.value, Value::Null)).map(|(_, node)| node)
    }

    /// The text that `what` must be.
    pub(crate) fn text(&self, what: &str) -> Result<&str> {
        match &self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.place.invalid("yaml", format!("{what} must be text"))),
        }
    }

    /// The items of the list under a key, none if it is not there.
    pub(crate) fn list(&self, key: &str) -> Result<&[Node]> {
        match self.get(key).map(|node| (&node.value, node)) {
            None => Ok(&[]),
            Some((Value::List(items), _)) => Ok(items),
            Some((_, node)) => Err(node.place.invalid("yaml", format!("`{key}` must be a list"))),
        }
    }

    /// The entries of the mapping under a key, none if it is not there.
    pub(crate) fn map(&self, key: &str) -> Result<&[(String, Node)]> {
        match self.get(key).map(|node| (&node.value, node)) {
            None => Ok(&[]),
            Some((Value::Map(entries), _)) => Ok(entries),
            Some((_, node)) => Err(node.place.invalid("yaml", format!("`{key}` must be names, each with a value"))),
        }
    }
}

/// The one document of a file, which must be a mapping or empty.
pub(crate) fn parse(file: &str, text: &str) -> Result<Node> {
    let mut reader =
        Reader { file: file.into(), parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut document = Node { place: Place::file(file), value: Value::Map(Vec::new()) };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _) => {}
            (Event::StreamEnd, _) => return Ok(document),
            (event, span) => {
                let node = reader.node(event, span, 0)?;
                match node.value {
                    Value::Map(_) => document = node,
                    Value::Null => {}
                    _ => return Err(node.place.invalid("yaml", "the file must be names, each with a value")),
                }
            }
        }
    }
}

struct Reader<'a> {
    file: Rc<str>,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span)> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(self.broken(&error)),
            None => Err(Place { file: self.file.clone(), line: 0 }.invalid("yaml", "the file ends too early")),
        }
    }

    fn broken(&self, error: &ScanError) -> Error {
        let place = Place { file: self.file.clone(), line: error.marker().line() };
        place.invalid("yaml", format!("this is not YAML: {}", error.info()))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node> {
        let place = Place { file: self.file.clone(), line: span.start.line() };
        self.nodes += 1;
        if depth > DEEPEST || self.nodes > MOST_NODES {
            return Err(place.invalid("yaml", "the file is nested too deeply or too long"));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _tag) => (scalar(&text, style), anchor),
            Event::SequenceStart(_, anchor, _tag) => (self.list(depth)?, anchor),
            Event::MappingStart(_, anchor, _tag) => (self.map(depth)?, anchor),
            Event::Alias(anchor) => return self.alias(anchor, &place),
            _ => return Err(place.invalid("yaml", "this is not YAML: a value is missing")),
        };
        let node = Node { place, value };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, place: &Place) -> Result<Node> {
        let node = self.anchors.get(&anchor).cloned();
        let node = node.ok_or_else(|| place.invalid("yaml", "an alias within its own anchor"))?;
        self.nodes += size(&node);
        match self.nodes > MOST_NODES {
            true => Err(place.invalid("yaml", "the file is too long with its aliases filled in")),
            false => Ok(node),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Value::Map(entries));
            }
            let key = self.node(event, span, depth + 1)?;
            let name = key.text("a name")?.to_owned();
            if entries.iter().any(|(other, _)| *other == name) {
                return Err(key.place.invalid("yaml", format!("`{name}` is given twice; keep one")));
            }
            let (event, span) = self.next()?;
            entries.push((name, self.node(event, span, depth + 1)?));
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let null = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
    if null { Value::Null } else { Value::Text(text.to_owned()) }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Null | Value::Text(_) => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|(_, node)| size(node)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_what_strangers_write() {
        let bomb: String = (1..12)
            .map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", ")))
            .fold("a0: &a0 x\n".to_owned(), |all, line| all + &line);
        for text in [bomb, format!("a: {}", "[".repeat(100)), "a: 1\na: 2".to_owned(), "[1]".to_owned()] {
            assert_eq!(parse("f", &text).unwrap_err().code, "yaml", "{text:.40}");
        }
        assert!(matches!(parse("f", "# nothing\n").unwrap().value, Value::Map(entries) if entries.is_empty()));
    }
}
