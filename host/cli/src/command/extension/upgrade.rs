//! Changing versions.

use super::{
    install::{confirmed, explain_widening, form},
    package::Package,
};
use crate::{Options, client::Client, output::Rows};
use clap::Args;
use fuseml_domain::{Attributes, Error, ErrorKind};
use fuseml_server::{UpgradeOptions, UpgradeOutcome, UpgradeView};
use reqwest::Method;
use std::{io::IsTerminal as _, process::ExitCode};

#[derive(Args)]
pub(crate) struct UpgradeArguments {
    pub(super) name: String,
    /// The new version: <namespace>/<extension>[@<version or range>] in a marketplace, or a built or packaged one;
    /// without it, the version that waits is meant
    pub(super) package: Option<String>,
    /// Grant what the new version asks for beyond the old one
    #[arg(long)]
    pub(super) approve: bool,
    /// Run it beside the old version on read-only calls, and compare the answers
    #[arg(long, requires = "package", conflicts_with = "approve")]
    pub(super) shadow: bool,
    /// Drop the version that waits or runs as shadow
    #[arg(long, conflicts_with_all = ["package", "approve", "shadow"])]
    pub(super) discard: bool,
}

pub(super) async fn upgrade(
    client: &Client,
    arguments: &UpgradeArguments,
    options: &Options,
) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/extensions/{}", arguments.name);
    if arguments.discard {
        client.call(client.request(Method::DELETE, &format!("{path}/approve"))).await?;
        eprintln!("Dropped the version of {} that was waiting.", arguments.name);
        return Ok(ExitCode::SUCCESS);
    }
    let view: UpgradeView = match &arguments.package {
        Some(package) => {
            let needed = Package::needed(client, package).await?;
            if let [first, .., last] = needed.as_slice() {
                let message = format!("{last} needs {first}; `fuseml extension install {first}` brings it first");
                return Err(Error::conflict("dependency", message).into());
            }
            let package = Package::open(client, package).await?;
            let (approve, shadow) = (arguments.approve, arguments.shadow);
            let asked = UpgradeOptions { package: package.digest(), approve, shadow };
            let request = client.request(Method::POST, &format!("{path}/upgrade"));
            client.read(request.multipart(form(&asked, package.folder())?)).await?
        }
        None if arguments.approve => approve(client, &path).await?,
        None => {
            let message = "give the new version's folder, or --approve or --discard for the one that waits";
            return Err(Error::invalid("argument", message).into());
        }
    };
    match view.outcome {
        UpgradeOutcome::Active => say(&view, &arguments.name, options)?,
        UpgradeOutcome::Shadowing => {
            eprintln!(
                "{} {} runs beside {}; `fuseml extension show {}` compares their answers.",
                arguments.name, view.to, view.from, arguments.name
            );
            print(&view, options)?;
        }
        UpgradeOutcome::Held => {
            eprintln!("{} {} asks for more than {}, which goes on running:", arguments.name, view.to, view.from);
            explain_widening(&view.asks, &Attributes::new());
            if std::io::stdin().is_terminal() && confirmed("Grant this too?")? {
                say(&approve(client, &path).await?, &arguments.name, options)?;
                return Ok(ExitCode::SUCCESS);
            }
            eprintln!(
                "It waits: `fuseml extension upgrade {0} --approve` grants this, `--discard` drops it.",
                arguments.name
            );
            print(&view, options)?;
            return Ok(crate::exit_code(ErrorKind::Denied));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn approve(client: &Client, path: &str) -> anyhow::Result<UpgradeView> {
    Ok(client.read(client.request(Method::POST, &format!("{path}/approve"))).await?)
}

pub(super) async fn rollback(client: &Client, name: &str, options: &Options) -> anyhow::Result<()> {
    let request = client.request(Method::POST, &format!("/api/v1/extensions/{name}/rollback"));
    say(&client.read(request).await?, name, options)
}

fn say(view: &UpgradeView, name: &str, options: &Options) -> anyhow::Result<()> {
    eprintln!("{name} {} takes over from {}; calls that already run end with the old one.", view.to, view.from);
    print(view, options)
}

fn print(view: &UpgradeView, options: &Options) -> anyhow::Result<()> {
    options.output.print(view, |view| {
        let mut rows = Rows::new(&["From", "To", "Outcome"]);
        let outcome = match view.outcome {
            UpgradeOutcome::Active => "active",
            UpgradeOutcome::Held => "held",
            UpgradeOutcome::Shadowing => "shadowing",
        };
        rows.push([view.from.clone(), view.to.clone(), outcome.to_owned()]);
        rows
    })
}
