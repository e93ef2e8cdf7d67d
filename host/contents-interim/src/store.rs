//! The built-in content store: blobs on disk, each known by the digest of its bytes, and trees of them.

use fuseml_domain::{Digest, Error, Location, Result, Tree, TreeFile};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

const BUFFER: usize = 128 << 10;

#[derive(Debug, Clone)]
pub struct TreeStore {
    root: PathBuf,
}

impl TreeStore {
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        for folder in ["blobs/sha256", "incoming"] {
            let path = root.join(folder);
            fs::create_dir_all(&path)
                .map_err(|error| Error::io(format!("the folder {} cannot be made", path.display()), &error))?;
        }
        Ok(Self { root })
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(&digest.hex()[..2]).join(digest.hex())
    }

    /// Stores every file of a directory, then their list; stored again, nothing is written.
    pub fn store(&self, directory: &Path) -> Result<Tree> {
        let tree = list(directory, |path| self.store_file(path))?;
        self.store_bytes(&tree.to_json())?;
        Ok(tree)
    }

    /// Stores the list alone.
    pub fn store_listing(&self, directory: &Path) -> Result<Tree> {
        let tree = list(directory, |path| copy_hashed(open(path)?, &mut std::io::sink(), path))?;
        self.store_bytes(&tree.to_json())?;
        Ok(tree)
    }

    pub fn tree(&self, digest: &Digest) -> Result<Tree> {
        let path = self.blob(digest);
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::not_found("unknown-tree", format!("nothing is stored under {digest}"))
            }
            _ => Error::io(format!("{digest} cannot be read"), &error),
        })?;
        if Digest::of(&bytes) != *digest {
            return Err(mismatch("the list of files", &Digest::of(&bytes), digest));
        }
        Tree::parse(&bytes)
    }

    pub fn location(tree: &Tree) -> Location {
        let digest = tree.digest();
        Location::new("contents", digest.to_string()).with_digest(digest)
    }

    /// Writes a stored file to a place of the caller's, verified on the way.
    pub(crate) fn restore(&self, file: &TreeFile, target: &Path) -> Result<()> {
        let blob = self.blob(&file.digest);
        let reader = fs::File::open(&blob).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::not_found("missing-blob", format!("the stored file {} ({}) is gone", file.path, file.digest))
            }
            _ => Error::io(format!("the stored file {}", file.path), &error),
        })?;
        let mut writer = create(target, file.executable)?;
        let (found, _) = copy_hashed(reader, &mut writer, target)?;
        check(file, &found)
    }

    fn store_file(&self, path: &Path) -> Result<(Digest, u64)> {
        let mut incoming = self.incoming()?;
        let (digest, size) = copy_hashed(open(path)?, &mut incoming, path)?;
        self.keep(incoming, &digest)?;
        Ok((digest, size))
    }

    fn store_bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut incoming = self.incoming()?;
        incoming.write_all(bytes).map_err(|error| Error::io("the content store", &error))?;
        self.keep(incoming, &Digest::of(bytes))
    }

    fn incoming(&self) -> Result<tempfile::NamedTempFile> {
        tempfile::NamedTempFile::new_in(self.root.join("incoming"))
            .map_err(|error| Error::io("the content store", &error))
    }

    /// Puts a written file in its place, on disk before its name is.
    fn keep(&self, incoming: tempfile::NamedTempFile, digest: &Digest) -> Result<()> {
        let place = self.blob(digest);
        if place.exists() {
            return Ok(());
        }
        let keep = || -> std::io::Result<()> {
            let folder = place.parent().unwrap_or(&self.root);
            fs::create_dir_all(folder)?;
            incoming.as_file().sync_all()?;
            incoming.as_file().set_permissions(fs::Permissions::from_mode(0o444))?;
            incoming.persist(&place).map_err(|error| error.error)?;
            fs::File::open(folder)?.sync_all()
        };
        keep().map_err(|error| Error::io(format!("{digest} cannot be stored"), &error))
    }
}

/// The tree of a directory; `file` says what each file is. Links are followed inside the directory and refused
/// where they lead out of it. Empty folders are no part of a tree.
fn list(directory: &Path, file: impl Fn(&Path) -> Result<(Digest, u64)>) -> Result<Tree> {
    let io = |path: &Path, error: &std::io::Error| Error::io(format!("{} cannot be read", path.display()), error);
    let root = directory.canonicalize().map_err(|error| io(directory, &error))?;
    let mut files = Vec::new();
    let mut folders = vec![(root.clone(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| io(&folder, &error))? {
            let entry = entry.map_err(|error| io(&folder, &error))?;
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| {
                Error::invalid("file-name", format!("{} has a name that is no UTF-8 text", entry.path().display()))
            })?;
            let path = format!("{prefix}{name}");
            let real = entry.path().canonicalize().map_err(|error| io(&entry.path(), &error))?;
            if !real.starts_with(&root) {
                return Err(Error::invalid("link", format!("`{path}` is a link that leads out of its directory")));
            }
            let metadata = fs::metadata(&real).map_err(|error| io(&real, &error))?;
            if metadata.is_dir() {
                // A link to a folder above itself would never end.
                if depth > 64 {
                    return Err(Error::invalid("depth", format!("`{path}` lies deeper than 64 folders")));
                }
                folders.push((entry.path(), format!("{path}/"), depth + 1));
            } else if metadata.is_file() {
                let (digest, size_bytes) = file(&real)?;
                let executable = metadata.permissions().mode() & 0o100 != 0;
                files.push(TreeFile { path, size_bytes, digest, executable });
            } else {
                return Err(Error::invalid("file-type", format!("`{path}` is neither a file nor a folder")));
            }
        }
    }
    Tree::new(files)
}

fn open(path: &Path) -> Result<fs::File> {
    fs::File::open(path).map_err(|error| Error::io(format!("{} cannot be read", path.display()), &error))
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

fn copy_hashed(mut reader: impl Read, writer: &mut impl Write, path: &Path) -> Result<(Digest, u64)> {
    let io = |error: std::io::Error| Error::io(format!("{} cannot be copied", path.display()), &error);
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = reader.read(&mut buffer).map_err(io)?;
        if read == 0 {
            return Ok((Digest::from_hash(&hash.finalize()), size));
        }
        hash.update(&buffer[..read]);
        writer.write_all(&buffer[..read]).map_err(io)?;
        size += read as u64;
    }
}

pub(crate) fn check(file: &TreeFile, found: &Digest) -> Result<()> {
    if *found == file.digest {
        return Ok(());
    }
    Err(mismatch(&format!("the file {}", file.path), found, &file.digest))
}

fn mismatch(what: &str, found: &Digest, registered: &Digest) -> Error {
    Error::invalid(
        "digest-mismatch",
        format!(
            "{what} has the digest {found}, but {registered} was registered: it was changed since; restore it or make the artifact anew"
        ),
    )
}
