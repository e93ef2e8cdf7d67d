//! `fuseml extension deprecate`.

use super::{Session, advise::extension_name};
use clap::Args;
use fuseml_marketplace_server::DeprecationRequest;
use reqwest::Method;

#[derive(Args)]
pub(crate) struct DeprecateArguments {
    /// <namespace>/<extension>
    extension: String,
    /// One line that everybody reads
    #[arg(long, required_unless_present = "undo")]
    reason: Option<String>,
    /// What to use instead, as <namespace>/<extension>
    #[arg(long, value_name = "EXTENSION")]
    instead: Option<String>,
    /// Recommend it again
    #[arg(long, conflicts_with_all = ["reason", "instead"])]
    undo: bool,
    /// The marketplace's address, if not the one of the last login
    #[arg(long, value_name = "URL")]
    marketplace: Option<String>,
}

pub(crate) async fn deprecate(arguments: DeprecateArguments) -> anyhow::Result<()> {
    let client = Session::open(arguments.marketplace.as_deref())?.client;
    let (namespace, name) = extension_name(&arguments.extension)?;
    let path = format!("/api/v1/extensions/{namespace}/{name}/deprecation");
    match arguments.reason {
        Some(reason) => {
            let request = DeprecationRequest { reason, instead: arguments.instead };
            client.call(client.request(Method::PUT, &path).json(&request)).await?;
            eprintln!("{namespace}/{name} is deprecated: it is found last, and whoever has it is told.");
        }
        None => {
            client.call(client.request(Method::DELETE, &path)).await?;
            eprintln!("{namespace}/{name} is recommended again.");
        }
    }
    Ok(())
}
