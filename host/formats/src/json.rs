//! JSON lines: the fields of the first objects.

use crate::{ReadAt, Result, Table, malformed};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// So much of a file is read, in bytes.
const BEGINNING: u64 = 1 << 20;

pub(crate) fn read_lines(file: &dyn ReadAt) -> Result<Table> {
    let whole = file.size() <= BEGINNING;
    let bytes = file.read_at(0, usize::try_from(file.size().min(BEGINNING)).unwrap_or(0))?;
    let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
    if !whole {
        lines.pop();
    }
    let mut types: BTreeMap<String, &'static str> = BTreeMap::new();
    let mut rows = 0;
    for line in lines.into_iter().filter(|line| !line.trim_ascii().is_empty()) {
        rows += 1;
        let object: Map<String, Value> = serde_json::from_slice(line)
            .map_err(|error| malformed(format!("its line {rows} is no object: {error}")))?;
        for (name, value) in object {
            let kind = kind_of(&value);
            let known = types.entry(name).or_insert(kind);
            *known = join(known, kind);
        }
    }
    let columns = types.into_iter().map(|(name, kind)| (name, kind.to_owned())).collect();
    Ok(Table { columns, rows: whole.then_some(rows) })
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn join(one: &'static str, other: &'static str) -> &'static str {
    match (one, other) {
        ("null", known) | (known, "null") => known,
        (one, other) if one == other => one,
        ("integer" | "number", "integer" | "number") => "number",
        _ => "mixed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_joined_over_the_lines() {
        let table = read_lines(&b"{\"a\": 1, \"b\": null}\n\n{\"a\": 2.5, \"b\": \"x\", \"c\": []}\n".to_vec());
        let table = table.expect("table");
        let shown: Vec<_> = table.columns.iter().map(|(name, kind)| format!("{name}:{kind}")).collect();
        assert_eq!(
            (shown, table.rows),
            (vec!["a:number".to_owned(), "b:text".to_owned(), "c:list".to_owned()], Some(2))
        );
        assert!(read_lines(&b"[1]\n".to_vec()).is_err());
    }
}
