//! `fuseml marketplace backup` and `restore`, on the marketplace's own machine.

use super::serve::FolderArguments;
use clap::Args;
use fuseml_marketplace_server::{Restored, back_up, restore};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct BackupArguments {
    /// The archive to make; the keys are in it
    out: PathBuf,
    #[command(flatten)]
    folder: FolderArguments,
}

#[derive(Args)]
pub(crate) struct RestoreArguments {
    archive: PathBuf,
    #[command(flatten)]
    folder: FolderArguments,
    /// The newest version of the root metadata that was in use, if `rotate-key` ran after the archive was made
    #[arg(long, value_name = "VERSION")]
    root_version: Option<u64>,
}

pub(super) async fn make(arguments: &BackupArguments) -> anyhow::Result<()> {
    let (out, config) = (&arguments.out, arguments.folder.config()?);
    back_up(&config, out).await?;
    eprintln!("{} holds all of {}.", out.display(), config.data.display());
    if let Some(database) = &config.database {
        eprintln!("The database {database} is not in it: pg_dump copies that one, and goes first.");
    }
    eprintln!("The marketplace's keys are in it: keep it where nobody else finds it.");
    Ok(())
}

pub(super) async fn bring_back(arguments: &RestoreArguments) -> anyhow::Result<()> {
    let config = arguments.folder.config()?;
    let folder = &config.data;
    let restored = restore(&arguments.archive, &config, arguments.root_version).await?;
    eprintln!("{} is as the archive says.", folder.display());
    match restored {
        Restored::Whole { root } => {
            eprintln!("It has a new online key, so that clients accept what is older than they saw last.");
            eprintln!(
                "Its root metadata is of version {root}. If `rotate-key` ran after the archive was made, clients saw \
                 other root metadata: then restore again with --root-version."
            );
        }
        Restored::WithoutRootKey => {
            eprintln!(
                "The root key is not in it. Before you serve: put it into {}/keys/root.pem, and let",
                folder.display()
            );
            eprintln!(
                "`fuseml marketplace rotate-key` make a new online key; else clients refuse what is older than they saw."
            );
        }
    }
    eprintln!("What was published, yanked or revoked after the archive was made has to be said again; until then");
    eprintln!("`fuseml extension audit` calls versions that were published in between `unlisted`.");
    Ok(())
}
