//! A codeset's history, as git tells it.

use crate::{git, repository::Repositories};
use fuseml_domain::{Error, Name, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One commit of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedCommit {
    pub commit: String,
    pub author: String,
    pub committed: Timestamp,
    pub subject: String,
    pub parents: Vec<String>,
}

impl Repositories {
    /// Commits from this one (a branch, a commit or the beginning of one; the default branch if `None`) backwards,
    /// leaving out the first `skipped`.
    ///
    /// # Errors
    /// `not-found` where there is no such branch or commit.
    pub async fn log(
        &self,
        project: &Name,
        name: &Name,
        from: Option<&str>,
        (skipped, limit): (u32, u32),
    ) -> Result<Vec<LoggedCommit>> {
        let repository = self.existing(project, name)?;
        if from.is_none() && self.branches(project, name).await?.is_empty() {
            return Ok(Vec::new());
        }
        let begin = match from {
            None => "HEAD".to_owned(),
            Some(from) => {
                let branch = format!("refs/heads/{from}");
                let branches = self.branches(project, name).await?;
                match branches.into_iter().find(|(reference, _)| *reference == branch) {
                    Some((_, commit)) => commit,
                    None => self.resolve(project, name, from).await.map_err(|error| match error.code.as_str() {
                        "commit" => Error::not_found(
                            "unknown-branch",
                            format!("{project}/{name} has no branch or commit {}", from.escape_debug()),
                        ),
                        _ => error,
                    })?,
                }
            }
        };
        let [limit, skipped] = [format!("--max-count={limit}"), format!("--skip={skipped}")];
        let format = "--format=%H%x00%an%x00%ct%x00%P%x00%s";
        let log = ["log", "-z", "--no-show-signature", &limit, &skipped, format, "--end-of-options", &begin];
        let text = git::text(git::command(&repository, log), &format!("the history of {project}/{name}")).await?;
        let fields: Vec<_> = text.split('\0').collect();
        let commits = fields.chunks_exact(5).map(|fields| LoggedCommit {
            commit: fields[0].to_owned(),
            author: fields[1].to_owned(),
            committed: fields[2]
                .parse()
                .ok()
                .and_then(|seconds| Timestamp::from_second(seconds).ok())
                .unwrap_or(Timestamp::UNIX_EPOCH),
            subject: fields[4].to_owned(),
            parents: fields[3].split_whitespace().map(ToOwned::to_owned).collect(),
        });
        Ok(commits.collect())
    }
}
