//! `fuseml codeset`: code, pushed or followed from outside.

mod import;
mod log;
mod push;

pub(super) use push::check_out;
pub(crate) use push::{PushArguments, push};

use crate::{
    Options,
    client::Client,
    output::{Rows, moment},
};
use clap::Subcommand;
use fuseml_domain::{Descriptor, Name};
use fuseml_server::CodesetView;
use std::process::ExitCode;

#[derive(Subcommand)]
pub(crate) enum CodesetCommand {
    /// Send a folder, as it is, as the next version of a codeset
    Push(PushArguments),
    /// Show the newest version of each codeset
    List,
    /// Show a codeset's branches, and where it comes from
    Show { codeset: Name },
    /// Show a codeset's commits, newest first, and which of them are artifacts
    Log(log::LogArguments),
    /// Follow an outside repository: its branches become a codeset's, now and regularly
    Import(import::ImportArguments),
    /// Look at the outside repository of a codeset now
    Sync { codeset: Name },
}

pub(crate) async fn execute(command: CodesetCommand, options: &Options) -> anyhow::Result<ExitCode> {
    match command {
        CodesetCommand::Push(arguments) => return push(arguments, options).await,
        CodesetCommand::List => list(options).await?,
        CodesetCommand::Show { codeset } => show(&codeset, options).await?,
        CodesetCommand::Log(arguments) => log::log(arguments, options).await?,
        CodesetCommand::Import(arguments) => import::import(arguments, options).await?,
        CodesetCommand::Sync { codeset } => import::sync(&codeset, options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(options: &Options) -> anyhow::Result<()> {
    let project = options.project()?;
    let path = format!("/api/v1/projects/{project}/codesets");
    let codesets: Vec<Descriptor> = Client::new(options)?.get(&path, &[]).await?;
    eprintln!("Codesets of the project {project}:");
    options.output.print(&codesets, |codesets| {
        let mut rows = Rows::new(&["Codeset", "Newest version", "Registered", "Subject"]);
        for codeset in codesets {
            let subject = codeset.attributes.get("subject").cloned().unwrap_or_default();
            rows.push([codeset.name.to_string(), codeset.address.short(), moment(codeset.created), subject]);
        }
        rows
    })
}

async fn show(codeset: &Name, options: &Options) -> anyhow::Result<()> {
    let path = format!("/api/v1/projects/{}/codesets/{codeset}", options.project()?);
    let shown: CodesetView = Client::new(options)?.get(&path, &[]).await?;
    options.output.print(&shown, |shown| {
        let mut rows = Rows::new(&["Property", "Value"]);
        let mut row = |name: &str, value: String| rows.push([name.to_owned(), value]);
        if let Some(newest) = &shown.newest {
            row("newest version", newest.address.short());
            row("registered", moment(newest.created));
        }
        row("git", shown.url.clone());
        for (branch, commit) in &shown.branches {
            row(&format!("branch {branch}"), commit.chars().take(7).collect());
        }
        if let Some(import) = &shown.import {
            import::describe(import, &mut row);
        }
        rows
    })
}
