//! Brings a server up and down.

use crate::{
    app::App,
    contents,
    endpoints::Endpoints,
    extension::{Registry, Vault},
    folder::DataFolder,
    imports,
    marketplace::Marketplaces,
    openlineage::{self, Endpoint},
    peers::{self, Peers},
    provenance::{self, Provenance},
    push, route, stores,
};
use axum::serve::ListenerExt as _;
use fuseml_agents::{
    Agents, EnginesAgent, OwnRegistry, ProcessAgent, ProcessAgentConfig, SupervisorCommand, WasmAgent, WasmAgentConfig,
    this_machine,
};
use fuseml_catalog::{Catalog, DatabasePlace};
use fuseml_contents::{Contents, Repositories, TreeStore};
use fuseml_domain::{Error, Name, Policy, Replica, Result, SecretText};
use fuseml_engine::{Engine, EngineConfig, Ports};
use fuseml_sandbox::{Commands, CompilerCommand, Limits, Sandbox, SandboxConfig};
use nix::fcntl::Flock;
use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpListener;
use uuid::Uuid;

/// What a person chooses at `server start`.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub data: PathBuf,
    /// A PostgreSQL database; a file in the data folder if not given.
    pub database: Option<DatabasePlace>,
    /// An object store for contents, such as `s3://bucket/prefix`; the data folder if not given.
    pub storage: Option<String>,
    /// Where OpenLineage events are sent, and the key that it asks for.
    pub openlineage: Option<(reqwest::Url, Option<String>)>,
    pub listen: SocketAddr,
    /// Further names under which the server is reached.
    pub hosts: Vec<String>,
    /// Under which workers on engines reach the server; its own address if not given.
    pub public_url: Option<reqwest::Url>,
    /// This program, which also knows the hidden commands of supervisor and compiler.
    pub program: PathBuf,
    /// Jobs at one time: so many processors are for them.
    pub jobs: Option<usize>,
    /// What this machine has besides, for jobs that require it: `gpu=a100`.
    pub capabilities: Vec<String>,
    /// Where this machine is, for jobs that go to a zone.
    pub zone: Option<Name>,
    /// The program `uv`, which makes environments; looked for on the PATH if not given.
    pub uv: Option<PathBuf>,
    /// Its cache; in the data folder if not given.
    pub uv_cache: Option<PathBuf>,
    /// The program `podman`, which runs images; looked for on the PATH if not given.
    pub podman: Option<PathBuf>,
    /// Keys that seal secrets, instead of the file in the data folder: 32 bytes in base64, the newest first.
    pub secret_keys: Option<zeroize::Zeroizing<String>>,
}

/// The first argument with which the server starts its own program to supervise a workload, whose folder is the second;
/// without one it launches supervisors.
pub const SUPERVISOR: &str = "process-supervisor";
/// The only argument with which the server starts its own program to compile a component.
pub const COMPILER: &str = "component-compiler";

/// A server that has its data folder and its port.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    /// On the folder, and on what says where this server answers.
    _locks: [Flock<std::fs::File>; 2],
}

impl Server {
    /// Opens everything and takes up open runs. Nothing is left behind when it fails.
    pub async fn start(config: ServerConfig) -> Result<Self> {
        let folder = DataFolder::new(&config.data);
        let is_shared = matches!(config.database, Some(DatabasePlace::Postgres(_)));
        let lock = folder.take(is_shared)?;
        // One after another, so that what is made at the first start is made once.
        let starting = folder.start_alone().await?;
        let listener = TcpListener::bind(config.listen).await.map_err(|error| {
            Error::unavailable(
                "listen",
                format!("{} cannot be listened on: {error}; choose another address with --listen", config.listen),
            )
        })?;
        let address = listener.local_addr().map_err(|error| Error::io("the server's own address", &error))?;
        // Nobody can be asked at the address that means all.
        let ip = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
        let url = format!("http://{}", SocketAddr::new(ip, address.port()));
        let id = Uuid::now_v7();
        let mut announced = folder.announce(id)?;
        let own = Replica { id, url: url.clone(), machine: peers::process_space(), pid: std::process::id() };
        // Where it fails, what is announced stays, so that the next one sees that it is gone.
        let app = Arc::new(open(&config, &folder, own).await?);
        // Before anybody is answered.
        push::Unfinished::default().finish(&app).await?;
        folder.answers(&mut announced, &url)?;
        drop(starting);
        Ok(Self { app, listener, _locks: [lock, announced] })
    }

    pub fn url(&self) -> &str {
        &self.app.url
    }

    /// How many other servers share its catalog.
    pub fn others(&self) -> usize {
        self.app.peers.count()
    }

    pub fn folder(&self) -> &DataFolder {
        &self.app.folder
    }

    /// Answers until `stop` resolves; then ends services and leaves jobs to their supervisors.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let app = self.app.clone();
        // Small answers must not wait for more to send.
        let listener = self.listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::warn!(%error, "a connection keeps its delay");
            }
        });
        // Connections that are kept open must not keep the server from ending.
        tokio::select! {
            served = axum::serve(listener, route::router(app.clone())) => {
                served.map_err(|error| Error::io("serving", &error))?;
            }
            () = stop => {}
            () = keep_house(&app) => {}
        }
        app.engine.stop();
        // Until services have ended nobody comes who would find them running.
        let leaving = app.peers.leave().await?;
        if leaving.is_last {
            app.engine.stop_services().await;
        }
        app.registry.flush().await;
        app.catalog.close().await;
        Ok(())
    }
}

/// Does what one server does for all, while it is this one. Never ends.
async fn keep_house(app: &App) {
    loop {
        app.peers.until_first(true).await;
        tokio::select! {
            () = audit(app) => {}
            () = collect(app) => {}
            () = finish_pushes(app) => {}
            () = imports::follow_all(app) => {}
            () = stores::sync_all(app) => {}
            () = provenance::attest_all(app) => {}
            () = openlineage::deliver_all(app) => {}
            () = app.peers.until_first(false) => {}
        }
    }
}

/// Registers what was pushed to servers that are gone. Never ends.
async fn finish_pushes(app: &App) {
    let mut unfinished = push::Unfinished::default();
    loop {
        let is_all = unfinished.finish(app).await.unwrap_or_else(|error| {
            tracing::error!(%error, "what was pushed to a server that is gone could not be looked at; trying again");
            false
        });
        match is_all {
            true => app.peers.deaths.notified().await,
            false => tokio::time::sleep(push::AFTERWARDS).await,
        }
    }
}

/// Between two looks at what marketplaces say of what is installed.
const AUDIT_EVERY: Duration = Duration::from_secs(3600);

/// Learns of revocations without being asked. Never ends.
async fn audit(app: &App) {
    loop {
        if let Err(error) = app.registry.audit(&app.marketplaces).await {
            tracing::warn!(%error, "installed extensions could not be looked at");
        }
        tokio::time::sleep(AUDIT_EVERY).await;
    }
}

/// Deletes contents that nothing names and events of long ago, daily. Never ends.
async fn collect(app: &App) {
    loop {
        tokio::time::sleep(contents::COLLECT_EVERY).await;
        match contents::collect(app, contents::YOUNG).await {
            Err(error) if error.code == "not-alone" => tracing::info!(%error, "contents are not collected today"),
            Ok(collected) => tracing::info!(?collected, "contents were collected"),
            Err(error) => tracing::warn!(%error, "contents could not be collected"),
        }
        if let Err(error) = app.catalog.forget_received().await {
            tracing::warn!(%error, "events of long ago could not be forgotten");
        }
    }
}

/// What the operator allows; everything without the file.
fn policy(folder: &DataFolder) -> Result<Policy> {
    let path = folder.policy();
    match std::fs::read_to_string(&path) {
        Ok(text) => Policy::parse(&text).map_err(|error| error.context(path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Policy::default()),
        Err(error) => Err(Error::io(format!("{} cannot be read", path.display()), &error)),
    }
}

async fn open(config: &ServerConfig, folder: &DataFolder, own: Replica) -> Result<App> {
    let (token, url) = (folder.token()?, &*own.url.clone());
    let place = config.database.clone().unwrap_or_else(|| folder.catalog().as_path().into());
    let catalog = Catalog::open(&place).await?.held_by(own.id);
    let repositories = Arc::new(Repositories::new(folder.repositories())?);
    let blobs = match &config.storage {
        Some(address) => fuseml_registry::Store::at_as_environment_says(address, folder.contents().join("uploads"))?,
        None => fuseml_registry::Store::on_disk(folder.contents())?,
    };
    let trees = Arc::new(TreeStore::new(blobs.clone(), Arc::new(catalog.clone()), folder.contents().join("incoming"))?);
    let contents = Arc::new(Contents::new(trees.clone(), repositories.clone())?);
    let sandbox = Sandbox::new(SandboxConfig {
        cache: folder.compiled(),
        compiler: CompilerCommand { program: config.program.clone(), arguments: vec![OsString::from(COMPILER)] },
        limits: Limits::default(),
    })?;
    let vault =
        Vault::new(catalog.clone(), config.secret_keys.as_ref().map(|keys| keys.as_str()), &folder.secret_keys())?;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| Error::internal("client", error.to_string()))?;
    let marketplaces = Arc::new(Marketplaces::new(folder.clone())?);
    let commands = Arc::new(Commands::new(sandbox.clone(), trees.clone()));
    let registry =
        Arc::new(Registry::new(catalog.clone(), sandbox, folder.clone(), vault, policy(folder)?, marketplaces.clone()));
    let supervisor = SupervisorCommand { program: config.program.clone(), arguments: vec![OsString::from(SUPERVISOR)] };
    let defaults = EngineConfig::default();
    let jobs = config.jobs.unwrap_or(defaults.jobs);
    let process = ProcessAgent::new(ProcessAgentConfig {
        machine: Some(this_machine(jobs, &config.capabilities, config.zone.clone())),
        uv: config.uv.clone(),
        uv_cache: config.uv_cache.clone(),
        podman: config.podman.clone(),
        registry: Some(OwnRegistry { address: url.trim_start_matches("http://").to_owned(), token: token.clone() }),
        ..ProcessAgentConfig::new(folder.process_agent(), supervisor, contents.clone())
    })?;
    let wasm = WasmAgent::new(WasmAgentConfig::new(folder.wasm_agent(), contents.clone(), commands))?;
    let workers = config.public_url.as_ref().map_or(url, |public| public.as_str());
    let engines = EnginesAgent::new(&folder.engines_agent(), workers, contents.clone(), registry.clone())?;
    let engines = Arc::new(engines);
    let agent = Arc::new(Agents::new(process, wasm, engines.clone()));
    let peers = Peers::join(catalog.clone(), &place, own, folder.clone(), registry.clone()).await?;
    let engine = Engine::start(
        Ports {
            replicas: peers.clone(),
            catalog: Arc::new(catalog.clone()),
            contents: contents.clone(),
            codesets: repositories.clone(),
            agent: agent.clone(),
            extensions: registry.clone(),
            endpoints: Arc::new(Endpoints { catalog: catalog.clone(), vault: registry.vault().clone() }),
        },
        EngineConfig { public_url: workers.trim_end_matches('/').to_owned(), jobs, ..defaults },
    )
    .await?;
    let mut hosts: Vec<String> = ["127.0.0.1", "localhost", "[::1]"].map(ToOwned::to_owned).into();
    hosts.extend(config.hosts.iter().cloned());
    hosts.extend(reqwest::Url::parse(url).ok().and_then(|own| own.host_str().map(ToOwned::to_owned)));
    hosts.extend(config.public_url.iter().filter_map(|public| public.host_str().map(ToOwned::to_owned)));
    Ok(App {
        folder: folder.clone(),
        url: url.to_owned(),
        public_url: workers.trim_end_matches('/').to_owned(),
        token,
        hosts,
        catalog,
        openlineage: config
            .openlineage
            .clone()
            .map(|(url, api_key)| Endpoint { url, api_key: api_key.map(SecretText::new) }),
        provenance: Provenance::open(&folder.provenance_key(), &folder.provenance_public_key())?,
        trees,
        contents,
        blobs_place: config.storage.clone().unwrap_or_else(|| folder.contents().display().to_string()),
        blobs,
        repositories,
        following: Default::default(),
        agent,
        engines,
        registry,
        marketplaces,
        engine,
        peers,
        client,
    })
}
