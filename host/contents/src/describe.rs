//! What the files of a tree say of themselves, read where they lie.

use crate::{disk::blocking, store::TreeStore};
use fuseml_domain::{Attributes, Digest, Kind, Result, SMALL_FILE, Tree, TreeFile};
use fuseml_formats::{File, ReadAt};
use fuseml_registry::Store as Registry;
use std::{collections::HashMap, io, os::unix::fs::FileExt as _, path::Path};
use tokio::runtime::Handle;

/// A file of a directory.
struct OnDisk {
    file: std::fs::File,
    size: u64,
}

impl ReadAt for OnDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).map(|()| bytes)
    }
}

/// A file in the store: a part of a blob, where it lies in a pack.
struct Stored {
    registry: Registry,
    runtime: Handle,
    blob: Digest,
    begins: u64,
    size: u64,
}

impl ReadAt for Stored {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let end = offset.checked_add(length as u64).filter(|end| *end <= self.size);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let (begin, end) = (self.begins + offset, self.begins + end);
        if let Some(path) = self.registry.file_of(&self.blob) {
            let file = OnDisk { file: std::fs::File::open(path)?, size: end };
            return file.read_at(begin, length);
        }
        if begin == end {
            return Ok(Vec::new());
        }
        self.runtime.block_on(async {
            let stream = self.registry.read_blob(&self.blob, begin..end).await.map_err(io::Error::other)?;
            let chunks: Vec<bytes::Bytes> = futures::TryStreamExt::try_collect(stream).await?;
            Ok(chunks.concat())
        })
    }
}

/// A directory of this machine.
pub(crate) fn directory(kind: Kind, directory: &Path, tree: &Tree) -> Attributes {
    fuseml_formats::describe(kind, &files(tree), |file| {
        Ok(OnDisk { file: std::fs::File::open(directory.join(file.path))?, size: file.size_bytes })
    })
}

fn files(tree: &Tree) -> Vec<File<'_>> {
    tree.files().iter().map(|file| File { path: &file.path, size_bytes: file.size_bytes }).collect()
}

impl TreeStore {
    /// What the files of a stored tree say of themselves.
    ///
    /// # Errors
    /// When it cannot be known where they lie; what is wrong with one of them is an attribute.
    pub async fn describe(&self, kind: Kind, tree: &Tree) -> Result<Attributes> {
        let (store, tree) = (self.clone(), tree.clone());
        blocking(move || {
            let places = store.places(&tree)?;
            let by_path: HashMap<&str, &TreeFile> =
                tree.files().iter().map(|file| (file.path.as_str(), file)).collect();
            Ok(fuseml_formats::describe(kind, &files(&tree), |file| {
                let file = by_path.get(file.path).ok_or(io::ErrorKind::NotFound)?;
                let place = places.get(&file.digest).filter(|_| file.size_bytes < SMALL_FILE);
                let (blob, begins) = place.map_or((&file.digest, 0), |(pack, place)| (pack, place.offset));
                Ok(Stored {
                    registry: store.registry.clone(),
                    runtime: Handle::current(),
                    blob: blob.clone(),
                    begins,
                    size: file.size_bytes,
                })
            }))
        })
        .await
    }
}
