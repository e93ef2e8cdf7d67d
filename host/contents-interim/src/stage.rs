//! Brings contents to a workload, from wherever they lie.

use crate::{Repositories, TreeStore, fetch};
use async_trait::async_trait;
use fuseml_domain::{Contents as Wanted, Digest, Error, Location, Name, Result, Tree, port::ContentStore};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The content store of the engine: its own trees, git, and tools that serve files over HTTP.
pub struct Contents {
    trees: Arc<TreeStore>,
    repositories: Arc<Repositories>,
    client: reqwest::Client,
}

impl Contents {
    pub fn new(trees: Arc<TreeStore>, repositories: Arc<Repositories>) -> Result<Self> {
        Ok(Self { trees, repositories, client: fetch::client()? })
    }

    async fn fill(&self, contents: &Wanted, folder: &Path) -> Result<()> {
        let location = &contents.location;
        match location.scheme.as_str() {
            "contents" => {
                let digest: Digest = location.uri.parse()?;
                let trees = self.trees.clone();
                let folder = folder.to_owned();
                blocking(move || {
                    let tree = trees.tree(&digest)?;
                    tree.files().iter().try_for_each(|file| trees.restore(file, &folder.join(&file.path)))
                })
                .await
            }
            "git" => {
                let (project, name, commit) = read_git(&location.uri)?;
                self.repositories.check_out(&project, &name, commit, folder).await
            }
            "http" | "https" => fetch::tree(&self.client, contents, folder).await,
            other => Err(Error::unsupported(
                "scheme",
                format!("contents at {other}: locations cannot be staged ({})", location.uri),
            )),
        }
    }
}

/// `<project>/<name>#<commit>`.
fn read_git(uri: &str) -> Result<(Name, Name, &str)> {
    let damaged = || Error::internal("location", format!("`{uri}` is no place in a repository"));
    let (path, commit) = uri.split_once('#').ok_or_else(damaged)?;
    let (project, name) = path.split_once('/').ok_or_else(damaged)?;
    if !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(damaged());
    }
    Ok((project.parse()?, name.parse()?, commit))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::internal("contents", error.to_string()))?
}

#[async_trait]
impl ContentStore for Contents {
    async fn stage(&self, contents: &Wanted, target: &Path) -> Result<()> {
        let beside = target.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
        let io = |error: std::io::Error| Error::io(format!("{} cannot be made", target.display()), &error);
        tokio::fs::create_dir_all(&beside).await.map_err(io)?;
        if tokio::fs::try_exists(target).await.map_err(io)? {
            return Err(Error::conflict("exists", format!("{} is already there", target.display())));
        }
        // Dropped with everything in it unless all of it arrived.
        let folder = tempfile::Builder::new().prefix(".staging-").tempdir_in(&beside).map_err(io)?;
        self.fill(contents, folder.path()).await?;
        tokio::fs::rename(folder.path(), target).await.map_err(io)?;
        let _ = folder.keep();
        Ok(())
    }

    async fn store_tree(&self, directory: &Path) -> Result<Tree> {
        let (trees, directory) = (self.trees.clone(), directory.to_owned());
        blocking(move || trees.store(&directory)).await
    }

    async fn store_listing(&self, directory: &Path) -> Result<Tree> {
        let (trees, directory) = (self.trees.clone(), directory.to_owned());
        blocking(move || trees.store_listing(&directory)).await
    }

    async fn tree(&self, digest: &Digest) -> Result<Tree> {
        let (trees, digest) = (self.trees.clone(), digest.clone());
        blocking(move || trees.tree(&digest)).await
    }

    fn location(&self, tree: &Tree) -> Location {
        TreeStore::location(tree)
    }
}
