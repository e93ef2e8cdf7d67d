//! `fuseml project`.

use crate::{Options, client::Client, config::Config, output::Rows};
use clap::Subcommand;
use fuseml_domain::{Error, Name};
use fuseml_server::ProjectView;
use reqwest::Method;
use serde_json::json;
use std::process::ExitCode;

#[derive(Subcommand)]
pub(crate) enum ProjectCommand {
    /// Make a project
    Create { name: String },
    /// Choose the project that later commands work in
    Set { name: String },
    /// Show all projects
    List,
}

pub(crate) async fn execute(command: ProjectCommand, options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client::new(options)?;
    match command {
        ProjectCommand::Create { name } => {
            let name: Name = name.parse()?;
            let request = client.request(Method::POST, "/api/v1/projects").json(&json!({ "name": name }));
            client.call(request).await?;
            eprintln!("The project {name} is made. `fuseml project set {name}` makes it the one to work in.");
        }
        ProjectCommand::Set { name } => {
            let name: Name = name.parse()?;
            let projects: Vec<ProjectView> = client.get("/api/v1/projects", &[]).await?;
            if !projects.iter().any(|project| project.name == *name) {
                let message = format!("there is no project {name}; `fuseml project create {name}` makes it");
                return Err(Error::not_found("unknown-project", message).into());
            }
            Config { project: Some(name.clone()) }.save()?;
            eprintln!("Working in the project {name}.");
        }
        ProjectCommand::List => {
            let projects: Vec<ProjectView> = client.get("/api/v1/projects", &[]).await?;
            let current = options.project().ok();
            options.output.print(&projects, |projects| {
                let mut rows = Rows::new(&["Project", "Created", ""]);
                for project in projects {
                    let mark = if current.as_deref() == Some(&project.name) { "current" } else { "" };
                    rows.push([project.name.clone(), crate::output::moment(project.created), mark.to_owned()]);
                }
                rows
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
