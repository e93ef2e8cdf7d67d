//! Bare repositories, one a codeset (S107–S108), and codesets read straight from their commits.

use crate::git::{self, CommitInfo};
use async_trait::async_trait;
use fuseml_domain::{
    Descriptor, Error, Name, Result,
    port::{CodesetFiles, Codesets, FileEntry},
};
use globset::GlobBuilder;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

/// The largest file that a component may read, in bytes (`fuseml:files`).
const MAX_READ: u64 = 4 << 20;
/// Entries in one answer (`fuseml:files`).
const MAX_ENTRIES: usize = 10_000;
/// Where registered commits are kept reachable, out of clients' sight.
const RETAINED: &str = "refs/fuseml/commits";

/// All repositories below one folder, at `<project>/<name>.git`.
#[derive(Debug, Clone)]
pub struct Repositories {
    root: PathBuf,
}

impl Repositories {
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root)
            .map_err(|error| Error::io(format!("the folder {} cannot be made", root.display()), &error))?;
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, project: &Name, name: &Name) -> PathBuf {
        self.root.join(&**project).join(format!("{name}.git"))
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
        let io = |error: std::io::Error| Error::io(format!("the repository {project}/{name} cannot be made"), &error);
        let folder = self.root.join(&**project);
        fs::create_dir_all(&folder).map_err(io)?;
        let made = tempfile::Builder::new().prefix(".new-").tempdir_in(&folder).map_err(io)?;
        let mut init = git::command(made.path());
        git::output(init.args(["init", "--quiet", "--bare", "--initial-branch=main"]), "making a repository").await?;
        for (key, value) in [
            // A registered commit must never be thrown away, whatever becomes of its branch.
            ("gc.auto", "0"),
            ("receive.autogc", "false"),
            ("receive.denyDeleteCurrent", "ignore"),
            ("receive.fsckObjects", "true"),
            ("http.receivepack", "true"),
            ("transfer.hideRefs", "refs/fuseml"),
            ("uploadpack.allowFilter", "true"),
            ("uploadpack.allowAnySHA1InWant", "true"),
        ] {
            git::output(git::command(made.path()).args(["config", key, value]), "making a repository").await?;
        }
        match fs::rename(made.path(), &path) {
            Ok(()) => drop(made.keep()),
            // Somebody else was quicker; theirs is as good.
            Err(_) if path.is_dir() => {}
            Err(error) => return Err(io(error)),
        }
        Ok(())
    }

    /// Every branch as `(refs/heads/…, commit)`.
    pub async fn branches(&self, project: &Name, name: &Name) -> Result<Vec<(String, String)>> {
        let mut list = git::command(&self.path(project, name));
        let text = git::text(
            list.args(["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads"]),
            "reading branches",
        )
        .await?;
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs.map(|(reference, commit)| (reference.to_owned(), commit.to_owned())).collect())
    }

    /// Keeps a commit reachable for ever.
    pub async fn retain(&self, project: &Name, name: &Name, commit: &str) -> Result<()> {
        let mut update = git::command(&self.path(project, name));
        update.args(["update-ref", &format!("{RETAINED}/{commit}"), commit]);
        git::output(&mut update, "keeping a commit").await.map(drop)
    }

    pub async fn commit_info(&self, project: &Name, name: &Name, commit: &str) -> Result<CommitInfo> {
        let mut show = git::command(&self.path(project, name));
        show.args(["show", "--no-patch", "--format=%an%x00%s", "--end-of-options", commit]);
        let text = git::text(&mut show, "reading a commit").await?;
        let (author, subject) = text.split_once('\0').unwrap_or(("", &text));
        Ok(CommitInfo { author: author.to_owned(), subject: subject.to_owned() })
    }

    /// Writes the commit's files into a folder, which must be there and empty.
    pub(crate) async fn check_out(&self, project: &Name, name: &Name, commit: &str, target: &Path) -> Result<()> {
        let repository = self.path(project, name);
        let index = tempfile::tempdir().map_err(|error| Error::io("a temporary folder", &error))?;
        let index = index.path().join("index");
        let what = format!("checking out {commit} of {project}/{name}");
        let mut read = git::command(&repository);
        git::output(read.env("GIT_INDEX_FILE", &index).args(["read-tree", "--end-of-options", commit]), &what).await?;
        let mut write = git::command(&repository);
        write.arg("--work-tree").arg(target).env("GIT_INDEX_FILE", &index).args(["checkout-index", "--all", "--quiet"]);
        git::output(&mut write, &what).await.map(drop)
    }
}

#[async_trait]
impl Codesets for Repositories {
    async fn files(&self, codeset: &Descriptor) -> Result<Arc<dyn CodesetFiles>> {
        let repository = self.path(codeset.project(), &codeset.name);
        let mut list = git::command(&repository);
        list.args(["ls-tree", "-r", "-z", "--long", "--full-tree", "--end-of-options", &codeset.id]);
        let listing = git::output(&mut list, &format!("reading {}", codeset.address.short())).await?;
        let entries = listing.split(|byte| *byte == 0).filter(|line| !line.is_empty()).map(read_entry);
        let mut entries: Vec<_> = entries.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Arc::new(CommitFiles { repository, entries }))
    }

    async fn changed_files(&self, from: &Descriptor, to: &Descriptor) -> Result<Vec<String>> {
        let mut diff = git::command(&self.path(to.project(), &to.name));
        diff.args(["diff-tree", "-r", "-z", "--name-only", "--no-renames", "--end-of-options", &from.id, &to.id]);
        let listing = git::output(&mut diff, "comparing two versions").await?;
        let paths = listing.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        Ok(paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect())
    }
}

/// `<mode> <type> <object> <size>\t<path>`; symbolic links and submodules are no files of the codeset, and a
/// name that is no text cannot cross the contract.
fn read_entry(line: &[u8]) -> Result<Option<FileEntry>> {
    let damaged = || Error::internal("git", "git listed a tree in an unknown form");
    let tab = line.iter().position(|byte| *byte == b'\t').ok_or_else(damaged)?;
    let (fields, path) = line.split_at(tab);
    let fields = std::str::from_utf8(fields).map_err(|_| damaged())?;
    let mut fields = fields.split_whitespace();
    let (Some(mode), Some(kind), Some(object), Some(size)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(damaged());
    };
    let Ok(path) = std::str::from_utf8(&path[1..]) else { return Ok(None) };
    if kind != "blob" || mode == "120000" {
        return Ok(None);
    }
    Ok(Some(FileEntry {
        path: path.to_owned(),
        size_bytes: size.parse().map_err(|_| damaged())?,
        digest: format!("git:{object}"),
        executable: mode == "100755",
    }))
}

/// The files of one commit: the list is read once, a file when it is asked for.
struct CommitFiles {
    repository: PathBuf,
    entries: Vec<FileEntry>,
}

impl CodesetFiles for CommitFiles {
    fn find(&self, glob: &str, after: Option<&str>) -> Result<Vec<FileEntry>> {
        let matcher = GlobBuilder::new(glob)
            .literal_separator(true)
            .build()
            .map_err(|error| Error::invalid("glob", format!("`{}` is no pattern: {error}", glob.escape_debug())))?
            .compile_matcher();
        let start = after.map_or(0, |after| self.entries.partition_point(|entry| entry.path.as_str() <= after));
        let found = self.entries[start..].iter().filter(|entry| matcher.is_match(&entry.path));
        Ok(found.take(MAX_ENTRIES).cloned().collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        let found = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path));
        let entry = found.map(|index| &self.entries[index]).map_err(|_| {
            Error::not_found("unknown-file", format!("the codeset has no file `{}`", path.escape_debug()))
        })?;
        if entry.size_bytes > MAX_READ {
            return Err(Error::invalid(
                "file-too-large",
                format!("`{path}` has {} bytes; at most {MAX_READ} can be read at once", entry.size_bytes),
            ));
        }
        let object = entry.digest.trim_start_matches("git:");
        let mut show = git::command(&self.repository).into_std();
        let output = show
            .args(["cat-file", "blob", object])
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| Error::io("git cannot be run", &error))?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(Error::internal("git", format!("`{path}` cannot be read from its repository"))),
        }
    }
}
