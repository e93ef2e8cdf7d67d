//! Plugins as processes of their own: this program started again, answering over HTTP or gRPC.

use anyhow::{Context as _, Result, bail};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// The hidden first argument of this program.
pub(crate) const SERVE: &str = "serve-peer";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    Grpc,
}

impl Kind {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Http => "a plugin process over HTTP (axum, kept-alive loopback)",
            Self::Grpc => "a plugin process over gRPC (tonic, Unix socket)",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

enum Client {
    Http(reqwest::Client, String),
    Grpc(HealthClient<Channel>),
}

pub(crate) struct Peer {
    process: Child,
    client: Client,
    _folder: tempfile::TempDir,
}

impl Peer {
    pub(crate) const KINDS: [Kind; 2] = [Kind::Http, Kind::Grpc];

    pub(crate) async fn start(kind: Kind) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = folder.path().join("at");
        let process = Command::new(std::env::current_exe()?)
            .args([SERVE, kind.name()])
            .arg(&at)
            .stdin(Stdio::null())
            .spawn()
            .context("the peer does not start")?;
        while !at.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let client = match kind {
            Kind::Http => Client::Http(reqwest::Client::new(), std::fs::read_to_string(&at)?),
            Kind::Grpc => {
                let endpoint = Endpoint::from_shared(format!("unix://{}", at.display()))?;
                Client::Grpc(HealthClient::new(endpoint.connect().await?))
            }
        };
        Ok(Self { process, client, _folder: folder })
    }

    /// One question and its answer.
    pub(crate) async fn call(&mut self) -> Result<()> {
        match &mut self.client {
            Client::Http(client, url) => {
                client.get(url.as_str()).send().await?.error_for_status()?.bytes().await?;
            }
            Client::Grpc(client) => {
                client.check(HealthCheckRequest { service: String::new() }).await?;
            }
        }
        Ok(())
    }

    pub(crate) fn memory_kib(&self) -> u64 {
        crate::memory::resident_kib(Some(self.process.id()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the other process does.
pub(crate) async fn serve(kind: &str, at: &Path) -> Result<()> {
    match kind {
        "http" => {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            let url = format!("http://{}/health", listener.local_addr()?);
            // In one step, for the other side reads it as soon as it is there.
            let draft = at.with_extension("draft");
            std::fs::write(&draft, url)?;
            std::fs::rename(draft, at)?;
            let app = axum::Router::new().route("/health", axum::routing::get(|| async { "ok" }));
            Ok(axum::serve(listener, app).await?)
        }
        "grpc" => {
            let (_reporter, service) = tonic_health::server::health_reporter();
            let listener = tokio::net::UnixListener::bind(at)?;
            let connections = tokio_stream::wrappers::UnixListenerStream::new(listener);
            Ok(Server::builder().add_service(service).serve_with_incoming(connections).await?)
        }
        other => bail!("there is no peer `{other}`"),
    }
}
