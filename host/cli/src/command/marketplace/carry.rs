//! Bundles: `fuseml marketplace export` and `import`.

use super::Session;
use crate::{Options, client::Client, command::extension::form, output::Rows};
use clap::Args;
use fuseml_domain::{Error, Name, PackageReference};
use fuseml_server::{ImportRequest, ImportView};
use reqwest::Method;
use std::{fs, path::PathBuf};

#[derive(Args)]
pub(crate) struct ExportArguments {
    /// <namespace>/<extension>[@<version or range>]
    #[arg(required = true)]
    packages: Vec<PackageReference>,
    /// The file to make
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The marketplace's address, if not the one of the last login
    #[arg(long, value_name = "URL")]
    marketplace: Option<String>,
}

pub(super) async fn export(arguments: &ExportArguments) -> anyhow::Result<()> {
    let session = Session::open(arguments.marketplace.as_deref())?;
    let folder = tempfile::tempdir()?;
    let carried = fuseml_marketplace::export(&session.url, &arguments.packages, folder.path(), |_| {}).await?;
    let io = |error: std::io::Error| Error::io(arguments.out.display(), &error);
    let staging = arguments.out.with_extension("part");
    let mut archive = tar::Builder::new(fs::File::create(&staging).map_err(io)?);
    archive.mode(tar::HeaderMode::Deterministic);
    archive.append_dir_all(".", folder.path()).map_err(io)?;
    archive.into_inner().and_then(|file| file.sync_all()).map_err(io)?;
    fs::rename(&staging, &arguments.out).map_err(io)?;
    eprintln!("{} holds {}.", arguments.out.display(), carried.packages.join(", "));
    Ok(())
}

#[derive(Args)]
pub(crate) struct ImportArguments {
    file: PathBuf,
    /// What to call the marketplace that it is from
    #[arg(long)]
    name: Name,
    /// The id of the marketplace's root key; needed the first time
    #[arg(long, value_name = "ID")]
    root_key: Option<String>,
}

pub(super) async fn import(arguments: &ImportArguments, options: &Options) -> anyhow::Result<()> {
    let client = Client::new(options)?;
    let request = ImportRequest { name: Some(arguments.name.clone()), root_key: arguments.root_key.clone() };
    let bytes = fs::read(&arguments.file).map_err(|error| Error::io(arguments.file.display(), &error))?;
    let form = form(&request, None)?.part("package", reqwest::multipart::Part::bytes(bytes));
    let request = client.request(Method::POST, "/api/v1/marketplaces-import").multipart(form);
    let view: ImportView = client.read(request).await?;
    eprintln!("Everything in it verifies. Install with `fuseml extension install {}:…`.", view.marketplace);
    options.output.print(&view, |view| {
        let mut rows = Rows::new(&["Package"]);
        view.packages.iter().for_each(|package| rows.push([package.clone()]));
        rows
    })
}
