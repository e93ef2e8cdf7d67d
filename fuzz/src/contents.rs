//! Files of artifacts: lists of them, packs of them, and what they say of themselves.

use fuseml_contents::read_pack;
use fuseml_domain::{Beside, Digest, Image, Kind, Name, Result, Runnable, Tree};
use fuseml_formats::File;
use std::{io, path::Path};

pub(crate) fn tree(bytes: &[u8]) {
    let Ok(tree) = Tree::parse(bytes) else { return };
    let stays = |path: &str| Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    assert!(tree.files().iter().all(|file| stays(&file.path)), "nothing leaves its folder");
    let written = serde_json::to_vec(&tree).expect("a tree is written");
    assert_eq!(Tree::parse(&written).expect("and read").digest(), tree.digest());
}

pub(crate) fn pack(bytes: &[u8]) {
    let read = read_pack(bytes, |_, size, reader| {
        let copied = io::copy(reader, &mut io::sink());
        assert!(copied.is_err() || copied.is_ok_and(|copied| copied == size));
        Ok(())
    });
    for file in read.unwrap_or_default() {
        let (begin, end) = (file.offset as usize, (file.offset + file.size_bytes) as usize);
        assert_eq!(fuseml_domain::Digest::of(&bytes[begin..end]), file.digest, "it lies where it is said to");
    }
}

/// The same bytes under every name that is looked into.
pub(crate) fn formats(bytes: &[u8]) {
    let read = |kind, path| {
        let files = [File { path, size_bytes: bytes.len() as u64 }];
        fuseml_formats::describe(kind, &files, |_| Ok(bytes.to_vec()))
    };
    for path in ["MLmodel", "config.json", "m.safetensors", "m.gguf", "m.onnx", "m.pt", "m.keras"] {
        read(Kind::Model, path);
    }
    for path in ["d.parquet", "d.csv", "d.jsonl"] {
        read(Kind::Dataset, path);
    }
}

/// Every file that a description names is there.
struct Files;

impl Beside for Files {
    fn script(&self, _: &str) -> Result<String> {
        Ok("script".to_owned())
    }

    fn component(&self, runnable: &Name, path: &str) -> Result<Image> {
        Ok(Image::own(&format!("fuzz/runnable/{runnable}"), Digest::of(path.as_bytes())))
    }
}

pub(crate) fn runnable(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(runnable) = Runnable::parse(text, "fuzz", &Files) else { return };
    let document = serde_json::to_string(&runnable).expect("a runnable is written");
    assert_eq!(serde_json::from_str::<Runnable>(&document).expect("and read"), runnable);
}
