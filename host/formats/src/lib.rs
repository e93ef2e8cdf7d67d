//! What the files of models and datasets say of themselves: format, framework, signature, schema.
//!
//! Only headers are read, never code and never pickles, and nothing that a file says is believed further than its
//! size: what would not fit, or does not agree with itself, is reported and changes nothing else. Everything here is
//! given a file as [`ReadAt`] and does no I/O of its own.

mod csv;
mod gguf;
mod hugging_face;
mod json;
mod mlmodel;
mod named;
mod onnx;
mod parquet;
mod safetensors;

use fuseml_domain::{Attributes, Kind};
use std::{collections::BTreeSet, io};

/// A file of a known size that is read anywhere.
pub trait ReadAt: Send + Sync {
    /// In bytes.
    fn size(&self) -> u64;
    /// Exactly those bytes.
    ///
    /// # Errors
    /// When they are not there.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let begin = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = begin.checked_add(length).and_then(|end| self.get(begin..end));
        part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Why a file does not say what files of its format say.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("{0}")]
    Malformed(String),
    #[error("it ends too early, or cannot be read: {0}")]
    Read(#[from] io::Error),
}

type Result<T> = std::result::Result<T, FormatError>;

fn malformed(why: impl Into<String>) -> FormatError {
    FormatError::Malformed(why.into())
}

/// Data files of one artifact that are looked at; more of them are mostly more of the same.
const MOST_FILES: usize = 64;
/// Characters of a text that a file may say of itself.
const LONGEST: usize = 16 << 10;

/// One file of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File<'a> {
    /// Relative, `/`-separated.
    pub path: &'a str,
    pub size_bytes: u64,
}

/// Attributes of a model or dataset, from its files. What is wrong with one of them is the attribute `unreadable`.
pub fn describe<'f, R: ReadAt>(
    kind: Kind,
    files: &[File<'f>],
    open: impl Fn(&File<'f>) -> io::Result<R>,
) -> Attributes {
    let mut found = match kind {
        Kind::Model => model(files, &open),
        Kind::Dataset => dataset(files, &open),
        Kind::Codeset | Kind::Runnable => Attributes::new(),
    };
    for value in found.values_mut() {
        if let Some((end, _)) = value.char_indices().nth(LONGEST) {
            value.truncate(end);
            value.push('…');
        }
    }
    found
}

fn note(found: &mut Attributes, path: &str, error: &FormatError) {
    found.entry("unreadable".to_owned()).or_insert_with(|| format!("{path}: {error}"));
}

fn extension(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or_else(String::new, |(_, extension)| extension.to_ascii_lowercase())
}

/// A model's own description counts more than what its weights say.
fn model<'f, R: ReadAt>(files: &[File<'f>], open: &impl Fn(&File<'f>) -> io::Result<R>) -> Attributes {
    let mut found = Attributes::new();
    type Reader = fn(&dyn ReadAt) -> Result<Attributes>;
    let named: [(&str, Reader); 2] = [("MLmodel", mlmodel::read), ("config.json", hugging_face::read)];
    for (name, read) in named {
        if let Some(file) = files.iter().find(|file| file.path == name) {
            add(&mut found, file, open, read);
        }
    }
    let weights: [(&str, Reader); 3] = [("safetensors", safetensors::read), ("gguf", gguf::read), ("onnx", onnx::read)];
    let mut parameters: Option<u64> = None;
    for file in
        files.iter().filter(|file| weights.iter().any(|(name, _)| *name == extension(file.path))).take(MOST_FILES)
    {
        let Some((_, read)) = weights.iter().find(|(name, _)| *name == extension(file.path)) else { continue };
        let mut own = Attributes::new();
        add(&mut own, file, open, *read);
        // Weights in several files are one model's.
        if let Some(count) = own.remove("parameters").and_then(|text| text.parse::<u64>().ok()) {
            parameters = Some(parameters.unwrap_or(0).saturating_add(count));
        }
        for (name, value) in own {
            found.entry(name).or_insert(value);
        }
    }
    if let Some(parameters) = parameters {
        found.insert("parameters".to_owned(), parameters.to_string());
    }
    if !found.contains_key("format") {
        for (name, value) in named::read(files, open) {
            found.entry(name).or_insert(value);
        }
    }
    found
}

fn add<'f, R: ReadAt>(
    found: &mut Attributes,
    file: &File<'f>,
    open: &impl Fn(&File<'f>) -> io::Result<R>,
    read: fn(&dyn ReadAt) -> Result<Attributes>,
) {
    match open(file).map_err(FormatError::from).and_then(|reader| read(&reader)) {
        Ok(own) => {
            for (name, value) in own {
                found.entry(name).or_insert(value);
            }
        }
        Err(error) => note(found, file.path, &error),
    }
}

/// The columns of one file of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Table {
    /// Name and type.
    columns: Vec<(String, String)>,
    rows: Option<u64>,
}

/// Columns of a table at the most that are named.
const MOST_COLUMNS: usize = 1000;

fn dataset<'f, R: ReadAt>(files: &[File<'f>], open: &impl Fn(&File<'f>) -> io::Result<R>) -> Attributes {
    type Reader = fn(&dyn ReadAt) -> Result<Table>;
    let formats: [(&str, &str, Reader); 5] = [
        ("parquet", "parquet", parquet::read),
        ("csv", "csv", csv::read),
        ("tsv", "csv", csv::read),
        ("jsonl", "jsonl", json::read_lines),
        ("ndjson", "jsonl", json::read_lines),
    ];
    let mut found = Attributes::new();
    let reader_of = |file: &File<'_>| formats.iter().find(|(name, ..)| *name == extension(file.path));
    let known: Vec<_> = files.iter().filter_map(|file| Some((file, reader_of(file)?))).collect();
    let named: BTreeSet<&str> = known.iter().map(|(_, (_, format, _))| *format).collect();
    // Files of no known format are mostly READMEs beside the data; data of several formats has none.
    let (1, Some(format)) = (named.len(), named.first()) else {
        let others: BTreeSet<String> =
            files.iter().map(|file| extension(file.path)).filter(|name| is_data(name)).collect();
        if let (0, 1, Some(only)) = (named.len(), others.len(), others.first()) {
            found.insert("format".to_owned(), only.clone());
        }
        return found;
    };
    found.insert("format".to_owned(), (*format).to_owned());
    let mut tables = Vec::new();
    for (file, (_, _, read)) in known.iter().take(MOST_FILES) {
        match open(file).map_err(FormatError::from).and_then(|reader| read(&reader)) {
            Ok(table) => tables.push(table),
            Err(error) => note(&mut found, file.path, &error),
        }
    }
    let whole = tables.len() == known.len();
    if let Some(rows) =
        tables.iter().map(|table| table.rows).sum::<Option<u64>>().filter(|_| whole && !tables.is_empty())
    {
        found.insert("rows".to_owned(), rows.to_string());
    }
    if let Some(first) = tables.first().filter(|first| tables.iter().all(|table| table.columns == first.columns)) {
        let columns: Vec<_> =
            first.columns.iter().take(MOST_COLUMNS).map(|(name, kind)| format!("{name}:{kind}")).collect();
        found.insert("columns".to_owned(), first.columns.len().to_string());
        found.insert("schema".to_owned(), columns.join(", "));
    }
    found
}

/// Formats of data that are named by their extension and not read.
fn is_data(extension: &str) -> bool {
    matches!(
        extension,
        "arrow"
            | "feather"
            | "avro"
            | "orc"
            | "npy"
            | "npz"
            | "h5"
            | "hdf5"
            | "tfrecord"
            | "json"
            | "jpg"
            | "jpeg"
            | "png"
            | "wav"
            | "mp3"
            | "flac"
            | "mp4"
            | "tif"
            | "tiff"
            | "xlsx"
            | "zarr"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn of(kind: Kind, files: &[(&str, &[u8])]) -> Attributes {
        let named: Vec<_> = files.iter().map(|(path, bytes)| File { path, size_bytes: bytes.len() as u64 }).collect();
        describe(kind, &named, |file| {
            let (_, bytes) = files.iter().find(|(path, _)| *path == file.path).ok_or(io::ErrorKind::NotFound)?;
            Ok(bytes.to_vec())
        })
    }

    #[test]
    fn a_dataset_of_one_format_has_it_and_one_of_several_has_none() {
        let csv: &[u8] = b"a,b\n1,x\n";
        let one = of(Kind::Dataset, &[("train.csv", csv), ("test/more.csv", csv), ("README.md", b"# Wine")]);
        assert_eq!(
            (one["format"].as_str(), one["schema"].as_str(), one["rows"].as_str()),
            ("csv", "a:integer, b:text", "2")
        );
        let mixed = of(Kind::Dataset, &[("a.csv", csv), ("b.jsonl", b"{}\n")]);
        assert!(mixed.is_empty(), "{mixed:?}");
        let other = of(Kind::Dataset, &[("a.csv", csv), ("b.csv", b"c\n1\n")]);
        assert_eq!((other.get("schema"), other["rows"].as_str()), (None, "2"), "their columns differ");
        assert_eq!(of(Kind::Dataset, &[("1.png", b""), ("2.png", b"")])["format"], "png");
    }

    #[test]
    fn what_lies_is_named_and_the_rest_is_read() {
        let found = of(Kind::Model, &[("a.gguf", b"GGUF\xff"), ("config.json", br#"{"model_type": "bert"}"#)]);
        assert_eq!(found["architecture"], "bert");
        assert!(found["unreadable"].starts_with("a.gguf: "), "{found:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_stumble(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..6) {
            const BEGINNINGS: [&[u8]; 6] = [b"GGUF\x03\0\0\0", b"PAR1", b"\x08\x07", b"{\"a\":", b"", b"\x10\0\0\0\0\0\0\0{}"];
            let bytes = [BEGINNINGS[cut], &bytes].concat();
            for name in ["m.keras", "m.pt", "m.gguf", "m.onnx", "m.safetensors", "MLmodel", "config.json"] {
                of(Kind::Model, &[(name, &bytes)]);
            }
            for name in ["d.csv", "d.tsv", "d.jsonl", "d.parquet"] {
                of(Kind::Dataset, &[(name, &bytes)]);
            }
        }
    }
}
