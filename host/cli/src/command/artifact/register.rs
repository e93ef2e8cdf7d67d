//! `fuseml artifact register`.

use super::{references::person, show};
use crate::{Options, client::Client, command::pairs};
use clap::Args;
use fuseml_domain::{Descriptor, Error, ExternalArtifact, Kind, Name};
use reqwest::Method;
use std::collections::BTreeMap;

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
    /// Such as framework=sklearn
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
    /// Such as accuracy=0.93
    #[arg(long = "metric", value_name = "NAME=NUMBER")]
    metrics: Vec<String>,
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
}

pub(super) async fn register(client: &Client, arguments: RegisterArguments, options: &Options) -> anyhow::Result<()> {
    let RegisterArguments { kind, name, uri, digest, attributes, metrics, labels } = arguments;
    let number = |(name, value): (String, String)| {
        let number = value.parse::<f64>();
        let number =
            number.map_err(|_| Error::invalid("argument", format!("the metric {name} is `{value}`, no number")))?;
        Ok::<_, Error>((name, number))
    };
    let external = ExternalArtifact {
        kind: kind.parse::<Kind>()?,
        name,
        uri,
        digest: digest.map(|digest| digest.parse()).transpose()?,
        attributes: pairs(&attributes, "an attribute")?,
        metrics: pairs(&metrics, "a metric")?.into_iter().map(number).collect::<Result<BTreeMap<_, _>, _>>()?,
        labels: pairs(&labels, "a label")?,
        by: person(),
    };
    let path = format!("/api/v1/projects/{}/artifacts", options.project()?);
    let artifact: Descriptor = client.send(Method::POST, &path, &external).await?;
    eprintln!("Only the reference is recorded: FuseML neither fetches nor verifies it, and does not see it change.");
    options.output.print(&artifact, show)
}
