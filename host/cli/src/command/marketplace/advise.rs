//! `fuseml extension advise`.

use super::Session;
use crate::Options;
use clap::{Args, ValueEnum};
use fuseml_domain::{Error, Name};
use fuseml_marketplace::{Advisory, Severity, Vulnerability};
use fuseml_marketplace_server::ExtensionView;
use reqwest::Method;
use semver::{Version, VersionReq};
use url::Url;

#[derive(Clone, Copy, ValueEnum)]
enum SeverityName {
    Low,
    Medium,
    High,
    Critical,
}

impl From<SeverityName> for Severity {
    fn from(name: SeverityName) -> Self {
        match name {
            SeverityName::Low => Self::Low,
            SeverityName::Medium => Self::Medium,
            SeverityName::High => Self::High,
            SeverityName::Critical => Self::Critical,
        }
    }
}

#[derive(Args)]
pub(crate) struct AdviseArguments {
    /// <namespace>/<extension>
    extension: String,
    /// As the vulnerability is known elsewhere, such as CVE-2026-1234, or your own
    #[arg(long)]
    id: String,
    /// The versions that have it, such as `<0.1.2`
    #[arg(long, value_name = "RANGE", required_unless_present = "withdraw")]
    affected: Option<VersionReq>,
    /// The first version without it
    #[arg(long, value_name = "VERSION")]
    fixed: Option<Version>,
    #[arg(long, value_enum, required_unless_present = "withdraw")]
    severity: Option<SeverityName>,
    /// One line that everybody reads
    #[arg(long, required_unless_present = "withdraw")]
    title: Option<String>,
    /// Where there is more to read
    #[arg(long)]
    url: Option<Url>,
    /// It was an error: take what was said under this id back
    #[arg(long, conflicts_with_all = ["affected", "fixed", "severity", "title", "url"])]
    withdraw: bool,
    /// The marketplace's address, if not the one of the last login
    #[arg(long, value_name = "URL")]
    marketplace: Option<String>,
}

/// `<namespace>/<extension>`.
pub(super) fn extension_name(text: &str) -> Result<(Name, Name), Error> {
    let named = text.split_once('/').and_then(|(namespace, name)| Some((namespace.parse().ok()?, name.parse().ok()?)));
    named
        .ok_or_else(|| Error::invalid("extension", format!("`{}` is not <namespace>/<extension>", text.escape_debug())))
}

pub(crate) async fn advise(arguments: AdviseArguments, options: &Options) -> anyhow::Result<()> {
    let session = Session::open(arguments.marketplace.as_deref())?;
    let AdviseArguments { extension, id, affected, fixed, severity, title, url, .. } = arguments;
    let (namespace, name) = extension_name(&extension)?;
    let path = format!("/api/v1/extensions/{namespace}/{name}");
    let vulnerability = match (affected, severity, title) {
        (Some(affected), Some(severity), Some(title)) => {
            Vulnerability { affected, fixed, severity: severity.into(), title, url, withdrawn: false }
        }
        _ => {
            let view: ExtensionView = session.client.get(&path, &[]).await?;
            let known = view.advisories.into_iter().find(|advisory| advisory.id == id);
            let known =
                known.ok_or_else(|| Error::not_found("advisory", format!("{extension} has no advisory {id}")))?;
            Vulnerability { withdrawn: true, ..known.vulnerability }
        }
    };
    let advisory: Advisory =
        session.client.send(Method::PUT, &format!("{path}/advisories/{id}"), &vulnerability).await?;
    match advisory.vulnerability.withdrawn {
        true => eprintln!("{id} of {extension} is withdrawn."),
        false => {
            eprintln!("Whoever has {extension} {} hears of it in their next audit.", advisory.vulnerability.affected)
        }
    }
    options.output.print(&advisory, |advisory| {
        let mut rows = crate::output::Rows::new(&["Id", "Affected", "Severity", "Title"]);
        let Vulnerability { affected, severity, title, .. } = &advisory.vulnerability;
        rows.push([advisory.id.clone(), affected.to_string(), severity.to_string(), title.clone()]);
        rows
    })
}
