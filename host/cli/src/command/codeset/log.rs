//! `fuseml codeset log`.

use crate::{
    Options,
    client::Client,
    output::{Rows, moment},
};
use clap::Args;
use fuseml_domain::Name;
use fuseml_server::{LogView, LoggedView};

#[derive(Args)]
pub(crate) struct LogArguments {
    codeset: Name,
    /// The branch or commit to begin at; the default branch if not given
    from: Option<String>,
    /// Commits at the most
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Go on where an answer ended
    #[arg(long, value_name = "TOKEN")]
    page_token: Option<String>,
}

pub(super) async fn log(arguments: LogArguments, options: &Options) -> anyhow::Result<()> {
    let LogArguments { codeset, from, limit, mut page_token } = arguments;
    let (client, project) = (Client::new(options)?, options.project()?);
    let path = format!("/api/v1/projects/{project}/codesets/{codeset}/log");
    let mut commits: Vec<LoggedView> = Vec::new();
    while commits.len() < limit {
        let mut query = vec![("limit", (limit - commits.len()).to_string())];
        query.extend(from.clone().map(|from| ("from", from)));
        query.extend(page_token.take().map(|token| ("page_token", token)));
        let page: LogView = client.get(&path, &query).await?;
        commits.extend(page.commits);
        page_token = page.next_page_token;
        if page_token.is_none() {
            break;
        }
    }
    let begin = from.unwrap_or_else(|| "its default branch".to_owned());
    eprintln!("Commits of code://{project}/{codeset} from {begin} backwards:");
    options.output.print(&commits, |commits| {
        let mut rows = Rows::new(&["Commit", "Artifact", "Tags", "Committed", "Author", "Subject"]);
        for LoggedView { commit, registered, tags } in commits {
            let short = &commit.commit[..7.min(commit.commit.len())];
            let artifact = if *registered { format!("code://{project}/{codeset}/{short}") } else { String::new() };
            rows.push([
                short.to_owned(),
                artifact,
                tags.join(", "),
                moment(commit.committed),
                commit.author.clone(),
                commit.subject.clone(),
            ]);
        }
        rows
    })?;
    if let Some(token) = page_token {
        eprintln!("There is more: --page-token {token} goes on.");
    }
    Ok(())
}
