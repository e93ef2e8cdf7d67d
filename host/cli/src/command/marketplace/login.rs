//! Who somebody is at which marketplace.

use crate::{client::Client, config};
use anyhow::Context as _;
use clap::Args;
use fuseml_domain::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, io::Write as _, os::unix::fs::OpenOptionsExt as _};
use url::Url;

/// `$XDG_CONFIG_HOME/fuseml/marketplaces.toml`, readable by its owner alone.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Logins {
    /// Where commands go that name no marketplace.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    /// Token by address.
    #[serde(default)]
    tokens: BTreeMap<String, String>,
}

impl Logins {
    fn load() -> anyhow::Result<Self> {
        let path = config::folder()?.join("marketplaces.toml");
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("{} is damaged", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    fn save(&self) -> anyhow::Result<()> {
        let path = config::folder()?.join("marketplaces.toml");
        write_private(&path, &toml::to_string(self)?)
    }
}

/// A file that only its owner may read, whole or not at all.
pub(super) fn write_private(path: &std::path::Path, text: &str) -> anyhow::Result<()> {
    let staging = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&staging)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&staging, path)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

/// A marketplace, and who asks there.
pub(crate) struct Session {
    pub(crate) url: Url,
    pub(crate) client: Client,
}

impl Session {
    /// With the marketplace that was named, or the one of the last login; without a token only what is public.
    pub(crate) fn open(marketplace: Option<&str>) -> anyhow::Result<Self> {
        let logins = Logins::load()?;
        let address = marketplace.map(normal).transpose()?.or(logins.current);
        let address = address.ok_or_else(|| {
            Error::invalid("no-marketplace", "no marketplace is chosen; `fuseml marketplace login URL` chooses one")
        })?;
        let token = match std::env::var("FUSEML_MARKETPLACE_TOKEN") {
            Ok(token) if !token.is_empty() => token,
            _ => logins.tokens.get(&address).cloned().unwrap_or_default(),
        };
        let url = address.parse().with_context(|| format!("{address} is no address"))?;
        Ok(Self { url, client: Client::at(address, token)? })
    }
}

fn normal(address: &str) -> Result<String> {
    let url: Url = address
        .parse()
        .map_err(|error| Error::invalid("address", format!("`{}` is no address: {error}", address.escape_debug())))?;
    match url.scheme() {
        "http" | "https" if url.host_str().is_some() => Ok(url.as_str().trim_end_matches('/').to_owned()),
        _ => Err(Error::invalid("address", format!("{url} is no http or https address"))),
    }
}

#[derive(Args)]
pub(crate) struct LoginArguments {
    /// The marketplace's address
    url: String,
    /// Read the token from standard input instead of asking for it
    #[arg(long)]
    token_stdin: bool,
}

#[derive(Deserialize)]
struct Me {
    account: String,
}

pub(super) async fn login(arguments: &LoginArguments) -> anyhow::Result<()> {
    let address = normal(&arguments.url)?;
    let token = match arguments.token_stdin {
        true => std::io::read_to_string(std::io::stdin())?,
        false => rpassword::prompt_password(format!("Token for {address}: "))?,
    };
    let token = token.trim().to_owned();
    let me: Me = Client::at(address.clone(), token.clone())?.get("/api/v1/me", &[]).await?;
    let mut logins = Logins::load()?;
    logins.tokens.insert(address.clone(), token);
    logins.current = Some(address.clone());
    logins.save()?;
    eprintln!("You are {} at {address}.", me.account);
    Ok(())
}
