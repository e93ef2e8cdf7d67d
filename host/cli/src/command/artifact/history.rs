//! `fuseml artifact history`.

use super::{origin, read_address};
use crate::{
    Options,
    client::Client,
    output::{Rows, moment},
};
use clap::Args;
use fuseml_catalog::HistoryEntry;
use fuseml_domain::{ArtifactChange, Changed};

#[derive(Args)]
pub(crate) struct HistoryArguments {
    address: String,
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

pub(super) async fn history(client: &Client, arguments: &HistoryArguments, options: &Options) -> anyhow::Result<()> {
    let address = read_address(options, &arguments.address)?;
    let query = [("address", address.to_string()), ("limit", arguments.limit.to_string())];
    let entries: Vec<HistoryEntry> = client.get("/api/v1/artifact/history", &query).await?;
    options.output.print(&entries, |entries| table(entries))
}

fn table(entries: &[HistoryEntry]) -> Rows {
    let mut rows = Rows::new(&["When", "Version", "What", "By", "Why"]);
    for entry in entries {
        let (what, by, why) = match (&entry.change, &entry.origin) {
            (Some(change), _) => (said(change), change.by.clone(), change.reason.clone().unwrap_or_default()),
            (None, Some(from)) => (format!("new: {}", origin(from)), String::new(), String::new()),
            (None, None) => ("new".to_owned(), String::new(), String::new()),
        };
        rows.push([moment(entry.at), entry.artifact.short(), what, by, why]);
    }
    rows
}

fn said(change: &ArtifactChange) -> String {
    match &change.what {
        Changed::Labelled { label, value } => format!("label {label} is {value}"),
        Changed::Unlabelled { label } => format!("label {label} is gone"),
        Changed::Tagged { tag, from: Some(from) } => format!("@{tag} is here, no more at {}", from.short()),
        Changed::Tagged { tag, from: None } => format!("@{tag} is here"),
        Changed::Untagged { tag, to: Some(to) } => format!("@{tag} moved to {}", to.short()),
        Changed::Recorded { digest } => format!("files recorded: sha256:{}", &digest.hex()[..12]),
        Changed::Deleted => "deleted".to_owned(),
        Changed::Untagged { tag, to: None } => format!("@{tag} is gone"),
    }
}
