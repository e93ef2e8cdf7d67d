//! `fuseml marketplace serve`.

use anyhow::Context as _;
use clap::Args;
use fuseml_database::DatabasePlace;
use fuseml_domain::SecretText;
use fuseml_marketplace_server::{
    LARGEST_BLOB, MarketplaceConfig, MarketplaceServer, REQUESTS_PER_SECOND, rotate_online_key,
};
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};
use zeroize::Zeroizing;

#[derive(Args)]
pub(crate) struct FolderArguments {
    /// The marketplace's folder: database, keys and packages
    #[arg(long, value_name = "DIR", env = "FUSEML_MARKETPLACE_DATA")]
    folder: PathBuf,
    /// A PostgreSQL database, such as postgres://user:password@host/name, instead of a file in the folder
    #[arg(long, value_name = "URL", env = "FUSEML_MARKETPLACE_DATABASE", hide_env_values = true)]
    database: Option<DatabasePlace>,
    /// A file with the passphrase that locks the marketplace's keys; without it FUSEML_MARKETPLACE_PASSPHRASE
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl FolderArguments {
    fn passphrase(&self) -> anyhow::Result<Option<SecretText>> {
        let text = match &self.passphrase_file {
            Some(path) => fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?,
            None => std::env::var("FUSEML_MARKETPLACE_PASSPHRASE").unwrap_or_default(),
        };
        let text = Zeroizing::new(text);
        let text = text.trim_end_matches(['\r', '\n']);
        if let Some(path) = self.passphrase_file.as_ref().filter(|_| text.is_empty()) {
            anyhow::bail!("{} is empty; write the passphrase into it, or leave --passphrase-file out", path.display());
        }
        Ok((!text.is_empty()).then(|| SecretText::new(text)))
    }

    /// The marketplace's configuration as far as it matters beside a running server.
    pub(super) fn config(&self) -> anyhow::Result<MarketplaceConfig> {
        let program = std::env::current_exe().context("this program cannot find itself")?;
        let data = std::path::absolute(&self.folder)?;
        let (passphrase, database) = (self.passphrase()?, self.database.clone());
        Ok(MarketplaceConfig { passphrase, database, ..MarketplaceConfig::new(data, program) })
    }
}

#[derive(Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    folder: FolderArguments,
    /// Address and port; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8770")]
    listen: SocketAddr,
    /// The address that people and clients use, such as https://market.example
    #[arg(long, env = "FUSEML_MARKETPLACE_URL")]
    url: Option<String>,
    /// Keep packages in an object store such as s3://bucket/prefix; its login comes from AWS_… variables
    #[arg(long, env = "FUSEML_MARKETPLACE_STORAGE")]
    storage: Option<String>,
    /// Requests that one address may send in the long run; ten times as many at once
    #[arg(long, value_name = "NUMBER", default_value_t = REQUESTS_PER_SECOND, value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_second: u32,
    /// Largest file that can be pushed, in MiB
    #[arg(long, value_name = "MIB", default_value_t = LARGEST_BLOB)]
    largest_blob: u32,
    /// Let namespaces prove who they are at private addresses too: for a marketplace within a company
    #[arg(long)]
    verify_private: bool,
    /// A reverse proxy in front, whose X-Forwarded-For is believed; may be given several times
    #[arg(long = "trust-proxy", value_name = "ADDRESS")]
    proxies: Vec<IpAddr>,
}

pub(super) async fn serve(arguments: ServeArguments) -> anyhow::Result<()> {
    crate::command::server::log_to_stderr("warn,fuseml_marketplace_server=info,fuseml_registry=info");
    let ServeArguments { folder, listen, url, storage, requests_per_second, largest_blob, verify_private, proxies } =
        arguments;
    let config = MarketplaceConfig {
        listen,
        url,
        storage,
        requests_per_second,
        largest_blob,
        verify_private,
        proxies,
        ..folder.config()?
    };
    let (data, database) = (config.data.clone(), config.database.clone());
    let server = MarketplaceServer::start(config).await?;
    eprintln!("FuseML marketplace");
    eprintln!("  url       {}", server.url());
    eprintln!("  folder    {}", data.display());
    if let Some(database) = database {
        eprintln!("  database  {database}");
    }
    eprintln!("  root key  {}", server.root_key().await);
    eprintln!(
        "Publish the root key's id: `fuseml marketplace add NAME {} --root-key ID` trusts it alone.",
        server.url()
    );
    let root = data.join("keys/root.pem");
    if root.is_file() {
        eprintln!(
            "Move {} to where nobody else finds it: it is needed only to replace the online key.",
            root.display()
        );
    }
    eprintln!("Ready. Ctrl-C ends it.");
    server.run(crate::command::server::interrupted()).await?;
    Ok(())
}

#[derive(Args)]
pub(crate) struct RotateArguments {
    #[command(flatten)]
    folder: FolderArguments,
    /// The newest version of the root metadata that clients saw, if this folder was restored from before that
    #[arg(long, value_name = "VERSION")]
    root_version: Option<u64>,
}

pub(super) async fn rotate(arguments: &RotateArguments) -> anyhow::Result<()> {
    let config = arguments.folder.config()?;
    let version = rotate_online_key(&config.data, arguments.root_version, config.passphrase.as_ref()).await?;
    eprintln!(
        "The root metadata is of version {version} now, and names a new online key. Clients follow by themselves."
    );
    Ok(())
}
