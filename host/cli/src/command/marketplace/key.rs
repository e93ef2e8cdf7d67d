//! `fuseml marketplace key`: keys lie in the configuration folder, a file each, readable by their owner alone.

use super::{Session, login::write_private};
use crate::config;
use anyhow::Context as _;
use clap::Subcommand;
use fuseml_domain::{Error, Name, SecretText};
use fuseml_marketplace::{KeyState, PublicKey, SigningKey};
use fuseml_marketplace_server::{KeyRequest, NamespaceView};
use reqwest::Method;
use std::{
    fs,
    io::IsTerminal as _,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Let your key sign in a namespace; makes the key the first time
    Add { namespace: Name },
    /// End a key: it signs nothing new, what it signed stays good
    Retire { namespace: Name, id: String },
    /// End a key that was lost or stolen: what it signed counts no more
    Revoke { namespace: Name, id: String },
    /// Print the public half of your key for a namespace
    Show { namespace: Name },
}

pub(crate) fn state(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "active",
        KeyState::Retired => "retired",
        KeyState::Revoked => "revoked",
    }
}

fn path(namespace: &Name) -> anyhow::Result<PathBuf> {
    Ok(config::folder()?.join("keys").join(format!("{namespace}.pem")))
}

/// The caller's key for a namespace: from `FUSEML_SIGNING_KEY` (PEM), as in CI, or its file.
pub(crate) fn signing_key(namespace: &Name) -> anyhow::Result<SigningKey> {
    if let Ok(text) = std::env::var("FUSEML_SIGNING_KEY") {
        return open(&Zeroizing::new(text), "FUSEML_SIGNING_KEY");
    }
    let path = path(namespace)?;
    let text = match fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message =
                format!("you have no key for {namespace}; `fuseml marketplace key add {namespace}` makes one");
            return Err(Error::not_found("key", message).into());
        }
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    open(&text, &path.display().to_string())
}

fn open(text: &str, place: &str) -> anyhow::Result<SigningKey> {
    let passphrase = match SigningKey::is_encrypted(text) {
        true => passphrase(&format!("Passphrase of {place}: "))?,
        false => None,
    };
    Ok(SigningKey::from_pem(text, passphrase.as_ref()).map_err(|error| error.context(place))?)
}

/// From `FUSEML_KEY_PASSPHRASE`, or asked for where somebody can answer.
fn passphrase(question: &str) -> anyhow::Result<Option<SecretText>> {
    let text = match std::env::var("FUSEML_KEY_PASSPHRASE") {
        Ok(text) => Zeroizing::new(text),
        Err(_) if std::io::stdin().is_terminal() => Zeroizing::new(rpassword::prompt_password(question)?),
        Err(_) => return Ok(None),
    };
    Ok((!text.is_empty()).then(|| SecretText::new(text.as_bytes())))
}

/// Makes a key, locked with the passphrase that is chosen.
fn make(path: &Path) -> anyhow::Result<()> {
    let chosen = passphrase("Passphrase for the new key (empty for none): ")?;
    if chosen.is_some() && chosen != passphrase("The same again: ")? {
        return Err(Error::invalid("passphrase", "the two passphrases differ; no key was made").into());
    }
    write_private(path, &SigningKey::generate()?.to_pem(chosen.as_ref())?)?;
    eprintln!("Made a key in {}. Keep a copy where nobody else finds it.", path.display());
    if chosen.is_none() {
        eprintln!("It has no passphrase: whoever reads that file can sign.");
    }
    Ok(())
}

pub(super) async fn execute(command: &KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Add { namespace } => {
            let path = path(namespace)?;
            if !path.exists() && std::env::var_os("FUSEML_SIGNING_KEY").is_none() {
                make(&path)?;
            }
            let key = signing_key(namespace)?.public()?;
            put(namespace, key.clone(), KeyState::Active).await?;
            eprintln!("{} signs in {namespace}.", key.id().short());
        }
        KeyCommand::Show { namespace } => print!("{}", signing_key(namespace)?.public()?),
        KeyCommand::Retire { namespace, id } => end(namespace, id, KeyState::Retired).await?,
        KeyCommand::Revoke { namespace, id } => end(namespace, id, KeyState::Revoked).await?,
    }
    Ok(())
}

async fn end(namespace: &Name, id: &str, to: KeyState) -> anyhow::Result<()> {
    let session = Session::open(None)?;
    let view: NamespaceView = session.client.get(&format!("/api/v1/namespaces/{namespace}"), &[]).await?;
    let mut found = view.keys.into_iter().filter(|key| id.len() >= 8 && key.key.id().as_str().starts_with(id));
    let (Some(key), None) = (found.next(), found.next()) else {
        let message = format!("{namespace} has no single key whose id begins with `{}`", id.escape_debug());
        return Err(Error::not_found("key", message).into());
    };
    put(namespace, key.key, to).await?;
    eprintln!("The key {id} of {namespace} is {}.", state(to));
    Ok(())
}

async fn put(namespace: &Name, key: PublicKey, state: KeyState) -> anyhow::Result<()> {
    let client = Session::open(None)?.client;
    let path = format!("/api/v1/namespaces/{namespace}/keys");
    client.call(client.request(Method::PUT, &path).json(&KeyRequest { key, state })).await?;
    Ok(())
}
