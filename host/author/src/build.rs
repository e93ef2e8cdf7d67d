//! From a project to the folder that is installed.

use crate::{files, javascript, layout, python, rust};
use fuseml_domain::{Error, Manifest, Result, Surface};
use std::path::{Path, PathBuf};

/// An extension that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The folder to install.
    pub folder: PathBuf,
    /// What built it, for people.
    pub toolchain: String,
    pub components: Vec<BuiltComponent>,
}

/// One component of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltComponent {
    /// Inside the extension's folder.
    pub file: String,
    pub bytes: usize,
    /// Names of the interfaces that it imports; [`crate::in_words`] says what they mean.
    pub imports: Vec<String>,
}

/// A component before it is written.
pub(crate) struct Made {
    /// Inside the extension's folder.
    pub(crate) file: String,
    pub(crate) bytes: Vec<u8>,
}

/// Builds the extension in `source` and lays it out in `out`, which it replaces in one step.
///
/// # Errors
/// `not-found` without an `extension.toml`; `invalid` when the project or its code is wrong; `unavailable` when a
/// tool that builds it is missing. `out` is then what it was.
pub fn build(source: &Path, out: &Path) -> Result<Built> {
    let source = source.canonicalize().map_err(|error| files::io("opening", source, &error))?;
    let manifest = Manifest::parse(&files::read_text(&source.join("extension.toml"))?)?;
    let (made, toolchain) = components(&source, &manifest)?;
    let mut components = Vec::new();
    for one in &made {
        let imports = Surface::of(&one.bytes)?.imports;
        components.push(BuiltComponent { file: one.file.clone(), bytes: one.bytes.len(), imports });
    }
    let staging = files::beside(out, "new")?;
    let result = layout::lay_out(&source, &manifest, &made, &staging).and_then(|()| files::replace(out, &staging));
    if result.is_err() {
        // Nothing half-made stays behind; the error that counts is the first.
        let _ = files::remove(&staging);
    }
    result.map(|()| Built { folder: out.to_owned(), toolchain, components })
}

fn components(source: &Path, manifest: &Manifest) -> Result<(Vec<Made>, String)> {
    if rust::is_project(source) {
        return rust::build(source, manifest);
    }
    if python::is_project(source) {
        return python::build(source, manifest);
    }
    if javascript::is_project(source) {
        return javascript::build(source, manifest);
    }
    Err(Error::invalid(
        "no-project",
        format!(
            "`{}` holds no code to build: no Cargo.toml in it or just below it, no pyproject.toml, no package.json",
            source.display()
        ),
    ))
}
