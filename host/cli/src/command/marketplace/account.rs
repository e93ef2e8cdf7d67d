//! Accounts and tokens.

use super::{Session, serve::FolderArguments};
use crate::{Options, output::Rows};
use clap::{Args, Subcommand};
use fuseml_domain::{Error, Name};
use fuseml_marketplace_server::{Collected, Marketplace, Scope, TokenRequest, TokenView};
use reqwest::Method;

#[derive(Subcommand)]
pub(crate) enum AccountCommand {
    /// Make an account and print its login token
    Add(AddArguments),
}

#[derive(Args)]
pub(crate) struct AddArguments {
    name: Name,
    /// May make accounts, verify namespaces and revoke anything
    #[arg(long)]
    operator: bool,
    #[command(flatten)]
    folder: FolderArguments,
}

pub(super) async fn execute(command: &AccountCommand, options: &Options) -> anyhow::Result<()> {
    let AccountCommand::Add(arguments) = command;
    let marketplace = Marketplace::open_beside(&arguments.folder.config()?).await?;
    let view = marketplace.add_account(&arguments.name, arguments.operator).await?;
    eprintln!("Made the account {}. Its login token is shown only now:", arguments.name);
    options.output.print(&view, |view| table(std::slice::from_ref(view)))
}

#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token that publishes in one namespace, and does nothing else
    Add(TokenArguments),
    /// List your tokens
    List,
    /// End a token at once
    Remove { id: String },
}

#[derive(Args)]
pub(crate) struct TokenArguments {
    /// What it is for
    label: String,
    /// <namespace>, or <namespace>/<extension>
    #[arg(long)]
    publish: String,
    /// How long it lives
    #[arg(long, default_value_t = 60, value_name = "MINUTES")]
    minutes: i64,
}

pub(super) async fn tokens(command: &TokenCommand, options: &Options) -> anyhow::Result<()> {
    let session = Session::open(None)?;
    let client = &session.client;
    match command {
        TokenCommand::Add(arguments) => {
            let (namespace, extension) = match arguments.publish.split_once('/') {
                Some((namespace, extension)) => (namespace.parse()?, Some(extension.parse()?)),
                None => (arguments.publish.parse()?, None),
            };
            let scope = Scope::Publish { namespace, extension };
            let seconds = arguments.minutes.checked_mul(60);
            let seconds = seconds.ok_or_else(|| Error::invalid("token", "a token lives a year at most"))?;
            let request = TokenRequest { label: arguments.label.clone(), scope, seconds };
            let view: TokenView = client.send(Method::POST, "/api/v1/tokens", &request).await?;
            eprintln!("It is shown only now; publish with it in FUSEML_MARKETPLACE_TOKEN.");
            options.output.print(&view, |view| table(std::slice::from_ref(view)))
        }
        TokenCommand::List => {
            let views: Vec<TokenView> = client.get("/api/v1/tokens", &[]).await?;
            options.output.print(&views, |views| table(views))
        }
        TokenCommand::Remove { id } => {
            client.call(client.request(Method::DELETE, &format!("/api/v1/tokens/{id}"))).await?;
            eprintln!("The token {id} has ended.");
            Ok(())
        }
    }
}

fn table(views: &[TokenView]) -> Rows {
    let mut rows = Rows::new(&["Id", "Label", "May", "Expires", "Token"]);
    for view in views {
        let may = match &view.scope {
            Scope::Account => "everything that you may".to_owned(),
            Scope::Publish { namespace, extension: None } => format!("publish in {namespace}"),
            Scope::Publish { namespace, extension: Some(name) } => format!("publish {namespace}/{name}"),
        };
        let expires = view.expires.strftime("%Y-%m-%d %H:%M UTC").to_string();
        rows.push([view.id.clone(), view.label.clone(), may, expires, view.token.clone().unwrap_or_default()]);
    }
    rows
}

/// `fuseml marketplace collect`.
pub(super) async fn collect(options: &Options) -> anyhow::Result<()> {
    let client = Session::open(None)?.client;
    let collected: Collected = client.read(client.request(Method::POST, "/api/v1/collect")).await?;
    options.output.print(&collected, |collected| {
        let mut rows = Rows::new(&["Manifests", "Blobs", "Bytes"]);
        let Collected { manifests, blobs, bytes } = collected;
        rows.push([manifests.to_string(), blobs.to_string(), bytes.to_string()]);
        rows
    })
}
