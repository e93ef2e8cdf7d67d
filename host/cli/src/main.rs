//! `fuseml`: the server and every client command in one program.

mod client;
mod command;
mod config;
mod output;
mod transfer;

use clap::{CommandFactory as _, Parser, Subcommand};
use fuseml_domain::{Error, ErrorKind, Kind};
use output::Format;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed; 2 wrong usage or input; 3 not found; 4 denied; 5 conflict with what is there; \
6 server or tool not available; 7 a run failed; 8 a run waits for a person.";

/// FuseML fuses the AI/ML tools a team already uses into one MLOps system.
#[derive(Parser)]
#[command(name = "fuseml", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    /// How to print what was asked for
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// The project to work in, instead of the one that `project set` chose
    #[arg(long, global = true, env = "FUSEML_PROJECT")]
    project: Option<String>,
    /// The server's address, instead of the one in the data folder
    #[arg(long, global = true, env = "FUSEML_SERVER")]
    server: Option<String>,
    /// The server's data folder, where its address and the admin token are found
    #[arg(long, global = true, env = "FUSEML_DATA")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a server
    #[command(subcommand)]
    Server(command::server::ServerCommand),
    /// Install and configure extensions
    #[command(subcommand)]
    Extension(command::extension::ExtensionCommand),
    /// Find, publish and trust extensions; run a marketplace
    #[command(subcommand)]
    Marketplace(command::marketplace::MarketplaceCommand),
    /// Create and choose projects
    #[command(subcommand)]
    Project(command::project::ProjectCommand),
    /// Show, check and draw pipeline templates
    #[command(subcommand)]
    Template(command::template::TemplateCommand),
    /// Attach pipelines to the project and show their results
    #[command(subcommand)]
    Pipeline(command::pipeline::PipelineCommand),
    /// Push and list code
    #[command(subcommand)]
    Codeset(command::codeset::CodesetCommand),
    /// The same as `codeset push`
    Push(command::codeset::PushArguments),
    /// Push, fetch and list datasets
    #[command(subcommand)]
    Dataset(command::contents::ContentsCommand),
    /// Push, fetch and list models
    #[command(subcommand)]
    Model(command::contents::ContentsCommand),
    /// Register and show what can be run
    #[command(subcommand)]
    Runnable(command::runnable::RunnableCommand),
    /// Look after where artifacts are kept
    #[command(subcommand)]
    Store(command::store::StoreCommand),
    /// Let events from outside start pipelines and end waiting
    #[command(subcommand)]
    Webhook(command::outside::WebhookCommand),
    /// Send events, and show those that came
    #[command(subcommand)]
    Event(command::outside::EventCommand),
    /// Say which outside services steps may call
    #[command(subcommand)]
    Endpoint(command::outside::EndpointCommand),
    /// Find artifacts of every kind
    #[command(subcommand)]
    Artifact(command::artifact::ArtifactCommand),
    /// Show what an artifact was made from and what came of it
    Lineage(command::lineage::LineageArguments),
    /// Start, follow and steer runs
    #[command(subcommand)]
    Run(command::run::RunCommand),
    /// Show what is being served
    #[command(subcommand)]
    Service(command::run::ServiceCommand),
    /// Print a completion script for a shell
    Completion { shell: clap_complete::Shell },
}

fn main() -> ExitCode {
    if let Some(code) = for_the_server() {
        return code;
    }
    let cli = Cli::parse();
    match cli.command {
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "fuseml", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        command => {
            run(command, Options { output: cli.output, project: cli.project, server: cli.server, data: cli.data })
        }
    }
}

/// What the server starts of this program: it supervises one workload, launches supervisors, or compiles one component
/// from standard input to standard output. Before the commands of people are made ready, which takes as long as many a
/// workload.
fn for_the_server() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next()?;
    match first.to_str()? {
        fuseml_server::SUPERVISOR => Some(exit(match arguments.next() {
            Some(folder) => fuseml_agents::supervise(Path::new(&folder)),
            None => fuseml_agents::launch(),
        })),
        fuseml_server::COMPILER => Some(exit(fuseml_sandbox::compiler_main())),
        _ => None,
    }
}

fn exit(code: i32) -> ExitCode {
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// What every command may need.
struct Options {
    output: Format,
    project: Option<String>,
    server: Option<String>,
    data: Option<PathBuf>,
}

fn run(command: Command, options: Options) -> ExitCode {
    let result = match command {
        Command::Server(command) => command::server::execute(command, &options),
        Command::Marketplace(command) => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(command::marketplace::execute(command, &options))),
        command => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(ask(command, &options))),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            code_of(&error)
        }
    }
}

async fn ask(command: Command, options: &Options) -> anyhow::Result<ExitCode> {
    match command {
        Command::Extension(command) => command::extension::execute(command, options).await,
        Command::Project(command) => command::project::execute(command, options).await,
        Command::Template(command) => command::template::execute(command, options).await,
        Command::Pipeline(command) => command::pipeline::execute(command, options).await,
        Command::Codeset(command) => command::codeset::execute(command, options).await,
        Command::Push(arguments) => command::codeset::push(arguments, options).await,
        Command::Dataset(command) => command::contents::execute(command, Kind::Dataset, options).await,
        Command::Model(command) => command::contents::execute(command, Kind::Model, options).await,
        Command::Runnable(command) => command::runnable::execute(command, options).await,
        Command::Store(command) => command::store::execute(command, options).await,
        Command::Webhook(command) => command::outside::webhook(command, options).await,
        Command::Event(command) => command::outside::event(command, options).await,
        Command::Endpoint(command) => command::outside::endpoint(command, options).await,
        Command::Artifact(command) => command::artifact::execute(command, options).await,
        Command::Lineage(arguments) => command::lineage::lineage(arguments, options).await,
        Command::Run(command) => command::run::execute(command, options).await,
        Command::Service(command) => command::run::execute_service(command, options).await,
        Command::Server(_) | Command::Marketplace(_) | Command::Completion { .. } => {
            unreachable!("answered without a server")
        }
    }
}

/// Ends the process when a run that was waited for did not succeed.
pub(crate) const RUN_FAILED: u8 = 7;

/// Ends the process when a run that was waited for goes on only once somebody tells it to.
pub(crate) const RUN_WAITS: u8 = 8;

fn code_of(error: &anyhow::Error) -> ExitCode {
    error.downcast_ref::<Error>().map_or(ExitCode::FAILURE, |error| exit_code(error.kind))
}

/// As the help text says.
pub(crate) fn exit_code(kind: ErrorKind) -> ExitCode {
    ExitCode::from(match kind {
        ErrorKind::Invalid | ErrorKind::Unsupported => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::Denied => 4,
        ErrorKind::Conflict => 5,
        ErrorKind::Unavailable => 6,
        ErrorKind::Internal => 1,
    })
}
