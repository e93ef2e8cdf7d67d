//! `fuseml server`.

use crate::Options;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use fuseml_database::DatabasePlace;
use fuseml_domain::{Error, Name};
use fuseml_server::{Server, ServerConfig, ServerView};
use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Subcommand)]
pub(crate) enum ServerCommand {
    /// Run a server until it is interrupted
    Start(Box<StartArguments>),
    /// Show where the servers of the data folder answer
    Status,
    /// List the servers that share the catalog, and how many open runs each drives
    List,
    /// Save the catalog of the running server, as of one moment, into a file
    Backup { file: PathBuf },
    /// Seal all secrets with a new key
    RotateSecretKey,
}

#[derive(Args)]
pub(crate) struct StartArguments {
    /// Address and port; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8760", env = "FUSEML_LISTEN")]
    listen: SocketAddr,
    /// A PostgreSQL database, such as postgres://user:password@host/name, instead of a file in the data folder
    #[arg(long, value_name = "URL", env = "FUSEML_DATABASE", hide_env_values = true)]
    database: Option<DatabasePlace>,
    /// Keep contents in an object store such as s3://bucket/prefix, whose login comes from AWS_… variables, instead of
    /// in the data folder
    #[arg(long, value_name = "URL", env = "FUSEML_STORAGE")]
    storage: Option<String>,
    /// Send OpenLineage events there, such as http://marquez:5000/api/v1/lineage
    #[arg(long, value_name = "URL", env = "FUSEML_OPENLINEAGE_URL")]
    openlineage: Option<reqwest::Url>,
    /// The key that the OpenLineage endpoint asks for
    #[arg(
        long,
        value_name = "KEY",
        env = "FUSEML_OPENLINEAGE_API_KEY",
        hide_env_values = true,
        requires = "openlineage"
    )]
    openlineage_api_key: Option<String>,
    /// A further name under which the server is reached, beside localhost
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Under which workers on other machines reach the server; its own address if not given
    #[arg(long, value_name = "URL")]
    public_url: Option<reqwest::Url>,
    /// Jobs at one time; as many as the machine has cores if not given
    #[arg(long)]
    jobs: Option<usize>,
    /// What this machine has for jobs that require it, such as gpu=a100; more than once for more
    #[arg(long = "capability", value_name = "NAME=VALUE")]
    capabilities: Vec<String>,
    /// Where this machine is, such as eu: jobs for that zone run here
    #[arg(long, env = "FUSEML_ZONE")]
    zone: Option<Name>,
    /// The program uv, which makes environments; looked for on the PATH if not given
    #[arg(long, env = "FUSEML_UV")]
    uv: Option<PathBuf>,
    /// uv's cache; in the data folder if not given
    #[arg(long, env = "UV_CACHE_DIR")]
    uv_cache: Option<PathBuf>,
    /// The program podman, which runs images; looked for on the PATH if not given
    #[arg(long, env = "FUSEML_PODMAN")]
    podman: Option<PathBuf>,
    /// Keys that seal secrets, instead of the file in the data folder: 32 bytes each in base64, separated by commas,
    /// the one that seals first
    #[arg(long, env = "FUSEML_SECRET_KEYS", hide_env_values = true, hide = true)]
    secret_keys: Option<String>,
}

pub(crate) fn execute(command: ServerCommand, options: &Options) -> anyhow::Result<ExitCode> {
    match command {
        ServerCommand::Start(arguments) => start(*arguments, options),
        ServerCommand::Status => status(options),
        ServerCommand::List => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(list(options))
        }
        ServerCommand::Backup { file } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(backup(&file, options))
        }
        ServerCommand::RotateSecretKey => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(rotate(options))
        }
    }
}

/// The file appears whole or not at all, and replaces none.
async fn backup(file: &Path, options: &Options) -> anyhow::Result<ExitCode> {
    if file.symlink_metadata().is_ok() {
        let message = format!("{} is already there; a backup replaces none", file.display());
        return Err(Error::conflict("exists", message).into());
    }
    let client = crate::client::Client::new(options)?;
    let mut answer = client.answer(client.request(reqwest::Method::GET, "/api/v1/catalog/copy")).await?;
    let failed = |error: std::io::Error| Error::io(format!("{} cannot be written", file.display()), &error);
    let beside = file.parent().filter(|beside| !beside.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut copy = tempfile::NamedTempFile::new_in(beside).map_err(failed)?;
    let mut size = 0;
    while let Some(chunk) = answer.chunk().await? {
        size += chunk.len() as u64;
        copy.write_all(&chunk).map_err(failed)?;
    }
    copy.as_file().sync_all().map_err(failed)?;
    copy.persist_noclobber(file).map_err(|error| failed(error.error))?;
    eprintln!(
        "Saved the catalog, {}; the data folder's contents and repositories only grow: copy them after it.",
        crate::output::bytes(size)
    );
    Ok(ExitCode::SUCCESS)
}

async fn rotate(options: &Options) -> anyhow::Result<ExitCode> {
    let client = crate::client::Client::new(options)?;
    let count: usize = client.read(client.request(reqwest::Method::POST, "/api/v1/secrets/rotate")).await?;
    eprintln!("Sealed {count} secrets with a new key; the old one opens nothing any more.");
    Ok(ExitCode::SUCCESS)
}

/// What servers say of themselves goes to standard error; `FUSEML_LOG` says how much.
pub(crate) fn log_to_stderr(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FUSEML_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(filter));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(crate::output::live())
        .init();
}

fn start(arguments: StartArguments, options: &Options) -> anyhow::Result<ExitCode> {
    log_to_stderr("warn,fuseml_engine=info,fuseml_server=info");
    let config = ServerConfig {
        data: options.folder()?.path().to_owned(),
        database: arguments.database.clone(),
        storage: arguments.storage.clone(),
        openlineage: arguments.openlineage.map(|url| (url, arguments.openlineage_api_key)),
        listen: arguments.listen,
        hosts: arguments.hosts,
        public_url: arguments.public_url,
        program: std::env::current_exe().context("this program cannot find itself")?,
        jobs: arguments.jobs,
        capabilities: arguments.capabilities,
        zone: arguments.zone,
        uv: arguments.uv,
        uv_cache: arguments.uv_cache,
        podman: arguments.podman,
        secret_keys: arguments.secret_keys.map(Into::into),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::start(config).await?;
        let folder = server.folder().clone();
        eprintln!("FuseML server");
        eprintln!("  url          {}", server.url());
        eprintln!("  data folder  {}", folder.path().display());
        if let Some(database) = arguments.database {
            eprintln!("  database     {database}");
        }
        if let Some(storage) = arguments.storage {
            eprintln!("  contents     {storage}");
        }
        eprintln!("  admin token  {}", folder.token_file().display());
        if let count @ 1.. = server.others() {
            eprintln!(
                "  beside       {}",
                if count == 1 { "one other server".to_owned() } else { format!("{count} other servers") }
            );
        }
        eprintln!("Ready. Ctrl-C ends it.");
        server.run(interrupted()).await?;
        eprintln!("Stopped. Jobs that run go on and are found again at the next start.");
        Ok(ExitCode::SUCCESS)
    })
}

pub(crate) async fn interrupted() {
    let mut terminated = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(error) => {
            tracing::error!(%error, "the signal to stop cannot be heard");
            return std::future::pending().await;
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

fn status(options: &Options) -> anyhow::Result<ExitCode> {
    let folder = options.folder()?;
    let running = folder.running();
    if running.is_empty() {
        let message = format!("no server runs on {}; `fuseml server start` starts one", folder.path().display());
        return Err(Error::unavailable("no-server", message).into());
    }
    options.output.print(&running, |running| {
        let mut rows = crate::output::Rows::new(&["URL", "Process", "Data folder"]);
        for server in running {
            rows.push([server.url.clone(), server.pid.to_string(), folder.path().display().to_string()]);
        }
        rows
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn list(options: &Options) -> anyhow::Result<ExitCode> {
    let client = crate::client::Client::new(options)?;
    let servers: Vec<ServerView> = client.get("/api/v1/servers", &[]).await?;
    options.output.print(&servers, |servers| {
        let mut rows = crate::output::Rows::new(&["URL", "Process", "Since", "Open runs", "Does for all servers"]);
        for server in servers {
            let chores = if server.keeps_house { "syncs, audits, deliveries" } else { "" };
            rows.push([
                server.url.clone(),
                server.pid.to_string(),
                crate::output::moment(server.started),
                server.open_runs.to_string(),
                chores.to_owned(),
            ]);
        }
        rows
    })?;
    Ok(ExitCode::SUCCESS)
}
