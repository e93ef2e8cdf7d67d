//! `fuseml extension`.

use crate::{Options, client::Client, command::pairs, output::Rows};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use fuseml_domain::{Attributes, Capability, Error, Manifest, Name};
use fuseml_server::{ConfigureRequest, ExtensionView, InstallOptions};
use reqwest::{Method, multipart};
use std::{
    collections::BTreeSet,
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Subcommand)]
pub(crate) enum ExtensionCommand {
    /// Show what extensions ask for, and install them with what you grant
    Install(InstallArguments),
    /// Show installed extensions
    List,
    /// Show one installed extension: settings, rights, health
    Show { name: String },
    /// Change settings of an installed extension and check that its tool answers
    Configure(ConfigureArguments),
}

#[derive(Args)]
pub(crate) struct InstallArguments {
    /// Folders that hold an extension.toml
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// A setting, as name=value
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Grant these without being asked: `all`, `none`, or names such as http,files
    #[arg(long, value_name = "CAPABILITIES")]
    grant: Option<String>,
}

#[derive(Args)]
pub(crate) struct ConfigureArguments {
    name: String,
    /// A setting, as name=value
    #[arg(long = "set", value_name = "NAME=VALUE", required = true)]
    settings: Vec<String>,
}

pub(crate) async fn execute(command: ExtensionCommand, options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client::new(options)?;
    match command {
        ExtensionCommand::Install(arguments) => install(&client, &arguments).await?,
        ExtensionCommand::List => {
            let views: Vec<ExtensionView> = client.get("/api/v1/extensions", &[]).await?;
            options.output.print(&views, |views| {
                let mut rows = Rows::new(&["Extension", "Version", "Granted", "Health", "Title"]);
                for ExtensionView { manifest, granted, health, .. } in views {
                    let health = health.clone().unwrap_or_else(|| "-".to_owned());
                    rows.push([
                        manifest.name.to_string(),
                        manifest.version.to_string(),
                        names(granted),
                        health,
                        manifest.title.clone(),
                    ]);
                }
                rows
            })?;
        }
        ExtensionCommand::Show { name } => {
            let views: Vec<ExtensionView> = client.get("/api/v1/extensions", &[]).await?;
            let view = views.into_iter().find(|view| *view.manifest.name == *name).ok_or_else(|| {
                Error::not_found(
                    "unknown-extension",
                    format!("the extension {name} is not installed; `fuseml extension list` shows those that are"),
                )
            })?;
            options.output.print(&view, show)?;
        }
        ExtensionCommand::Configure(arguments) => {
            let name: Name = arguments.name.parse()?;
            let request = ConfigureRequest { settings: pairs(&arguments.settings, "a setting")? };
            let view: ExtensionView =
                client.send(Method::PUT, &format!("/api/v1/instances/{name}/settings"), &request).await?;
            say_health(&view);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn install(client: &Client, arguments: &InstallArguments) -> anyhow::Result<()> {
    let settings = pairs(&arguments.settings, "a setting")?;
    if !settings.is_empty() && arguments.paths.len() > 1 {
        return Err(Error::invalid("argument", "--set can be used with one extension at a time").into());
    }
    for path in &arguments.paths {
        let manifest = read_manifest(path)?;
        let settings = manifest.check_settings(&settings)?;
        explain(&manifest, &settings);
        let granted = decide(&manifest, arguments.grant.as_deref())?;
        let options = InstallOptions { granted, settings };
        let form = multipart::Form::new()
            .text("options", serde_json::to_string(&options)?)
            .part("package", multipart::Part::bytes(pack(path)?));
        let view: ExtensionView =
            client.read(client.request(Method::POST, "/api/v1/extensions").multipart(form)).await?;
        eprintln!("Installed {} {} with: {}.", view.manifest.name, view.manifest.version, names(&view.granted));
        say_health(&view);
    }
    Ok(())
}

fn read_manifest(folder: &Path) -> anyhow::Result<Manifest> {
    let path = folder.join("extension.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Error::invalid(
            "package",
            format!("{} is no extension: {} cannot be read: {error}", folder.display(), path.display()),
        )
    })?;
    Ok(Manifest::parse(&text)?)
}

/// The folder as a tar, with nothing of this machine in it.
fn pack(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    archive.mode(tar::HeaderMode::Deterministic);
    archive.follow_symlinks(false);
    archive.append_dir_all(".", folder).with_context(|| format!("{} cannot be packed", folder.display()))?;
    Ok(archive.into_inner()?)
}

fn explain(manifest: &Manifest, settings: &Attributes) {
    eprintln!("{} {}: {}", manifest.title, manifest.version, manifest.description);
    for component in &manifest.components {
        eprintln!("  {} ({}) asks:", component.name, component.world);
        if component.requests.is_empty() {
            eprintln!("    for nothing");
        }
        for request in &component.requests {
            eprintln!("    {:<14} {}", request.capability, request.rendering(settings));
            eprintln!("    {:<14} because: {}", "", request.reason);
        }
    }
}

/// What is granted: by the argument, else by a person's answer. Without either nothing is.
fn decide(manifest: &Manifest, grant: Option<&str>) -> anyhow::Result<BTreeSet<Capability>> {
    let requested = manifest.requested();
    match grant {
        Some("all") => return Ok(requested),
        Some("none") => return Ok(BTreeSet::new()),
        Some(list) => {
            let parse = |name: &str| {
                Capability::ALL.into_iter().find(|capability| capability.name() == name).ok_or_else(|| {
                    let known: Vec<_> = Capability::ALL.iter().map(|capability| capability.name()).collect();
                    Error::invalid(
                        "grant",
                        format!("`{name}` is no capability; there are {}, all and none", known.join(", ")),
                    )
                })
            };
            return Ok(list.split(',').map(parse).collect::<Result<_, _>>()?);
        }
        None => {}
    }
    if requested.is_empty() {
        return Ok(requested);
    }
    if !std::io::stdin().is_terminal() {
        let message = format!(
            "{} asks for {}; nobody is here to answer, so say --grant all, --grant none or which",
            manifest.name,
            names(&requested)
        );
        return Err(Error::denied("not-granted", message).into());
    }
    eprint!("Grant all of this? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(requested),
        _ => Err(Error::denied("not-granted", format!("{} was not installed", manifest.name)).into()),
    }
}

fn names(capabilities: &BTreeSet<Capability>) -> String {
    let names: Vec<_> = capabilities.iter().map(|capability| capability.name()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn say_health(view: &ExtensionView) {
    match view.health.as_deref() {
        Some("ok") => eprintln!("Its tool answers."),
        Some(why) => eprintln!("warning: its tool does not answer: {why}"),
        None => eprintln!("It has no tool configured; the built-in stores are used."),
    }
}

fn show(view: &ExtensionView) -> Rows {
    let mut rows = Rows::new(&["Property", "Value"]);
    let manifest = &view.manifest;
    let mut row = |name: &str, value: String| rows.push([name.to_owned(), value]);
    row("name", manifest.name.to_string());
    row("version", manifest.version.to_string());
    row("description", manifest.description.clone());
    row("license", manifest.license.clone());
    row("granted", names(&view.granted));
    row("health", view.health.clone().unwrap_or_else(|| "-".to_owned()));
    for (name, value) in &view.settings {
        row(&format!("setting {name}"), value.clone());
    }
    for component in &manifest.components {
        let active = if component.active(&view.settings) { "" } else { " (not configured)" };
        row(&format!("component {}", component.name), format!("{}{active}", component.world));
        for request in &component.requests {
            let refused = if view.granted.contains(&request.capability) { "" } else { "not granted: " };
            row("", format!("{refused}{}", request.rendering(&view.settings)));
        }
    }
    rows
}
