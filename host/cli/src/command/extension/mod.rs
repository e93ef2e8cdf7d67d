//! `fuseml extension`.

pub(crate) mod author;
mod calls;
mod check;
mod configure;
mod dev;
mod install;
mod lock;
mod package;
mod show;
mod upgrade;

pub(crate) use install::{form, read_manifest};

use super::marketplace::{self, advise, deprecate, publish};
use crate::{Options, client::Client};
use clap::{Args, Subcommand};
use fuseml_domain::{Capability, Error, Result};
use fuseml_marketplace::Status;
use fuseml_server::{EnableRequest, ExtensionView, InstanceView, VerifiedFile};
use reqwest::Method;
use std::{collections::BTreeSet, process::ExitCode};

#[derive(Subcommand)]
pub(crate) enum ExtensionCommand {
    /// Begin an extension: write a small project that builds as it is
    New(author::NewArguments),
    /// Build an extension's project into the folder that can be installed
    Build(author::BuildArguments),
    /// Run an extension's components against their contract and say what to fix
    Check(check::CheckArguments),
    /// Load a project into the running server, reload it on change, and show its calls
    Dev(dev::DevArguments),
    /// Pack an extension into an OCI layout that can be handed on
    Package(package::PackageArguments),
    /// Build, check, sign and publish a version in a marketplace
    Publish(publish::PublishArguments),
    /// Take a version out of choice; who uses exactly it still gets it
    Yank(publish::StatusArguments),
    /// Say that a version must not run anywhere
    Revoke(publish::StatusArguments),
    /// Undo a yank or a revocation
    Restore(publish::StatusArguments),
    /// Say that versions of an extension have a vulnerability
    Advise(advise::AdviseArguments),
    /// Say that nobody should begin with an extension any more
    Deprecate(deprecate::DeprecateArguments),
    /// Find extensions in a marketplace
    Search(publish::SearchArguments),
    /// List extensions of which their marketplace has a newer version
    Outdated,
    /// Look for what is revoked, yanked, unsigned or asks for more than was granted
    Audit,
    /// Show what extensions ask for, and install them with what you grant
    Install(install::InstallArguments),
    /// Show what a package asks for, without installing it
    Info {
        /// A path, or <namespace>/<extension>[@<version or range>] in a marketplace
        package: String,
    },
    /// List extensions and their instances
    List,
    /// Write what is installed as a lock file, for `install --lock` elsewhere
    Lock,
    /// Show one extension: versions, instances, rights, health
    Show { name: String },
    /// Configure another tool with an installed extension
    AddInstance(install::AddArguments),
    /// Change settings and secrets of an instance, and check that its tool answers
    Configure(configure::ConfigureArguments),
    /// Grant a capability to an instance, for http perhaps only some hosts
    Grant(configure::GrantArguments),
    /// Take a capability from an instance, at once
    RevokeGrant { instance: String, capability: String },
    /// Bring another version; one that asks for more waits for your approval
    Upgrade(upgrade::UpgradeArguments),
    /// Go back to the version before
    Rollback { name: String },
    /// Stop all use, and keep everything
    Disable(WhichArguments),
    /// Let it run again
    Enable(WhichArguments),
    /// Remove with state and secrets; refused while something depends on it
    Remove(WhichArguments),
    /// Check the installed files against what was installed
    Verify { name: Option<String> },
    /// Show what an instance's components log
    Logs(calls::LogsArguments),
    /// Show receipts of calls: time, memory, hosts reached, refusals
    Calls(calls::CallsArguments),
    /// Run a recorded call again, offline, and compare the answers
    Replay { call: String },
}

#[derive(Args)]
pub(crate) struct WhichArguments {
    name: String,
    /// Only this instance, not the whole extension
    #[arg(long)]
    instance: bool,
}

impl WhichArguments {
    fn path(&self) -> String {
        format!("/api/v1/{}/{}", if self.instance { "instances" } else { "extensions" }, self.name)
    }

    fn what(&self) -> String {
        format!("the {} {}", if self.instance { "instance" } else { "extension" }, self.name)
    }
}

pub(crate) async fn execute(command: ExtensionCommand, options: &Options) -> anyhow::Result<ExitCode> {
    // Only made where the server is asked.
    let client = || Client::new(options);
    match command {
        ExtensionCommand::Install(arguments) => install::install(&client()?, &arguments, options).await?,
        ExtensionCommand::Info { package } => install::info(&package, options).await?,
        ExtensionCommand::New(arguments) => author::new(&arguments)?,
        ExtensionCommand::Build(arguments) => author::build(&arguments)?,
        ExtensionCommand::Package(arguments) => package::package(&arguments, options)?,
        ExtensionCommand::Check(arguments) => check::check(&arguments, options).await?,
        ExtensionCommand::Publish(arguments) => publish::publish(&arguments, options).await?,
        ExtensionCommand::Search(arguments) => publish::search(&arguments, options).await?,
        ExtensionCommand::Yank(arguments) => publish::change_status(&arguments, Status::Yanked).await?,
        ExtensionCommand::Revoke(arguments) => publish::change_status(&arguments, Status::Revoked).await?,
        ExtensionCommand::Restore(arguments) => publish::change_status(&arguments, Status::Available).await?,
        ExtensionCommand::Advise(arguments) => advise::advise(arguments, options).await?,
        ExtensionCommand::Deprecate(arguments) => deprecate::deprecate(arguments).await?,
        ExtensionCommand::Outdated => return marketplace::audit(true, options).await,
        ExtensionCommand::Audit => return marketplace::audit(false, options).await,
        ExtensionCommand::Dev(arguments) => dev::dev(&client()?, &arguments, options).await?,
        ExtensionCommand::AddInstance(arguments) => install::add_instance(&client()?, &arguments).await?,
        ExtensionCommand::Lock => lock::show(&client()?, options).await?,
        ExtensionCommand::List => {
            let views: Vec<ExtensionView> = client()?.get("/api/v1/extensions", &[]).await?;
            options.output.print(&views, |views| show::list(views))?;
        }
        ExtensionCommand::Show { name } => {
            let view: ExtensionView = client()?.get(&format!("/api/v1/extensions/{name}"), &[]).await?;
            options.output.print(&view, show::show)?;
        }
        ExtensionCommand::Configure(arguments) => configure::configure(&client()?, &arguments).await?,
        ExtensionCommand::Grant(arguments) => configure::grant(&client()?, &arguments).await?,
        ExtensionCommand::RevokeGrant { instance, capability } => {
            let (client, capability) = (client()?, capability_of(&capability)?);
            let request = client.request(Method::DELETE, &format!("/api/v1/instances/{instance}/grants/{capability}"));
            let _: InstanceView = client.read(request).await?;
            eprintln!("{instance} has no {capability} any more; calls that already run end as they began.");
        }
        ExtensionCommand::Upgrade(arguments) => return upgrade::upgrade(&client()?, &arguments, options).await,
        ExtensionCommand::Rollback { name } => upgrade::rollback(&client()?, &name, options).await?,
        ExtensionCommand::Disable(which) => enable(&client()?, &which, false).await?,
        ExtensionCommand::Enable(which) => enable(&client()?, &which, true).await?,
        ExtensionCommand::Remove(which) => {
            let client = client()?;
            client.call(client.request(Method::DELETE, &which.path())).await?;
            eprintln!("Removed {}.", which.what());
        }
        ExtensionCommand::Verify { name } => return verify(&client()?, name, options).await,
        ExtensionCommand::Logs(arguments) => calls::logs(&client()?, &arguments, options).await?,
        ExtensionCommand::Calls(arguments) => calls::calls(&client()?, &arguments, options).await?,
        ExtensionCommand::Replay { call } => calls::replay(&client()?, &call, options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn enable(client: &Client, which: &WhichArguments, enabled: bool) -> anyhow::Result<()> {
    let request = client.request(Method::PUT, &format!("{}/enabled", which.path())).json(&EnableRequest { enabled });
    client.call(request).await?;
    eprintln!("{} {}.", if enabled { "Enabled" } else { "Disabled" }, which.what());
    Ok(())
}

async fn verify(client: &Client, name: Option<String>, options: &Options) -> anyhow::Result<ExitCode> {
    let names = match name {
        Some(name) => vec![name],
        None => {
            let views: Vec<ExtensionView> = client.get("/api/v1/extensions", &[]).await?;
            views.into_iter().map(|view| view.manifest.name.to_string()).collect()
        }
    };
    let mut found: Vec<(String, VerifiedFile)> = Vec::new();
    for name in names {
        let files: Vec<VerifiedFile> = client.get(&format!("/api/v1/extensions/{name}/verify"), &[]).await?;
        found.extend(files.into_iter().map(|file| (name.clone(), file)));
    }
    options.output.print(&found, |found| show::verified(found))?;
    let damaged = found.iter().filter(|(_, file)| file.problem.is_some()).count();
    if damaged > 0 {
        return Err(Error::conflict("damaged", format!("{damaged} files are not what was installed")).into());
    }
    Ok(ExitCode::SUCCESS)
}

fn capability_of(name: &str) -> Result<Capability> {
    Capability::ALL.into_iter().find(|capability| capability.name() == name).ok_or_else(|| {
        let known: Vec<_> = Capability::ALL.iter().map(|capability| capability.name()).collect();
        Error::invalid("grant", format!("`{name}` is no capability; there are {}", known.join(", ")))
    })
}

fn names(capabilities: &BTreeSet<Capability>) -> String {
    let names: Vec<_> = capabilities.iter().map(|capability| capability.name()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn say_health(view: &InstanceView) {
    match view.health.as_deref() {
        Some("ok") => eprintln!("Its tool answers."),
        Some(why) => eprintln!("warning: its tool does not answer: {why}"),
        None => eprintln!("It has no tool configured; the built-in stores are used."),
    }
}
