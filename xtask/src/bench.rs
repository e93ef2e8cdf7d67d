//! The benchmarks, on what users run: the release build.

use crate::setup::{self, cargo, run};
use anyhow::Result;

pub(crate) fn run_all() -> Result<()> {
    let tools = setup::all()?;
    run(&mut cargo(&["build", "--release", "--package", "fuseml", "--package", "fuseml-bench"]))?;
    let release = setup::target().join("release");
    run(std::process::Command::new(release.join("fuseml-bench"))
        .arg(release.join("fuseml"))
        .arg(tools.mlflow_extension))
}
