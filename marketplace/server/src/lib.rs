//! The marketplace server: accounts and namespaces, publishing, search, signed metadata, a public log, a catalogue
//! for people, and the OCI registry that holds the packages.
//!
//! Promises: a version never changes once it is public; what is public was verified, signed and checked first; every
//! change of what is public is one transaction with its metadata and its entry in the log.

mod access;
mod account;
mod advisory;
mod api;
mod backup;
mod check;
mod database;
mod deprecation;
mod download;
#[cfg(any(test, feature = "bench"))]
mod fill;
mod inspect;
mod likeness;
mod limit;
mod metadata;
mod mirror;
mod namespace;
mod package;
mod page;
mod publish;
mod route;
mod search;
mod verify;
mod words;

pub use account::{Caller, Scope, TokenRequest, TokenView};
pub use api::{
    DeprecationRequest, ExtensionView, KeyRequest, MemberRequest, PublishRequest, StatusRequest, VersionView,
};
pub use backup::{Restored, back_up, restore};
#[cfg(feature = "bench")]
pub use fill::fill;
pub use fuseml_registry::Collected;
pub use inspect::inspect;
pub use metadata::rotate as rotate_online_key;
pub use mirror::{MirrorConfig, MirrorServer};
pub use namespace::{About, Member, NamespaceView, Role};
pub use publish::VersionRecord;
pub use search::{Found, Order, Page, Query};
pub use verify::{Proof, Verification};

use database::failed;
use fuseml_database::{Database, DatabasePlace};
use fuseml_domain::{Error, Result, SecretText};
use fuseml_marketplace::Log;
use fuseml_registry::Store;
use jiff::Timestamp;
use limit::Limits;
use metadata::Keys;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, sync::RwLock};

/// What an operator chooses.
#[derive(Debug, Clone)]
pub struct MarketplaceConfig {
    pub data: PathBuf,
    pub listen: SocketAddr,
    /// The address that people and clients use; the one that is listened on if not given.
    pub url: Option<String>,
    /// A PostgreSQL database; a file in the data folder if not given.
    pub database: Option<DatabasePlace>,
    /// An object store such as `s3://bucket/prefix` for packages; the data folder if not given.
    pub storage: Option<String>,
    /// Locks the marketplace's own keys on the disk.
    pub passphrase: Option<SecretText>,
    /// This program, which checks what is uploaded.
    pub program: PathBuf,
    /// What one address may ask for in the long run; ten times as much at once.
    pub requests_per_second: u32,
    /// Largest blob that can be pushed, in MiB; a component is one.
    pub largest_blob: u32,
    /// Namespaces may prove themselves at private addresses too: for a marketplace within a company.
    pub verify_private: bool,
    /// Reverse proxies whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpAddr>,
}

impl MarketplaceConfig {
    /// What holds for a data folder unless an operator says otherwise.
    pub fn new(data: PathBuf, program: PathBuf) -> Self {
        Self {
            data,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            url: None,
            database: None,
            storage: None,
            passphrase: None,
            program,
            requests_per_second: REQUESTS_PER_SECOND,
            largest_blob: LARGEST_BLOB,
            verify_private: false,
            proxies: Vec::new(),
        }
    }
}

/// What one address may ask for unless an operator says otherwise.
pub const REQUESTS_PER_SECOND: u32 = 200;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A marketplace's state.
#[derive(Debug)]
pub struct Marketplace {
    database: Database,
    store: Store,
    keys: RwLock<Keys>,
    /// Metadata that was signed before is signed anew: another process may have replaced the online key since.
    keys_since: Timestamp,
    log: tokio::sync::Mutex<Log>,
    staging: PathBuf,
    program: PathBuf,
    url: String,
    counted: download::Counted,
    /// In bytes.
    largest_blob: u64,
    verify_private: bool,
}

/// Largest blob that can be pushed unless an operator says otherwise, in MiB.
pub const LARGEST_BLOB: u32 = 512;

impl Marketplace {
    /// Opens a data folder, making it the first time.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(crate) async fn open(config: &MarketplaceConfig, url: String) -> Result<Self> {
        // What a server that was killed left half looked at.
        let _ = std::fs::remove_dir_all(config.data.join("staging"));
        Self::open_at(config, url).await
    }

    /// For commands on the marketplace's own machine, also while its server runs.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub async fn open_beside(config: &MarketplaceConfig) -> Result<Self> {
        Self::open_at(config, String::new()).await
    }

    async fn open_at(config: &MarketplaceConfig, url: String) -> Result<Self> {
        let data = &config.data;
        let staging = data.join("staging");
        std::fs::create_dir_all(&staging).map_err(|error| Error::io(staging.display(), &error))?;
        let database = database::open(&database::place(data, config.database.as_ref())).await?;
        let keys = Keys::open(data, config.passphrase.as_ref()).await?;
        let store = match &config.storage {
            Some(address) => Store::at_as_environment_says(address, data.join("uploads"))?,
            None => Store::on_disk(data.join("registry"))?,
        };
        let entries: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT entry FROM log ORDER BY seq").fetch_all(&database.pool).await.map_err(failed)?;
        let mut log = Log::default();
        entries.into_iter().for_each(|entry| log.append(entry));
        Ok(Self {
            database,
            store,
            keys: RwLock::new(keys),
            keys_since: Timestamp::now(),
            log: tokio::sync::Mutex::new(log),
            staging,
            program: config.program.clone(),
            url,
            counted: download::Counted::default(),
            largest_blob: u64::from(config.largest_blob) << 20,
            verify_private: config.verify_private,
        })
    }
}

/// Never ends. A server that is started anew every day collects too.
async fn collect_daily(marketplace: &Marketplace) {
    let mut next = tokio::time::interval_at(tokio::time::Instant::now() + HOUR, DAY);
    loop {
        next.tick().await;
        match marketplace.collect().await {
            Ok(collected) => tracing::info!(?collected, "what nothing names any more is deleted"),
            Err(error) => tracing::warn!(%error, "what nothing names any more could not be deleted"),
        }
    }
}

/// A marketplace that has its port.
pub struct MarketplaceServer {
    marketplace: Arc<Marketplace>,
    listener: TcpListener,
    limits: Limits,
    _lock: std::fs::File,
}

impl MarketplaceServer {
    /// # Errors
    /// When the address is taken or the data folder cannot be used.
    pub async fn start(config: MarketplaceConfig) -> Result<Self> {
        let lock = metadata::take(&config.data)?;
        let listener = TcpListener::bind(config.listen).await.map_err(|error| {
            let message = format!("{} cannot be listened on: {error}; choose another with --listen", config.listen);
            Error::unavailable("listen", message)
        })?;
        let address = listener.local_addr().map_err(|error| Error::io("the marketplace's own address", &error))?;
        let url = config.url.clone().unwrap_or_else(|| format!("http://{address}"));
        let url = url.trim_end_matches('/').to_owned();
        let marketplace = Arc::new(Marketplace::open(&config, url).await?);
        let limits = Limits::new(config.requests_per_second, config.proxies);
        Ok(Self { marketplace, listener, limits, _lock: lock })
    }

    pub fn url(&self) -> &str {
        &self.marketplace.url
    }

    /// The id of the root key, for `fuseml marketplace add --root-key`.
    pub async fn root_key(&self) -> String {
        self.marketplace.keys.read().await.root_id().unwrap_or_default()
    }

    /// Answers until `stop` resolves.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<()> {
        let service =
            route::router(self.marketplace.clone(), self.limits).into_make_service_with_connect_info::<SocketAddr>();
        tokio::select! {
            served = axum::serve(self.listener, service) => served.map_err(|error| Error::io("serving", &error))?,
            () = stop => {}
            () = collect_daily(&self.marketplace) => {}
        }
        self.marketplace.database.close().await;
        Ok(())
    }
}
