//! `fuseml marketplace mirror`.

use clap::Args;
use fuseml_marketplace_server::{MirrorConfig, MirrorServer, REQUESTS_PER_SECOND};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};
use url::Url;

#[derive(Args)]
pub(crate) struct MirrorArguments {
    /// The marketplace to mirror
    of: Url,
    /// Where packages and metadata are kept
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Address and port; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8771")]
    listen: SocketAddr,
    /// Requests that one address may send in the long run; ten times as many at once
    #[arg(long, value_name = "NUMBER", default_value_t = REQUESTS_PER_SECOND, value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_second: u32,
    /// A reverse proxy in front, whose X-Forwarded-For is believed; may be given several times
    #[arg(long = "trust-proxy", value_name = "ADDRESS")]
    proxies: Vec<IpAddr>,
}

pub(super) async fn serve(arguments: MirrorArguments) -> anyhow::Result<()> {
    crate::command::server::log_to_stderr("warn,fuseml_marketplace_server=info,fuseml_registry=info");
    let MirrorArguments { of, folder, listen, requests_per_second, proxies } = arguments;
    let data = std::path::absolute(folder)?;
    let config = MirrorConfig { of: of.clone(), data: data.clone(), listen, requests_per_second, proxies };
    let server = MirrorServer::start(config).await?;
    eprintln!("A mirror of {of}");
    eprintln!("  url       {}", server.url());
    eprintln!("  folder    {}", data.display());
    eprintln!(
        "Ready. Ctrl-C ends it. Servers add it with `fuseml marketplace add NAME {} --root-key ID`,",
        server.url()
    );
    eprintln!("where ID is the root key's id that the marketplace itself publishes.");
    server.run(crate::command::server::interrupted()).await?;
    Ok(())
}
