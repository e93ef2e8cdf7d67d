//! Folders that change in one step.

use fuseml_domain::{Error, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Puts `staging` where `out` is. No rename replaces a folder that is not empty, so the old one steps aside.
///
/// # Errors
/// When the file system refuses; `out` is then the old folder, or beside it under a hidden name.
pub(crate) fn replace(out: &Path, staging: &Path) -> Result<()> {
    let old = beside(out, "old")?;
    remove(&old)?;
    if out.exists() {
        fs::rename(out, &old).map_err(|error| io("moving aside", out, &error))?;
    }
    if let Err(error) = fs::rename(staging, out) {
        // Best effort: the first error is the one that counts.
        let _ = fs::rename(&old, out);
        return Err(io("moving into place", out, &error));
    }
    remove(&old)
}

/// A hidden name in the same folder, so that renaming stays within one file system.
///
/// # Errors
/// `invalid` for a path without a last part, such as `/`.
pub(crate) fn beside(out: &Path, what: &str) -> Result<PathBuf> {
    let name = out.file_name().ok_or_else(|| {
        Error::invalid("no-folder-name", format!("`{}` cannot be written: it has no name", out.display()))
    })?;
    Ok(out.with_file_name(format!(".{}.{what}-{}", name.to_string_lossy(), std::process::id())))
}

/// Removes a folder that may not be there.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| io("removing", folder, &error))?;
    }
    Ok(())
}

/// What is in a folder, by name.
pub(crate) fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = entries.map_err(|error| io("reading", folder, &error))?;
    paths.sort();
    Ok(paths)
}

/// The whole file as text.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| io("reading", path, &error))
}

/// Writes a file and the folders above it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let above = path.parent().map_or(Ok(()), fs::create_dir_all);
    above.and_then(|()| fs::write(path, bytes)).map_err(|error| io("writing", path, &error))
}

/// Copies a file and makes the folders above its new place.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let above = to.parent().map_or(Ok(()), fs::create_dir_all);
    above.and_then(|()| fs::copy(from, to)).map(drop).map_err(|error| io("copying", from, &error))
}

/// A failure on one path; what is not there is its own kind.
pub(crate) fn io(doing: &str, path: &Path, error: &std::io::Error) -> Error {
    let what = format!("{doing} `{}`", path.display());
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found("no-such-file", format!("{what}: {error}")),
        _ => Error::io(what, error),
    }
}
