//! Refuses tables that a training would stumble over: columns that are missing, rows of another length, too few rows.
//!
//! It knows nothing of FuseML: a table lies in the folder `data`, what it demands comes as variables, and what it found
//! out goes to the folder `checked`.

use std::{collections::BTreeMap, env, error::Error, fs, path::Path, process::ExitCode};

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
    let columns = env::var("COLUMNS").unwrap_or_default();
    let needed: Vec<&str> = columns.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let least: u64 = env::var("MIN_ROWS").unwrap_or_else(|_| "1".to_owned()).parse()?;
    fs::create_dir_all("checked")?;
    let mut rows = 0;
    for entry in fs::read_dir("data")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "csv") {
            let found = check(&path, &needed)?;
            println!("{}: {found} rows", path.display());
            fs::copy(&path, Path::new("checked").join(path.file_name().unwrap_or_default()))?;
            rows += found;
        }
    }
    if rows < least {
        return Err(format!("{rows} rows are fewer than {least}").into());
    }
    let report = serde_json::json!({"metrics": {"rows": rows}, "attributes": {"format": "csv"}});
    Ok(fs::write("report.json", report.to_string())?)
}

/// Counts the rows of a table.
fn check(path: &Path, needed: &[&str]) -> Result<u64, Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(path)?;
    let names: BTreeMap<&str, usize> = reader.headers()?.iter().zip(0..).collect();
    if let Some(missing) = needed.iter().find(|name| !names.contains_key(*name)) {
        return Err(format!("{} has no column `{missing}`", path.display()).into());
    }
    let mut rows = 0;
    let mut record = csv::StringRecord::new();
    // A row of another length is an error, which says its line.
    while reader.read_record(&mut record)? {
        rows += 1;
    }
    Ok(rows)
}
