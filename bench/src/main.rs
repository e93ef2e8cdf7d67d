//! Measures the hot paths beside their raw limits in one run. Printed as figures and ratios; nothing is asserted.
//!
//! Arguments: the built program `fuseml` (it supervises and compiles), the built peer `bench/extism`, then packaged
//! extensions: mlflow, and the Python and the JavaScript example.

mod call;
mod chain;
mod concurrency;
mod extism;
mod figures;
#[allow(dead_code)]
#[path = "../../host/sandbox/tests/common/guest.rs"]
mod guest;
mod host_calls;
mod memory;
mod peer;
mod stand;
mod swap;

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
    let extism = arguments.next().context("the path of the built peer is missing")?;
    let mut extension = || arguments.next().context("the path of a packaged extension is missing");
    let (mlflow, python, javascript) = (extension()?, extension()?, extension()?);
    memory::measure(&program).await?;
    call::measure(&program, &mlflow, &extism).await?;
    call::interpreted(&program, &python, "Python", "goal 1.2x").await?;
    call::interpreted(&program, &javascript, "JavaScript", "goal 1.2x").await?;
    host_calls::measure(&program).await?;
    concurrency::measure(&program).await?;
    swap::measure(&program).await?;
    chain::measure(&program).await
}
