//! Finds what a job left, and refuses what would lead outside of its working directory.

use fuseml_domain::{
    ARTIFACTS_BESIDE, CollectedOutput, Error, Kind, Name, OutputReport, Result, WorkloadOutput, check_relative_path,
};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

const REPORT_LIMIT: u64 = 1024 * 1024;

/// Artifacts that one job makes beside its outputs.
const MOST_BESIDE: usize = 100;

/// All that a job left: its outputs, and the artifacts beside them.
pub(crate) fn collect(work: &Path, outputs: &[WorkloadOutput]) -> Result<Vec<CollectedOutput>> {
    let mut left = outputs.iter().map(|output| collect_one(work, output)).collect::<Result<Vec<_>>>()?;
    for (kind, output) in beside(work)? {
        left.push(CollectedOutput { beside: Some(kind), ..collect_one(work, &output)? });
    }
    Ok(left)
}

/// What lies where artifacts beside the outputs do.
fn beside(work: &Path) -> Result<Vec<(Kind, WorkloadOutput)>> {
    let mut found: Vec<(Kind, WorkloadOutput)> = Vec::new();
    for kind in [Kind::Dataset, Kind::Model] {
        let place = format!("{ARTIFACTS_BESIDE}/{}", kind.name());
        let failed = |error| Error::io(&place, &error);
        let work = fs::canonicalize(work).map_err(failed)?;
        let Some(folder) = find(&work, &place)?.filter(|folder| folder.is_dir()) else { continue };
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !entry.path().is_dir() {
                continue;
            }
            let name = entry.file_name().to_string_lossy().parse::<Name>().map_err(|error| error.context(&place))?;
            if found.len() == MOST_BESIDE || found.iter().any(|(_, other)| other.name == *name) {
                let message = format!(
                    "the step made `{name}` twice beside its outputs, or more than {MOST_BESIDE} artifacts there"
                );
                return Err(Error::invalid("output-name", message));
            }
            let (path, report) = (format!("{place}/{name}"), format!("{place}/{name}.json"));
            found.push((kind, WorkloadOutput { name: name.to_string(), path, report: Some(report) }));
        }
    }
    found.sort_by(|(_, one), (_, other)| one.path.cmp(&other.path));
    Ok(found)
}

fn collect_one(work: &Path, output: &WorkloadOutput) -> Result<CollectedOutput> {
    let failed = |error| Error::io(format!("the output `{}` at {}", output.name, output.path), &error);
    let work = fs::canonicalize(work).map_err(failed)?;
    let path = find(&work, &output.path)?.ok_or_else(|| missing(output, "left no output"))?;
    if !path.is_dir() {
        return Err(missing(output, "left a file, not a directory, as output"));
    }
    let mut empty = true;
    for entry in fs::read_dir(&path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        empty = false;
        // Links deeper down are the content store's to judge, which walks the whole tree.
        let link = entry.file_type().map_err(failed)?.is_symlink();
        if link && !fs::canonicalize(entry.path()).is_ok_and(|target| target.starts_with(&path)) {
            let message = format!(
                "the output `{}` holds the symbolic link `{}`, which leads out of it",
                output.name,
                entry.file_name().display()
            );
            return Err(Error::invalid("output-link", message));
        }
    }
    if empty {
        return Err(missing(output, "left an empty directory as output"));
    }
    let report = match &output.report {
        Some(report) => read_report(&work, report)?,
        None => OutputReport::default(),
    };
    Ok(CollectedOutput { name: output.name.clone(), beside: None, path, report })
}

fn missing(output: &WorkloadOutput, what: &str) -> Error {
    let message = format!("the step ended well but {what} `{}` at {}", output.name, output.path);
    Error::invalid("output-missing", message)
}

/// Where the path really leads; `None` when nothing is there.
fn find(work: &Path, path: &str) -> Result<Option<PathBuf>> {
    check_relative_path(path)?;
    match fs::canonicalize(work.join(path)) {
        Ok(found) if found.starts_with(work) && found != work => Ok(Some(found)),
        Ok(_) => Err(Error::invalid("output-link", format!("`{path}` leads out of the working directory"))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::io(path, &error)),
    }
}

/// A workload need not report; the report of one that does not is empty.
fn read_report(work: &Path, path: &str) -> Result<OutputReport> {
    let Some(file) = find(work, path)? else { return Ok(OutputReport::default()) };
    let failed = |error| Error::io(path, &error);
    if !file.is_file() {
        return Err(Error::invalid("output-report", format!("the workload's report {path} is not a file")));
    }
    let mut bytes = Vec::new();
    File::open(&file).map_err(failed)?.take(REPORT_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > REPORT_LIMIT {
        return Err(Error::invalid("output-report", format!("the workload's report {path} is larger than 1 MiB")));
    }
    OutputReport::parse(&bytes, Path::new(path))
}
