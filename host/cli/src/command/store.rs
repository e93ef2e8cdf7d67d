//! `fuseml store`: where artifacts are kept.

use crate::{
    Options,
    client::Client,
    command::interval,
    output::{Rows, bytes, moment},
};
use clap::{Args, Subcommand};
use fuseml_domain::{Name, Scope, StoreAbilities, StoreCollected, StoreSync};
use fuseml_registry::Collected;
use fuseml_server::{RecoveredView, StoreView, SyncRequest};
use reqwest::Method;
use std::process::ExitCode;

#[derive(Subcommand)]
pub(crate) enum StoreCommand {
    /// Show the stores: the built-in ones and those of tools
    List,
    /// Show what a tool's store can do, whether it answers, and what is known of it
    Show {
        /// The instance, or `git` or `oci`
        store: Name,
    },
    /// Register what a tool's store has and FuseML does not know
    Sync(SyncArguments),
    /// Register what the built-in stores have and the catalog does not: after a catalog was lost
    Recover,
    /// Delete contents that nothing names: here, where they are a day old at least, or in a tool's store
    Gc {
        /// The instance; the built-in store if not given
        store: Option<Name>,
        /// Only count; for tools' stores
        #[arg(long, requires = "store")]
        dry_run: bool,
        /// Here, also what is younger than a day: a push that goes on now may have to begin again
        #[arg(long, value_name = "AGE", conflicts_with = "store")]
        older_than: Option<String>,
    },
}

#[derive(Args)]
pub(crate) struct SyncArguments {
    /// The instance
    store: Name,
    /// Also from here on, so often: 10m, 1h, 1d
    #[arg(long)]
    every: Option<String>,
    /// Delete here what is gone there
    #[arg(long)]
    prune: bool,
}

pub(crate) async fn execute(command: StoreCommand, options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client::new(options)?;
    match command {
        StoreCommand::List => {
            let stores: Vec<StoreView> = client.get("/api/v1/stores", &[]).await?;
            eprintln!("Stores of all projects:");
            options.output.print(&stores, |stores| table(stores))?;
        }
        StoreCommand::Show { store } => {
            let view: StoreView = client.get(&format!("/api/v1/stores/{store}"), &[]).await?;
            options.output.print(&view, show)?;
        }
        StoreCommand::Sync(arguments) => sync(&client, arguments, options).await?,
        StoreCommand::Recover => {
            let done: RecoveredView = client.read(client.request(Method::POST, "/api/v1/contents/recover")).await?;
            options.output.print(&done, |done| {
                let mut rows = Rows::new(&["Artifacts", "Codesets", "Tags", "Left out"]);
                rows.push([done.registered, done.codesets, done.tags, done.skipped].map(|count| count.to_string()));
                rows
            })?;
            for left_out in &done.left_out {
                eprintln!("left out: {left_out}");
            }
        }
        StoreCommand::Gc { store: Some(store), dry_run, .. } => {
            let path = format!("/api/v1/stores/{store}/collect?dry_run={dry_run}");
            let collected: StoreCollected = client.read(client.request(Method::POST, &path)).await?;
            options.output.print(&collected, |StoreCollected { examined, removed, freed_bytes, .. }| {
                let would = if dry_run { "Would remove" } else { "Removed" };
                format!("{would} {removed} of {examined}, {}.\n", bytes(*freed_bytes))
            })?;
        }
        StoreCommand::Gc { store: None, older_than, .. } => {
            let mut request = client.request(Method::POST, "/api/v1/contents/collect");
            if let Some(age) = older_than {
                request = request.query(&[("older_than_seconds", interval(&age)?.as_secs())]);
            }
            let collected: Collected = client.read(request).await?;
            options.output.print(&collected, |Collected { manifests, blobs, bytes: count }| {
                format!("Deleted {manifests} manifests and {blobs} blobs, {}.\n", bytes(*count))
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(stores: &[StoreView]) -> Rows {
    let mut rows = Rows::new(&["Store", "Kinds", "Pattern", "Can", "Artifacts", "Last look"]);
    for store in stores {
        let last = match (&store.trouble, &store.sync) {
            (Some(trouble), _) => trouble.clone(),
            (None, Some(sync)) => look(sync),
            (None, None) => String::new(),
        };
        rows.push([
            store.store.clone(),
            store.kinds.join(", "),
            pattern(store),
            abilities(store),
            store.artifacts.map_or_else(String::new, |count| count.to_string()),
            last,
        ]);
    }
    rows
}

fn pattern(store: &StoreView) -> String {
    let text = store.pattern.map(|pattern| serde_json::to_value(pattern).unwrap_or_default());
    text.as_ref().and_then(serde_json::Value::as_str).unwrap_or("built in").to_owned()
}

fn abilities(store: &StoreView) -> String {
    let StoreAbilities { feed, redirect, maintenance } = store.abilities;
    let named = [(feed, "feed"), (redirect, "pages"), (maintenance, "gc")];
    let more = named.into_iter().filter(|(can, _)| *can).map(|(_, name)| name.to_owned());
    store.operations.iter().cloned().chain(more).collect::<Vec<_>>().join(", ")
}

fn look(sync: &StoreSync) -> String {
    let last = &sync.last;
    let ended = match &last.error {
        Some(error) => format!("failed: {error}"),
        None => format!("{} new, {} changed, {} deleted", last.registered, last.changed, last.deleted),
    };
    format!("{}, {ended}", moment(last.at))
}

fn show(store: &StoreView) -> Rows {
    let mut rows = Rows::new(&["Property", "Value"]);
    let mut row = |name: &str, value: String| rows.push([name.to_owned(), value]);
    row("store", store.store.clone());
    row("kinds", store.kinds.join(", "));
    row("pattern", pattern(store));
    row("can", abilities(store));
    row("contents by", store.schemes.join(", "));
    if let Some(place) = &store.place {
        row("place", place.clone());
    }
    if let Some(answers) = store.answers {
        let trouble = store.trouble.clone().unwrap_or_default();
        row("its tool", if answers { "answers".to_owned() } else { trouble });
    }
    if let Some(artifacts) = store.artifacts {
        row("artifacts known", artifacts.to_string());
    }
    if let Some(sync) = &store.sync {
        row("project", sync.project.to_string());
        row("looked at", sync.every.map_or("when asked".to_owned(), |every| format!("every {every:#}")));
        row("last look", look(sync));
        for skipped in &sync.last.skipped {
            row("left out", skipped.clone());
        }
    }
    rows
}

async fn sync(client: &Client, arguments: SyncArguments, options: &Options) -> anyhow::Result<()> {
    let SyncArguments { store, every, prune } = arguments;
    // The instance may belong to a project; only the server knows.
    let instance: fuseml_server::InstanceView = client.get(&format!("/api/v1/instances/{store}"), &[]).await?;
    let project = match instance.instance.scope {
        Scope::Project(project) => project,
        Scope::Global => options.project()?,
    };
    let every = every.as_deref().map(interval).transpose()?;
    let request = SyncRequest { project: Some(project.clone()), every, prune };
    eprintln!("Looking through {store} for the project {project} …");
    let done: StoreSync = client.send(Method::POST, &format!("/api/v1/stores/{store}/sync"), &request).await?;
    options.output.print(&done, |done| {
        let last = &done.last;
        let mut rows = Rows::new(&["New", "Changed", "Deleted", "Left out"]);
        let count = |count: u64| count.to_string();
        rows.push([count(last.registered), count(last.changed), count(last.deleted), last.skipped.len().to_string()]);
        rows
    })?;
    for skipped in &done.last.skipped {
        eprintln!("left out: {skipped}");
    }
    Ok(())
}
