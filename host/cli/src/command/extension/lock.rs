//! Lock files: what a server has installed, and the same on another one.

use super::{
    install::{Decided, InstanceArguments},
    package::Package,
    upgrade::{UpgradeArguments, upgrade},
};
use crate::{Options, client::Client};
use anyhow::Context as _;
use fuseml_domain::{Attributes, Error, ExtensionLock, LockedExtension};
use std::{fs, path::Path, process::ExitCode};

async fn of_server(client: &Client) -> anyhow::Result<ExtensionLock> {
    Ok(client.get("/api/v1/extensions-lock", &[]).await?)
}

/// The server's lock file, as it lies in its data folder.
pub(super) async fn show(client: &Client, options: &Options) -> anyhow::Result<()> {
    let lock = of_server(client).await?;
    let text = lock.render()?;
    options.output.print(&lock, |_| text)
}

/// Installs or upgrades until the server has what the file says. What it has beside that stays.
pub(super) async fn install(
    client: &Client,
    path: &Path,
    instance: &InstanceArguments,
    options: &Options,
) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let lock = ExtensionLock::parse(&text).map_err(|error| error.context(path.display()))?;
    let present = of_server(client).await?;
    let there = |locked: &LockedExtension| present.extensions.iter().find(|one| one.name == locked.name);
    let mut missing = lock.in_order();
    missing.retain(|locked| there(locked).is_none_or(|present| present.digest != locked.digest));
    // Everything is fetched before anything changes.
    let mut packages = Vec::new();
    for locked in &missing {
        let package = Package::fetch(client, &locked.reference()?).await?;
        check(locked, &package)?;
        packages.push(package);
    }
    for (locked, package) in missing.iter().zip(packages) {
        if there(locked).is_none() {
            Decided::by(package, instance, &Attributes::new())?.install(client).await?;
            continue;
        }
        let arguments = UpgradeArguments {
            name: locked.name.to_string(),
            package: Some(locked.reference()?.to_string()),
            approve: instance.grants_all(),
            shadow: false,
            discard: false,
        };
        if upgrade(client, &arguments, options).await? != ExitCode::SUCCESS {
            let message = format!("{} waits for approval; approve it and say this again", locked.name);
            return Err(Error::denied("not-granted", message).into());
        }
    }
    let (all, changed, path) = (lock.extensions.len(), missing.len(), path.display());
    eprintln!("Extensions that are as {path} says: {all}, of which {changed} had to be installed or changed.");
    Ok(())
}

/// Refuses another package than the one that was locked.
fn check(locked: &LockedExtension, package: &Package) -> anyhow::Result<()> {
    let expected = locked.package.as_ref().map(|package| &package.digest);
    match package.digest() {
        Some(digest) if Some(&digest) == expected => Ok(()),
        other => {
            let (name, version) = (&locked.name, &locked.version);
            let (other, expected) = (other.map(|it| it.to_string()), expected.map(ToString::to_string));
            let message = format!(
                "{name} {version} is the package {} there, not {} as the lock file says",
                other.unwrap_or_default(),
                expected.unwrap_or_default()
            );
            Err(Error::denied("lock", message).into())
        }
    }
}
