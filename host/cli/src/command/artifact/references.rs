//! Labels and tags.

use super::{read_address, show};
use crate::{Options, client::Client, command::pairs};
use clap::Args;
use fuseml_domain::{Descriptor, Name};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Args)]
pub(crate) struct LabelArguments {
    address: String,
    /// As name=value
    #[arg(required = true, value_name = "NAME=VALUE")]
    labels: Vec<String>,
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
struct WhyArguments {
    /// A line for the history
    #[arg(long)]
    reason: Option<String>,
}

/// Whoever sits at the keyboard, as they call themselves.
pub(crate) fn person() -> String {
    std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

async fn send(
    client: &Client,
    options: &Options,
    (method, path): (Method, &str),
    address: &str,
    (mut body, why): (Value, &WhyArguments),
) -> anyhow::Result<()> {
    let address = read_address(options, address)?.to_string();
    body["by"] = person().into();
    body["reason"] = json!(why.reason);
    let request = client.request(method, path).query(&[("address", address)]).json(&body);
    let artifact: Descriptor = client.read(request).await?;
    options.output.print(&artifact, show)
}

const LABELS: (Method, &str) = (Method::PATCH, "/api/v1/artifact/labels");

pub(super) async fn label(client: &Client, arguments: &LabelArguments, options: &Options) -> anyhow::Result<()> {
    let labels = pairs(&arguments.labels, "a label")?;
    send(client, options, LABELS, &arguments.address, (json!({"labels": labels}), &arguments.why)).await
}

pub(super) async fn unlabel(client: &Client, arguments: &UnlabelArguments, options: &Options) -> anyhow::Result<()> {
    let labels: BTreeMap<&String, Option<String>> = arguments.labels.iter().map(|name| (name, None)).collect();
    send(client, options, LABELS, &arguments.address, (json!({"labels": labels}), &arguments.why)).await
}

pub(super) async fn tag(client: &Client, arguments: &TagArguments, options: &Options) -> anyhow::Result<()> {
    let path = format!("/api/v1/artifact/tags/{}", arguments.tag);
    send(client, options, (Method::PUT, &path), &arguments.address, (json!({}), &arguments.why)).await
}

pub(super) async fn untag(client: &Client, arguments: &TagArguments, options: &Options) -> anyhow::Result<()> {
    let path = format!("/api/v1/artifact/tags/{}", arguments.tag);
    send(client, options, (Method::DELETE, &path), &arguments.address, (json!({}), &arguments.why)).await
}
