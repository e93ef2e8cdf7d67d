//! Makes a table of each file of JSON objects: a column for every name, in the order in which names come first.
//!
//! It knows nothing of FuseML: objects lie in the folder `data`, tables go to the folder `csv`. What is within an object or
//! a list stays JSON in its cell.

use serde_json::{Map, Value};
use std::{
    collections::HashSet,
    error::Error,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::ExitCode,
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    fs::create_dir_all("csv")?;
    let mut tables = 0;
    for entry in fs::read_dir("data")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl" || extension == "ndjson") {
            let table = Path::new("csv").join(path.file_name().unwrap_or_default()).with_extension("csv");
            let rows = convert(&path, &table).map_err(|error| format!("{}: {error}", path.display()))?;
            println!("{}: {rows} rows", table.display());
            tables += 1;
        }
    }
    if tables == 0 {
        return Err("there is no .jsonl file".into());
    }
    Ok(())
}

/// Reads the file twice, so that it may be larger than memory; answers the number of rows.
fn convert(from: &Path, to: &Path) -> Result<u64, Box<dyn Error>> {
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    for object in objects(from)? {
        for name in object?.keys() {
            if seen.insert(name.clone()) {
                names.push(name.clone());
            }
        }
    }
    let mut writer = csv::Writer::from_path(to)?;
    writer.write_record(&names)?;
    let mut rows = 0;
    for object in objects(from)? {
        let object = object?;
        writer.write_record(names.iter().map(|name| object.get(name).map(cell).unwrap_or_default()))?;
        rows += 1;
    }
    writer.flush()?;
    Ok(rows)
}

type Object = Result<Map<String, Value>, Box<dyn Error>>;

fn objects(path: &Path) -> Result<impl Iterator<Item = Object>, Box<dyn Error>> {
    let lines = BufReader::new(File::open(path)?).lines().zip(1..);
    let filled = lines.filter(|(line, _)| !line.as_ref().is_ok_and(|line| line.trim().is_empty()));
    Ok(filled.map(|(line, number)| {
        serde_json::from_str(&line?).map_err(|error| format!("line {number} is no JSON object: {error}").into())
    }))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
