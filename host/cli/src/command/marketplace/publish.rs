//! `fuseml extension publish`, `yank`, `revoke`, `restore` and `search`.

use super::{Session, key::signing_key};
use crate::{Options, command::extension::author, output::Rows};
use clap::{Args, ValueEnum};
use fuseml_domain::{Error, Name, PackageReference};
use fuseml_marketplace::{Envelope, Remote, STATUS, Statement, Status, StatusChange, Transfer};
use fuseml_marketplace_server::{ExtensionView, Page, PublishRequest, StatusRequest, VersionView};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use reqwest::Method;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct PublishArguments {
    /// A project, which is built first, or a built extension
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The namespace to publish in
    #[arg(long)]
    namespace: Name,
    /// The marketplace's address, if not the one of the last login
    #[arg(long, value_name = "URL")]
    marketplace: Option<String>,
}

pub(crate) async fn publish(arguments: &PublishArguments, options: &Options) -> anyhow::Result<()> {
    let session = Session::open(arguments.marketplace.as_deref())?;
    let key = signing_key(&arguments.namespace)?;
    let folder = author::built(&arguments.path)?;
    let manifest = crate::command::extension::read_manifest(&folder)?;
    // What can be found here is found before anything is sent.
    fuseml_marketplace_server::inspect(&folder, &manifest)?;
    let staging = tempfile::tempdir()?;
    let layout = staging.path().join("package");
    fuseml_marketplace::write(&folder, &layout)?;
    let full = format!("{}/{}", arguments.namespace, manifest.name);
    let digest = fuseml_marketplace::sign(&layout, &full, &key)?;
    eprintln!(
        "Publishing {full} {} to {}, signed by {}.",
        manifest.version,
        session.client.url,
        key.public()?.id().short()
    );
    let remote = Remote::new(&session.url, &full, Some(&session.client.token))?;
    let bar = bar(total(&layout)?);
    remote.push(&layout, |done: Transfer| bar.inc(done.size)).await?;
    bar.finish_and_clear();
    eprintln!("Sent. The marketplace checks it in its sandbox …");
    let path = format!("/api/v1/extensions/{full}/versions");
    let view: VersionView = session.client.send(Method::POST, &path, &PublishRequest { digest }).await?;
    eprintln!("Published: {}/extensions/{full}/{}", session.client.url, view.record.published.version);
    options.output.print(&view, |view| {
        let mut rows = Rows::new(&["Extension", "Version", "Digest"]);
        let published = &view.record.published;
        rows.push([full.clone(), published.version.to_string(), published.digest.to_string()]);
        rows
    })
}

fn total(layout: &std::path::Path) -> std::io::Result<u64> {
    std::fs::read_dir(layout.join("blobs/sha256"))?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

fn bar(bytes: u64) -> ProgressBar {
    let bar = if crate::output::live() { ProgressBar::new(bytes) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{bytes}/{total_bytes} {bar:30} {bytes_per_sec}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[derive(Args)]
pub(crate) struct StatusArguments {
    /// <namespace>/<extension>@<version>
    version: String,
    /// Why, in one line that everybody reads
    #[arg(long)]
    reason: String,
    /// The marketplace's address, if not the one of the last login
    #[arg(long, value_name = "URL")]
    marketplace: Option<String>,
    /// As an operator: signed by the marketplace's key instead of the namespace's
    #[arg(long)]
    as_operator: bool,
}

pub(crate) async fn change_status(arguments: &StatusArguments, status: Status) -> anyhow::Result<()> {
    let session = Session::open(arguments.marketplace.as_deref())?;
    let reference: PackageReference = arguments.version.parse()?;
    let full = format!("{}/{}", reference.namespace, reference.name);
    let view: ExtensionView = session.client.get(&format!("/api/v1/extensions/{full}"), &[]).await?;
    let named = view.versions.iter().find(|record| format!("{full}@{}", record.published.version) == arguments.version);
    let published = &named
        .ok_or_else(|| Error::not_found("version", format!("there is no {}", arguments.version.escape_debug())))?
        .published;
    let change = StatusChange {
        version: published.version.clone(),
        status,
        reason: arguments.reason.clone(),
        at: Timestamp::now(),
    };
    let statement = match arguments.as_operator {
        true => None,
        false => {
            let statement = Statement::new(&full, &published.digest, STATUS, serde_json::to_value(&change)?);
            Some(Envelope::sign(&statement, &signing_key(&reference.namespace)?)?)
        }
    };
    let path = format!("/api/v1/extensions/{full}/status");
    let request = session.client.request(Method::POST, &path).json(&StatusRequest { change, statement });
    session.client.call(request).await?;
    eprintln!("{} is {} now.", arguments.version, status.name());
    Ok(())
}

#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum OrderName {
    #[default]
    Relevance,
    Downloads,
    Newest,
}

#[derive(Args)]
pub(crate) struct SearchArguments {
    /// Words; everything when there are none
    words: Vec<String>,
    /// What it does: artifact-store, runtime-agent or builder
    #[arg(long)]
    world: Option<String>,
    /// A kind of artifact that it keeps
    #[arg(long)]
    kind: Option<String>,
    /// The tool that it adapts
    #[arg(long)]
    product: Option<String>,
    /// A kind of artifact that its pipelines take
    #[arg(long)]
    input: Option<String>,
    /// A kind of artifact that its pipelines make
    #[arg(long)]
    output_kind: Option<String>,
    /// What it must not ask for, such as http, reveal, or `internet` for hosts that you did not set
    #[arg(long, value_name = "CAPABILITIES")]
    without: Option<String>,
    #[arg(long, value_enum, default_value_t = OrderName::Relevance)]
    sort: OrderName,
    /// The marketplace's address, if not the one of the last login
    #[arg(long, value_name = "URL")]
    marketplace: Option<String>,
}

pub(crate) async fn search(arguments: &SearchArguments, options: &Options) -> anyhow::Result<()> {
    let session = Session::open(arguments.marketplace.as_deref())?;
    let order = match arguments.sort {
        OrderName::Relevance => "relevance",
        OrderName::Downloads => "downloads",
        OrderName::Newest => "newest",
    };
    let mut query = vec![("q", arguments.words.join(" ")), ("order", order.to_owned())];
    for (name, value) in [
        ("world", &arguments.world),
        ("kind", &arguments.kind),
        ("product", &arguments.product),
        ("input", &arguments.input),
        ("output", &arguments.output_kind),
        ("without", &arguments.without),
    ] {
        query.extend(value.clone().map(|value| (name, value)));
    }
    let page: Page = session.client.get("/api/v1/extensions", &query).await?;
    eprintln!("At {}:", session.client.url);
    options.output.print(&page, |page| {
        let mut rows = Rows::new(&["Extension", "Version", "Description", "Downloads", "Verified"]);
        for found in &page.extensions {
            let verified = if found.verified { "yes" } else { "" }.to_owned();
            let name = format!("{}/{}", found.namespace, found.name);
            let description = found.description.clone();
            rows.push([name, found.version.clone(), description, found.downloads.to_string(), verified]);
        }
        rows
    })?;
    if page.next_page_token.is_some() {
        eprintln!("There are more; say more words.");
    }
    Ok(())
}
