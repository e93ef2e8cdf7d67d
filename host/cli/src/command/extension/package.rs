//! `fuseml extension package`, and packages where a folder is expected.

use super::{author, install::read_manifest};
use crate::{Options, client::Client, output::Rows};
use clap::Args;
use fuseml_domain::{Digest, Manifest, PackageOrigin, PackageReference};
use fuseml_server::PackageView;
use reqwest::Method;
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

/// A package as it is named on the command line.
pub(super) enum Package {
    Here(Opened),
    /// At the server, which fetched it from a marketplace.
    Fetched(Box<PackageView>),
}

impl Package {
    /// Whether this is a name in a marketplace: what is there by that path goes first.
    pub(super) fn is_named(text: &str) -> bool {
        !Path::new(text).exists() && text.parse::<PackageReference>().is_ok()
    }

    /// What is there by that path; otherwise the server fetches what a marketplace has by that name.
    pub(super) async fn open(client: &Client, text: &str) -> anyhow::Result<Self> {
        if !Self::is_named(text) {
            return Ok(Self::Here(Opened::at(Path::new(text))?));
        }
        Self::fetch(client, &text.parse()?).await
    }

    /// What a marketplace has to be asked for before this can be installed, and at last for this; nothing for what is
    /// here.
    pub(super) async fn needed(client: &Client, text: &str) -> anyhow::Result<Vec<PackageReference>> {
        if !Self::is_named(text) {
            return Ok(Vec::new());
        }
        let reference: PackageReference = text.parse()?;
        Ok(client.send(Method::POST, "/api/v1/packages/plan", &reference).await?)
    }

    pub(super) async fn fetch(client: &Client, reference: &PackageReference) -> anyhow::Result<Self> {
        let view: PackageView = client.send(Method::POST, "/api/v1/packages", reference).await?;
        let PackageOrigin { marketplace, namespace, key, .. } = &view.origin;
        let (name, version) = (&view.manifest.name, &view.manifest.version);
        let key = key.get(..16).unwrap_or(key);
        eprintln!(
            "{marketplace} has {namespace}/{name} {version}, signed by {key} of {namespace}; all of it verifies."
        );
        if let Some(deprecation) = &view.deprecation {
            eprintln!("{namespace}/{name} is deprecated: {deprecation}");
        }
        for advisory in &view.advisories {
            eprintln!("{name} {version} is vulnerable: {advisory}");
        }
        Ok(Self::Fetched(Box::new(view)))
    }

    pub(super) fn manifest(&self) -> anyhow::Result<Manifest> {
        match self {
            Self::Here(opened) => read_manifest(opened.folder()),
            Self::Fetched(view) => Ok(view.manifest.clone()),
        }
    }

    /// What is sent, if the server does not have it.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Here(opened) => Some(opened.folder()),
            Self::Fetched(_) => None,
        }
    }

    pub(super) fn digest(&self) -> Option<Digest> {
        match self {
            Self::Here(_) => None,
            Self::Fetched(view) => Some(view.origin.digest.clone()),
        }
    }
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
