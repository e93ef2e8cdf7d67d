//! Digests of files that were read before: a file that did not change is not read again.

use crate::config;
use fuseml_contents::Found;
use fuseml_domain::Digest;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// A file that was changed so shortly before it was read, in nanoseconds, may change again without showing it.
const TOO_FRESH: i128 = 2_000_000_000;

/// What is remembered of one directory's files.
#[derive(Default)]
pub(crate) struct KnownDigests {
    place: Option<PathBuf>,
    files: HashMap<String, Entry>,
}

/// What a file looked like when it was read.
#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    look: Look,
    digest: Digest,
}

/// Size in bytes, times of change of contents and of the file itself in nanoseconds, and which file it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Look(u64, i128, i128, u64);

impl Look {
    fn of(metadata: &fs::Metadata) -> Self {
        let at = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self(
            metadata.len(),
            at(metadata.mtime(), metadata.mtime_nsec()),
            at(metadata.ctime(), metadata.ctime_nsec()),
            metadata.ino(),
        )
    }
}

impl KnownDigests {
    /// What is remembered; nothing if it cannot be read.
    pub(crate) fn of(directory: &Path) -> Self {
        let Ok(cache) = config::cache_folder() else { return Self::default() };
        let Ok(directory) = directory.canonicalize() else { return Self::default() };
        let name = Digest::of(directory.as_os_str().as_encoded_bytes());
        let place = cache.join("digests").join(format!("{}.json", name.hex()));
        let files = fs::read(&place).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { place: Some(place), files }
    }

    pub(crate) fn digest(&self, found: &Found) -> Option<Digest> {
        let entry = self.files.get(&found.path)?;
        (entry.look == Look::of(&found.metadata)).then(|| entry.digest.clone())
    }

    /// Remembers what was read; `began` is when that was begun. What cannot be kept is read again next time.
    pub(crate) fn remember<'f>(
        self,
        files: impl Iterator<Item = (&'f str, &'f fs::Metadata, &'f Digest)>,
        began: SystemTime,
    ) {
        let Some(place) = self.place else { return };
        let began = began.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos()).cast_signed();
        let old_enough = |look: &Look| look.1.max(look.2) < began - TOO_FRESH;
        let files: HashMap<&str, Entry> = files
            .map(|(path, metadata, digest)| (path, Entry { look: Look::of(metadata), digest: digest.clone() }))
            .filter(|(_, entry)| old_enough(&entry.look))
            .collect();
        let keep = || -> std::io::Result<()> {
            let folder = place.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            let mut file = std::io::BufWriter::new(tempfile::NamedTempFile::new_in(folder)?);
            serde_json::to_writer(&mut file, &files)?;
            file.into_inner().map_err(std::io::IntoInnerError::into_error)?.persist(&place)?;
            Ok(())
        };
        if let Err(error) = keep() {
            tracing::debug!(%error, "digests are not remembered");
        }
    }
}
