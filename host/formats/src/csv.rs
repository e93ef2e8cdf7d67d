//! CSV: the columns' names from the first line, their types from the lines after it.

use crate::{ReadAt, Result, Table, malformed};

/// Files up to this size, in bytes, are read whole, and their rows counted.
const WHOLE: u64 = 8 << 20;
/// Of larger ones so much is read.
const BEGINNING: u64 = 1 << 20;
const MOST_COLUMNS: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Type {
    Unknown,
    Boolean,
    Integer,
    Number,
    Text,
}

pub(crate) fn read(file: &dyn ReadAt) -> Result<Table> {
    let whole = file.size() <= WHOLE;
    let length = if whole { file.size() } else { BEGINNING };
    let mut bytes = file.read_at(0, usize::try_from(length).unwrap_or(0))?;
    if !whole {
        // The last line is cut off.
        let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(bytes.len());
        bytes.truncate(end);
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter(text)).flexible(true).from_reader(text);
    let names = reader.headers().map_err(|error| malformed(error.to_string()))?.clone();
    if names.len() > MOST_COLUMNS {
        return Err(malformed(format!("it would have {} columns", names.len())));
    }
    let mut types = vec![Type::Unknown; names.len()];
    let mut rows = 0;
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| malformed(error.to_string()))? {
        rows += 1;
        if record.len() != names.len() {
            return Err(malformed(format!(
                "its row {rows} has {} fields, its first line {}",
                record.len(),
                names.len()
            )));
        }
        for (known, field) in types.iter_mut().zip(&record) {
            *known = join(*known, type_of(field));
        }
    }
    let columns = names.iter().zip(types).map(|(name, kind)| {
        let kind = match kind {
            Type::Boolean => "boolean",
            Type::Integer => "integer",
            Type::Number => "number",
            Type::Unknown | Type::Text => "text",
        };
        (name.trim().to_owned(), kind.to_owned())
    });
    Ok(Table { columns: columns.collect(), rows: whole.then_some(rows) })
}

/// Whichever of the usual ones the first line has most of.
fn delimiter(text: &[u8]) -> u8 {
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: &u8| first.iter().filter(|byte| *byte == delimiter).count();
    // The first of several that are as many: a comma unless another one has more.
    b",;\t|".iter().rev().max_by_key(|delimiter| count(delimiter)).copied().unwrap_or(b',')
}

fn type_of(field: &[u8]) -> Type {
    let text = String::from_utf8_lossy(field);
    match text.trim() {
        "" | "NA" | "NaN" | "nan" | "null" | "NULL" => Type::Unknown,
        "true" | "false" | "True" | "False" | "TRUE" | "FALSE" => Type::Boolean,
        text if text.parse::<i64>().is_ok() => Type::Integer,
        text if text.parse::<f64>().is_ok() => Type::Number,
        _ => Type::Text,
    }
}

fn join(one: Type, other: Type) -> Type {
    match (one, other) {
        (Type::Unknown, known) | (known, Type::Unknown) => known,
        (one, other) if one == other => one,
        (Type::Integer | Type::Number, Type::Integer | Type::Number) => Type::Number,
        _ => Type::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Vec<(String, String)> {
        read(&text.as_bytes().to_vec()).expect("table").columns
    }

    #[test]
    fn names_and_types_come_from_the_lines() {
        let columns = schema("\u{feff}id;price;ok;note;none\n1;2.5;true;a;\n2;3;false;5;\n");
        let shown: Vec<_> = columns.iter().map(|(name, kind)| format!("{name}:{kind}")).collect();
        assert_eq!(shown, ["id:integer", "price:number", "ok:boolean", "note:text", "none:text"]);
        assert_eq!(schema("a\tb\n1\tx\n").len(), 2);
        assert_eq!(schema("a,b\n\"x, y\",2\n")[0].1, "text");
    }

    #[test]
    fn rows_of_other_lengths_are_no_table() {
        assert!(read(&b"a,b\n1\n".to_vec()).is_err());
    }

    #[test]
    fn a_large_file_is_read_at_its_beginning_alone() {
        let text = format!("a,b\n{}", "12345678,x\n".repeat(1 << 20));
        let table = read(&text.as_bytes().to_vec()).expect("table");
        assert_eq!((table.rows, table.columns.len()), (None, 2));
    }
}
