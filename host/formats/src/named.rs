//! Models that are told by their names and first bytes: what is further in is code, or needs the framework.

use crate::{File, ReadAt, extension};
use fuseml_domain::Attributes;
use std::io;

struct Format {
    /// A file's extension, or its whole name where it has a dot.
    name: &'static str,
    /// First bytes, one of these; any if there are none.
    begins: &'static [&'static [u8]],
    format: &'static str,
    framework: Option<&'static str>,
}

const ZIP: &[u8] = b"PK\x03\x04";
const PICKLE: &[u8] = b"\x80";
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

const fn format(
    name: &'static str,
    begins: &'static [&'static [u8]],
    format: &'static str,
    framework: Option<&'static str>,
) -> Format {
    Format { name, begins, format, framework }
}

const FORMATS: [Format; 10] = [
    format("saved_model.pb", &[], "saved-model", Some("tensorflow")),
    format("tflite", &[], "tflite", Some("tensorflow")),
    format("keras", &[ZIP], "keras", Some("keras")),
    format("h5", &[HDF5], "hdf5", None),
    format("pt", &[ZIP, PICKLE], "pytorch", Some("pytorch")),
    format("pth", &[ZIP, PICKLE], "pytorch", Some("pytorch")),
    format("ubj", &[], "ubj", Some("xgboost")),
    format("pkl", &[PICKLE], "pickle", None),
    format("pickle", &[PICKLE], "pickle", None),
    format("joblib", &[], "pickle", None),
];

/// Format and framework of the first of the model's files that is known.
pub(crate) fn read<'f, R: ReadAt>(files: &[File<'f>], open: &impl Fn(&File<'f>) -> io::Result<R>) -> Attributes {
    let begins = |file: &File<'f>, known: &Format| {
        let begins = |magic: &&[u8]| {
            open(file).and_then(|reader| reader.read_at(0, magic.len())).is_ok_and(|bytes| bytes == *magic)
        };
        known.begins.is_empty() || known.begins.iter().any(begins)
    };
    let is_named = |file: &File<'f>, known: &Format| match known.name.contains('.') {
        true => file.path.rsplit('/').next() == Some(known.name),
        false => extension(file.path) == known.name,
    };
    // In the order of the table: a SavedModel may have other files beside it.
    for known in &FORMATS {
        let Some(file) = files.iter().find(|file| is_named(file, known)) else { continue };
        if begins(file, known) {
            let framework = known.framework.map(|framework| ("framework".to_owned(), framework.to_owned()));
            return framework.into_iter().chain([("format".to_owned(), known.format.to_owned())]).collect();
        }
    }
    Attributes::new()
}

#[cfg(test)]
mod tests {
    use crate::tests::of;
    use fuseml_domain::Kind;

    #[test]
    fn a_model_is_told_by_its_name_and_its_first_bytes() {
        for (path, bytes, format, framework) in [
            ("1/saved_model.pb", &b""[..], Some("saved-model"), Some("tensorflow")),
            ("m.keras", b"PK\x03\x04x", Some("keras"), Some("keras")),
            ("m.keras", b"x", None, None),
            ("m.pt", b"PK\x03\x04", Some("pytorch"), Some("pytorch")),
            ("m.pth", b"\x80\x02", Some("pytorch"), Some("pytorch")),
            ("m.pkl", b"\x80\x04", Some("pickle"), None),
            ("m.h5", b"\x89HDF\r\n\x1a\n", Some("hdf5"), None),
            ("m.h5", b"\x89HD", None, None),
            ("m.bin", b"", None, None),
        ] {
            let found = of(Kind::Model, &[(path, bytes)]);
            let said = |name: &str| found.get(name).map(String::as_str);
            assert_eq!((said("format"), said("framework")), (format, framework), "{path}");
        }
    }
}
