//! `fuseml artifact register`.

use super::{FactArguments, Facts, references::person, show};
use crate::{Options, client::Client};
use clap::Args;
use fuseml_domain::{Descriptor, ExternalArtifact, Kind, Name};
use reqwest::Method;

#[derive(Args)]
pub(crate) struct RegisterArguments {
    /// model or dataset
    kind: String,
    name: Name,
    /// Where it lies, such as s3://bucket/key or https://…
    uri: String,
    /// Of its contents, as sha256:…
    #[arg(long)]
    digest: Option<String>,
    #[command(flatten)]
    facts: FactArguments,
}

pub(super) async fn register(client: &Client, arguments: RegisterArguments, options: &Options) -> anyhow::Result<()> {
    let RegisterArguments { kind, name, uri, digest, facts } = arguments;
    let Facts { attributes, metrics, labels } = facts.read()?;
    let external = ExternalArtifact {
        kind: kind.parse::<Kind>()?,
        name,
        uri,
        digest: digest.map(|digest| digest.parse()).transpose()?,
        attributes,
        metrics,
        labels,
        by: person(),
    };
    let path = format!("/api/v1/projects/{}/artifacts", options.project()?);
    let artifact: Descriptor = client.send(Method::POST, &path, &external).await?;
    eprintln!("Only the reference is recorded: FuseML neither fetches nor verifies it, and does not see it change.");
    options.output.print(&artifact, show)
}
