//! Backups: everything that a marketplace's folder holds in one archive, also while it serves.
//!
//! The database goes first, as of one moment; packages are only ever added, so that whatever it names is in what is
//! copied after it. Packages in an object store are not in the archive, nor is a PostgreSQL database: `pg_dump` copies
//! that one, before the rest is copied.

use crate::{
    MarketplaceConfig,
    database::{self, FILE},
    metadata::rotate,
};
use fuseml_domain::{Error, Result};
use std::{
    fs,
    io::{ErrorKind, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Component, Path, PathBuf},
};
use walkdir::WalkDir;

const FOLDERS: [&str; 3] = ["keys", "metadata", "registry"];

/// How a marketplace was brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// With a new online key, so that clients accept what is older than they saw; and the root metadata's version.
    Whole { root: u64 },
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
pub async fn back_up(config: &MarketplaceConfig, out: &Path) -> Result<()> {
    let MarketplaceConfig { data, database, .. } = config;
    let file = database.is_none().then(|| data.join(FILE));
    if !data.join("keys").is_dir() || file.as_ref().is_some_and(|file| !file.is_file()) {
        return Err(Error::not_found("marketplace", format!("{} is no marketplace's folder", data.display())));
    }
    let beside = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let staging = tempfile::tempdir_in(beside).map_err(io(beside))?;
    let copy = file.as_ref().map(|_| staging.path().join(FILE));
    if let Some(copy) = &copy {
        let database = database::open(&database::place(data, None)).await?;
        database.copy(copy).await?;
        database.close().await;
    }
    let (data, part) = (data.to_owned(), staging.path().join("archive"));
    let written = part.clone();
    let work = tokio::task::spawn_blocking(move || archive(&data, copy.as_deref(), &written));
    work.await.map_err(|error| Error::internal("backup", error.to_string()))??;
    fs::rename(&part, out).map_err(io(out))
}

fn archive(data: &Path, database: Option<&Path>, out: &Path) -> Result<()> {
    let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(out).map_err(io(out))?;
    let mut archive = tar::Builder::new(file);
    if let Some(database) = database {
        archive.append_path_with_name(database, FILE).map_err(io(database))?;
    }
    for folder in FOLDERS {
        for entry in
            WalkDir::new(data.join(folder)).sort_by_file_name().into_iter().filter_entry(|it| !is_under_way(it))
        {
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
            match append(&mut archive, entry.path(), name) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                done => done.map_err(io(entry.path()))?,
            }
        }
    }
    let file = archive.into_inner().map_err(io(out))?;
    file.sync_all().map_err(io(out))
}

/// One file with as many bytes as it has now: one that grows meanwhile would spoil everything after it.
fn append(archive: &mut tar::Builder<fs::File>, path: &Path, name: &Path) -> std::io::Result<()> {
    let file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&metadata);
    let whole = file.take(metadata.len()).chain(std::io::repeat(0)).take(metadata.len());
    archive.append_data(&mut header, name, whole)
}

/// What is on its way is sent again: uploads, and files that get their name once they are whole.
fn is_under_way(entry: &walkdir::DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    entry.depth() == 1 && name == "uploads" || name.contains('#') || name.ends_with(".new")
}

/// Makes a marketplace's folder of an archive; its PostgreSQL database is brought back already, if it has one. `above` is the newest version of the root metadata that clients saw,
/// where the archive may be older than that.
///
/// # Errors
/// When there is something in the folder already, or the archive is none; then nothing is left behind.
pub async fn restore(from: &Path, config: &MarketplaceConfig, above: Option<u64>) -> Result<Restored> {
    let MarketplaceConfig { data, database, passphrase, .. } = config;
    let is_empty = fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_none());
    if data.exists() && !is_empty {
        let message = format!("{} is not empty; restore into a new folder", data.display());
        return Err(Error::conflict("marketplace", message));
    }
    let beside = data.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(beside).map_err(io(beside))?;
    let staging = tempfile::tempdir_in(beside).map_err(io(beside))?;
    let (source, target) = (from.to_owned(), staging.path().join("data"));
    let unpacked = target.clone();
    let work = tokio::task::spawn_blocking(move || unpack(&source, &unpacked));
    work.await.map_err(|error| Error::internal("restore", error.to_string()))??;
    let why = match (target.join(FILE).is_file(), database) {
        (true, None) => None,
        (true, Some(_)) => Some("holds its own database; leave --database out"),
        (false, Some(_)) if target.join("metadata").is_dir() => None,
        (false, None) if target.join("metadata").is_dir() => {
            Some("holds no database; say with --database where its PostgreSQL database was brought back")
        }
        (false, _) => Some("is no backup of a marketplace"),
    };
    if let Some(why) = why {
        return Err(Error::invalid("backup", format!("{} {why}", from.display())));
    }
    let restored = match target.join("keys/root.pem").is_file() {
        true => Restored::Whole { root: rotate(&target, above, passphrase.as_ref()).await? },
        false => Restored::WithoutRootKey,
    };
    fs::rename(&target, data).map_err(|error| match error.kind() {
        // A folder takes another one's place only within one file system.
        ErrorKind::ResourceBusy | ErrorKind::CrossesDevices => {
            let message = format!("{} is a mount point; restore into a folder in it", data.display());
            Error::conflict("marketplace", message)
        }
        _ => Error::io(data.display(), &error),
    })?;
    Ok(restored)
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
    plain && first.is_some_and(|first| FOLDERS.iter().chain([&FILE]).any(|name| first == Path::new(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(data: &Path) -> MarketplaceConfig {
        MarketplaceConfig::new(data.to_owned(), PathBuf::new())
    }

    #[tokio::test]
    async fn what_is_being_written_meanwhile_spoils_no_archive() {
        let folder = tempfile::tempdir().expect("folder");
        let (data, out, to) = (folder.path().join("data"), folder.path().join("out.tar"), folder.path().join("to"));
        let blobs = data.join("registry/blobs");
        fs::create_dir_all(&blobs).expect("folder");
        fs::create_dir_all(data.join("keys")).expect("folder");
        database::open(&database::place(&data, None)).await.expect("database").close().await;
        for (name, text) in [("whole", "all of it"), ("whole#1", "half"), ("key.new", "half"), ("uploads", "a blob")] {
            fs::write(blobs.join(name), text).expect("file");
        }
        fs::create_dir_all(data.join("registry/uploads")).expect("folder");
        fs::write(data.join("registry/uploads/1"), "half").expect("file");

        back_up(&config(&data), &out).await.expect("archive");
        unpack(&out, &to).expect("unpacked");

        let files = WalkDir::new(to.join("registry")).sort_by_file_name().into_iter().flatten();
        let files = files.filter(|entry| entry.file_type().is_file());
        let files: Vec<_> = files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert_eq!(files, ["uploads", "whole"]);
        let refused = restore(&out, &config(&to), None).await.expect_err("there is something");
        assert!(refused.message.contains("is not empty"), "{refused}");
    }

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

            let refused = restore(&archive, &config(&data), None).await.expect_err(name);

            assert_eq!(refused.code, "backup", "{name}: {refused}");
            assert!(!data.exists() && fs::read_dir(folder.path()).expect("folder").count() == 1, "{name}");
        }
    }
}
