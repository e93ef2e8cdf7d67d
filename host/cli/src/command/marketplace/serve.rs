//! `fuseml marketplace serve`.

use anyhow::Context as _;
use clap::Args;
use fuseml_marketplace_server::{MarketplaceConfig, MarketplaceServer, rotate_online_key};
use std::{net::SocketAddr, path::PathBuf};

#[derive(Args)]
pub(crate) struct FolderArguments {
    /// The marketplace's folder: database, keys and packages
    #[arg(long, value_name = "DIR", env = "FUSEML_MARKETPLACE_DATA")]
    folder: PathBuf,
}

impl FolderArguments {
    /// The marketplace's configuration as far as it matters beside a running server.
    pub(super) fn config(&self) -> anyhow::Result<MarketplaceConfig> {
        Ok(MarketplaceConfig {
            data: std::path::absolute(&self.folder)?,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            url: None,
            storage: None,
            program: std::env::current_exe().context("this program cannot find itself")?,
        })
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
}

pub(super) async fn serve(arguments: ServeArguments) -> anyhow::Result<()> {
    crate::command::server::log_to_stderr("warn,fuseml_marketplace_server=info,fuseml_registry=info");
    let ServeArguments { folder, listen, url, storage } = arguments;
    let config = MarketplaceConfig { listen, url, storage, ..folder.config()? };
    let data = config.data.clone();
    let server = MarketplaceServer::start(config).await?;
    eprintln!("FuseML marketplace");
    eprintln!("  url       {}", server.url());
    eprintln!("  folder    {}", data.display());
    eprintln!("  root key  {}", data.join("keys/root.pem").display());
    eprintln!("Ready. Ctrl-C ends it. Keep the root key elsewhere: it is needed only to replace the online key.");
    server.run(crate::command::server::interrupted()).await?;
    Ok(())
}

pub(super) async fn rotate(arguments: &FolderArguments) -> anyhow::Result<()> {
    let config = arguments.config()?;
    let version = rotate_online_key(&config.data).await?;
    eprintln!(
        "The root metadata is of version {version} now, and names a new online key. Clients follow by themselves."
    );
    Ok(())
}
