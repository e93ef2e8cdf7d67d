//! Installing: what is asked is shown before anything is granted.

use super::{
    capability_of, lock, names,
    package::{Opened, Package},
    say_health,
};
use crate::{Options, client::Client, command::pairs, output::Rows};
use anyhow::Context as _;
use clap::Args;
use fuseml_domain::{Attributes, Capability, Error, Manifest, Name, PackageReference, Scope, Widening, host_rendering};
use fuseml_server::{ExtensionView, InstallOptions, InstanceRequest, InstanceView};
use reqwest::{Method, multipart};
use std::{
    collections::BTreeSet,
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

#[derive(Args)]
pub(crate) struct InstallArguments {
    /// <namespace>/<extension>[@<version or range>] in a marketplace, built extensions, or packages (OCI layouts);
    /// what a named one depends on comes with it, what lies here comes after those that it depends on
    #[arg(required_unless_present = "lock")]
    packages: Vec<String>,
    /// Install exactly what a lock file says, as `fuseml extension lock` of another server writes it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["packages", "instance_name", "settings"])]
    lock: Option<PathBuf>,
    #[command(flatten)]
    instance: InstanceArguments,
    /// Name of the instance, instead of the extension's own
    #[arg(long, value_name = "NAME")]
    instance_name: Option<String>,
}

#[derive(Args)]
pub(crate) struct AddArguments {
    extension: String,
    /// Name of the new instance
    name: String,
    #[command(flatten)]
    instance: InstanceArguments,
}

/// What is decided of an instance when it begins.
#[derive(Args)]
pub(super) struct InstanceArguments {
    /// A setting, as name=value
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Grant these without being asked: `all`, `none`, or names such as http,files
    #[arg(long, value_name = "CAPABILITIES")]
    grant: Option<String>,
    /// Where the tool runs, for pipelines that choose by zone
    #[arg(long)]
    zone: Option<String>,
    /// Only this project's pipelines may use it
    #[arg(long, value_name = "PROJECT")]
    only_project: Option<String>,
}

impl InstanceArguments {
    fn zone(&self) -> fuseml_domain::Result<Option<Name>> {
        self.zone.as_deref().map(str::parse).transpose()
    }

    fn scope(&self) -> fuseml_domain::Result<Scope> {
        Ok(match &self.only_project {
            Some(project) => Scope::Project(project.parse()?),
            None => Scope::Global,
        })
    }

    /// Nobody is to be asked: all is granted.
    pub(super) fn grants_all(&self) -> bool {
        self.grant.as_deref() == Some("all")
    }
}

/// A package and what a person decided of it; nothing is installed yet.
pub(super) struct Decided {
    package: Package,
    manifest: Manifest,
    options: InstallOptions,
}

impl Decided {
    /// Says what it asks for, and asks back where the arguments do not say what is granted.
    pub(super) fn by(package: Package, arguments: &InstanceArguments, settings: &Attributes) -> anyhow::Result<Self> {
        let manifest = package.manifest()?;
        let settings = manifest.check_settings(settings)?;
        explain(&manifest, &settings);
        let granted = decide(&manifest, arguments.grant.as_deref())?;
        let (scope, zone) = (arguments.scope()?, arguments.zone()?);
        let options = InstallOptions { package: package.digest(), granted, settings, instance: None, scope, zone };
        Ok(Self { package, manifest, options })
    }

    pub(super) async fn install(self, client: &Client) -> anyhow::Result<()> {
        send(client, self.package.folder(), &self.manifest, self.options).await
    }
}

/// What has to be installed before a package, decided: with no settings but the defaults.
async fn decide_needed(
    client: &Client,
    needed: &[PackageReference],
    arguments: &InstanceArguments,
) -> anyhow::Result<Vec<Decided>> {
    let Some((asked, first)) = needed.split_last() else { return Ok(Vec::new()) };
    let mut decided = Vec::new();
    for reference in first {
        eprintln!("{asked} needs {reference}, which is installed with it.");
        let package = Package::fetch(client, reference).await?;
        let unset = |error: Error| error.context(format!("install {reference} by itself first, with --set"));
        package.manifest()?.check_settings(&Attributes::new()).map_err(unset)?;
        decided.push(Decided::by(package, arguments, &Attributes::new())?);
    }
    Ok(decided)
}

pub(super) async fn install(client: &Client, arguments: &InstallArguments, options: &Options) -> anyhow::Result<()> {
    if let Some(path) = &arguments.lock {
        return lock::install(client, path, &arguments.instance, options).await;
    }
    let settings = pairs(&arguments.instance.settings, "a setting")?;
    if arguments.packages.len() > 1 && (!settings.is_empty() || arguments.instance_name.is_some()) {
        let message = "--set and --instance-name can be used with one extension at a time";
        return Err(Error::invalid("argument", message).into());
    }
    let instance: Option<Name> = arguments.instance_name.as_deref().map(str::parse).transpose()?;
    for package in &arguments.packages {
        let needed = Package::needed(client, package).await?;
        let mut decided = decide_needed(client, &needed, &arguments.instance).await?;
        let package = match needed.last() {
            Some(reference) => Package::fetch(client, reference).await?,
            None => Package::open(client, package).await?,
        };
        let mut asked = Decided::by(package, &arguments.instance, &settings)?;
        asked.options.instance = instance.clone();
        decided.push(asked);
        // Whatever is refused above leaves everything as it was.
        for one in decided {
            one.install(client).await?;
        }
    }
    Ok(())
}

/// Installs with all that is asked, as authors do with their own.
pub(super) async fn install_granted(
    client: &Client,
    opened: &Opened,
    arguments: &InstanceArguments,
) -> anyhow::Result<()> {
    let manifest = read_manifest(opened.folder())?;
    let settings = manifest.check_settings(&pairs(&arguments.settings, "a setting")?)?;
    explain(&manifest, &settings);
    let granted = match arguments.grant.as_deref() {
        None => manifest.requested(),
        grant => decide(&manifest, grant)?,
    };
    let (scope, zone) = (arguments.scope()?, arguments.zone()?);
    let options = InstallOptions { package: None, granted, settings, instance: None, scope, zone };
    send(client, Some(opened.folder()), &manifest, options).await
}

async fn send(
    client: &Client,
    folder: Option<&Path>,
    manifest: &Manifest,
    options: InstallOptions,
) -> anyhow::Result<()> {
    let name = options.instance.clone().unwrap_or_else(|| manifest.name.clone());
    let form = form(&options, folder)?;
    let view: ExtensionView = client.read(client.request(Method::POST, "/api/v1/extensions").multipart(form)).await?;
    let view = view.instances.into_iter().find(|view| view.instance.name == name);
    let view = view.ok_or_else(|| Error::internal("answer", format!("the server does not show {name}")))?;
    let granted = names(&view.instance.grants.capabilities());
    eprintln!("Installed {} {} with: {granted}.", manifest.name, manifest.version);
    say_health(&view);
    Ok(())
}

pub(super) async fn add_instance(client: &Client, arguments: &AddArguments) -> anyhow::Result<()> {
    let extension: ExtensionView = client.get(&format!("/api/v1/extensions/{}", arguments.extension), &[]).await?;
    let settings = extension.manifest.check_settings(&pairs(&arguments.instance.settings, "a setting")?)?;
    explain(&extension.manifest, &settings);
    let granted = decide(&extension.manifest, arguments.instance.grant.as_deref())?;
    let request = InstanceRequest {
        name: arguments.name.parse()?,
        granted,
        settings,
        scope: arguments.instance.scope()?,
        zone: arguments.instance.zone()?,
    };
    let path = format!("/api/v1/extensions/{}/instances", arguments.extension);
    let view: InstanceView = client.send(Method::POST, &path, &request).await?;
    let granted = names(&view.instance.grants.capabilities());
    eprintln!("Added the instance {} of {} with: {granted}.", view.instance.name, arguments.extension);
    say_health(&view);
    Ok(())
}

/// What a package is and asks for: judged on this machine alone, or by the server when it is named.
pub(super) async fn info(package: &str, options: &Options) -> anyhow::Result<()> {
    let package = match Package::is_named(package) {
        true => Package::open(&Client::new(options)?, package).await?,
        false => Package::Here(Opened::at(Path::new(package))?),
    };
    let manifest = package.manifest()?;
    options.output.print(&manifest, |manifest| {
        let mut rows = Rows::new(&["Property", "Value"]);
        let mut row = |name: &str, value: String| rows.push([name.to_owned(), value]);
        row("name", manifest.name.to_string());
        row("version", manifest.version.to_string());
        row("title", manifest.title.clone());
        row("description", manifest.description.clone());
        row("license", manifest.license.clone());
        row("product", manifest.product().to_string());
        for (name, wanted) in &manifest.dependencies {
            row("needs", format!("{name} {wanted}"));
        }
        for (name, setting) in &manifest.settings {
            let required = if setting.required { "required; " } else { "" };
            row(&format!("setting {name}"), format!("{required}{}", setting.description));
        }
        for (name, secret) in &manifest.secrets {
            let hosts: Vec<_> = secret.hosts.iter().map(|host| host_rendering(host, &Attributes::new())).collect();
            row(&format!("secret {name}"), format!("{}; sent only to {}", secret.description, hosts.join(", ")));
        }
        for component in &manifest.components {
            row(&format!("component {}", component.name), component.world.clone());
            for request in &component.requests {
                row("", format!("{}; because: {}", request.rendering(&Attributes::new()), request.reason));
            }
        }
        for template in &manifest.templates {
            row("template", template.file.clone());
        }
        rows
    })
}

pub(crate) fn read_manifest(folder: &Path) -> anyhow::Result<Manifest> {
    let path = folder.join("extension.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Error::invalid(
            "package",
            format!("{} is no extension: {} cannot be read: {error}", folder.display(), path.display()),
        )
    })?;
    Ok(Manifest::parse(&text)?)
}

/// Options and package as the server reads them.
pub(crate) fn form(options: &impl serde::Serialize, folder: Option<&Path>) -> anyhow::Result<multipart::Form> {
    let form = multipart::Form::new().text("options", serde_json::to_string(options)?);
    Ok(match folder {
        Some(folder) => form.part("package", multipart::Part::bytes(pack(folder)?)),
        None => form,
    })
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
    for (name, secret) in &manifest.secrets {
        let hosts: Vec<_> = secret.hosts.iter().map(|host| host_rendering(host, settings)).collect();
        eprintln!("  takes the secret {name}: {}; the host sends it to {} alone", secret.description, hosts.join(", "));
    }
}

/// What a new version asks for beyond the old one.
pub(super) fn explain_widening(asks: &[Widening], settings: &Attributes) {
    for asked in asks {
        eprintln!("  {} now also asks:", asked.component);
        for words in asked.renderings(settings) {
            eprintln!("    {:<14} {words}", asked.request.capability);
        }
        eprintln!("    {:<14} because: {}", "", asked.request.reason);
    }
}

/// What is granted: by the argument, else by a person's answer. Without either nothing is.
fn decide(manifest: &Manifest, grant: Option<&str>) -> anyhow::Result<BTreeSet<Capability>> {
    let requested = manifest.requested();
    match grant {
        Some("all") => return Ok(requested),
        Some("none") => return Ok(BTreeSet::new()),
        Some(list) => return Ok(list.split(',').map(capability_of).collect::<Result<_, _>>()?),
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
    match confirmed("Grant all of this?")? {
        true => Ok(requested),
        false => Err(Error::denied("not-granted", format!("{} was not installed", manifest.name)).into()),
    }
}

/// A person's yes.
pub(super) fn confirmed(question: &str) -> anyhow::Result<bool> {
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
