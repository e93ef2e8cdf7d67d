//! The built-in content store: directories as lists of files with digests, whose bytes an OCI registry keeps.
//!
//! A file lies in the registry as a blob of its own or, where many are small, in a pack with others. Blobs are there
//! before their names are, and a tree's list is stored after everything that it names: what has a digest here is
//! whole. Whatever a tree is read from, each byte is checked against the digest in its list.

use crate::{
    disk::{Copied, Staging, blocking, copy_hashed, create, hash_file, parallel},
    pack::{PACK_BYTES, PackWriter},
    verify::Source,
    walk::{Found, walk},
};
use fuseml_domain::{Digest, Error, Location, Result, SMALL_FILE, Series, Tree, TreeFile, port::PackIndex};
use fuseml_registry::{Repository, Store as Registry};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    io::{ErrorKind, Read},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::runtime::Handle;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// What a server that died left half received is swept away at a start this much later, so that another server
/// on the same folder is not disturbed.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);

/// Trees with fewer small files are kept without packs, whatever they are.
const WITHOUT_PACKS: usize = 64;
/// Bytes that are read again before they are relied on.
const READ_IN_A_MOMENT: u64 = 64 << 20;

/// Where small files lie: the pack, and the place in it.
pub(crate) type Places = HashMap<Digest, (Digest, fuseml_domain::port::PackedFile)>;

#[derive(Clone)]
pub struct TreeStore {
    pub(crate) registry: Registry,
    pub(crate) index: Arc<dyn PackIndex>,
    /// For files in the making, on this machine.
    pub(crate) incoming: PathBuf,
    runtime: Handle,
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
    /// Over a registry's blobs; `incoming` is a folder of this machine, best on the same disk.
    ///
    /// # Errors
    /// When that cannot be made.
    ///
    /// # Panics
    /// Outside an async runtime.
    pub fn new(registry: Registry, index: Arc<dyn PackIndex>, incoming: PathBuf) -> Result<Self> {
        fs::create_dir_all(&incoming)
            .map_err(|error| Error::io(format!("the folder {} cannot be made", incoming.display()), &error))?;
        sweep(&incoming);
        Ok(Self { registry, index, incoming, runtime: Handle::current() })
    }

    /// Stores every file of a directory, then their list.
    pub async fn store(&self, series: &Series, directory: &Path) -> Result<Tree> {
        let (store, series, directory) = (self.clone(), series.clone(), directory.to_owned());
        blocking(move || {
            let repository = repository(&series)?;
            let walked = walk(&directory)?;
            let is_small = |found: &Found| found.metadata.len() < SMALL_FILE;
            let small = walked.files.iter().filter(|found| is_small(found)).count();
            let packs = series.packs(walked.files.len(), small);
            let files = parallel(&walked.files, |found| {
                let copied = match packs && is_small(found) {
                    true => hash_file(&found.real).map_err(|error| unreadable(&found.real, &error))?,
                    false => store.take_in(&repository, &mut open(&found.real)?)?,
                };
                Ok(tree_file(found, copied))
            })?;
            if packs {
                let small = files.iter().zip(&walked.files).filter(|(_, found)| is_small(found));
                store.pack(&repository, small.map(|(file, found)| (file, found.real.as_path())))?;
            }
            let tree = Tree::with_empty_folders(files, walked.empty_folders)?;
            store.keep_list(&repository, &tree)?;
            Ok(tree)
        })
        .await
    }

    /// Stores the list alone: the contents lie elsewhere.
    pub async fn store_listing(&self, series: &Series, directory: &Path) -> Result<Tree> {
        let (store, series, directory) = (self.clone(), series.clone(), directory.to_owned());
        blocking(move || {
            let tree = list(&directory, |_| None)?.tree;
            store.keep_list(&repository(&series)?, &tree)?;
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
        self.verify_all(self.tree(digest).await?).await
    }

    /// Files of a stored tree that are not as they were stored, as far as can be told in a moment.
    pub(crate) async fn damaged(&self, tree: &Tree) -> Result<Vec<String>> {
        if tree.size_bytes() > READ_IN_A_MOMENT {
            return self.missing(tree).await;
        }
        Ok(self.verify_all(tree.clone()).await?.into_iter().map(|damage| damage.path).collect())
    }

    async fn verify_all(&self, tree: Tree) -> Result<Vec<Damage>> {
        let store = self.clone();
        blocking(move || {
            let places = store.places(&tree)?;
            let damages = parallel(tree.files(), |file| {
                let found = store.found(file, &places)?;
                let damage =
                    || Damage { path: file.path.clone(), registered: file.digest.clone(), found: found.clone() };
                Ok((found.as_ref() != Some(&file.digest)).then(damage))
            })?;
            Ok(damages.into_iter().flatten().collect())
        })
        .await
    }

    /// Files of a stored tree whose bytes are not there in their length; nothing is read.
    async fn missing(&self, tree: &Tree) -> Result<Vec<String>> {
        let (store, tree) = (self.clone(), tree.clone());
        blocking(move || {
            let places = store.places(&tree)?;
            let mut packs: HashMap<Digest, Option<u64>> = HashMap::new();
            for (pack, _) in places.values() {
                if !packs.contains_key(pack) {
                    packs.insert(pack.clone(), store.blob_size(pack)?);
                }
            }
            let missing = parallel(tree.files(), |file| {
                let packed = places.get(&file.digest).is_some_and(|(pack, place)| {
                    packs.get(pack).copied().flatten().is_some_and(|size| size >= place.offset + place.size_bytes)
                });
                let is_there = packed || store.blob_size(&file.digest)? == Some(file.size_bytes);
                Ok((!is_there).then(|| file.path.clone()))
            })?;
            Ok(missing.into_iter().flatten().collect())
        })
        .await
    }

    /// Writes a stored tree into a directory in the making, verified on the way.
    pub(crate) async fn restore(&self, digest: &Digest, staging: &Staging) -> Result<()> {
        let (store, digest, staging) = (self.clone(), digest.clone(), staging.clone());
        blocking(move || {
            let source = Source::own(format!("the stored tree {digest}"));
            let tree = store.read_list(&digest)?;
            let places = store.places(&tree)?;
            staging.make_empty_folders(&tree)?;
            let restore = |file: &TreeFile| {
                let reader = store.open_file(file, &places)?.ok_or_else(|| source.missing(file))?;
                copy_checked(reader, file, &source, &staging.path().join(&file.path))
            };
            parallel(tree.files(), restore).map(drop)
        })
        .await
    }

    pub(crate) fn read_list(&self, digest: &Digest) -> Result<Tree> {
        let mut bytes = Vec::new();
        let size = self.runtime.block_on(self.registry.size_anywhere(digest))?;
        let size = size.ok_or_else(|| Error::not_found("unknown-tree", format!("nothing is stored under {digest}")))?;
        self.open_blob(digest, 0..size)?.read_to_end(&mut bytes).map_err(unstorable)?;
        let found = Digest::of(&bytes);
        if found != *digest {
            let message = format!("the stored list of files {digest} is damaged: its digest is {found}");
            return Err(Error::internal("digest-mismatch", message));
        }
        Tree::parse(&bytes)
    }

    pub(crate) fn keep_list(&self, repository: &Repository, tree: &Tree) -> Result<Copied> {
        self.take_in(repository, &mut tree.to_json().as_slice())
    }

    /// In which packs a tree's small files lie, for those that lie in one.
    pub(crate) fn places(&self, tree: &Tree) -> Result<Places> {
        let small: HashSet<&Digest> =
            tree.files().iter().filter(|file| file.size_bytes < SMALL_FILE).map(|file| &file.digest).collect();
        match small.len() > WITHOUT_PACKS {
            true => self.runtime.block_on(self.index.find(&Vec::from_iter(small))),
            false => Ok(Places::new()),
        }
    }

    /// A file's bytes from wherever they lie, at most a byte more than it should have; `None` when they are nowhere.
    pub(crate) fn open_file(&self, file: &TreeFile, places: &Places) -> Result<Option<Box<dyn Read>>> {
        if let Some((pack, place)) = places.get(&file.digest)
            && self.blob_size(pack)?.is_some()
        {
            return self.open_blob(pack, place.offset..place.offset + place.size_bytes).map(Some);
        }
        match self.blob_size(&file.digest)? {
            Some(size) => self.open_blob(&file.digest, 0..size.min(file.size_bytes + 1)).map(Some),
            None => Ok(None),
        }
    }

    /// What a file's bytes are now; `None` when they are nowhere.
    pub(crate) fn found(&self, file: &TreeFile, places: &Places) -> Result<Option<Digest>> {
        let Some(mut reader) = self.open_file(file, places)? else { return Ok(None) };
        let copied = copy_hashed(&mut reader, &mut std::io::sink()).map_err(unstorable)?;
        Ok(Some(copied.digest))
    }

    fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.registry.file_of(digest) {
            Some(file) => Ok(fs::metadata(file).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())),
            None => Ok(self.runtime.block_on(self.registry.size_anywhere(digest))?),
        }
    }

    pub(crate) fn open_blob(&self, digest: &Digest, range: std::ops::Range<u64>) -> Result<Box<dyn Read>> {
        if let Some(path) = self.registry.file_of(digest) {
            let mut file = open(&path)?;
            std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(range.start)).map_err(unstorable)?;
            return Ok(Box::new(file.take(range.end - range.start)));
        }
        if range.is_empty() {
            return Ok(Box::new(std::io::empty()));
        }
        let stream = self.runtime.block_on(self.registry.read_blob(digest, range))?;
        Ok(Box::new(SyncIoBridge::new_with_handle(StreamReader::new(stream), self.runtime.clone())))
    }

    /// Makes the bytes a blob of the repository. One that is there already is not written again, unless it was
    /// damaged: storing the same bytes once more heals it.
    pub(crate) fn take_in(&self, repository: &Repository, reader: &mut impl Read) -> Result<Copied> {
        let mut begin = Vec::new();
        reader.by_ref().take(SMALL_FILE).read_to_end(&mut begin).map_err(unstorable)?;
        if (begin.len() as u64) < SMALL_FILE {
            // All of it: a file that is known already is seen to be before anything is written.
            let copied = Copied { digest: Digest::of(&begin), size_bytes: begin.len() as u64 };
            if self.is_kept(repository, &copied)? {
                return Ok(copied);
            }
        }
        let mut incoming = tempfile::NamedTempFile::new_in(&self.incoming).map_err(unstorable)?;
        let copied = copy_hashed(begin.as_slice().chain(reader), &mut incoming).map_err(unstorable)?;
        if !self.is_kept(repository, &copied)? {
            self.keep(repository, incoming, &copied)?;
        }
        Ok(copied)
    }

    /// Whether the blob is there and whole, and then the repository's too.
    fn is_kept(&self, repository: &Repository, copied: &Copied) -> Result<bool> {
        let whole = match self.registry.file_of(&copied.digest) {
            Some(file) => hash_file(&file).is_ok_and(|kept| kept == *copied),
            None => self.runtime.block_on(self.registry.size_anywhere(&copied.digest))? == Some(copied.size_bytes),
        };
        Ok(whole && self.holds(repository, &copied.digest, copied.size_bytes)?)
    }

    /// Whether the blob is there in its length, and the repository's from here on.
    pub(crate) fn holds(&self, repository: &Repository, digest: &Digest, size_bytes: u64) -> Result<bool> {
        Ok(self.runtime.block_on(self.registry.hold(repository, digest))? == Some(size_bytes))
    }

    pub(crate) fn keep(
        &self,
        repository: &Repository,
        incoming: tempfile::NamedTempFile,
        copied: &Copied,
    ) -> Result<()> {
        incoming.as_file().set_permissions(fs::Permissions::from_mode(0o444)).map_err(unstorable)?;
        let path = incoming.into_temp_path().keep().map_err(|error| unstorable(error.error))?;
        let kept = self.registry.take_known(repository, path, copied.digest.clone(), copied.size_bytes);
        Ok(self.runtime.block_on(kept)?)
    }

    /// Puts files that lie in no pack yet into new ones.
    fn pack<'f>(&self, repository: &Repository, files: impl Iterator<Item = (&'f TreeFile, &'f Path)>) -> Result<()> {
        let real: BTreeMap<&Digest, (&TreeFile, &Path)> =
            files.map(|(file, path)| (&file.digest, (file, path))).collect();
        let held = self.hold_packs(repository, &Vec::from_iter(real.keys().copied()))?;
        let mut packs: Vec<Vec<(&TreeFile, &Path)>> = Vec::new();
        let mut bytes = PACK_BYTES;
        for (_, (file, path)) in real.into_iter().filter(|(digest, _)| !held.contains_key(*digest)) {
            if bytes >= PACK_BYTES {
                packs.push(Vec::new());
                bytes = 0;
            }
            bytes += file.size_bytes;
            packs.last_mut().into_iter().for_each(|pack| pack.push((file, path)));
        }
        parallel(&packs, |files| {
            let incoming = tempfile::NamedTempFile::new_in(&self.incoming).map_err(unstorable)?;
            let mut writer = PackWriter::new(std::io::BufWriter::new(incoming));
            for (file, path) in files {
                writer.append(&file.digest, file.size_bytes, open(path)?)?;
            }
            let (writer, files) = writer.finish()?;
            let incoming = writer.into_inner().map_err(|error| unstorable(error.into_error()))?;
            let copied = hash_file(incoming.path()).map_err(unstorable)?;
            self.keep_pack(repository, incoming, &copied, &files)
        })
        .map(drop)
    }

    pub(crate) fn keep_pack(
        &self,
        repository: &Repository,
        incoming: tempfile::NamedTempFile,
        copied: &Copied,
        files: &[fuseml_domain::port::PackedFile],
    ) -> Result<()> {
        self.keep(repository, incoming, copied)?;
        self.runtime.block_on(self.index.add(&copied.digest, files))
    }

    /// Which of the files lie in packs that are there; the repository has those packs from here on.
    pub(crate) fn hold_packs(&self, repository: &Repository, files: &[&Digest]) -> Result<Places> {
        let mut places = self.runtime.block_on(self.index.find(files))?;
        let packs: HashSet<Digest> = places.values().map(|(pack, _)| pack.clone()).collect();
        for pack in packs {
            if self.runtime.block_on(self.registry.hold(repository, &pack))?.is_none() {
                self.runtime.block_on(self.index.remove(&pack))?;
                places.retain(|_, (there, _)| *there != pack);
            }
        }
        Ok(places)
    }

    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

/// A directory's files where they lie, and their list.
#[derive(Debug)]
pub struct Listed {
    pub tree: Tree,
    /// In the order of the tree's files.
    pub real: Vec<PathBuf>,
}

/// Reads every file of a directory whose digest nobody `known` can tell.
///
/// # Errors
/// When it holds what cannot be stored, or cannot be read.
pub fn list(directory: &Path, known: impl Fn(&Found) -> Option<Digest> + Sync) -> Result<Listed> {
    let walked = walk(directory)?;
    let mut files = parallel(&walked.files, |found| {
        let copied = match known(found) {
            Some(digest) => Copied { digest, size_bytes: found.metadata.len() },
            None => hash_file(&found.real).map_err(|error| unreadable(&found.real, &error))?,
        };
        Ok((tree_file(found, copied), found.real.clone()))
    })?;
    files.sort();
    let (files, real) = files.into_iter().unzip();
    Ok(Listed { tree: Tree::with_empty_folders(files, walked.empty_folders)?, real })
}

/// One file, as a tree names it under that path.
///
/// # Errors
/// When it cannot be read.
pub fn list_file(real: &Path, path: &str) -> Result<TreeFile> {
    let metadata = fs::metadata(real).map_err(|error| unreadable(real, &error))?;
    let copied = hash_file(real).map_err(|error| unreadable(real, &error))?;
    Ok(tree_file(&Found { path: path.to_owned(), real: real.to_owned(), metadata }, copied))
}

fn tree_file(found: &Found, Copied { digest, size_bytes }: Copied) -> TreeFile {
    TreeFile { path: found.path.clone(), size_bytes, digest, executable: found.executable() }
}

/// The series' repository.
pub(crate) fn repository(series: &Series) -> Result<Repository> {
    Ok(series.repository().parse::<Repository>()?)
}

/// Copies a file that must be what the tree says.
pub(crate) fn copy_file(from: &Path, file: &TreeFile, source: &Source, target: &Path) -> Result<()> {
    let reader = fs::File::open(from).map_err(|error| match error.kind() {
        ErrorKind::NotFound => source.missing(file),
        _ => unreadable(from, &error),
    })?;
    copy_checked(reader, file, source, target)
}

/// Writes what must be as the tree says, reading no more than a byte beyond that.
pub(crate) fn copy_checked(reader: impl Read, file: &TreeFile, source: &Source, target: &Path) -> Result<()> {
    let mut writer = create(target, file.executable)?;
    let copied = copy_hashed(reader.take(file.size_bytes + 1), &mut writer)
        .map_err(|error| Error::io(format!("{} cannot be copied to {}", file.path, target.display()), &error))?;
    if copied.size_bytes > file.size_bytes {
        return Err(source.too_long(file));
    }
    source.check(file, &copied)
}

pub(crate) fn open(path: &Path) -> Result<fs::File> {
    fs::File::open(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::io(format!("{} cannot be read", path.display()), error)
}

pub(crate) fn unstorable(error: std::io::Error) -> Error {
    Error::io("contents cannot be stored or read", &error)
}

fn sweep(incoming: &Path) {
    for entry in fs::read_dir(incoming).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|modified| modified.elapsed());
        if age.is_ok_and(|age| age.is_ok_and(|age| age > LEFT_BEHIND)) {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
}
