//! The files of a directory that a workload left, as its tree will name them.
//!
//! A link counts as what it leads to, as long as that lies in the same directory; one that leads out is refused,
//! for it could show any file of this machine to whoever reads the artifact.

use fuseml_domain::{Error, Result};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// More files than this are no artifact but an accident.
const MAX_FILES: usize = 1_000_000;

/// One file of a directory.
#[derive(Debug)]
pub struct Found {
    /// Relative, `/`-separated.
    pub path: String,
    /// Where the bytes are, with every link resolved.
    pub real: PathBuf,
    pub metadata: fs::Metadata,
}

impl Found {
    pub(crate) fn executable(&self) -> bool {
        self.metadata.permissions().mode() & 0o100 != 0
    }
}

/// Everything below a directory.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    pub(crate) files: Vec<Found>,
    pub(crate) empty_folders: Vec<String>,
}

struct Folder {
    real: PathBuf,
    prefix: String,
    /// The folders that links were followed from to get here, to notice the one that leads back.
    above: Vec<PathBuf>,
}

pub(crate) fn walk(directory: &Path) -> Result<Walked> {
    let metadata = directory.symlink_metadata().map_err(|error| unreadable(directory, &error))?;
    if !metadata.is_dir() {
        return Err(Error::invalid("no-directory", format!("{} is not a directory", directory.display())));
    }
    let root = directory.canonicalize().map_err(|error| unreadable(directory, &error))?;
    let mut found = Walked::default();
    let mut folders = vec![Folder { real: root.clone(), prefix: String::new(), above: Vec::new() }];
    while let Some(folder) = folders.pop() {
        let mut is_empty = true;
        for entry in fs::read_dir(&folder.real).map_err(|error| unreadable(&folder.real, &error))? {
            let entry = entry.map_err(|error| unreadable(&folder.real, &error))?;
            is_empty = false;
            look_at(&entry, &folder, &root, &mut found, &mut folders)?;
        }
        if is_empty && !folder.prefix.is_empty() {
            found.empty_folders.push(folder.prefix.trim_end_matches('/').to_owned());
        }
        if found.files.len() > MAX_FILES {
            let message = format!("{} holds more than {MAX_FILES} files", directory.display());
            return Err(Error::invalid("too-many-files", message));
        }
    }
    Ok(found)
}

fn look_at(
    entry: &fs::DirEntry,
    folder: &Folder,
    root: &Path,
    found: &mut Walked,
    folders: &mut Vec<Folder>,
) -> Result<()> {
    let name = entry.file_name();
    let name = name.to_str().filter(|name| !name.contains('\\')).ok_or_else(|| {
        let shown = entry.path().display().to_string().escape_debug().to_string();
        Error::invalid("file-name", format!("`{shown}` has a name that is no UTF-8 text or holds a `\\`"))
    })?;
    let path = format!("{}{name}", folder.prefix);
    let io = |error: std::io::Error| unreadable(&entry.path(), &error);
    let link = entry.file_type().map_err(io)?.is_symlink();
    let real = match link {
        true => follow(&entry.path(), &path, root)?,
        false => entry.path(),
    };
    let metadata = fs::symlink_metadata(&real).map_err(io)?;
    if metadata.is_file() {
        found.files.push(Found { path, real, metadata });
    } else if metadata.is_dir() {
        let mut above = folder.above.clone();
        if link {
            if folder.real.starts_with(&real) || above.iter().any(|above| above.starts_with(&real)) {
                return Err(Error::invalid("link", format!("`{path}` is a link to a folder that it lies in")));
            }
            above.push(folder.real.clone());
        }
        folders.push(Folder { real, prefix: format!("{path}/"), above });
    } else {
        return Err(Error::invalid("file-type", format!("`{path}` is neither a file nor a folder")));
    }
    Ok(())
}

fn follow(link: &Path, path: &str, root: &Path) -> Result<PathBuf> {
    let target = fs::read_link(link).unwrap_or_default();
    let refuse = |why: &str| Error::invalid("link", format!("`{path}` is a link {why} ({})", target.display()));
    let real = link.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => refuse("to nothing"),
        _ if error.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32) => refuse("that leads back to itself"),
        _ => unreadable(link, &error),
    })?;
    match real.starts_with(root) {
        true => Ok(real),
        false => Err(refuse("that leads out of its directory")),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::io(format!("{} cannot be read", path.display()), error)
}
