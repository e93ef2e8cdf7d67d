//! `fuseml marketplace`: run one, belong to one, and choose which ones a server installs from.

pub(crate) mod account;
pub(crate) mod advise;
mod backup;
mod carry;
pub(crate) mod deprecate;
mod key;
mod login;
mod mirror;
mod namespace;
pub(crate) mod publish;
mod serve;
mod server_side;

pub(crate) use login::Session;
pub(crate) use server_side::audit;

use crate::Options;
use clap::Subcommand;
use std::process::ExitCode;

#[derive(Subcommand)]
pub(crate) enum MarketplaceCommand {
    /// Run a marketplace until it is interrupted
    Serve(serve::ServeArguments),
    /// Run a mirror of a marketplace until it is interrupted
    Mirror(mirror::MirrorArguments),
    /// Replace the key that signs a marketplace's metadata, as after a theft (the marketplace must not be running)
    RotateKey(serve::RotateArguments),
    /// Put everything of a marketplace into one archive, also while it serves
    Backup(backup::BackupArguments),
    /// Make a marketplace's folder of such an archive
    Restore(backup::RestoreArguments),
    /// Delete what was pushed and never published, as an operator; a marketplace does so itself once a day
    Collect,
    /// Make accounts, on the marketplace's own machine
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Remember who you are at a marketplace
    Login(login::LoginArguments),
    /// Make and end tokens, such as one that a CI job publishes with
    #[command(subcommand)]
    Token(account::TokenCommand),
    /// Own names, and share them with others
    #[command(subcommand)]
    Namespace(namespace::NamespaceCommand),
    /// Make keys, and say which ones sign in a namespace
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Let the FuseML server install from a marketplace
    Add(server_side::AddArguments),
    /// List the marketplaces that the FuseML server installs from
    List,
    /// Put packages and what vouches for them into one file, for a site without a network
    Export(carry::ExportArguments),
    /// Let the FuseML server install from such a file
    Import(carry::ImportArguments),
    /// Forget a marketplace; what was installed from it stays
    Remove { name: String },
}

pub(crate) async fn execute(command: MarketplaceCommand, options: &Options) -> anyhow::Result<ExitCode> {
    match command {
        MarketplaceCommand::Serve(arguments) => serve::serve(arguments).await?,
        MarketplaceCommand::Mirror(arguments) => mirror::serve(arguments).await?,
        MarketplaceCommand::RotateKey(arguments) => serve::rotate(&arguments).await?,
        MarketplaceCommand::Backup(arguments) => backup::make(&arguments).await?,
        MarketplaceCommand::Restore(arguments) => backup::bring_back(&arguments).await?,
        MarketplaceCommand::Collect => account::collect(options).await?,
        MarketplaceCommand::Account(command) => account::execute(&command, options).await?,
        MarketplaceCommand::Login(arguments) => login::login(&arguments).await?,
        MarketplaceCommand::Token(command) => account::tokens(&command, options).await?,
        MarketplaceCommand::Namespace(command) => namespace::execute(&command, options).await?,
        MarketplaceCommand::Key(command) => key::execute(&command).await?,
        MarketplaceCommand::Add(arguments) => server_side::add(&arguments, options).await?,
        MarketplaceCommand::List => server_side::list(options).await?,
        MarketplaceCommand::Export(arguments) => carry::export(&arguments).await?,
        MarketplaceCommand::Import(arguments) => carry::import(&arguments, options).await?,
        MarketplaceCommand::Remove { name } => server_side::remove(&name, options).await?,
    }
    Ok(ExitCode::SUCCESS)
}
