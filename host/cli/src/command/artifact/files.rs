//! `fuseml artifact fetch` and `delete`: an artifact's files.

use super::{find, person};
use crate::{
    Options,
    client::Client,
    command::{codeset, contents},
};
use anyhow::Context as _;
use clap::Args;
use fuseml_domain::{Contents, Descriptor, Error, Kind, Store};
use fuseml_server::PageView;
use reqwest::Method;
use serde_json::json;
use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::PathBuf,
    process::Stdio,
};

#[derive(Args)]
pub(crate) struct FetchArguments {
    address: String,
    /// The folder to make; the artifact's name if not given
    folder: Option<PathBuf>,
}

/// Brings the files of an artifact of any kind, from wherever they lie.
pub(super) async fn fetch(client: &Client, arguments: FetchArguments, options: &Options) -> anyhow::Result<()> {
    let artifact = find(client, options, &arguments.address).await?;
    if artifact.kind() == Kind::Runnable {
        let message = format!(
            "{} is a description; what it runs is in its code: fetch that, as `fuseml artifact show` names it",
            artifact.address.short()
        );
        return Err(Error::unsupported("runnable", message).into());
    }
    if artifact.kind() != Kind::Codeset && artifact.store == Store::BuiltIn {
        return contents::pull(client, &artifact, arguments.folder).await;
    }
    let folder = arguments.folder.unwrap_or_else(|| PathBuf::from(&*artifact.name));
    if artifact.kind() == Kind::Codeset {
        codeset::check_out(client, &artifact, &folder)?;
        eprintln!("Fetched {} with git.", artifact.address.short());
    } else {
        let address = artifact.address.to_string();
        let contents: Contents = client.get("/api/v1/artifact/contents", &[("address", address)]).await?;
        fuseml_contents::fetch_from_tool(&contents, &folder).await?;
        let files = contents.tree.map_or(0, |tree| tree.files().len());
        eprintln!("Fetched {} from where it lies: {files} files, each verified.", artifact.address.short());
    }
    crate::output::print(&format!("{}\n", folder.display()))
}

/// Shows the tool's own page in a browser where there is one, and says where it is.
pub(super) async fn open(client: &Client, address: &str, only_print: bool, options: &Options) -> anyhow::Result<()> {
    let address = super::read_address(options, address)?;
    let page: PageView = client.get("/api/v1/artifact/page", &[("address", address.to_string())]).await?;
    if !only_print && std::io::stdout().is_terminal() {
        let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let opened =
            std::process::Command::new(opener).arg(&page.url).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        if opened.is_err() {
            eprintln!("No browser could be started here.");
        }
    }
    options.output.print(&page, |page| format!("{}\n", page.url))
}

#[derive(Args)]
pub(crate) struct DeleteArguments {
    address: String,
    /// Also when a tag points at it
    #[arg(long)]
    force: bool,
    /// A line for the history
    #[arg(long)]
    reason: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn delete(client: &Client, arguments: DeleteArguments, options: &Options) -> anyhow::Result<()> {
    let artifact = find(client, options, &arguments.address).await?;
    let short = artifact.address.short();
    if !arguments.yes && !confirmed(&artifact)? {
        return Err(Error::invalid("not-confirmed", format!("{short} was not deleted")).into());
    }
    let body = json!({"by": person(), "reason": arguments.reason, "force": arguments.force});
    let request = client.request(Method::DELETE, "/api/v1/artifact").json(&body);
    let _: Descriptor = client.read(request.query(&[("address", artifact.address.to_string())])).await?;
    eprintln!(
        "Deleted {short}. Lineage still names it; its files are collected when nothing else has them (`fuseml store gc`)."
    );
    Ok(())
}

fn confirmed(artifact: &Descriptor) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::invalid("not-confirmed", "nobody can be asked here; say --yes").into());
    }
    let also = match &artifact.store {
        Store::Extension { instance, .. } => format!(", also in {instance}"),
        Store::External => " (the reference alone)".to_owned(),
        Store::BuiltIn | Store::Local => String::new(),
    };
    eprint!("Delete {}{also}? It cannot be brought back. [y/N] ", artifact.address.short());
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("the answer cannot be read")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
