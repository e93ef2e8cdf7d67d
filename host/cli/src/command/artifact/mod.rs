//! `fuseml artifact`.

mod diff;
mod facts;
mod files;
mod history;
mod references;
mod register;
mod search;
mod verify;

pub(super) use facts::{FactArguments, Facts};
pub(super) use references::person;

use crate::{
    Options,
    client::Client,
    command::watch,
    output::{Format, Rows, moment},
};
use clap::{Args, Subcommand};
use fuseml_domain::{Address, Descriptor, Error, Kind, Origin, Store, Unstarted};
use std::process::ExitCode;

#[derive(Subcommand)]
pub(crate) enum ArtifactCommand {
    /// Show the project's artifacts, newest first
    List(ListArguments),
    /// Find artifacts by a condition, such as 'kind = model and accuracy > 0.9', newest first
    Search(search::SearchArguments),
    /// Show all that is known of one artifact
    Show { address: String },
    /// Show what happened to the versions of an artifact: where they came from, labels, moves of tags
    History(history::HistoryArguments),
    /// Record a model or dataset that lies elsewhere
    Register(register::RegisterArguments),
    /// Set labels
    Label(references::LabelArguments),
    /// Remove labels
    Unlabel(references::UnlabelArguments),
    /// Point a tag at a version; whichever had it before has it no more
    Tag(references::PointArguments),
    /// Take a tag away
    Untag(references::TagArguments),
    /// Explain how two artifacts differ: metrics, parameters, code, inputs, environment, files
    Diff(diff::DiffArguments),
    /// Fetch the files of an artifact of any kind into a new folder, each verified
    Fetch(files::FetchArguments),
    /// Read the contents again and say what is not as it was registered
    Verify(verify::VerifyArguments),
    /// Show who signed how a run's result came to be, and save that for others
    Provenance(verify::ProvenanceArguments),
    /// Open the tool's own page of an artifact
    Open {
        address: String,
        /// Only print where it is
        #[arg(long)]
        url: bool,
    },
    /// Delete an artifact; its lineage and that it was there remain
    Delete(files::DeleteArguments),
}

#[derive(Args)]
pub(crate) struct ListArguments {
    /// Only of this kind: codeset, runnable, model or dataset
    #[arg(long)]
    kind: Option<String>,
    /// Only of this name
    #[arg(long)]
    name: Option<String>,
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

pub(crate) async fn execute(command: ArtifactCommand, options: &Options) -> anyhow::Result<ExitCode> {
    // What needs no server must not look for one.
    let command = match command {
        ArtifactCommand::Verify(arguments) => return verify::verify(arguments, options).await,
        ArtifactCommand::Provenance(arguments) => return verify::provenance(arguments, options).await,
        other => other,
    };
    let client = Client::new(options)?;
    match command {
        ArtifactCommand::Verify(_) | ArtifactCommand::Provenance(_) => {}
        ArtifactCommand::List(arguments) => {
            let project = options.project()?;
            let kind = arguments.kind.as_deref().map(str::parse::<Kind>).transpose()?;
            let mut query = vec![("limit", arguments.limit.to_string())];
            query.extend(kind.map(|kind| ("kind", kind.to_string())));
            query.extend(arguments.name.map(|name| ("name", name)));
            let path = format!("/api/v1/projects/{project}/artifacts");
            let artifacts: Vec<Descriptor> = client.get(&path, &query).await?;
            eprintln!("Artifacts of the project {project}, newest first, at most {}:", arguments.limit);
            options.output.print(&artifacts, |artifacts| table(artifacts))?;
        }
        ArtifactCommand::Search(arguments) => search::search(&client, arguments, options).await?,
        ArtifactCommand::History(arguments) => history::history(&client, &arguments, options).await?,
        ArtifactCommand::Register(arguments) => register::register(&client, arguments, options).await?,
        ArtifactCommand::Label(arguments) => return references::label(&client, &arguments, options).await,
        ArtifactCommand::Unlabel(arguments) => return references::unlabel(&client, &arguments, options).await,
        ArtifactCommand::Tag(arguments) => return references::tag(&client, &arguments, options).await,
        ArtifactCommand::Untag(arguments) => return references::untag(&client, &arguments, options).await,
        ArtifactCommand::Diff(arguments) => diff::diff(&client, &arguments, options).await?,
        ArtifactCommand::Fetch(arguments) => files::fetch(&client, arguments, options).await?,
        ArtifactCommand::Delete(arguments) => files::delete(&client, arguments, options).await?,
        ArtifactCommand::Open { address, url } => files::open(&client, &address, url, options).await?,
        ArtifactCommand::Show { address } => {
            let artifact = find(&client, options, &address).await?;
            let mut unstarted = Vec::new();
            if options.output == Format::Table {
                unstarted = watch::so_far(&client, &artifact.address).await?.unstarted;
            }
            options.output.print(&artifact, |artifact| {
                let mut rows = show(artifact);
                for Unstarted { pipeline, reason } in unstarted {
                    rows.push([format!("not started {pipeline}"), reason]);
                }
                rows
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn table(artifacts: &[Descriptor]) -> Rows {
    let mut rows = Rows::new(&["Address", "Name", "Tags", "Created", "Origin"]);
    for artifact in artifacts {
        let (name, tags) = (artifact.name.to_string(), artifact.tags.join(", "));
        rows.push([artifact.address.short(), name, tags, moment(artifact.created), origin(&artifact.origin)]);
    }
    rows
}

pub(super) async fn find(client: &Client, options: &Options, text: &str) -> anyhow::Result<Descriptor> {
    let address = read_address(options, text)?;
    Ok(client.get("/api/v1/artifact", &[("address", address.to_string())]).await?)
}

/// The same where the kind is known: `scorer@v1` and the like are short for one of it.
pub(super) async fn find_of(client: &Client, options: &Options, text: &str, kind: Kind) -> anyhow::Result<Descriptor> {
    let address = match text.contains("://") {
        true => text.parse()?,
        false => Address::parse_in(text, kind, &options.project()?)?,
    };
    if address.kind != kind {
        return Err(Error::invalid("kind", format!("{address} is a {}, not a {kind}", address.kind)).into());
    }
    Ok(client.get("/api/v1/artifact", &[("address", address.to_string())]).await?)
}

/// A full address needs no chosen project; `model/<id>` and the like are short for one inside it.
pub(super) fn read_address(options: &Options, text: &str) -> anyhow::Result<Address> {
    if text.contains("://") {
        return Ok(text.parse()?);
    }
    let (scheme, rest) = text.split_once('/').unwrap_or(("code", text));
    match Kind::from_scheme(scheme) {
        Some(kind) => Ok(Address::parse_in(rest, kind, &options.project()?)?),
        None => Ok(Address::parse_in(text, Kind::Codeset, &options.project()?)?),
    }
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Push { reference, subject } => format!("pushed to {reference}: {subject}"),
        Origin::Run { run, step, project: None } => format!("{run} {step}"),
        Origin::Run { run, step, project: Some(project) } => format!("{run} {step} of {project}"),
        Origin::Registered { by } => format!("registered by {by}"),
    }
}

pub(super) fn show(artifact: &Descriptor) -> Rows {
    let mut rows = Rows::new(&["Property", "Value"]);
    let mut row = |name: &str, value: String| rows.push([name.to_owned(), value]);
    row("address", artifact.address.to_string());
    row("kind", artifact.kind().to_string());
    row("name", artifact.name.to_string());
    row("created", moment(artifact.created));
    row("origin", origin(&artifact.origin));
    row("contents", artifact.location.uri.clone());
    row(
        "store",
        match &artifact.store {
            Store::BuiltIn => "built in".to_owned(),
            Store::Local => "the local space of its run".to_owned(),
            Store::Extension { instance, id } => format!("{instance}: {id}"),
            Store::External => "none: it is external, so it is neither fetched nor verified here".to_owned(),
        },
    );
    if !artifact.tags.is_empty() {
        row("tags", artifact.tags.join(", "));
    }
    for (name, value) in &artifact.labels {
        row(&format!("label {name}"), value.clone());
    }
    if let Some(digest) = &artifact.digest {
        row("digest", digest.to_string());
    }
    for (name, value) in &artifact.metrics {
        row(&format!("metric {name}"), value.to_string());
    }
    for (name, value) in &artifact.attributes {
        row(name, shortened(value));
    }
    if let Some(runnable) = &artifact.runnable {
        super::runnable::describe(runnable, &mut rows);
    }
    rows
}

/// A signature of a hundred columns belongs into `-o json`.
fn shortened(value: &str) -> String {
    const SHOWN: usize = 100;
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
