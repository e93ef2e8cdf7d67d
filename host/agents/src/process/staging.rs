//! Fills workloads' folders and removes them. That of a process is prepared aside and put in place with one rename: it is
//! there whole or not at all.

use super::{folder::Folder, procfs::Identity};
use fuseml_domain::{Contents, Error, Result, Workload, check_relative_path, port::ContentStore};
use serde::Serialize;
use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A folder for what is not finished, or no longer wanted. It goes when this value does, or, when this process
/// is killed, with the next call of [`clean`].
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Names a folder below `root` that no other process will name; it does not exist yet.
    pub(crate) fn name(root: &Path) -> io::Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self(root.join(format!("{}.{number}", Identity::of_this_process()?))))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove_all(&self.0);
    }
}

/// Removes a folder, which is gone or there, whatever happens. It may be large, so it is not done on a thread that serves
/// others.
pub(crate) async fn remove(folder: PathBuf, aside: &Path) -> io::Result<()> {
    let aside = aside.to_owned();
    let removed = tokio::task::spawn_blocking(move || remove_now(&folder, &aside));
    removed.await.map_err(io::Error::other).flatten()
}

/// Removes what a workload has that has ended, each in the same way.
pub(crate) async fn clear(folder: &Folder, aside: &Path) -> io::Result<()> {
    let (places, aside) = (folder.transient(), aside.to_owned());
    let removed = tokio::task::spawn_blocking(move || places.iter().try_for_each(|place| remove_now(place, &aside)));
    removed.await.map_err(io::Error::other).flatten()
}

fn remove_now(folder: &Path, aside: &Path) -> io::Result<()> {
    let scratch = Scratch::name(aside)?;
    match fs::rename(folder, scratch.path()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder with all that is in it, also what its workload let nobody enter, and what it put in a folder's place.
fn remove_all(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let _ = open_up(folder);
            fs::remove_dir_all(folder)
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(folder),
        removed => removed,
    }
}

/// Lets this process into a folder and all below it, so far as they are its own; symbolic links are not followed.
fn open_up(folder: &Path) -> io::Result<()> {
    if fs::symlink_metadata(folder)?.is_dir() {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(folder)? {
            let _ = open_up(&entry?.path());
        }
    }
    Ok(())
}

/// Removes what killed processes left unfinished, as far as it can.
pub(crate) fn clean(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split_once('.')).and_then(|(owner, _)| owner.parse().ok());
        if !owner.is_some_and(|owner: Identity| owner.exists())
            && let Err(error) = remove_all(&entry.path())
        {
            // Nobody needs it, and everybody needs the server.
            tracing::warn!(left = %entry.path().display(), %error, "what a job left cannot be removed");
        }
    }
    Ok(())
}

/// Readable by the server's user alone: variables may hold credentials.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Where things lie in a workload's folder.
pub(crate) struct Layout {
    /// Below which inputs are staged.
    pub(crate) inputs: fn(&Folder) -> PathBuf,
    /// Below which those are staged that are one file.
    pub(crate) files: fn(&Folder) -> PathBuf,
    /// What else has to be there, beside the working directory.
    pub(crate) folders: &'static [fn(&Folder) -> PathBuf],
}

/// Makes `target` the workload's folder, its inputs staged. When it is there already, it stays as it is. Answers whether it is
/// this one's.
pub(crate) async fn prepare<T: Serialize + Sync>(
    (spec, workload): (&T, &Workload),
    contents: &dyn ContentStore,
    aside: &Path,
    target: &Folder,
    layout: Layout,
) -> Result<bool> {
    let failed = |error| Error::io(format!("{}: its folder could not be prepared", workload.key), &error);
    let scratch = Scratch::name(aside).map_err(failed)?;
    let folder = Folder::new(scratch.path().to_owned());
    fill(workload, contents, &folder, layout).await?;
    let described = serde_json::to_vec_pretty(spec).map_err(io::Error::from);
    // Nobody looks into it before it is in its place.
    described.and_then(|spec| fs::write(folder.spec(), spec)).map_err(failed)?;
    match fs::rename(folder.path(), target.path()) {
        // Another submission of the same key was faster.
        Err(_) if target.spec().exists() => Ok(false),
        result => result.map(|()| true).map_err(failed),
    }
}

/// Makes a folder with all that the workload finds there.
pub(crate) async fn fill(
    workload: &Workload,
    contents: &dyn ContentStore,
    folder: &Folder,
    layout: Layout,
) -> Result<()> {
    let failed = |error| Error::io(format!("{}: its folder could not be prepared", workload.key), &error);
    for path in [folder.path(), &folder.work()] {
        create_private(path).map_err(failed)?;
    }
    for path in layout.folders {
        create_private(&path(folder)).map_err(failed)?;
    }
    if !workload.inputs.is_empty() {
        create_private(&(layout.inputs)(folder)).map_err(failed)?;
    }
    for input in &workload.inputs {
        let here = |error: Error| error.context(format!("input {}", input.name));
        if input.is_file {
            let path = inside(&(layout.files)(folder), &input.path).map_err(here)?;
            stage_file(&input.contents, contents, &folder.path().join("staged"), &path).await.map_err(here)?;
        } else {
            let path = inside(&(layout.inputs)(folder), &input.path).map_err(here)?;
            contents.stage(&input.contents, &path).await.map_err(here)?;
        }
    }
    for (path, text) in &workload.files {
        write_file(&inside(&folder.work(), path)?, text).map_err(|error| Error::io(path, &error))?;
    }
    for output in &workload.outputs {
        for path in output.report.iter().chain([&output.path]) {
            inside(&folder.work(), path)?;
        }
    }
    Ok(())
}

/// Stages contents that are one file as that file, by way of a folder beside.
async fn stage_file(from: &Contents, contents: &dyn ContentStore, beside: &Path, path: &Path) -> Result<()> {
    contents.stage(from, beside).await?;
    let failed = |error| Error::io(path.display(), &error);
    let mut files = Vec::new();
    let mut open = vec![beside.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() { open.push(entry.path()) } else { files.push((entry.path(), kind.is_file())) }
        }
    }
    let [(file, true)] = files.as_slice() else {
        let message = format!("the job takes it as one file, and it has {}; let it take a directory", files.len());
        return Err(Error::invalid("input-file", message));
    };
    fs::rename(file, path).map_err(failed)?;
    fs::remove_dir_all(beside).map_err(failed)
}

/// The path below `work`, its parent made. Refuses ways through symbolic links, which a staged input may hold.
fn inside(work: &Path, path: &str) -> Result<PathBuf> {
    check_relative_path(path)?;
    let mut place = work.to_owned();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        place.push(part);
        let link = fs::symlink_metadata(&place).is_ok_and(|found| found.is_symlink());
        if link {
            return Err(Error::invalid("path", format!("`{path}` leads through a symbolic link of an input")));
        }
        if parts.peek().is_some() {
            match fs::create_dir(&place) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io(path, &error)),
                _ => {}
            }
        }
    }
    Ok(place)
}

/// Scripts with a `#!` line can be run as they are.
fn write_file(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    if text.starts_with("#!") {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_a_workload_let_nobody_enter_is_removed_and_what_it_points_to_is_not() {
        let place = tempfile::tempdir().unwrap();
        let (folder, other) = (place.path().join("work"), place.path().join("other"));
        let closed = folder.join("closed");
        fs::create_dir_all(&closed).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(closed.join("file"), "").unwrap();
        std::os::unix::fs::symlink(&other, folder.join("link")).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o500)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let file = place.path().join("home");
        fs::write(&file, "in the place of a folder").unwrap();

        remove_all(&folder).unwrap();
        remove_all(&file).unwrap();

        assert!(!folder.exists() && !file.exists());
        assert_eq!(fs::metadata(&other).unwrap().permissions().mode() & 0o777, 0o500);
    }

    #[test]
    fn what_killed_processes_left_goes_and_what_living_ones_work_on_stays() {
        let place = tempfile::tempdir().unwrap();
        let own = Scratch::name(place.path()).unwrap();
        fs::create_dir(own.path()).unwrap();
        fs::create_dir(place.path().join("999999999-1.0")).unwrap();
        fs::write(place.path().join("999999999-1.1"), "in the place of a folder").unwrap();

        clean(place.path()).unwrap();

        let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [own.path()]);
    }
}
