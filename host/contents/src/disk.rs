//! What the crate does with files: copies that hash, work on many files at once, directories that appear whole.

use fuseml_domain::{Digest, Error, Result, Tree, TreeFile, check_relative_path};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;

const BUFFER: usize = 128 << 10;
/// Threads for one directory. More than processors: they mostly wait for the disk, and file systems write the
/// waiting ones out together.
const THREADS: usize = 8;

/// Runs work that waits for the disk beside the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::internal("contents", error.to_string()))?
}

/// Does the work on each item, several at a time, and answers in the items' order. After a failure no further
/// item is begun; none is under way any more when this returns.
pub(crate) fn parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let worker = || -> Result<Vec<(usize, R)>> {
        let mut done = Vec::new();
        while let Some((index, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
        {
            match work(item) {
                Ok(result) => done.push((index, result)),
                Err(error) => {
                    next.store(items.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(done)
    };
    let mut done = std::thread::scope(|scope| -> Result<Vec<(usize, R)>> {
        let workers: Vec<_> = (1..items.len().min(THREADS)).map(|_| scope.spawn(worker)).collect();
        let mut all = worker();
        for handle in workers {
            let part = handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all = all.and_then(|mut all| {
                all.extend(part?);
                Ok(all)
            });
        }
        all
    })?;
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// The digest and size of what was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copied {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
}

pub(crate) fn copy_hashed(mut reader: impl Read, writer: &mut impl Write) -> std::io::Result<Copied> {
    let mut hash = Sha256::new();
    let mut size_bytes = 0;
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(Copied { digest: Digest::from_hash(&hash.finalize()), size_bytes });
        }
        hash.update(&buffer[..read]);
        writer.write_all(&buffer[..read])?;
        size_bytes += read as u64;
    }
}

pub(crate) fn hash_file(path: &Path) -> std::io::Result<Copied> {
    copy_hashed(fs::File::open(path)?, &mut std::io::sink())
}

/// A new file with its folders; an existing one is an error.
pub(crate) fn create(target: &Path, executable: bool) -> Result<fs::File> {
    let make = || {
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = fs::File::create_new(target)?;
        file.set_permissions(fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
        Ok(file)
    };
    make().map_err(|error: std::io::Error| Error::io(format!("{} cannot be written", target.display()), &error))
}

/// A directory in the making, beside the place where it will appear. Whoever writes into it from another thread
/// holds a clone, so that it is cleared away only after the last write, also when the caller gave up.
#[derive(Debug, Clone)]
pub(crate) struct Staging {
    folder: Arc<TempDir>,
    target: PathBuf,
}

impl Staging {
    pub(crate) fn beside(target: &Path) -> Result<Self> {
        let io = |error: std::io::Error| Error::io(format!("{} cannot be made", target.display()), &error);
        if target.symlink_metadata().is_ok() {
            return Err(Error::conflict("exists", format!("{} is already there", target.display())));
        }
        let beside = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let beside = beside.unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(beside).map_err(io)?;
        let folder = tempfile::Builder::new().prefix(".staging-").tempdir_in(beside).map_err(io)?;
        Ok(Self { folder: Arc::new(folder), target: target.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the folders that hold nothing.
    pub(crate) fn make_empty_folders(&self, tree: &Tree) -> Result<()> {
        let make = |folder: &String| {
            let place = self.path().join(folder);
            fs::create_dir_all(&place).map_err(|error| Error::io(format!("{} cannot be made", place.display()), &error))
        };
        tree.empty_folders().iter().try_for_each(make)
    }

    /// Makes every file, still empty, and answers where each is: what fills them later can only write into files
    /// that are there.
    pub(crate) fn lay_out(&self, tree: &Tree) -> Result<Vec<PathBuf>> {
        let place = |file: &TreeFile| {
            check_relative_path(&file.path)?;
            let place = self.path().join(&file.path);
            create(&place, file.executable)?;
            Ok(place)
        };
        self.make_empty_folders(tree)?;
        tree.files().iter().map(place).collect()
    }

    /// The directory appears under its name.
    pub(crate) fn finish(self) -> Result<()> {
        let appear = || {
            // Temporary folders are closed to everybody else; a workload may run as another user.
            fs::set_permissions(self.path(), fs::Permissions::from_mode(0o755))?;
            // The guard finds nothing under the old name afterwards, and that is no error to it.
            fs::rename(self.path(), &self.target)
        };
        appear().map_err(|error| Error::io(format!("{} cannot be made", self.target.display()), &error))
    }
}
