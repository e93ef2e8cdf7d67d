//! `fuseml artifact search`.

use super::{find_of, read_address, table};
use crate::{Options, client::Client};
use clap::Args;
use fuseml_catalog::ArtifactPage;
use fuseml_domain::{Condition, Descriptor, Kind};

#[derive(Args)]
pub(crate) struct SearchArguments {
    /// What they must be, such as 'framework = sklearn and accuracy > 0.9 and tag = production'
    condition: Option<String>,
    /// Only runnables that take this artifact as an input
    #[arg(long, value_name = "ARTIFACT")]
    taking: Option<String>,
    /// Only artifacts that this runnable takes as an input
    #[arg(long, value_name = "RUNNABLE")]
    taken_by: Option<String>,
    /// Of that runnable, this input alone
    #[arg(long, requires = "taken_by")]
    input: Option<String>,
    /// In every project
    #[arg(long)]
    all_projects: bool,
    /// Artifacts at the most
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Go on where an answer ended
    #[arg(long, value_name = "TOKEN")]
    page_token: Option<String>,
}

pub(super) async fn search(client: &Client, arguments: SearchArguments, options: &Options) -> anyhow::Result<()> {
    let SearchArguments { condition, taking, taken_by, input, all_projects, limit, mut page_token } = arguments;
    let condition: Option<Condition> = condition.as_deref().map(str::parse).transpose()?;
    let project = if all_projects { None } else { Some(options.project()?) };
    let taking = taking.as_deref().map(|text| read_address(options, text)).transpose()?;
    let taken_by = match taken_by {
        Some(text) => Some(find_of(client, options, &text, Kind::Runnable).await?.address),
        None => None,
    };
    let mut found: Vec<Descriptor> = Vec::new();
    // A page may end early, so that no question holds the server up.
    loop {
        let mut query = vec![("limit", (limit - found.len()).to_string())];
        query.extend(project.as_ref().map(|project| ("project", project.to_string())));
        query.extend(condition.as_ref().map(|condition| ("where", condition.to_string())));
        query.extend(taking.as_ref().map(|address| ("taking", address.to_string())));
        query.extend(taken_by.as_ref().map(|address| ("taken_by", address.to_string())));
        query.extend(input.as_ref().map(|input| ("input", input.clone())));
        query.extend(page_token.take().map(|token| ("page_token", token)));
        let page: ArtifactPage = client.get("/api/v1/artifacts", &query).await?;
        found.extend(page.artifacts);
        page_token = page.next_page_token;
        if page_token.is_none() || found.len() >= limit {
            break;
        }
    }
    match &project {
        Some(project) => eprintln!("Artifacts of the project {project}, newest first:"),
        None => eprintln!("Artifacts of all projects, newest first:"),
    }
    options.output.print(&found, |found| table(found))?;
    if let Some(token) = page_token {
        eprintln!("There may be more: --page-token {token} goes on.");
    }
    Ok(())
}
