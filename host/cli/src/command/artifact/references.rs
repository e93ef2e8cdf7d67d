//! Labels and tags.

use super::{read_address, show};
use crate::{
    Options,
    client::Client,
    command::{pairs, watch},
};
use clap::Args;
use fuseml_domain::{Descriptor, Name};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeMap, process::ExitCode};

#[derive(Args)]
pub(crate) struct LabelArguments {
    address: String,
    /// As name=value
    #[arg(required = true, value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// Wait until all that follows has ended
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    why: WhyArguments,
}

#[derive(Args)]
pub(crate) struct UnlabelArguments {
    address: String,
    #[arg(required = true, value_name = "NAME")]
    labels: Vec<String>,
    #[command(flatten)]
    why: WhyArguments,
}

#[derive(Args)]
pub(crate) struct TagArguments {
    address: String,
    tag: Name,
    #[command(flatten)]
    why: WhyArguments,
}

#[derive(Args)]
pub(crate) struct PointArguments {
    #[command(flatten)]
    tag: TagArguments,
    /// Wait until all that follows has ended
    #[arg(long)]
    wait: bool,
}

#[derive(Args)]
struct WhyArguments {
    /// A line for the history
    #[arg(long)]
    reason: Option<String>,
}

/// Whoever sits at the keyboard, as they call themselves.
pub(crate) fn person() -> String {
    std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// Changes an artifact, and waits for what that starts.
async fn send(
    client: &Client,
    options: &Options,
    (method, path): (Method, &str),
    (address, wait): (&str, bool),
    (mut body, why): (Value, &WhyArguments),
) -> anyhow::Result<ExitCode> {
    let address = read_address(options, address)?;
    body["by"] = person().into();
    body["reason"] = json!(why.reason);
    let before = if wait { Some(watch::so_far(client, &address).await?) } else { None };
    let request = client.request(method, path).query(&[("address", address.to_string())]).json(&body);
    let artifact: Descriptor = client.read(request).await?;
    options.output.print(&artifact, show)?;
    match before {
        Some(before) => watch::artifact(client, artifact.project(), &artifact.address, Some(&before)).await,
        None => Ok(ExitCode::SUCCESS),
    }
}

const LABELS: (Method, &str) = (Method::PATCH, "/api/v1/artifact/labels");

pub(super) async fn label(client: &Client, arguments: &LabelArguments, options: &Options) -> anyhow::Result<ExitCode> {
    let labels = pairs(&arguments.labels, "a label")?;
    send(client, options, LABELS, (&arguments.address, arguments.wait), (json!({"labels": labels}), &arguments.why))
        .await
}

pub(super) async fn unlabel(
    client: &Client,
    arguments: &UnlabelArguments,
    options: &Options,
) -> anyhow::Result<ExitCode> {
    let labels: BTreeMap<&String, Option<String>> = arguments.labels.iter().map(|name| (name, None)).collect();
    send(client, options, LABELS, (&arguments.address, false), (json!({"labels": labels}), &arguments.why)).await
}

pub(super) async fn tag(client: &Client, arguments: &PointArguments, options: &Options) -> anyhow::Result<ExitCode> {
    let PointArguments { tag: TagArguments { address, tag, why }, wait } = arguments;
    let path = format!("/api/v1/artifact/tags/{tag}");
    send(client, options, (Method::PUT, &path), (address, *wait), (json!({}), why)).await
}

pub(super) async fn untag(client: &Client, arguments: &TagArguments, options: &Options) -> anyhow::Result<ExitCode> {
    let TagArguments { address, tag, why } = arguments;
    let path = format!("/api/v1/artifact/tags/{tag}");
    send(client, options, (Method::DELETE, &path), (address, false), (json!({}), why)).await
}
