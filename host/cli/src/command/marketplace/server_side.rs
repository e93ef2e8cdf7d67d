//! Marketplaces as a FuseML server knows them.

use crate::{Options, client::Client, output::Rows};
use clap::Args;
use fuseml_domain::{Error, Name};
use fuseml_server::{AuditView, MarketplaceRequest, MarketplaceView};
use reqwest::Method;
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct AddArguments {
    /// What to call it
    name: Name,
    url: String,
    /// The id of its root key, as its operator publishes it; without it, what it shows now is believed and kept
    #[arg(long, value_name = "ID")]
    root_key: Option<String>,
    /// Where it stands between several; the smallest is asked first
    #[arg(long, default_value_t = 100)]
    priority: u32,
}

pub(super) async fn add(arguments: &AddArguments, options: &Options) -> anyhow::Result<()> {
    let client = Client::new(options)?;
    let request = MarketplaceRequest {
        name: arguments.name.clone(),
        url: arguments.url.clone(),
        root_key: arguments.root_key.clone(),
        priority: arguments.priority,
    };
    let view: MarketplaceView = client.send(Method::POST, "/api/v1/marketplaces", &request).await?;
    eprintln!("Added {} at {}.", view.name, view.url);
    if arguments.root_key.is_none() {
        eprintln!("Its root key is {}; compare this with what its operator publishes.", view.root_key);
    }
    Ok(())
}

pub(super) async fn list(options: &Options) -> anyhow::Result<()> {
    let client = Client::new(options)?;
    let views: Vec<MarketplaceView> = client.get("/api/v1/marketplaces", &[]).await?;
    options.output.print(&views, |views| {
        let mut rows = Rows::new(&["Name", "URL", "Priority", "Root key"]);
        for view in views {
            rows.push([view.name.to_string(), view.url.clone(), view.priority.to_string(), view.root_key.clone()]);
        }
        rows
    })
}

pub(super) async fn remove(name: &str, options: &Options) -> anyhow::Result<()> {
    let client = Client::new(options)?;
    client.call(client.request(Method::DELETE, &format!("/api/v1/marketplaces/{name}"))).await?;
    eprintln!("Forgot {name}. What was installed from it stays.");
    Ok(())
}

/// `fuseml extension audit` and `outdated`.
pub(crate) async fn audit(only_outdated: bool, options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client::new(options)?;
    let mut views: Vec<AuditView> = client.read(client.request(Method::POST, "/api/v1/extensions-audit")).await?;
    if only_outdated {
        views.retain(|view| view.newest.is_some());
    }
    options.output.print(&views, |views| {
        let mut rows = Rows::new(&["Extension", "Installed", "Newest", "From", "State"]);
        for view in views {
            let newest = view.newest.clone().unwrap_or_default();
            let from = view.from.clone().unwrap_or_else(|| "a path".to_owned());
            rows.push([view.name.to_string(), view.installed.clone(), newest, from, view.state.clone()]);
        }
        rows
    })?;
    for view in &views {
        for finding in &view.findings {
            eprintln!("{} {}: {finding}", view.name, view.installed);
        }
    }
    match views.iter().find(|view| view.dangerous) {
        Some(view) if !only_outdated => {
            Err(Error::conflict("audit", format!("{} {} must not run", view.name, view.installed)).into())
        }
        None if !only_outdated && views.iter().any(|view| view.state == "vulnerable") => {
            Err(Error::conflict("audit", "there is something vulnerable; upgrade or remove it".to_owned()).into())
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
