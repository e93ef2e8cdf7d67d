//! `fuseml webhook`, `event` and `endpoint`: what comes from outside, and what goes there.

use crate::{
    Options,
    client::Client,
    command::{artifact::person, pairs},
    output::{Format, Rows, moment},
};
use clap::{Args, Subcommand};
use fuseml_domain::{Endpoint, Error, Event, Name, NoticeFormat, Proof};
use fuseml_server::{EndpointRequest, EventRequest, EventView, NewWebhookView, WebhookRequest, WebhookView};
use reqwest::Method;
use serde_json::{Map, Value as Json};
use std::process::ExitCode;

#[derive(Subcommand)]
pub(crate) enum WebhookCommand {
    /// Let events in: prints the secret that senders prove to know, this once
    Add(WebhookArguments),
    /// Show where events come in
    List,
    /// Let nothing in any more under that name
    Remove { name: Name },
}

#[derive(Args)]
pub(crate) struct WebhookArguments {
    name: Name,
    /// How senders prove that they know the secret: standard-webhooks, hub-signature (GitHub, Gitea, Forgejo) or token (as
    /// bearer token, or as GitLab sends it)
    #[arg(long, default_value = "standard-webhooks", value_parser = read_proof)]
    proof: Proof,
    /// Look at this codeset's outside repository whenever something comes
    #[arg(long)]
    codeset: Option<Name>,
    /// A secret of your own, in this file
    #[arg(long, value_name = "FILE")]
    secret_file: Option<String>,
}

fn read_proof(text: &str) -> Result<Proof, String> {
    serde_json::from_value(text.into()).map_err(|_| "write standard-webhooks, hub-signature or token".to_owned())
}

pub(crate) async fn webhook(command: WebhookCommand, options: &Options) -> anyhow::Result<ExitCode> {
    let (client, project) = (Client::new(options)?, options.project()?);
    let path = format!("/api/v1/projects/{project}/webhooks");
    match command {
        WebhookCommand::Add(WebhookArguments { name, proof, codeset, secret_file }) => {
            let secret = secret_file.map(|file| read_secret(&file)).transpose()?;
            let is_own = secret.is_some();
            let request = WebhookRequest { name, proof, codeset, secret, by: person() };
            let added: NewWebhookView = client.send(Method::POST, &path, &request).await?;
            eprintln!("Events of {project} come in at {}", added.view.url);
            if options.output != Format::Table {
                options.output.print(&added, |_| String::new())?;
            } else if !is_own {
                eprintln!("The secret, shown this once:");
                println!("{}", added.secret);
            }
        }
        WebhookCommand::List => {
            let webhooks: Vec<WebhookView> = client.get(&path, &[]).await?;
            eprintln!("Webhooks of the project {project}:");
            options.output.print(&webhooks, |webhooks| {
                let mut rows = Rows::new(&["Webhook", "Proof", "Looks at", "Added", "By", "URL"]);
                for WebhookView { webhook, url } in webhooks {
                    rows.push([
                        webhook.name.to_string(),
                        webhook.proof.to_string(),
                        webhook.codeset.as_ref().map(|name| format!("code://{project}/{name}")).unwrap_or_default(),
                        moment(webhook.created),
                        webhook.by.clone(),
                        url.clone(),
                    ]);
                }
                rows
            })?;
        }
        WebhookCommand::Remove { name } => {
            client.call(client.request(Method::DELETE, &format!("{path}/{name}"))).await?;
            eprintln!("Nothing comes in at {name} of {project} any more; what came stays.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Subcommand)]
pub(crate) enum EventCommand {
    /// Send an event of your own
    Send(EventArguments),
    /// Show what came, newest first, and what came of it
    List {
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
}

#[derive(Args)]
pub(crate) struct EventArguments {
    /// Such as com.example.labelled
    #[arg(value_name = "TYPE")]
    event_type: String,
    /// What it is about
    #[arg(long)]
    subject: Option<String>,
    /// A part of its data: a number, true or false is taken as such
    #[arg(long = "set", value_name = "NAME=VALUE")]
    parts: Vec<String>,
    /// Says which one it is: the same twice is one event
    #[arg(long)]
    id: Option<String>,
}

pub(crate) async fn event(command: EventCommand, options: &Options) -> anyhow::Result<ExitCode> {
    let (client, project) = (Client::new(options)?, options.project()?);
    let path = format!("/api/v1/projects/{project}/events");
    match command {
        EventCommand::Send(EventArguments { event_type, subject, parts, id }) => {
            let typed = |text: String| match serde_json::from_str(&text) {
                Ok(value @ (Json::Number(_) | Json::Bool(_))) => value,
                _ => Json::String(text),
            };
            let data: Map<_, _> =
                pairs(&parts, "data")?.into_iter().map(|(name, value)| (name, typed(value))).collect();
            let data = if data.is_empty() { Json::Null } else { Json::Object(data) };
            let request = EventRequest { event_type, subject, data, id, by: person() };
            let event: Event = client.send(Method::POST, &path, &request).await?;
            eprintln!("{project} has the event {}; `fuseml event list` says what comes of it.", event.event_type);
        }
        EventCommand::List { limit } => {
            let events: Vec<EventView> = client.get(&path, &[("limit", limit.to_string())]).await?;
            eprintln!("Events of the project {project}, newest first:");
            options.output.print(&events, |events| {
                let mut rows = Rows::new(&["Came", "Type", "About", "From", "By", "Started", "Not started"]);
                for EventView { event: received, outcome } in events {
                    let event = &received.event;
                    let outcome = outcome.clone().unwrap_or_default();
                    let unstarted = outcome.unstarted.iter().map(|it| format!("{}: {}", it.pipeline, it.reason));
                    rows.push([
                        moment(received.received),
                        event.event_type.clone(),
                        event.subject.clone().unwrap_or_default(),
                        event.source.clone(),
                        received.webhook.as_ref().map(ToString::to_string).unwrap_or_default(),
                        outcome.runs.join("\n"),
                        unstarted.collect::<Vec<_>>().join("\n"),
                    ]);
                }
                rows
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Subcommand)]
pub(crate) enum EndpointCommand {
    /// Let steps call an outside service under a name
    Add(EndpointArguments),
    /// Show which outside services steps may call
    List,
    /// Let no step call it any more
    Remove { name: Name },
}

#[derive(Args)]
pub(crate) struct EndpointArguments {
    name: Name,
    /// Its address; `@FILE` reads it from a file
    url: String,
    /// How it takes what `notify` tells: cloudevents, text (Slack, Mattermost, Google Chat) or content (Discord)
    #[arg(long, default_value = "cloudevents", value_parser = read_format)]
    format: NoticeFormat,
    /// A header that is sent along; `@FILE` as value reads it from a file
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// Sign what is sent as Standard Webhooks does, with the secret (whsec_…) in this file
    #[arg(long, value_name = "FILE")]
    signing_file: Option<String>,
}

fn read_format(text: &str) -> Result<NoticeFormat, String> {
    serde_json::from_value(text.into()).map_err(|_| "write cloudevents, text or content".to_owned())
}

pub(crate) async fn endpoint(command: EndpointCommand, options: &Options) -> anyhow::Result<ExitCode> {
    let (client, project) = (Client::new(options)?, options.project()?);
    let path = format!("/api/v1/projects/{project}/endpoints");
    match command {
        EndpointCommand::Add(EndpointArguments { name, url, format, headers, signing_file }) => {
            let headers = pairs(&headers, "a header")?.into_iter();
            let headers =
                headers.map(|(name, value)| Ok((name, said_or_read(value)?))).collect::<anyhow::Result<_>>()?;
            let signing = signing_file.map(|file| read_secret(&file)).transpose()?;
            let request = EndpointRequest { name, url: said_or_read(url)?, headers, signing, format, by: person() };
            let added: Endpoint = client.send(Method::POST, &path, &request).await?;
            eprintln!("Steps of {project} may call {} under the name {}.", added.origin, added.name);
        }
        EndpointCommand::List => {
            let endpoints: Vec<Endpoint> = client.get(&path, &[]).await?;
            eprintln!("Endpoints of the project {project}:");
            options.output.print(&endpoints, |endpoints| {
                let mut rows = Rows::new(&["Endpoint", "At", "Takes", "Headers", "Signed", "Added", "By"]);
                for endpoint in endpoints {
                    rows.push([
                        endpoint.name.to_string(),
                        endpoint.origin.clone(),
                        endpoint.format.to_string(),
                        endpoint.headers.join("\n"),
                        if endpoint.signed { "yes" } else { "no" }.to_owned(),
                        moment(endpoint.created),
                        endpoint.by.clone(),
                    ]);
                }
                rows
            })?;
        }
        EndpointCommand::Remove { name } => {
            client.call(client.request(Method::DELETE, &format!("{path}/{name}"))).await?;
            eprintln!("No step of {project} calls {name} any more.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `@FILE` is what stands in the file: other users of the machine see arguments.
fn said_or_read(text: String) -> anyhow::Result<String> {
    text.strip_prefix('@').map(read_secret).unwrap_or(Ok(text.clone()))
}

fn read_secret(file: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).map_err(|error| Error::io(format!("{file} cannot be read"), &error))?;
    Ok(text.trim().to_owned())
}
