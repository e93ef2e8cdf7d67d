//! Bare repositories, one a codeset (S107–S108).
//!
//! A registered commit stays readable for ever, whatever clients do to its branch: a hidden reference of its own
//! keeps it, and nothing collects garbage by itself.

use crate::{
    codeset::Listings,
    git::{self, CommitInfo},
};
use fuseml_domain::{Error, Name, Result};
use jiff::Timestamp;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where registered commits are kept reachable, out of clients' sight.
const RETAINED: &str = "refs/fuseml/commits";
/// Every push reads all references; so many are gathered into one file.
const LOOSE_REFERENCES: usize = 256;

/// What each repository is set to.
const CONFIG: &str = "\
[core]
\t# What a client was told is pushed survives a power cut.
\tfsync = committed,reference
\tfsyncMethod = batch
[gc]
\tauto = 0
[maintenance]
\tauto = false
[http]
\treceivepack = true
\tgetanyfile = false
[receive]
\tautogc = false
\tdenyDeletes = false
\tdenyDeleteCurrent = ignore
\tadvertisePushOptions = true
\tfsckObjects = true
[transfer]
\thideRefs = refs/fuseml
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = true
";

/// Harmless faults that old and honest histories have, in git's words.
pub(crate) const TOLERATED: [&str; 3] = ["badTimezone", "missingSpaceBeforeDate", "zeroPaddedFilemode"];
/// How folders of commits that were not pushed begin. No project is called so.
pub(crate) const UNPUSHED: &str = ".unpushed-";
/// Longer than anybody looks at one.
const UNPUSHED_AT_MOST: Duration = Duration::from_secs(60 * 60);

/// All repositories below one folder, at `<project>/<name>.git`.
#[derive(Debug, Clone)]
pub struct Repositories {
    root: PathBuf,
    pub(crate) listings: Listings,
}

impl Repositories {
    /// Makes the folder if it is not there, and removes what a server that died left in it of unpushed commits.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root)
            .map_err(|error| Error::io(format!("the folder {} cannot be made", root.display()), &error))?;
        for entry in fs::read_dir(&root).into_iter().flatten().flatten() {
            // Not what another server works with just now.
            let age = entry.metadata().and_then(|it| it.modified()).map(|at| at.elapsed().unwrap_or_default());
            if entry.file_name().to_string_lossy().starts_with(UNPUSHED)
                && age.is_ok_and(|age| age > UNPUSHED_AT_MOST)
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!(folder = %entry.path().display(), %error, "a folder that nobody needs stays");
            }
        }
        Ok(Self { root, listings: Listings::default() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, project: &Name, name: &Name) -> PathBuf {
        self.root.join(&**project).join(format!("{name}.git"))
    }

    /// Project and name of every repository.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn all(&self) -> Result<Vec<(Name, Name)>> {
        let io = |error: std::io::Error| Error::io(format!("{} cannot be read", self.root.display()), &error);
        let names = |folder: &Path| -> Result<Vec<String>> {
            let entries = fs::read_dir(folder).map_err(io)?;
            entries.map(|entry| Ok(entry.map_err(io)?.file_name().to_string_lossy().into_owned())).collect()
        };
        let mut all = Vec::new();
        for project in names(&self.root)? {
            let Ok(project) = project.parse::<Name>() else { continue };
            let found = names(&self.root.join(&*project))?;
            all.extend(
                found.iter().filter_map(|name| Some((project.clone(), name.strip_suffix(".git")?.parse().ok()?))),
            );
        }
        all.sort();
        Ok(all)
    }

    pub fn exists(&self, project: &Name, name: &Name) -> bool {
        self.path(project, name).is_dir()
    }

    /// An empty repository appears whole or not at all.
    pub async fn create_if_missing(&self, project: &Name, name: &Name) -> Result<()> {
        let path = self.path(project, name);
        if path.is_dir() {
            return Ok(());
        }
        let what = format!("the repository {project}/{name} cannot be made");
        let io = |error: std::io::Error| Error::io(&what, &error);
        let folder = self.root.join(&**project);
        fs::create_dir_all(&folder).map_err(io)?;
        let made = tempfile::Builder::new().prefix(".new-").tempdir_in(&folder).map_err(io)?;
        let init = ["init", "--quiet", "--bare", "--initial-branch=main", "--template="];
        git::output(git::command(made.path(), init), &what).await?;
        let config = made.path().join("config");
        let mut settings = fs::read_to_string(&config).map_err(io)?;
        settings.push_str(CONFIG);
        settings.push_str("[receive \"fsck\"]\n");
        settings.extend(TOLERATED.map(|fault| format!("\t{fault} = ignore\n")));
        fs::write(&config, settings).map_err(io)?;
        match fs::rename(made.path(), &path) {
            // The guard of the temporary folder finds nothing under the old name, which is no error to it.
            Ok(()) => Ok(()),
            // Somebody else was quicker; theirs is as good.
            Err(_) if path.is_dir() => Ok(()),
            Err(error) => Err(io(error)),
        }
    }

    /// Removes a repository that nobody ever pushed to.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn remove_empty(&self, project: &Name, name: &Name) -> Result<()> {
        let Ok(path) = self.existing(project, name) else { return Ok(()) };
        let any = git::command(&path, ["for-each-ref", "--count=1", "--format=%(refname)"]);
        if git::text(any, "reading references").await?.is_empty() {
            fs::remove_dir_all(&path).map_err(|error| Error::io(format!("{project}/{name}"), &error))?;
        }
        Ok(())
    }

    /// Every branch as `(refs/heads/…, commit)`.
    pub async fn branches(&self, project: &Name, name: &Name) -> Result<Vec<(String, String)>> {
        branches(&self.existing(project, name)?).await
    }

    /// Keeps a commit reachable for ever.
    pub async fn retain(&self, project: &Name, name: &Name, commit: &str) -> Result<()> {
        check_commit(commit)?;
        let repository = self.existing(project, name)?;
        let what = format!("keeping {commit} of {project}/{name}");
        let update = ["update-ref", &format!("{RETAINED}/{commit}"), &format!("{commit}^{{commit}}")];
        git::output(git::command(&repository, update), &what).await?;
        if fs::read_dir(repository.join(RETAINED)).is_ok_and(|loose| loose.count() > LOOSE_REFERENCES) {
            git::output(git::command(&repository, ["pack-refs", "--all"]), &what).await?;
        }
        Ok(())
    }

    pub async fn commit_info(&self, project: &Name, name: &Name, commit: &str) -> Result<CommitInfo> {
        check_commit(commit)?;
        let show = ["log", "-1", "--no-show-signature", "--format=%an%x00%ct%x00%s", "--end-of-options", commit];
        let what = format!("reading {commit} of {project}/{name}");
        let text = git::text(git::command(&self.existing(project, name)?, show), &what).await?;
        let mut parts = text.splitn(3, '\0').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let (author, seconds, subject) = (part(), part(), part());
        // A date beyond what time can be is a joke of the author's clock and no reason to refuse the push.
        let committed = seconds.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        Ok(CommitInfo { author, committed: committed.unwrap_or(Timestamp::UNIX_EPOCH), subject })
    }

    /// The one commit whose digits begin so.
    pub async fn resolve(&self, project: &Name, name: &Name, prefix: &str) -> Result<String> {
        let unknown = || Error::not_found("unknown-commit", format!("{project}/{name} has no commit {prefix}"));
        if !(4..=64).contains(&prefix.len()) || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let message =
                format!("`{}` is not the beginning of a commit: at least 4 hex digits", prefix.escape_debug());
            return Err(Error::invalid("commit", message));
        }
        let prefix = prefix.to_ascii_lowercase();
        let repository = self.existing(project, name)?;
        let candidates = git::command(&repository, ["rev-parse", &format!("--disambiguate={prefix}")]);
        let candidates = git::text(candidates, "resolving a commit").await?;
        let mut found = None;
        for object in candidates.lines() {
            let kind = git::text(git::command(&repository, ["cat-file", "-t", object]), "resolving a commit").await?;
            if kind == "commit" && found.replace(object.to_owned()).is_some() {
                let message = format!("{project}/{name} has more than one commit {prefix}: give more digits");
                return Err(Error::conflict("ambiguous-commit", message));
            }
        }
        found.ok_or_else(unknown)
    }

    /// Writes the commit's files into a folder, which must be there and empty. Git checked every object when it
    /// was pushed; reading, it notices a damaged one by its checksum, but not one that was forged on this disk.
    pub(crate) async fn check_out(&self, project: &Name, name: &Name, commit: &str, target: &Path) -> Result<()> {
        let repository = self.existing(project, name)?;
        let index = tempfile::tempdir().map_err(|error| Error::io("a temporary folder", &error))?;
        let index = index.path().join("index");
        let what = format!("checking out {commit} of {project}/{name}");
        let mut read = git::command(&repository, ["read-tree", "--end-of-options", commit]);
        read.env("GIT_INDEX_FILE", &index);
        git::output(read, &what).await?;
        let mut write = git::isolated();
        write.arg("--git-dir").arg(&repository).arg("--work-tree").arg(target);
        write.env("GIT_INDEX_FILE", &index).args(["checkout-index", "--all", "--quiet"]).current_dir(target);
        git::output(write, &what).await.map(drop)
    }

    /// Checks a commit and all that it leads to; answers what is wrong, a line each.
    ///
    /// # Errors
    /// `not-found` without the repository, and when git cannot be run.
    pub async fn verify(&self, project: &Name, name: &Name, commit: &str) -> Result<Vec<String>> {
        check_commit(commit)?;
        let repository = self.existing(project, name)?;
        let mut fsck = git::command(&repository, ["fsck", "--no-dangling", "--no-progress", commit]);
        let done = fsck.output().await.map_err(|error| git::not_started(&error))?;
        if done.status.success() {
            return Ok(Vec::new());
        }
        let said = [done.stdout, done.stderr].concat();
        Ok(String::from_utf8_lossy(&said).lines().map(ToOwned::to_owned).collect())
    }

    pub(crate) fn existing(&self, project: &Name, name: &Name) -> Result<PathBuf> {
        let path = self.path(project, name);
        match path.is_dir() {
            // Git runs in other folders too.
            true => std::path::absolute(&path).map_err(|error| Error::io("the repositories", &error)),
            false => Err(Error::not_found("unknown-codeset", format!("the project {project} has no codeset {name}"))),
        }
    }
}

/// What git is told must be a whole commit id and not another of its many notations.
pub(crate) fn check_commit(commit: &str) -> Result<()> {
    match matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err(Error::invalid("commit", format!("`{}` is not a commit", commit.escape_debug()))),
    }
}

async fn branches(repository: &Path) -> Result<Vec<(String, String)>> {
    let list = ["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads"];
    let text = git::text(git::command(repository, list), "reading branches").await?;
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs.map(|(reference, commit)| (reference.to_owned(), commit.to_owned())).collect())
}

/// Who pushed only `master` or `trunk` gets it checked out by a clone: a repository whose default branch does not
/// exist takes another.
pub(crate) async fn settle_default_branch(repository: &Path) -> Result<()> {
    let head = git::command(repository, ["rev-parse", "--verify", "--quiet", "HEAD"]);
    if git::output(head, "").await.is_ok() {
        return Ok(());
    }
    let branches = branches(repository).await?;
    let wanted = ["refs/heads/main", "refs/heads/master"];
    let known = wanted.into_iter().find(|wanted| branches.iter().any(|(branch, _)| branch == wanted));
    let Some(branch) = known.or_else(|| branches.first().map(|(branch, _)| branch.as_str())) else { return Ok(()) };
    git::output(git::command(repository, ["symbolic-ref", "HEAD", branch]), "the default branch").await.map(drop)
}
