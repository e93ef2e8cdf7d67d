//! The mlflow extension, changed.

use crate::World;
use std::{fs, path::Path};

/// A copy of the mlflow extension whose manifest is changed.
pub fn variant(world: &World, name: &str, changes: &[(&str, &str)]) -> String {
    let from = std::env::var("FUSEML_TEST_EXTENSION").expect("cargo xtask test");
    let to = world.folder.path().join(name);
    copy(Path::new(&from), &to);
    let path = to.join("extension.toml");
    let mut manifest = fs::read_to_string(&path).expect("manifest");
    for (old, new) in changes {
        assert!(manifest.contains(old), "the manifest has no {old}");
        manifest = manifest.replace(old, new);
    }
    fs::write(path, manifest).expect("manifest");
    to.display().to_string()
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folder");
    for entry in fs::read_dir(from).expect("folder") {
        let entry = entry.expect("entry");
        match entry.file_type().expect("type").is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).expect("copy")),
        }
    }
}
