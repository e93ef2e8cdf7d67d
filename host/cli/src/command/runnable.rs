//! `fuseml runnable`: what can be run (S43).

use super::artifact::{find_of, person};
use crate::{
    Options,
    client::Client,
    output::{Rows, moment},
};
use clap::{Args, Subcommand};
use fuseml_author::Program;
use fuseml_catalog::ArtifactPage;
use fuseml_domain::{
    Beside, ComponentImage, Delivery, Descriptor, Error, Image, InputDelivery, Kind, Name, Parameter, Result, Runnable,
    Series, check_relative_path,
};
use reqwest::Method;
use serde_json::json;
use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Subcommand)]
pub(crate) enum RunnableCommand {
    /// Register a runnable by its description
    Register(RegisterArguments),
    /// Show the project's runnables, newest first
    List(ListArguments),
    /// Show what a runnable runs, takes and makes
    Show { runnable: String },
    /// Print the JSON Schema of descriptions, for editors
    Schema,
    /// Write the Python package that every job can import into a folder, for pip and editors
    Sdk { folder: PathBuf },
}

#[derive(Args)]
pub(crate) struct RegisterArguments {
    /// The description, in YAML; scripts that it names lie beside it
    file: PathBuf,
    /// What it runs in: a runnable of this server that has an image, such as scorer@v1, or <registry>/<repository>@<digest>
    #[arg(long)]
    image: Option<String>,
    /// Point this tag at it
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Name>,
}

#[derive(Args)]
pub(crate) struct ListArguments {
    /// Only of this kind: builder, trainer, predictor, …
    #[arg(long)]
    kind: Option<String>,
    /// Only of this name, all its versions
    #[arg(long)]
    name: Option<String>,
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

pub(crate) async fn execute(command: RunnableCommand, options: &Options) -> anyhow::Result<ExitCode> {
    let client = || Client::new(options);
    match command {
        RunnableCommand::Register(arguments) => register(&client()?, arguments, options).await?,
        RunnableCommand::List(arguments) => list(&client()?, arguments, options).await?,
        RunnableCommand::Show { runnable } => {
            let artifact = find_of(&client()?, options, &runnable, Kind::Runnable).await?;
            options.output.print(&artifact, super::artifact::show)?;
        }
        RunnableCommand::Schema => crate::output::print_schema(&Runnable::schema())?,
        RunnableCommand::Sdk { folder } => {
            let shown = folder.display();
            fuseml_agents::write_python_sdk(&folder)
                .map_err(|error| Error::io(format!("{shown} cannot be written"), &error))?;
            eprintln!("The Python package is in {shown}; `pip install {shown}` makes it known to an editor.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn register(client: &Client, arguments: RegisterArguments, options: &Options) -> anyhow::Result<()> {
    let RegisterArguments { file, image, tags } = arguments;
    let project = options.project()?;
    let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
    let image = match image {
        Some(text) => Some(image_of(client, options, &text).await?),
        None => None,
    };
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let beside = Folder { path: folder, project: project.clone(), program: RefCell::default() };
    let source = file.display().to_string();
    let (runnable, beside) = tokio::task::spawn_blocking(move || {
        Runnable::parse_for(&text, &source, image.as_ref(), &beside).map(|runnable| (runnable, beside))
    })
    .await??;
    if let (Some(component), Some(image)) = (beside.program.into_inner(), &runnable.image) {
        crate::transfer::push_component(client, &image.repository, &component).await?;
    }
    let path = format!("/api/v1/projects/{project}/runnables");
    let artifact: Descriptor = client.send(Method::POST, &path, &json!({"runnable": runnable, "by": person()})).await?;
    for tag in tags {
        let path = format!("/api/v1/artifact/tags/{tag}?address={}", artifact.address);
        client.send::<Descriptor>(Method::PUT, &path, &json!({"by": person()})).await?;
    }
    if artifact.runnable.iter().filter_map(|it| it.image.as_ref()).any(|image| image.registry.is_some()) {
        eprintln!("Its image is another registry's: FuseML does not keep it, and cannot say how it was made.");
    }
    eprintln!("Registered {}.", artifact.address.short());
    crate::output::print(&format!("{}\n", artifact.address))?;
    Ok(())
}

/// Where a description lies, with the project that it is registered in.
struct Folder {
    path: PathBuf,
    project: Name,
    /// The component that the description named.
    program: RefCell<Option<Vec<u8>>>,
}

impl Beside for Folder {
    fn script(&self, path: &str) -> Result<String> {
        check_relative_path(path)?;
        let path = self.path.join(path);
        std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))
    }

    fn component(&self, runnable: &Name, path: &str) -> Result<Image> {
        // The crate may be where its description is.
        let place = match path {
            "." if self.path.as_os_str().is_empty() => PathBuf::from("."),
            "." => self.path.clone(),
            path => {
                check_relative_path(path)?;
                self.path.join(path)
            }
        };
        let program = Program::at(&place)?;
        if let Some(toolchain) = program.toolchain {
            eprintln!("Built {} with {toolchain}.", place.display());
        }
        let image = ComponentImage::of(&program.component)?;
        *self.program.borrow_mut() = Some(program.component);
        let series = Series::new(&self.project, Kind::Runnable, runnable);
        Ok(Image::own(&series.repository(), image.digest()))
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::invalid("path", format!("{} cannot be read: {error}", path.display()))
}

/// A foreign image by its digest, or that of a registered runnable.
async fn image_of(client: &Client, options: &Options, text: &str) -> anyhow::Result<Image> {
    if text.contains("@sha256:") {
        return Ok(text.parse()?);
    }
    let artifact = find_of(client, options, text, Kind::Runnable).await?;
    let image = artifact.runnable.and_then(|runnable| runnable.image);
    Ok(image.ok_or_else(|| Error::invalid("image", format!("{} has no image", artifact.address.short())))?)
}

async fn list(client: &Client, arguments: ListArguments, options: &Options) -> anyhow::Result<()> {
    let project = options.project()?;
    let mut condition = "kind = runnable".to_owned();
    if let Some(kind) = arguments.kind {
        condition += &format!(" and runnable-kind = '{}'", kind.replace(['\\', '\''], ""));
    }
    if let Some(name) = arguments.name {
        condition += &format!(" and name = '{}'", name.replace(['\\', '\''], ""));
    }
    let query = [("project", project.to_string()), ("where", condition), ("limit", arguments.limit.to_string())];
    let page: ArtifactPage = client.get("/api/v1/artifacts", &query).await?;
    eprintln!("Runnables of the project {project}, newest first, at most {}:", arguments.limit);
    options.output.print(&page.artifacts, |artifacts| {
        let mut rows = Rows::new(&["Runnable", "Kind", "Takes", "Makes", "Runs in", "Tags", "Created"]);
        for artifact in artifacts {
            let Some(runnable) = &artifact.runnable else { continue };
            let takes = slots(runnable.inputs.iter().map(|(name, slot)| (name, slot.kind)));
            let mut makes = slots(runnable.outputs.iter().map(|(name, slot)| (name, slot.kind)));
            if runnable.service.is_some() {
                makes = [makes, "a service".to_owned()]
                    .into_iter()
                    .filter(|text| !text.is_empty())
                    .collect::<Vec<_>>()
                    .join(", ");
            }
            rows.push([
                artifact.address.short(),
                runnable.kind.clone(),
                takes,
                makes,
                place(runnable),
                artifact.tags.join(", "),
                moment(artifact.created),
            ]);
        }
        rows
    })
}

fn slots<'a>(slots: impl Iterator<Item = (&'a String, Kind)>) -> String {
    let shown = slots.map(|(name, kind)| if name == kind.name() { name.clone() } else { format!("{name}: {kind}") });
    shown.collect::<Vec<_>>().join(", ")
}

/// What a runnable runs in, in a few words.
fn place(runnable: &Runnable) -> String {
    if let Some(component) = &runnable.component {
        return format!("component {}", &component.hex()[..12]);
    }
    match (&runnable.image, &runnable.environment) {
        (Some(Image { registry: None, digest, .. }), _) => format!("image {}", &digest.hex()[..12]),
        (Some(Image { registry: Some(registry), digest, .. }), _) => {
            format!("image {} of {registry}", &digest.hex()[..12])
        }
        (None, Some(environment)) => match &environment.python {
            Some(python) => format!("Python {python}"),
            None => "Python".to_owned(),
        },
        (None, None) => "the agent's machine".to_owned(),
    }
}

/// All that a runnable is, a row each.
pub(super) fn describe(runnable: &Runnable, rows: &mut Rows) {
    let mut row = |name: String, value: String| rows.push([name, value]);
    if !runnable.command.is_empty() {
        row("command".to_owned(), runnable.command.join(" "));
    }
    for (name, slot) in &runnable.inputs {
        let requires: Vec<_> = slot.requires.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let requires = if requires.is_empty() { String::new() } else { format!(" with {}", requires.join(" and ")) };
        let optional = if slot.optional { ", optional" } else { "" };
        let place = match slot.delivery {
            InputDelivery::Directory => format!("at {}", slot.path),
            InputDelivery::File => format!("as the file {}", slot.path),
            InputDelivery::Location => format!("as its location, in the variable {}", slot.path),
        };
        row(format!("takes {name}"), format!("{}{requires} {place}{optional}", slot.kind));
    }
    for (name, slot) in &runnable.outputs {
        row(format!("makes {name}"), format!("{} at {}", slot.kind, slot.path));
    }
    for (name, parameter) in &runnable.parameters {
        row(format!("parameter {name}"), of_parameter(parameter));
    }
    if let Some(service) = &runnable.service {
        row("service".to_owned(), format!("ready at {}, predicts at {}", service.readiness_path, service.predict_path));
    }
    if let Some(environment) = &runnable.environment {
        row("packages".to_owned(), environment.requirements.join(", "));
    }
    for path in runnable.scripts.keys() {
        row("script".to_owned(), path.clone());
    }
    for (name, value) in &runnable.resources {
        row(format!("needs {name}"), value.clone());
    }
}

fn of_parameter(parameter: &Parameter) -> String {
    let default = parameter.default.as_ref().map(|default| match default.as_str() {
        "" => ", nothing if not given".to_owned(),
        default => format!(", {default} if not given"),
    });
    let delivery = match parameter.delivery {
        Delivery::Environment => format!("as the variable {}", parameter.target),
        Delivery::Argument => format!("as the argument {}", parameter.target),
        Delivery::File => format!("in the file {}", parameter.target),
    };
    format!("{}{}{}, {delivery}", parameter.value_type, parameter.range, default.unwrap_or_default())
}
