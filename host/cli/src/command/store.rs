//! `fuseml store`: where artifacts are kept.

use crate::{Options, client::Client, output::bytes};
use clap::Subcommand;
use fuseml_registry::Collected;
use reqwest::Method;
use std::process::ExitCode;

#[derive(Subcommand)]
pub(crate) enum StoreCommand {
    /// Delete contents that no artifact names and that are a day old at least
    Gc,
}

pub(crate) async fn execute(command: StoreCommand, options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client::new(options)?;
    match command {
        StoreCommand::Gc => {
            let collected: Collected = client.read(client.request(Method::POST, "/api/v1/contents/collect")).await?;
            options.output.print(&collected, |Collected { manifests, blobs, bytes: count }| {
                format!("Deleted {manifests} manifests and {blobs} blobs, {}.\n", bytes(*count))
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
