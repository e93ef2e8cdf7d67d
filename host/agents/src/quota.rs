//! How much a workload wrote. Holes in files count, since whoever reads them reads them.

use std::{fs, io, path::PathBuf};

/// More files than anybody's output has.
pub(crate) const MOST_FILES: u64 = 1_000_000;

/// Looks whether a folder holds no more than so many bytes, and not too many files.
///
/// # Errors
/// `QuotaExceeded` when it holds more.
pub(crate) fn check(folder: PathBuf, bytes: u64) -> io::Result<()> {
    left(folder, bytes).map(drop)
}

/// The same, and how many bytes more it might hold. Programs may nest folders as deep as they like, so this does not
/// descend by calling itself.
///
/// # Errors
/// As of [`check`].
pub(crate) fn left(folder: PathBuf, mut bytes: u64) -> io::Result<u64> {
    let (mut folders, mut files) = (vec![folder], MOST_FILES);
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            // Of a link, the link.
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            let size = if metadata.is_file() { metadata.len() } else { 0 };
            let (Some(bytes_left), Some(files_left)) = (bytes.checked_sub(size), files.checked_sub(1)) else {
                return Err(io::ErrorKind::QuotaExceeded.into());
            };
            (bytes, files) = (bytes_left, files_left);
            if metadata.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(bytes)
}
