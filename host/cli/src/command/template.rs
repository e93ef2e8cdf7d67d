//! `fuseml template`.

use crate::{
    Options,
    client::Client,
    command::{
        graph::{Notation, draw},
        schema,
    },
    output::Rows,
};
use clap::{Args, Subcommand};
use fuseml_domain::{Action, Approval, Choice, Error, RunnableChoice, Runs, Step, Template};
use fuseml_server::TemplateView;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::ExitCode,
};

#[derive(Subcommand)]
pub(crate) enum TemplateCommand {
    /// Show the templates of all installed extensions
    List,
    /// Show a template's inputs, steps and outputs
    Show {
        /// Its name, or a file
        template: String,
    },
    /// Say whether a file is a sound template, without a server
    Check { file: String },
    /// Draw what waits for what
    Graph(GraphArguments),
    /// Say what may stand in a template, or at one place of it, such as steps.wait
    Explain { path: Option<String> },
    /// Print the JSON Schema of templates, for editors
    Schema,
}

#[derive(Args)]
pub(crate) struct GraphArguments {
    /// Its name, or a file
    template: String,
    #[arg(long, value_enum, default_value_t = Notation::Mermaid)]
    notation: Notation,
}

/// Whether a person means a file of their own rather than an installed template.
pub(crate) fn is_file(text: &str) -> bool {
    text.contains('/') || Path::new(text).extension().is_some_and(|ending| ending == "yaml" || ending == "yml")
}

/// The text of a template file.
fn read_file(path: &str) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| Error::io(format!("the template {path} cannot be read"), &error))
}

/// The text of a template file, and by the names that stand in them those of the files that are parts of it.
pub(crate) fn read_files(path: &str) -> Result<(String, BTreeMap<String, String>), Error> {
    let text = read_file(path)?;
    let (mut texts, mut seen) = (BTreeMap::new(), BTreeSet::new());
    let mut open = vec![(path.to_owned(), text.clone())];
    while let Some((path, text)) = open.pop() {
        let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
        for part in Template::parse(&text, &path)?.parts().filter(|part| is_file(part)) {
            let file = folder.join(part).display().to_string();
            let text = read_file(&file)?;
            if texts.insert(part.to_owned(), text.clone()).is_some_and(|before| before != text) {
                let message = format!("two files are called {part} where they are parts; name one otherwise");
                return Err(Error::invalid("template", message));
            }
            // Each where it lies: what it names lies beside it.
            let place = std::fs::canonicalize(&file).map_err(|error| Error::io(&file, &error))?;
            if seen.insert(place) {
                open.push((file, text));
            }
        }
    }
    Ok((text, texts))
}

/// Reads a template with the files that are parts of it, and takes it apart where all of them are files.
fn check(file: &str) -> Result<(), Error> {
    let (text, parts) = read_files(file)?;
    let template = Template::parse(&text, file)?;
    let parse = |(name, text): (String, String)| Ok((name.clone(), Template::parse(&text, &name)?));
    let parts: BTreeMap<_, _> = parts.into_iter().map(parse).collect::<Result<_, Error>>()?;
    let all = parts.values().chain([&template]).flat_map(Template::parts);
    let installed: BTreeSet<_> = all.filter(|part| !is_file(part)).collect();
    let whole = if installed.is_empty() { template.flattened(&parts)? } else { template.clone() };
    eprintln!("{file} is a sound template: {} with {} steps.", template.name, template.steps.len());
    if let Err(error) = whole.check_outputs_last() {
        eprintln!("It can only be a part of another template: {error}.");
    }
    if !installed.is_empty() {
        let names: Vec<_> = installed.into_iter().collect();
        eprintln!("What it takes of {} is checked when a pipeline is added.", names.join(", "));
    }
    Ok(())
}

pub(crate) async fn execute(command: TemplateCommand, options: &Options) -> anyhow::Result<ExitCode> {
    match command {
        TemplateCommand::List => {
            let templates = all(options).await?;
            options.output.print(&templates, list)?;
        }
        TemplateCommand::Show { template } => {
            let template = find(&template, options).await?;
            if options.output == crate::output::Format::Table {
                eprintln!("{}: {}", template.name, template.description);
            }
            options.output.print(&template, steps)?;
        }
        TemplateCommand::Check { file } => check(&file)?,
        TemplateCommand::Explain { path } => {
            let explained = schema::explain(&Template::schema(), path.as_deref())?;
            eprintln!("{}", explained.says);
            if !explained.fields.is_empty() {
                crate::output::print(&explained.fields.to_string())?;
            }
        }
        TemplateCommand::Schema => crate::output::print_schema(&Template::schema())?,
        TemplateCommand::Graph(arguments) => {
            let template = find(&arguments.template, options).await?;
            crate::output::print(&draw(&template, None, arguments.notation))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn all(options: &Options) -> anyhow::Result<Vec<TemplateView>> {
    Ok(Client::new(options)?.get("/api/v1/templates", &[]).await?)
}

async fn find(name: &str, options: &Options) -> anyhow::Result<Template> {
    if is_file(name) {
        return Ok(Template::parse(&read_file(name)?, name)?);
    }
    let found = all(options).await?.into_iter().find(|view| *view.template.name == *name);
    let unknown = || {
        let message = format!(
            "no installed extension has a template `{name}`; `fuseml template list` shows those there are, and a file \
             is named with its ending .yaml"
        );
        Error::not_found("unknown-template", message)
    };
    Ok(found.ok_or_else(unknown)?.template)
}

fn list(templates: &Vec<TemplateView>) -> Rows {
    let mut rows = Rows::new(&["Template", "Extension", "Inputs", "Outputs", "Description"]);
    for TemplateView { extension, version, template } in templates {
        let inputs: Vec<_> = template
            .inputs
            .iter()
            .map(|(name, input)| match input.kind {
                Some(kind) => format!("{name}: {kind}"),
                None => format!("{name} (value)"),
            })
            .collect();
        let outputs: Vec<_> = template.outputs.keys().map(ToString::to_string).collect();
        rows.push([
            template.name.to_string(),
            format!("{extension} {version}"),
            inputs.join("\n"),
            outputs.join("\n"),
            template.description.clone(),
        ]);
    }
    rows
}

pub(crate) fn steps(template: &Template) -> Rows {
    let mut rows = Rows::new(&["Step", "Does", "Takes", "After", "Only"]);
    for step in &template.steps {
        let takes = match &step.action {
            Action::Run(work) | Action::Serve(work) => Some((&work.inputs, &work.parameters)),
            Action::Template(nested) => Some((&nested.inputs, &nested.parameters)),
            _ => None,
        };
        let takes = takes.map(|(inputs, parameters)| {
            let inputs = inputs.iter().map(|(name, reference)| format!("{name}: {reference}"));
            inputs.chain(parameters.iter().map(|(name, value)| format!("{name} = {value}"))).collect::<Vec<_>>()
        });
        let after: Vec<_> = step.needs().iter().map(ToString::to_string).collect();
        rows.push([
            step.name.to_string(),
            does(step),
            takes.unwrap_or_default().join("\n"),
            after.join(", "),
            only(step).join("\n"),
        ]);
    }
    rows
}

fn does(step: &Step) -> String {
    let runnable = |choice: &RunnableChoice| match choice {
        RunnableChoice::Reference(reference) => reference.to_string(),
        RunnableChoice::Address(address) => address.short(),
        RunnableChoice::Kind(kind) => format!("the newest fitting {kind}"),
    };
    match &step.action {
        Action::Build { instance, codeset } => format!("builds {codeset} with {instance}"),
        Action::Run(work) => {
            let each = step.sweep.iter().flat_map(|sweep| &sweep.each);
            let each: String = each.map(|(name, values)| format!("\nfor each {name} of {values}")).collect();
            let best = step.sweep.iter().filter_map(|sweep| sweep.best.as_ref());
            let best: String = best.map(|best| format!("\nand takes {best}")).collect();
            let agent: String = step.agent.iter().map(|agent| format!("\non {agent}")).collect();
            format!("runs {}{agent}{each}{best}", runnable(&work.runnable))
        }
        Action::Template(nested) => {
            let agent: String = step.agent.iter().map(|agent| format!("\non {agent}")).collect();
            format!("all of {}{agent}", nested.template)
        }
        Action::Serve(work) => format!("serves with {}", runnable(&work.runnable)),
        Action::Choose(Choice { among, best }) => match best {
            Some(best) => format!("takes {best} of {}", among.len()),
            None => format!("waits for {}", among.len()),
        },
        Action::Wait { wait, .. } => format!("waits for {wait}"),
        Action::Call { call, .. } => {
            let path: String = call.path.iter().map(|path| format!(", {path}")).collect();
            format!("calls {}: {}{path}", call.endpoint, call.method)
        }
        Action::Keep { keep, .. } => keep.shown(ToString::to_string),
        Action::Notify(notify) => format!("tells {}: {}", notify.endpoint, notify.message),
        Action::Approve(Approval { message, by }) if by.is_empty() => format!("asks: {message}"),
        Action::Approve(Approval { message, by }) => format!("asks {}: {message}", by.join(", ")),
    }
}

fn only(step: &Step) -> Vec<String> {
    let runs = match step.runs {
        Runs::OnSuccess => None,
        Runs::OnFailure => Some("on failure".to_owned()),
        Runs::Always => Some("always".to_owned()),
    };
    let when = step.when.as_ref().map(|when| format!("when {when}"));
    let window = step.window.as_ref().map(|window| format!("from {window}"));
    let resources = step.work().map(|work| &work.resources).filter(|resources| !resources.is_empty());
    let resources = resources.map(|resources| {
        let all: Vec<_> = resources.iter().map(|(name, text)| format!("{name} {text}")).collect();
        format!("with {}", all.join(", "))
    });
    let retry = step.retry.map(|retry| format!("up to {} tries", retry.attempts));
    runs.into_iter().chain(when).chain(window).chain(resources).chain(retry).collect()
}
