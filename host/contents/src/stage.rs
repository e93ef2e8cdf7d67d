//! Brings contents to a workload, from wherever they lie.

use crate::{
    Repositories, TreeStore, describe,
    disk::{Staging, blocking, parallel},
    fetch,
    store::copy_file,
    verify::Source,
};
use async_trait::async_trait;
use fuseml_domain::{
    Attributes, Contents as Wanted, Descriptor, Digest, Error, Kind, Location, Name, Result, Series, Tree, TreeFile,
    port::ContentStore,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The content store of the engine: its own trees, git, directories of this machine, and tools that serve files
/// over HTTP.
pub struct Contents {
    trees: Arc<TreeStore>,
    repositories: Arc<Repositories>,
    client: reqwest::Client,
}

impl Contents {
    pub fn new(trees: Arc<TreeStore>, repositories: Arc<Repositories>) -> Result<Self> {
        Ok(Self { trees, repositories, client: fetch::client(fetch::SILENCE)? })
    }

    async fn fill(&self, contents: &Wanted, staging: &Staging) -> Result<()> {
        let location = &contents.location;
        match location.scheme.as_str() {
            "contents" => {
                let digest: Digest = location.uri.parse()?;
                self.trees.restore(&digest, staging).await
            }
            "git" => {
                let (project, name, commit) = read_git(&location.uri)?;
                self.repositories.check_out(&project, &name, commit, staging.path()).await
            }
            "http" | "https" => fetch::tree(&self.client, contents, staging).await,
            "file" => copy(contents, staging).await,
            other => Err(Error::unsupported(
                "scheme",
                format!("contents at {other}: locations cannot be staged; use contents, git, http, https or file"),
            )),
        }
    }
}

/// Makes `target` the directory that a tool keeps, every file verified: what needs none of the server's own stores.
///
/// # Errors
/// `unsupported` for other places than directories of this machine and files served over HTTP; nothing is left behind
/// when it fails.
pub async fn fetch_from_tool(contents: &Wanted, target: &Path) -> Result<()> {
    let staging = begin(target).await?;
    let filled = match contents.location.scheme.as_str() {
        "http" | "https" => fetch::tree(&fetch::client(fetch::SILENCE)?, contents, &staging).await,
        "file" => copy(contents, &staging).await,
        other => Err(Error::unsupported("scheme", format!("contents at {other}: locations are not fetched from here"))),
    };
    end(staging, filled).await
}

async fn begin(target: &Path) -> Result<Staging> {
    let target = target.to_owned();
    blocking(move || Staging::beside(&target)).await
}

async fn end(staging: Staging, filled: Result<()>) -> Result<()> {
    // Clearing away a large directory takes its time, as much as filling it.
    blocking(move || match filled {
        Ok(()) => staging.finish(),
        Err(error) => {
            drop(staging);
            Err(error)
        }
    })
    .await
}

#[async_trait]
impl ContentStore for Contents {
    async fn stage(&self, contents: &Wanted, target: &Path) -> Result<()> {
        let staging = begin(target).await?;
        let filled = self.fill(contents, &staging).await;
        end(staging, filled).await
    }

    async fn keep_image(&self, series: &Series, image: &fuseml_domain::Image) -> Result<fuseml_domain::Image> {
        self.trees.adopt_image(series, image).await
    }

    fn scratch(&self) -> Result<Box<dyn AsRef<Path> + Send + Sync>> {
        let folder = tempfile::tempdir_in(&self.trees.incoming).map_err(|error| Error::io("a folder", &error))?;
        Ok(Box::new(folder))
    }

    async fn point(&self, descriptor: &Descriptor, tag: &Name) -> Result<()> {
        self.trees.point(descriptor, tag).await
    }

    async fn store_tree(&self, series: &Series, directory: &Path) -> Result<Tree> {
        self.trees.store(series, directory).await
    }

    async fn store_listing(&self, series: &Series, directory: &Path) -> Result<Tree> {
        self.trees.store_listing(series, directory).await
    }

    async fn record(&self, series: &Series, contents: &Wanted) -> Result<(Tree, Attributes)> {
        let folder = tempfile::tempdir_in(&self.trees.incoming).map_err(|error| Error::io("a folder", &error))?;
        match contents.location.scheme.as_str() {
            "http" | "https" => fetch::unlisted(&self.client, contents, folder.path()).await?,
            other => {
                let message = format!("contents at {other}: locations are not recorded; only those served over HTTP");
                return Err(Error::unsupported("scheme", message));
            }
        }
        let tree = self.trees.store_listing(series, folder.path()).await?;
        let read = self.describe(series.kind, folder.path(), &tree).await;
        Ok((tree, read))
    }

    async fn describe(&self, kind: Kind, directory: &Path, tree: &Tree) -> Attributes {
        let (directory, tree) = (directory.to_owned(), tree.clone());
        let described = blocking(move || Ok(describe::directory(kind, &directory, &tree))).await;
        described.unwrap_or_default()
    }

    async fn make_newest(&self, descriptor: &Descriptor) -> Result<()> {
        self.trees.make_newest(descriptor).await
    }

    async fn publish(&self, descriptor: &Descriptor, tree: &Tree, is_newest: bool) -> Result<()> {
        self.trees.publish_as(descriptor, tree, is_newest).await
    }

    async fn damaged(&self, tree: &Tree) -> Result<Vec<String>> {
        self.trees.damaged(tree).await
    }

    async fn tree(&self, digest: &Digest) -> Result<Tree> {
        self.trees.tree(digest).await
    }

    fn location(&self, tree: &Tree) -> Location {
        TreeStore::location(tree)
    }
}

/// What must be there, which a store that is not ours cannot be trusted to know.
pub(crate) fn expected(contents: &Wanted) -> Result<&Tree> {
    contents.tree.as_ref().ok_or_else(|| {
        let uri = fetch::shown(&contents.location.uri);
        Error::internal("no-tree", format!("it is not known which files belong to {uri}"))
    })
}

/// `<project>/<name>#<commit>`.
fn read_git(uri: &str) -> Result<(Name, Name, &str)> {
    let damaged = || {
        let shown = uri.escape_debug();
        Error::invalid("location", format!("`{shown}` is no commit of a repository: <project>/<name>#<commit>"))
    };
    let (path, commit) = uri.split_once('#').ok_or_else(damaged)?;
    let (project, name) = path.split_once('/').ok_or_else(damaged)?;
    if !matches!(commit.len(), 40 | 64) || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(damaged());
    }
    Ok((project.parse()?, name.parse()?, commit))
}

/// A directory of this machine; what lies there beside the tree's files is left.
async fn copy(contents: &Wanted, staging: &Staging) -> Result<()> {
    let uri = contents.location.uri.clone();
    let tree = expected(contents)?.clone();
    let staging = staging.clone();
    blocking(move || {
        let directory = match reqwest::Url::parse(&uri) {
            Ok(url) if url.scheme() == "file" => url.to_file_path().unwrap_or_default(),
            _ => PathBuf::from(&uri),
        };
        let root = directory.canonicalize().map_err(|error| {
            Error::not_found("no-directory", format!("the directory {uri} cannot be read: {error}"))
        })?;
        let source = Source::of_a_tool(&uri);
        let fetch = |file: &TreeFile| {
            // Not a device, a pipe, or a link that was put there since and leads elsewhere.
            let real = root.join(&file.path).canonicalize().map_err(|_| source.missing(file))?;
            if !real.starts_with(&root) || !real.is_file() {
                return Err(source.missing(file));
            }
            copy_file(&real, file, &source, &staging.path().join(&file.path))
        };
        staging.make_empty_folders(&tree)?;
        parallel(tree.files(), fetch).map(drop)
    })
    .await
}
