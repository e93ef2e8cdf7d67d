//! A directory as a list of files with digests: what models and datasets are known by.

use crate::{Digest, Error, Result};
use serde::{Deserialize, Serialize};

/// One file of a tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TreeFile {
    /// Relative, `/`-separated, without `.` and `..`.
    pub path: String,
    pub size_bytes: u64,
    pub digest: Digest,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// The files of a directory, sorted by path. Its digest is that of its canonical JSON and so of every byte below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    files: Vec<TreeFile>,
}

impl Tree {
    /// Sorts, and refuses paths that would leave the directory or stand twice.
    pub fn new(mut files: Vec<TreeFile>) -> Result<Self> {
        files.sort();
        for file in &files {
            check_relative_path(&file.path)?;
        }
        if let Some(pair) = files.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(Error::invalid(
                "duplicate-path",
                format!("the file `{}` stands twice in one tree", pair[0].path),
            ));
        }
        Ok(Self { files })
    }

    /// Reads and checks the canonical JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let tree: Self = serde_json::from_slice(bytes)
            .map_err(|error| Error::invalid("tree", format!("the list of files is damaged: {error}")))?;
        Self::new(tree.files)
    }

    pub fn files(&self) -> &[TreeFile] {
        &self.files
    }

    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    /// The bytes whose digest is the tree's.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a tree of text and numbers is always JSON")
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_json())
    }
}

/// Refuses a path from outside (an archive, a guest, a tool) that is absolute, climbs, or is no path at all.
pub fn check_relative_path(path: &str) -> Result<()> {
    let bad = path.is_empty()
        || path.contains(['\0', '\\'])
        || path.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    if bad {
        return Err(Error::invalid("path", format!("`{}` is not a path inside a directory", path.escape_debug())));
    }
    Ok(())
}
