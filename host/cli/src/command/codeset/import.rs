//! `fuseml codeset import` and `sync`: codesets that follow an outside repository.

use crate::{
    Options,
    client::Client,
    command::artifact::person,
    output::{Rows, moment},
};
use clap::Args;
use fuseml_domain::{CodesetImport, Error, Name};
use fuseml_server::FollowRequest;
use reqwest::Method;
use std::io::Read as _;

#[derive(Args)]
pub(crate) struct ImportArguments {
    /// The repository, as https://… or http://…
    #[arg(required_unless_present = "end")]
    url: Option<String>,
    /// The codeset's name; the repository's if not given
    #[arg(long)]
    name: Option<Name>,
    /// Only this branch; may be given several times
    #[arg(long = "branch", value_name = "BRANCH")]
    branches: Vec<String>,
    /// How often it is looked at, such as 10m or 1h; `never` for `codeset sync` alone
    #[arg(long, default_value = "10m")]
    every: String,
    /// Read the token that the repository's host asks for from standard input
    #[arg(long)]
    token_stdin: bool,
    /// Who the token belongs to, where the host asks for that
    #[arg(long, requires = "token_stdin")]
    user: Option<String>,
    /// End it: the codeset stays, and people push to it from here on
    #[arg(long, value_name = "CODESET", conflicts_with_all = ["url", "name", "branches", "token_stdin"])]
    end: Option<Name>,
}

pub(super) async fn import(arguments: ImportArguments, options: &Options) -> anyhow::Result<()> {
    let (client, project) = (Client::new(options)?, options.project()?);
    if let Some(name) = arguments.end {
        let path = format!("/api/v1/projects/{project}/codesets/{name}/import");
        client.call(client.request(Method::DELETE, &path)).await?;
        eprintln!("{name} follows nothing any more; what was registered stays.");
        return Ok(());
    }
    let url = arguments.url.unwrap_or_default();
    let name = match arguments.name {
        Some(name) => name,
        None => name_of(&url)?,
    };
    let token = match arguments.token_stdin {
        true => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            Some(text.trim().to_owned())
        }
        false => None,
    };
    let request = FollowRequest {
        url,
        branches: arguments.branches,
        every_seconds: interval(&arguments.every)?,
        user: arguments.user,
        token,
        by: person(),
    };
    eprintln!("Fetching {} …", request.url);
    let path = format!("/api/v1/projects/{project}/codesets/{name}/import");
    let import: CodesetImport = client.send(Method::PUT, &path, &request).await?;
    said(&import, options)
}

pub(super) async fn sync(codeset: &Name, options: &Options) -> anyhow::Result<()> {
    let path = format!("/api/v1/projects/{}/codesets/{codeset}/sync", options.project()?);
    let client = Client::new(options)?;
    let import: CodesetImport = client.read(client.request(Method::POST, &path)).await?;
    said(&import, options)
}

fn said(import: &CodesetImport, options: &Options) -> anyhow::Result<()> {
    options.output.print(import, |import| {
        let mut rows = Rows::new(&["Property", "Value"]);
        let mut row = |name: &str, value: String| rows.push([name.to_owned(), value]);
        row("codeset", format!("code://{}/{}", import.project, import.name));
        describe(import, &mut row);
        rows
    })
}

/// Where a codeset comes from, a row each.
pub(super) fn describe(import: &CodesetImport, row: &mut impl FnMut(&str, String)) {
    row("follows", import.url.to_string());
    if !import.branches.is_empty() {
        row("branches", import.branches.join(", "));
    }
    row("looked at", import.every.map_or("when asked".to_owned(), |every| format!("every {every:#}")));
    if let Some(last) = &import.last {
        let ended = match &last.error {
            Some(error) => format!("failed: {error}"),
            None if last.registered == 0 => "nothing new".to_owned(),
            None => format!("{} new", last.registered),
        };
        row("last look", format!("{}, {ended}", moment(last.at)));
    }
}

/// `app` of `https://host/team/app.git`.
fn name_of(url: &str) -> anyhow::Result<Name> {
    let last = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name = last.strip_suffix(".git").unwrap_or(last).to_lowercase();
    Ok(name.parse().map_err(|error: Error| error.context("say --name"))?)
}

/// In seconds; `None` for never.
fn interval(text: &str) -> anyhow::Result<Option<u32>> {
    if text == "never" {
        return Ok(None);
    }
    let length = crate::command::interval(text).map_err(|error| error.context("--every"))?;
    Ok(u32::try_from(length.as_secs()).ok())
}
