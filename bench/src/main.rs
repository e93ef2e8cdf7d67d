//! Measures the hot paths beside their raw limits in one run. Printed as figures and ratios; nothing is asserted.
//!
//! Arguments: the built program `fuseml` (it supervises and compiles) and the packaged mlflow extension.

mod call;
mod chain;
mod figures;

use anyhow::Context as _;
use std::path::PathBuf;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let program = arguments.next().context("the path of the built program is missing")?;
    let extension = arguments.next().context("the path of the packaged mlflow extension is missing")?;
    call::measure(&program, &extension).await?;
    chain::measure(&program).await
}
