//! `fuseml artifact diff`.

use super::read_address;
use crate::{Options, client::Client, output::Rows};
use clap::Args;
use fuseml_domain::ArtifactDifference;

#[derive(Args)]
pub(crate) struct DiffArguments {
    /// The one before
    before: String,
    /// The one after
    after: String,
}

pub(super) async fn diff(client: &Client, arguments: &DiffArguments, options: &Options) -> anyhow::Result<()> {
    let [before, after] = [&arguments.before, &arguments.after].map(|text| read_address(options, text));
    let query = [("address", before?.to_string()), ("other", after?.to_string())];
    let found: Vec<ArtifactDifference> = client.get("/api/v1/artifact/diff", &query).await?;
    if found.is_empty() {
        eprintln!("Nothing that is known of them differs.");
    }
    options.output.print(&found, |found| {
        let mut rows = Rows::new(&["About", "Name", "Before", "After"]);
        for one in found {
            let shown = |value: &Option<String>| super::shortened(value.as_deref().unwrap_or("-"));
            rows.push([one.about.clone(), one.name.clone(), shown(&one.before), change(one, shown(&one.after))]);
        }
        rows
    })
}

/// Of numbers also by how much.
fn change(one: &ArtifactDifference, shown: String) -> String {
    let number = |value: &Option<String>| value.as_ref()?.parse::<f64>().ok();
    match (one.about.as_str(), number(&one.before), number(&one.after)) {
        ("metric", Some(before), Some(after)) => format!("{shown} ({:+.4})", after - before),
        _ => shown,
    }
}
