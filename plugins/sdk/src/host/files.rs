//! The files of the artifact that the call is about: read-only, paths relative and `/`-separated.

use super::imports;
use crate::{Error, ErrorKind, Result};

pub use crate::bindings::host::fuseml::files::files::Entry;

/// Every entry whose path matches a glob (`*` stays inside a folder, `**` does not), sorted by path.
pub fn find(glob: &str) -> Result<Vec<Entry>> {
    let mut all = imports::files::find(glob, None)?;
    while let Some(last) = all.last() {
        let next = imports::files::find(glob, Some(&last.path))?;
        if next.is_empty() {
            break;
        }
        all.extend(next);
    }
    Ok(all)
}

/// The whole file; refused over 4 MiB.
pub fn read(path: &str) -> Result<Vec<u8>> {
    imports::files::read(path)
}

/// The whole file as text.
pub fn read_text(path: &str) -> Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|error| Error::from(error).context(format_args!("`{path}` is not UTF-8 text")))
}

/// The whole file as text, or `None` when there is no such file.
pub fn read_text_if_there(path: &str) -> Result<Option<String>> {
    match read_text(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Is there a file of exactly this path?
pub fn exists(path: &str) -> Result<bool> {
    Ok(imports::files::find(path, None)?.iter().any(|entry| entry.path == path))
}
