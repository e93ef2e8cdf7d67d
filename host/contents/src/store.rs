//! The built-in content store: blobs on the local disk, each known by the digest of its bytes, and trees of them.
//!
//! A blob is on disk before its name is, and a tree's list is stored after everything that it names: what has a
//! digest here is whole. A stored blob is never written again, unless it was damaged: storing the same bytes once
//! more heals it.

use crate::{
    disk::{Copied, Staging, blocking, copy_hashed, create, hash_file, parallel},
    verify::Source,
    walk::{Found, walk},
};
use fuseml_domain::{Digest, Error, Location, Result, Tree, TreeFile};
use std::{
    collections::BTreeSet,
    fs,
    io::{ErrorKind, Read},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// What a server that died left half received is swept away at a start this much later, so that another server
/// on the same folder is not disturbed.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);

/// Files below this size are read whole before they are written.
const SMALL: u64 = 1 << 20;

#[derive(Debug, Clone)]
pub struct TreeStore {
    root: PathBuf,
}

/// One stored file that is not what its tree says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub path: String,
    pub registered: Digest,
    /// What its bytes are now; `None` when there are none (or when only the list was ever stored).
    pub found: Option<Digest>,
}

impl TreeStore {
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        for folder in ["blobs/sha256", "incoming"] {
            let path = root.join(folder);
            fs::create_dir_all(&path)
                .map_err(|error| Error::io(format!("the folder {} cannot be made", path.display()), &error))?;
        }
        sweep(&root.join("incoming"));
        Ok(Self { root })
    }

    /// Where the bytes of a digest are, if they are here.
    fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(&digest.hex()[..2]).join(digest.hex())
    }

    /// Stores every file of a directory, then their list.
    pub async fn store(&self, directory: &Path) -> Result<Tree> {
        let (store, directory) = (self.clone(), directory.to_owned());
        blocking(move || {
            let tree = tree_of(&directory, |real| store.take_in(&mut open(real)?))?;
            let folders: BTreeSet<_> =
                tree.files().iter().filter_map(|file| Some(store.blob(&file.digest).parent()?.to_owned())).collect();
            parallel(&Vec::from_iter(folders), |folder| sync_folder(folder))?;
            store.keep_list(&tree)?;
            Ok(tree)
        })
        .await
    }

    /// Stores the list alone: the contents lie elsewhere.
    pub async fn store_listing(&self, directory: &Path) -> Result<Tree> {
        let (store, directory) = (self.clone(), directory.to_owned());
        blocking(move || {
            let tree = tree_of(&directory, |real| hash_file(real).map_err(|error| unreadable(real, &error)))?;
            store.keep_list(&tree)?;
            Ok(tree)
        })
        .await
    }

    /// The list of files stored under this digest, verified.
    pub async fn tree(&self, digest: &Digest) -> Result<Tree> {
        let (store, digest) = (self.clone(), digest.clone());
        blocking(move || store.read_list(&digest)).await
    }

    pub fn location(tree: &Tree) -> Location {
        let digest = tree.digest();
        Location::new("contents", digest.to_string()).with_digest(digest)
    }

    /// Reads a stored tree and everything below it again, and says what is not as it was stored.
    pub async fn verify(&self, digest: &Digest) -> Result<Vec<Damage>> {
        let (store, digest) = (self.clone(), digest.clone());
        blocking(move || {
            let tree = store.read_list(&digest)?;
            let damages = parallel(tree.files(), |file| {
                let found = match hash_file(&store.blob(&file.digest)) {
                    Ok(copied) => Some(copied.digest),
                    Err(error) if error.kind() == ErrorKind::NotFound => None,
                    Err(error) => return Err(unreadable(&store.blob(&file.digest), &error)),
                };
                let damage =
                    || Damage { path: file.path.clone(), registered: file.digest.clone(), found: found.clone() };
                Ok((found.as_ref() != Some(&file.digest)).then(damage))
            })?;
            Ok(damages.into_iter().flatten().collect())
        })
        .await
    }

    /// Writes a stored tree into a directory in the making, verified on the way.
    pub(crate) async fn restore(&self, digest: &Digest, staging: &Staging) -> Result<()> {
        let (store, digest, staging) = (self.clone(), digest.clone(), staging.clone());
        blocking(move || {
            let source = Source::own(format!("the stored tree {digest}"));
            let tree = store.read_list(&digest)?;
            let restore = |file: &TreeFile| {
                let blob = store.blob(&file.digest);
                copy_checked(&blob, file, &source, &staging.path().join(&file.path))
            };
            parallel(tree.files(), restore).map(drop)
        })
        .await
    }

    fn read_list(&self, digest: &Digest) -> Result<Tree> {
        let bytes = fs::read(self.blob(digest)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::not_found("unknown-tree", format!("nothing is stored under {digest}")),
            _ => Error::io(format!("the list of files {digest} cannot be read"), &error),
        })?;
        let found = Digest::of(&bytes);
        if found != *digest {
            let message = format!("the stored list of files {digest} is damaged: its digest is {found}");
            return Err(Error::internal("digest-mismatch", message));
        }
        Tree::parse(&bytes)
    }

    fn keep_list(&self, tree: &Tree) -> Result<()> {
        let copied = self.take_in(&mut tree.to_json().as_slice())?;
        self.blob(&copied.digest).parent().map_or(Ok(()), sync_folder)
    }

    /// Makes the bytes a blob. Its folder is still to be synced.
    fn take_in(&self, reader: &mut impl Read) -> Result<Copied> {
        let take = || -> std::io::Result<Copied> {
            let mut begin = Vec::new();
            reader.by_ref().take(SMALL).read_to_end(&mut begin)?;
            if (begin.len() as u64) < SMALL {
                // All of it: a file that is known already is seen to be before anything is written.
                let copied = Copied { digest: Digest::of(&begin), size_bytes: begin.len() as u64 };
                if self.is_kept(&copied) {
                    return Ok(copied);
                }
            }
            let mut incoming = tempfile::NamedTempFile::new_in(self.root.join("incoming"))?;
            let copied = copy_hashed(begin.as_slice().chain(reader), &mut incoming)?;
            if !self.is_kept(&copied) {
                self.keep(incoming, &copied.digest)?;
            }
            Ok(copied)
        };
        take().map_err(|error| Error::io("contents cannot be stored", &error))
    }

    /// Whether the blob is there and whole: one that was damaged is written again.
    fn is_kept(&self, copied: &Copied) -> bool {
        hash_file(&self.blob(&copied.digest)).is_ok_and(|kept| kept == *copied)
    }

    fn keep(&self, incoming: tempfile::NamedTempFile, digest: &Digest) -> std::io::Result<()> {
        let place = self.blob(digest);
        let folder = place.parent().unwrap_or(&self.root);
        if !folder.is_dir() {
            fs::create_dir_all(folder)?;
            fs::File::open(self.root.join("blobs/sha256"))?.sync_all()?;
        }
        incoming.as_file().set_permissions(fs::Permissions::from_mode(0o444))?;
        incoming.as_file().sync_all()?;
        incoming.persist(&place).map_err(|error| error.error)?;
        Ok(())
    }
}

/// Copies a file that must be what the tree says, reading no more than a byte beyond that.
pub(crate) fn copy_checked(from: &Path, file: &TreeFile, source: &Source, target: &Path) -> Result<()> {
    let reader = fs::File::open(from).map_err(|error| match error.kind() {
        ErrorKind::NotFound => source.missing(file),
        _ => unreadable(from, &error),
    })?;
    let mut writer = create(target, file.executable)?;
    let reader = reader.take(file.size_bytes + 1);
    let copied = copy_hashed(reader, &mut writer)
        .map_err(|error| Error::io(format!("{} cannot be copied", from.display()), &error))?;
    if copied.size_bytes > file.size_bytes {
        return Err(source.too_long(file));
    }
    source.check(file, &copied)
}

fn tree_of(directory: &Path, read: impl Fn(&Path) -> Result<Copied> + Sync) -> Result<Tree> {
    let files = parallel(&walk(directory)?, |found: &Found| {
        let Copied { digest, size_bytes } = read(&found.real)?;
        Ok(TreeFile { path: found.path.clone(), size_bytes, digest, executable: found.executable })
    })?;
    Tree::new(files)
}

fn open(path: &Path) -> Result<fs::File> {
    fs::File::open(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::io(format!("{} cannot be read", path.display()), error)
}

/// A name is on disk only once its folder is.
fn sync_folder(folder: impl AsRef<Path>) -> Result<()> {
    let sync = fs::File::open(folder.as_ref()).and_then(|folder| folder.sync_all());
    sync.map_err(|error| Error::io("contents cannot be stored", &error))
}

fn sweep(incoming: &Path) {
    for entry in fs::read_dir(incoming).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|modified| modified.elapsed());
        if age.is_ok_and(|age| age.is_ok_and(|age| age > LEFT_BEHIND)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
