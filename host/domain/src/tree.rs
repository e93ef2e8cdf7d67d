//! A directory as a list of files with digests: what models and datasets are known by.

use crate::{Digest, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};

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
#[serde(try_from = "Written")]
pub struct Tree {
    files: Vec<TreeFile>,
    /// Folders with nothing in them, sorted; the others follow from the files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    empty_folders: Vec<String>,
}

/// A tree as somebody wrote it, still to be checked.
#[derive(Deserialize)]
struct Written {
    files: Vec<TreeFile>,
    #[serde(default)]
    empty_folders: Vec<String>,
}

impl TryFrom<Written> for Tree {
    type Error = Error;
    fn try_from(written: Written) -> Result<Self> {
        Self::with_empty_folders(written.files, written.empty_folders)
    }
}

impl Tree {
    /// Of files alone.
    ///
    /// # Errors
    /// As [`Tree::with_empty_folders`].
    pub fn new(files: Vec<TreeFile>) -> Result<Self> {
        Self::with_empty_folders(files, Vec::new())
    }

    /// Sorts.
    ///
    /// # Errors
    /// `invalid` for paths that would leave the directory, stand twice, or are a file and a folder at once.
    pub fn with_empty_folders(mut files: Vec<TreeFile>, mut empty_folders: Vec<String>) -> Result<Self> {
        files.sort();
        empty_folders.sort();
        let mut paths: HashSet<&str> = HashSet::with_capacity(files.len() + empty_folders.len());
        for path in files.iter().map(|file| &file.path).chain(&empty_folders) {
            check_relative_path(path)?;
            if !paths.insert(path) {
                let message = format!("`{}` stands twice in one tree", path.escape_debug());
                return Err(Error::invalid("duplicate-path", message));
            }
        }
        for path in &paths {
            let mut above = *path;
            while let Some((folder, _)) = above.rsplit_once('/') {
                if paths.contains(folder) {
                    let message = format!("`{}` has something below it and is no folder", folder.escape_debug());
                    return Err(Error::invalid("duplicate-path", message));
                }
                above = folder;
            }
        }
        Ok(Self { files, empty_folders })
    }

    /// Reads and checks the canonical JSON.
    ///
    /// # Errors
    /// `invalid` for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes)
            .map_err(|error| Error::invalid("tree", format!("the list of files is damaged: {error}")))
    }

    pub fn files(&self) -> &[TreeFile] {
        &self.files
    }

    pub fn empty_folders(&self) -> &[String] {
        &self.empty_folders
    }

    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    /// What of another tree is different, a line each, sorted; empty when it is the same.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let of = |tree: &Self| -> BTreeMap<String, Option<TreeFile>> {
            let files = tree.files.iter().map(|file| (file.path.clone(), Some(file.clone())));
            files.chain(tree.empty_folders.iter().map(|folder| (format!("{folder}/"), None))).collect()
        };
        let (ours, theirs) = (of(self), of(other));
        let paths: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        let difference = |path: &String| match (ours.get(path), theirs.get(path)) {
            (Some(_), None) => Some(format!("{path} is missing")),
            (None, _) => Some(format!("{path} is new")),
            (Some(Some(one)), Some(Some(two))) if one.digest != two.digest => {
                Some(format!("{path} has changed: {} bytes, {} before", two.size_bytes, one.size_bytes))
            }
            (Some(one), Some(two)) if one != two => Some(format!("{path} may be executed, or may not, unlike before")),
            _ => None,
        };
        paths.into_iter().filter_map(difference).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> TreeFile {
        TreeFile { path: path.to_owned(), size_bytes: 1, digest: Digest::of(path.as_bytes()), executable: false }
    }

    #[test]
    fn a_tree_is_what_a_directory_can_be() {
        for (files, folders) in [
            (vec!["a", "a"], vec![]),
            (vec!["a", "a/b"], vec![]),
            (vec!["a", "a-b", "a/b/c"], vec![]),
            (vec!["a"], vec!["a"]),
            (vec!["a/b"], vec!["a"]),
            (vec![], vec!["a", "a/b"]),
            (vec!["../a"], vec![]),
            (vec![], vec!["/a"]),
        ] {
            let list = files.iter().map(|path| file(path)).collect();
            let folders = folders.iter().map(|path| (*path).to_owned()).collect();
            assert!(Tree::with_empty_folders(list, folders).is_err(), "{files:?}");
        }
    }

    #[test]
    fn empty_folders_are_part_of_the_identity_and_nothing_else_changes_by_them() {
        let without = Tree::new(vec![file("b"), file("a/c")]).expect("tree");
        let with = Tree::with_empty_folders(vec![file("a/c"), file("b")], vec!["z".to_owned()]).expect("tree");
        assert_eq!(String::from_utf8_lossy(&without.to_json()).matches("empty_folders").count(), 0);
        assert_ne!(without.digest(), with.digest());
        assert_eq!(Tree::parse(&with.to_json()).expect("tree"), with);
        let climbing = String::from_utf8(without.to_json()).expect("text").replace("a/c", "../c");
        assert!(serde_json::from_str::<Tree>(&climbing).is_err(), "wherever a tree is read from, it is checked");
    }
}
