//! `cargo xtask …`: everything that a checkout needs done to it. Each command does its own set-up.

mod bench;
mod demo;
mod fuzz;
mod guest;
mod postgres;
mod setup;
mod test;

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// Work on a checkout of FuseML.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what everything else needs: guest toolchain, uv, MLflow, and what tests talk to
    Setup,
    /// Build an extension's components and lay out its package
    Extension {
        /// The extension's folder
        source: PathBuf,
        /// The package's folder; target/extensions/<name> if not given
        out: Option<PathBuf>,
    },
    /// Run the main job as a person would, from push to prediction
    Demo {
        /// Leave server and MLflow running
        #[arg(long)]
        keep: bool,
    },
    /// Run all tests
    Test,
    /// Feed every parser of outside bytes with what breaks parsers
    Fuzz {
        /// Which parsers; all if not given
        targets: Vec<String>,
        /// For so long each
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Measure the hot paths beside their raw limits
    Bench {
        /// What to measure: sandbox, engine, artifacts, lineage, datasets, git, marketplace; everything if not given
        parts: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Setup => setup::all().and_then(|_| setup::peers()).map(drop),
        Command::Extension { source, out } => extension(&source, out),
        Command::Demo { keep } => demo::run_demo(keep),
        Command::Test => test::run_all(),
        Command::Fuzz { targets, seconds } => fuzz::fuzz(&targets, seconds),
        Command::Bench { parts } => bench::measure(&parts),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn extension(source: &std::path::Path, out: Option<PathBuf>) -> anyhow::Result<()> {
    let name =
        source.file_name().map(PathBuf::from).ok_or_else(|| anyhow::anyhow!("{} has no name", source.display()))?;
    let out = out.unwrap_or_else(|| setup::target().join("extensions").join(name));
    guest::build_extension(source, &out)?;
    println!("{}", out.display());
    Ok(())
}
