//! The released contract never changes: components built against it must fit for ever.

use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, fs, path::Path};

/// `fixtures/released-wit.txt` holds the digest of every released file. A change is a new version beside the old one.
#[test]
fn no_released_wit_file_was_changed_or_removed() {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let listed = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/released-wit.txt"))
        .expect("fixtures/released-wit.txt");
    let listed: BTreeMap<&str, &str> = listed
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once("  ").map(|(digest, path)| (path, digest)).expect("digest, two spaces, path"))
        .collect();
    assert!(listed.len() >= 10, "the list names every released file");
    for (path, digest) in listed {
        let bytes = fs::read(wit.join(path)).unwrap_or_else(|error| panic!("{path} was released: {error}"));
        assert_eq!(hex::encode(Sha256::digest(bytes)), digest, "{path} was released; put changes into a new version");
    }
}
