//! `fuseml dataset` and `fuseml model`: directories to the server and back.

use super::{
    artifact::{FactArguments, Facts, find, person, table},
    watch,
};
use crate::{
    Options,
    client::Client,
    output::bytes,
    transfer::{self, Sent},
};
use clap::{Args, Subcommand};
use fuseml_domain::{Descriptor, Digest, Error, Kind, Name, PushedArtifact, Series};
use reqwest::Method;
use serde_json::json;
use std::{path::PathBuf, process::ExitCode};

#[derive(Subcommand)]
pub(crate) enum ContentsCommand {
    /// Send a folder or a file as the next version; what the server has already is not sent
    Push(PushArguments),
    /// Fetch a version's files into a new folder, each verified
    Pull(PullArguments),
    /// Show the project's versions, newest first
    List {
        /// Only of this name
        #[arg(long)]
        name: Option<String>,
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
}

#[derive(Args)]
pub(crate) struct PushArguments {
    /// The folder or file
    path: PathBuf,
    /// Its name; the folder's or file's name if not given
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    facts: FactArguments,
    /// Point this tag at the version
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Name>,
    /// Let the server read again what it has of the version, and send what is damaged there
    #[arg(long)]
    repair: bool,
    /// Wait until all that follows has ended
    #[arg(long)]
    wait: bool,
}

#[derive(Args)]
pub(crate) struct PullArguments {
    address: String,
    /// The folder to make; the artifact's name if not given
    folder: Option<PathBuf>,
}

pub(crate) async fn execute(command: ContentsCommand, kind: Kind, options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client::new(options)?;
    match command {
        ContentsCommand::Push(arguments) => return push(&client, arguments, kind, options).await,
        ContentsCommand::Pull(arguments) => {
            let text = match arguments.address.contains('/') {
                true => arguments.address,
                false => format!("{}/{}", kind.scheme(), arguments.address),
            };
            let artifact = find(&client, options, &text).await?;
            pull(&client, &artifact, arguments.folder).await?;
        }
        ContentsCommand::List { name, limit } => {
            let project = options.project()?;
            let mut query = vec![("limit", limit.to_string()), ("kind", kind.to_string())];
            query.extend(name.map(|name| ("name", name)));
            let path = format!("/api/v1/projects/{project}/artifacts");
            let artifacts: Vec<Descriptor> = client.get(&path, &query).await?;
            eprintln!("Versions of {kind}s of the project {project}, newest first, at most {limit}:");
            options.output.print(&artifacts, |artifacts| table(artifacts))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn push(client: &Client, arguments: PushArguments, kind: Kind, options: &Options) -> anyhow::Result<ExitCode> {
    let PushArguments { path, name, facts, tags, repair, wait } = arguments;
    let real = path
        .canonicalize()
        .map_err(|error| Error::invalid("path", format!("{} cannot be pushed: {error}", path.display())))?;
    let name: Name = match name {
        Some(name) => name.parse()?,
        None => {
            let stem = if real.is_dir() { real.file_name() } else { real.file_stem() };
            stem.and_then(|stem| stem.to_str())
                .unwrap_or_default()
                .parse()
                .map_err(|error: Error| Error::invalid("name", format!("{}; --name says another", error.message)))?
        }
    };
    let series = Series::new(&options.project()?, kind, &name);
    let Facts { attributes, metrics, labels } = facts.read()?;
    let said = PushedArtifact { tree: Digest::of(b""), attributes, metrics, labels, by: person() };
    let (mut artifact, sent) = transfer::push(client, &series, &real, said, repair).await?;
    if artifact.name != name {
        eprintln!("These contents are registered already, as {}.", artifact.name);
    }
    for tag in &tags {
        let request = client.request(Method::PUT, &format!("/api/v1/artifact/tags/{tag}"));
        let request = request.query(&[("address", artifact.address.to_string())]);
        artifact = client.read(request.json(&json!({"by": person()}))).await?;
    }
    say(&artifact, sent);
    options.output.print(&artifact, |artifact| format!("{}\n", artifact.address))?;
    match wait {
        true => watch::artifact(client, &series.project, &artifact.address, None).await,
        false => Ok(ExitCode::SUCCESS),
    }
}

fn say(artifact: &Descriptor, sent: Sent) {
    let count = |name: &str| artifact.attributes.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
    let (files, size) = (count("files"), count("size-bytes"));
    let what = match sent.files {
        0 => "nothing had to be sent".to_owned(),
        1 => format!("1 file was sent, {}", bytes(sent.bytes)),
        some => format!("{some} files were sent, {}", bytes(sent.bytes)),
    };
    let files = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
    eprintln!("Pushed {}: {files}, {}; {what}.", artifact.address.short(), bytes(size));
}

/// Fetches into a new folder and says where.
pub(super) async fn pull(client: &Client, artifact: &Descriptor, folder: Option<PathBuf>) -> anyhow::Result<()> {
    let folder = folder.unwrap_or_else(|| PathBuf::from(&*artifact.name));
    let tree = transfer::pull(client, artifact, &folder).await?;
    let (files, size) = (tree.files().len(), bytes(tree.size_bytes()));
    let files = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
    eprintln!("Fetched {}: {files}, {size}, each verified.", artifact.address.short());
    crate::output::print(&format!("{}\n", folder.display()))
}
