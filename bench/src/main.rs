//! Measures the hot paths beside their raw limits in one run. Printed as figures and ratios; nothing is asserted.
//!
//! Arguments: the built program `fuseml` (it supervises and compiles), the peers (the built `bench/extism`, Docker's
//! registry, MLflow, an empty PostgreSQL database, DVC, the folder with an environment for each orchestrator), packaged extensions (mlflow, the Python and the JavaScript example), and which parts to measure: all if
//! none are named.

mod again;
mod artifacts;
mod call;
mod catalogue;
mod chain;
mod concurrency;
mod daemon;
mod datasets;
mod disk;
mod extism;
mod figures;
mod git;
#[allow(dead_code)]
#[path = "../../host/sandbox/tests/sandbox/common/guest.rs"]
mod guest;
mod host_calls;
mod lineage;
mod memory;
mod peer;
mod peers;
mod registry;
mod stand;
mod swap;
mod takeover;

use anyhow::Context as _;
use std::path::{Path, PathBuf};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let program = arguments.next().context("the path of the built program is missing")?;
    if program == Path::new(peer::SERVE) {
        let kind = arguments.next().context("which peer?")?;
        let at = arguments.next().context("the peer's place is missing")?;
        return peer::serve(&kind.to_string_lossy(), &at).await;
    }
    let mut path = |what: &str| arguments.next().with_context(|| format!("the path of {what} is missing"));
    let (extism, docker_registry) = (path("the built peer")?, path("Docker's registry")?);
    let (mlflow_program, postgres, dvc) = (path("MLflow")?, path("PostgreSQL")?, path("DVC")?);
    let orchestrators = path("the environments of orchestrators")?;
    let (mlflow, python, javascript) = (path("mlflow")?, path("the Python example")?, path("the JavaScript example")?);
    let parts: Vec<String> = arguments.map(|part| part.to_string_lossy().into_owned()).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|it| it == part);
    if wanted("sandbox") {
        memory::measure(&program).await?;
        call::measure(&program, &mlflow, &extism).await?;
        call::interpreted(&program, &python, "Python", "goal 1.2x").await?;
        call::interpreted(&program, &javascript, "JavaScript", "goal 1.2x").await?;
        host_calls::measure(&program).await?;
        concurrency::measure(&program).await?;
        swap::measure(&program).await?;
    }
    if wanted("engine") {
        chain::measure(&program).await?;
        takeover::measure(&program, &postgres.to_string_lossy()).await?;
        again::measure(&program, &orchestrators, &dvc).await?;
        peers::measure(&orchestrators, &dvc)?;
    }
    if wanted("artifacts") {
        artifacts::measure(&program, &mlflow_program, &postgres.to_string_lossy()).await?;
    }
    if wanted("lineage") {
        lineage::measure(&postgres.to_string_lossy()).await?;
    }
    if wanted("datasets") {
        datasets::measure(&program, &dvc).await?;
    }
    if wanted("git") {
        git::measure(&program).await?;
    }
    if wanted("marketplace") {
        registry::measure(&program, &docker_registry).await?;
        catalogue::measure(&program, &mlflow).await?;
    }
    Ok(())
}
