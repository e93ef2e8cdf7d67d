//! What a worker is told, and what it may hand over.

use crate::{process::folder::Folder, sdk};
use fuseml_domain::{
    ARTIFACTS_BESIDE, Attributes, Digest, Error, Result, Workload, WorkloadInput, WorkloadOutput, check_relative_path,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Files of one workload's inputs.
const MOST_FILES: usize = 1_000_000;

/// Everything that a worker does.
#[derive(Debug, Serialize)]
pub struct Order {
    command: Vec<String>,
    variables: Attributes,
    files: Vec<(String, String)>,
    inputs: Vec<OrderInput>,
    outputs: Vec<WorkloadOutput>,
    /// The folder of artifacts beside the outputs.
    beside: &'static str,
    /// Names the environment of packages; empty without any.
    environment: String,
    requirements: Vec<String>,
    /// The Python package that every workload can import: path and text.
    modules: Vec<(&'static str, &'static str)>,
    timeout_seconds: u64,
}

#[derive(Debug, Serialize)]
struct OrderInput {
    name: String,
    path: String,
    files: Vec<Entry>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Entry {
    Link { path: String, link: String },
    File { path: String, digest: Digest, executable: bool },
}

/// How a worker says that its command ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    pub exit_code: i32,
    pub message: Option<String>,
}

impl Order {
    /// Of a workload whose inputs are staged. Every file is read for its digest.
    pub(super) fn of(workload: &Workload, folder: &Folder) -> Result<Self> {
        let mut inputs = Vec::new();
        for input in &workload.inputs {
            let failed = |error| Error::io(format!("the input {}", input.name), &error);
            let (path, file) = place_of(input);
            let mut files = Vec::new();
            let top = folder.inputs().join(path);
            match file {
                Some(file) => files.push(entry(file.to_owned(), &top.join(file)).map_err(failed)?),
                None => list(&top, &top, &mut files).map_err(failed)?,
            }
            inputs.push(OrderInput { name: input.name.clone(), path: path.to_owned(), files });
        }
        let environment = workload.environment.as_ref();
        Ok(Self {
            command: workload.command.clone(),
            variables: workload.variables.clone(),
            files: workload.files.clone(),
            inputs,
            outputs: workload.outputs.clone(),
            beside: ARTIFACTS_BESIDE,
            environment: environment.map(|it| it.digest.hex().to_owned()).unwrap_or_default(),
            requirements: environment.map(|it| it.requirements.clone()).unwrap_or_default(),
            modules: sdk::MODULES.to_vec(),
            timeout_seconds: time_limit(workload).as_secs().max(1),
        })
    }
}

pub(super) fn time_limit(workload: &Workload) -> Duration {
    workload.timeout.unwrap_or(fuseml_domain::DEFAULT_TIMEOUT)
}

fn list(top: &Path, folder: &Path, files: &mut Vec<Entry>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| io::Error::other("a name is no text"));
        let relative = text(path.strip_prefix(top).map_err(io::Error::other)?)?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            list(top, &path, files)?;
        } else if kind.is_symlink() {
            files.push(Entry::Link { path: relative, link: text(&fs::read_link(&path)?)? });
        } else {
            files.push(self::entry(relative, &path)?);
        }
        if files.len() > MOST_FILES {
            return Err(io::Error::other(format!("it has more than {MOST_FILES} files")));
        }
    }
    Ok(())
}

/// The folder of an input, and its file where it is one.
fn place_of(input: &WorkloadInput) -> (&str, Option<&str>) {
    match (input.is_file, input.path.rsplit_once('/')) {
        (false, _) => (&input.path, None),
        (true, Some((folder, file))) => (folder, Some(file)),
        (true, None) => ("", Some(&input.path)),
    }
}

/// A file that is called so for the worker.
fn entry(relative: String, path: &Path) -> io::Result<Entry> {
    let executable = fs::metadata(path)?.permissions().mode() & 0o100 != 0;
    Ok(Entry::File { path: relative, digest: digest(path)?, executable })
}

fn digest(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut portion = vec![0; 1 << 20];
    loop {
        match file.read(&mut portion)? {
            0 => return Ok(Digest::from_hash(&hasher.finalize())),
            read => hasher.update(&portion[..read]),
        }
    }
}

/// Where a staged file of an input lies.
pub(super) fn input_file(workload: &Workload, folder: &Folder, name: &str, path: &str) -> Result<PathBuf> {
    let missing = || Error::not_found("input", format!("there is no file {path} in the input {name}"));
    let input = workload.inputs.iter().find(|input| input.name == name).ok_or_else(missing)?;
    check_relative_path(path)?;
    let (above, file) = place_of(input);
    if file.is_some_and(|file| file != path) {
        return Err(missing());
    }
    let top = folder.inputs().join(above);
    // Neither the file nor a folder above it may be a link: that would lead elsewhere on this machine.
    let mut place = top.clone();
    for part in path.split('/') {
        place.push(part);
        if fs::symlink_metadata(&place).map_err(|_| missing())?.is_symlink() {
            return Err(missing());
        }
    }
    if place.is_file() { Ok(place) } else { Err(missing()) }
}

/// Where a file goes that a worker hands over: within an output, an output's report, or of an artifact beside them.
pub(super) fn output_file(workload: &Workload, folder: &Folder, path: &str) -> Result<PathBuf> {
    check_relative_path(path)?;
    let below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let within = |output: &WorkloadOutput| below(&output.path) || output.report.as_deref() == Some(path);
    if !workload.outputs.iter().any(within) && !below(ARTIFACTS_BESIDE) {
        let message = format!("`{path}` is in no output of the workload");
        return Err(Error::denied("output", message));
    }
    Ok(folder.work().join(path))
}
