//! A commit that is shown to the server without being pushed: what would come of it can be asked.

use crate::{
    Repositories, git,
    repository::{TOLERATED, UNPUSHED, check_commit},
    smart_http::listen,
};
use async_trait::async_trait;
use bytes::Bytes;
use fuseml_domain::{
    Descriptor, Error, Name, Result,
    port::{CodesetFiles, Codesets},
};
use futures::{Stream, StreamExt as _};
use std::{fs, process::Stdio, sync::Arc};
use tokio::io::AsyncWriteExt as _;

/// Largest pack of an unpushed commit, in bytes.
const MOST_PACK: u64 = 512 << 20;

/// The codeset's repository with one commit more, in a folder that goes with this.
pub struct Unpushed {
    _folder: tempfile::TempDir,
    repositories: Repositories,
}

impl Unpushed {
    /// Reads it as if it were one of the codeset's.
    pub fn repositories(&self) -> &Repositories {
        &self.repositories
    }
}

#[async_trait]
impl Codesets for Unpushed {
    async fn files(&self, codeset: &Descriptor) -> Result<Arc<dyn CodesetFiles>> {
        self.repositories.files(codeset).await
    }

    async fn changed_files(&self, from: &Descriptor, to: &Descriptor) -> Result<Vec<String>> {
        self.repositories.changed_files(from, to).await
    }
}

impl Repositories {
    /// Takes a commit as a git pack, which may leave out what the codeset has. The codeset stays as it is.
    ///
    /// # Errors
    /// `invalid` for what is no pack, damaged, too large, or without the commit.
    pub async fn unpushed<E: std::error::Error>(
        &self,
        (project, name, commit): (&Name, &Name, &str),
        pack: impl Stream<Item = std::result::Result<Bytes, E>>,
    ) -> Result<Unpushed> {
        check_commit(commit)?;
        let io = |error: std::io::Error| Error::io("a folder for the commit", &error);
        let folder = tempfile::Builder::new().prefix(UNPUSHED).tempdir_in(self.root()).map_err(io)?;
        let repositories = Repositories::new(folder.path())?;
        repositories.create_if_missing(project, name).await?;
        let repository = repositories.existing(project, name)?;
        if let Ok(codeset) = self.existing(project, name) {
            let objects = format!("{}\n", codeset.join("objects").display());
            fs::write(repository.join("objects/info/alternates"), objects).map_err(io)?;
        }
        // What a push would refuse is refused here too, and every object that is led to is there.
        let strict = format!("--strict={}", TOLERATED.map(|fault| format!("{fault}=ignore")).join(","));
        let mut index = git::command(&repository, ["index-pack", "--stdin", "--fix-thin", &strict]);
        index.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut index = index.spawn().map_err(|error| git::not_started(&error))?;
        let input = index.stdin.take().ok_or_else(|| Error::internal("git", "git has no pipes"))?;
        let complaints = index.stderr.take().ok_or_else(|| Error::internal("git", "git has no pipes"))?;
        // It warns while it reads: nobody may wait for the other.
        let (fed, said) = tokio::join!(feed(pack, input), listen(complaints));
        fed?;
        let done = index.wait().await.map_err(|error| git::not_started(&error))?;
        if !done.success() {
            let said = said.replace('\n', "; ");
            return Err(Error::invalid("pack", format!("the pack of {commit} cannot be used: {said}")));
        }
        let kind = git::text(git::command(&repository, ["cat-file", "-t", commit]), "").await;
        if !kind.is_ok_and(|kind| kind == "commit") {
            return Err(Error::invalid("pack", format!("the pack does not have the commit {commit}")));
        }
        Ok(Unpushed { _folder: folder, repositories })
    }
}

/// What git does not take any more is not its problem alone: it says why when it ends.
async fn feed<E: std::error::Error>(
    pack: impl Stream<Item = std::result::Result<Bytes, E>>,
    mut input: tokio::process::ChildStdin,
) -> Result<()> {
    let (mut pack, mut size) = (std::pin::pin!(pack), 0);
    let mut takes = true;
    while let Some(chunk) = pack.next().await {
        let chunk = chunk.map_err(|_| Error::invalid("pack", "the pack ended too early; send it again"))?;
        size += chunk.len() as u64;
        if size > MOST_PACK {
            return Err(Error::invalid("pack", format!("a commit is planned with at most {MOST_PACK} bytes")));
        }
        takes = takes && input.write_all(&chunk).await.is_ok();
    }
    Ok(())
}
