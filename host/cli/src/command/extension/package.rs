//! `fuseml extension package`, and packages where a folder is expected.

use super::author;
use crate::{Options, output::Rows};
use clap::Args;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

#[derive(Args)]
pub(crate) struct PackageArguments {
    /// A project, which is built first, or a built extension
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The folder to make, an OCI image layout; <PATH>/target/package if not given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn package(arguments: &PackageArguments, options: &Options) -> anyhow::Result<()> {
    let folder = author::built(&arguments.path)?;
    let out = arguments.out.clone().unwrap_or_else(|| arguments.path.join("target").join("package"));
    let packaged = fuseml_marketplace::write(&folder, &out)?;
    options.output.print(&packaged, |packaged| {
        let mut rows = Rows::new(&["Property", "Value"]);
        rows.push(["extension".to_owned(), format!("{} {}", packaged.extension, packaged.version)]);
        rows.push(["digest".to_owned(), packaged.digest.to_string()]);
        rows.push(["folder".to_owned(), packaged.folder.display().to_string()]);
        for (path, bytes) in &packaged.files {
            rows.push(["file".to_owned(), format!("{path} ({bytes} bytes)")]);
        }
        rows
    })
}

/// An extension's folder: the one that was given, or one that a package was unpacked into.
pub(super) struct Opened {
    folder: PathBuf,
    _unpacked: Option<TempDir>,
}

impl Opened {
    /// A package is verified whole before anything of it is used.
    pub(super) fn at(path: &Path) -> anyhow::Result<Self> {
        if !fuseml_marketplace::is_layout(path) {
            return Ok(Self { folder: path.to_owned(), _unpacked: None });
        }
        let unpacked = tempfile::tempdir()?;
        let digest = fuseml_marketplace::read(path, unpacked.path())?;
        eprintln!("{} holds the package {digest}; every file is as it says.", path.display());
        Ok(Self { folder: unpacked.path().to_owned(), _unpacked: Some(unpacked) })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}
