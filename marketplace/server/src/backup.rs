//! Backups: everything that a marketplace's folder holds in one archive, also while it serves.
//!
//! The database goes first, as of one moment; packages are only ever added, so that whatever it names is in what is
//! copied after it. Packages in an object store are not in the archive.

use crate::{
    database::Database,
    metadata::{rotate, take},
};
use fuseml_domain::{Error, Result, SecretText};
use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt as _,
    path::{Component, Path, PathBuf},
};
use walkdir::WalkDir;

const DATABASE: &str = "marketplace.db";
const FOLDERS: [&str; 3] = ["keys", "metadata", "registry"];

/// How a marketplace was brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// With a new online key, so that clients accept what is older than they saw.
    Whole,
    /// The root key was not in the archive: put it into `keys` and rotate.
    WithoutRootKey,
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    |error| Error::io(path.display(), &error)
}

/// Writes the archive, readable by its owner alone: the keys are in it.
///
/// # Errors
/// When the folder is no marketplace's, or something cannot be read or written.
pub async fn back_up(data: &Path, out: &Path) -> Result<()> {
    let database = data.join(DATABASE);
    if !database.is_file() {
        return Err(Error::not_found("marketplace", format!("{} is no marketplace's folder", data.display())));
    }
    let beside = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let staging = tempfile::tempdir_in(beside).map_err(io(beside))?;
    let copy = staging.path().join(DATABASE);
    Database::open(&database).await?.copy(&copy).await?;
    let (data, part) = (data.to_owned(), staging.path().join("archive"));
    let written = part.clone();
    let work = tokio::task::spawn_blocking(move || archive(&data, &copy, &written));
    work.await.map_err(|error| Error::internal("backup", error.to_string()))??;
    fs::rename(&part, out).map_err(io(out))
}

fn archive(data: &Path, database: &Path, out: &Path) -> Result<()> {
    let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(out).map_err(io(out))?;
    let mut archive = tar::Builder::new(file);
    archive.append_path_with_name(database, DATABASE).map_err(io(database))?;
    for folder in FOLDERS {
        for entry in WalkDir::new(data.join(folder)).sort_by_file_name().into_iter().filter_entry(|it| !is_upload(it)) {
            let entry = match entry {
                Ok(entry) => entry,
                // Nothing of that kind yet, or collected meanwhile: nothing names it.
                Err(error) if error.io_error().is_some_and(|error| error.kind() == ErrorKind::NotFound) => continue,
                Err(error) => return Err(Error::internal("backup", error.to_string())),
            };
            let name = entry.path().strip_prefix(data).unwrap_or(entry.path());
            if !entry.file_type().is_file() {
                continue;
            }
            match archive.append_path_with_name(entry.path(), name) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                done => done.map_err(io(entry.path()))?,
            }
        }
    }
    let file = archive.into_inner().map_err(io(out))?;
    file.sync_all().map_err(io(out))
}

/// What is on its way is sent again.
fn is_upload(entry: &walkdir::DirEntry) -> bool {
    entry.depth() == 1 && entry.file_name() == "uploads"
}

/// Makes a marketplace's folder of an archive.
///
/// # Errors
/// When there is one already, or the archive is none; then nothing is left behind.
pub async fn restore(from: &Path, data: &Path, passphrase: Option<&SecretText>) -> Result<Restored> {
    if data.join(DATABASE).exists() {
        let message = format!("{} holds a marketplace; restore into another folder", data.display());
        return Err(Error::conflict("marketplace", message));
    }
    let beside = data.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(beside).map_err(io(beside))?;
    let staging = tempfile::tempdir_in(beside).map_err(io(beside))?;
    let (source, target) = (from.to_owned(), staging.path().join("data"));
    let unpacked = target.clone();
    let work = tokio::task::spawn_blocking(move || unpack(&source, &unpacked));
    work.await.map_err(|error| Error::internal("restore", error.to_string()))??;
    if !target.join(DATABASE).is_file() {
        return Err(Error::invalid("backup", format!("{} is no backup of a marketplace", from.display())));
    }
    let has_root = target.join("keys/root.pem").is_file();
    if has_root {
        rotate(&target, passphrase).await?;
    } else {
        drop(take(&target)?);
    }
    fs::rename(&target, data).map_err(io(data))?;
    Ok(if has_root { Restored::Whole } else { Restored::WithoutRootKey })
}

fn unpack(from: &Path, to: &Path) -> Result<()> {
    let invalid = |why: String| Error::invalid("backup", format!("{}: {why}", from.display()));
    let mut archive = tar::Archive::new(fs::File::open(from).map_err(io(from))?);
    fs::create_dir_all(to).map_err(io(to))?;
    for entry in archive.entries().map_err(io(from))? {
        let mut entry = entry.map_err(|error| invalid(error.to_string()))?;
        let path = entry.path().map_err(|error| invalid(error.to_string()))?.into_owned();
        if !entry.header().entry_type().is_file() || !is_ours(&path) {
            return Err(invalid(format!(
                "`{}` does not belong into a backup",
                path.display().to_string().escape_debug()
            )));
        }
        let place = to.join(&path);
        fs::create_dir_all(place.parent().unwrap_or(to)).map_err(io(&place))?;
        entry.unpack(&place).map_err(|error| invalid(error.to_string()))?;
    }
    Ok(())
}

fn is_ours(path: &Path) -> bool {
    let parts: Vec<_> = path.components().collect();
    let plain = parts.iter().all(|part| matches!(part, Component::Normal(_)));
    let first = parts.first().map(|part| PathBuf::from(part.as_os_str()));
    plain && first.is_some_and(|first| FOLDERS.iter().chain([&DATABASE]).any(|name| first == Path::new(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_archive_with_anything_else_in_it_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("folder");
        let (archive, data) = (folder.path().join("backup.tar"), folder.path().join("data"));
        for (name, link) in
            [("../out", false), ("/etc/out", false), ("other/file", false), ("keys/online.pem", true), ("", false)]
        {
            let mut builder = tar::Builder::new(fs::File::create(&archive).expect("file"));
            if !name.is_empty() {
                let mut header = tar::Header::new_gnu();
                // By hand, for the library would refuse to write such a name.
                header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
                header.set_entry_type(if link { tar::EntryType::Symlink } else { tar::EntryType::Regular });
                header.set_size(0);
                header.set_cksum();
                builder.append(&header, std::io::empty()).expect("entry");
            }
            builder.finish().expect("archive");

            let refused = restore(&archive, &data, None).await.expect_err(name);

            assert_eq!(refused.code, "backup", "{name}: {refused}");
            assert!(!data.exists() && fs::read_dir(folder.path()).expect("folder").count() == 1, "{name}");
        }
    }
}
