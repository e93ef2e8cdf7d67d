//! `fuseml codeset push`: a folder becomes a commit on the server.

use crate::{
    Options,
    client::Client,
    command::{pipeline, watch},
};
use anyhow::Context as _;
use clap::Args;
use fuseml_domain::{Address, Descriptor, Error, Kind, Name, PushPlan, Result};
use reqwest::Method;
use std::{
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output, Stdio},
};
use tokio_util::io::ReaderStream;

/// To which folders are pushed.
const BRANCH: &str = "main";

#[derive(Args)]
pub(crate) struct PushArguments {
    /// The folder; what its .gitignore names stays behind
    path: PathBuf,
    /// The codeset's name; the folder's name if not given
    #[arg(long)]
    name: Option<String>,
    /// What the version is for, shown in its history
    #[arg(long, short, default_value = "pushed with fuseml")]
    message: String,
    /// Show what runs until nothing does any more
    #[arg(long)]
    wait: bool,
    /// Say what would start and run, and send nothing that stays
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
}

pub(crate) async fn push(arguments: PushArguments, options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client::new(options)?;
    let project = options.project()?;
    let folder = arguments
        .path
        .canonicalize()
        .map_err(|error| Error::invalid("path", format!("{} cannot be pushed: {error}", arguments.path.display())))?;
    if !folder.is_dir() {
        return Err(Error::invalid("path", format!("{} is not a folder", folder.display())).into());
    }
    let name: Name = match &arguments.name {
        Some(name) => name.parse()?,
        None => folder
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .parse()
            .context("--name says another")?,
    };
    let git = Git::new(&client, &project, &name, &folder)?;
    let commit = git.commit(&arguments.message, exists(&client, &project, &name).await?)?;
    if !commit.is_new {
        eprintln!("Nothing changed since the last push.");
    }
    let address = Address::of_version(Kind::Codeset, &project, &name, &commit.id.parse()?);
    if arguments.dry_run {
        let plan = match commit.is_new {
            true => plan(&client, &address, git.pack(&commit)?, &commit.id).await?,
            false => PushPlan { codeset: address, plans: Vec::new(), unstarted: Vec::new() },
        };
        pipeline::print_push(&plan, options)?;
        return Ok(ExitCode::SUCCESS);
    }
    if commit.is_new {
        git.push(&commit)?;
    }
    // The server registered it before git was answered; this says so, or says what is wrong.
    let codeset: Descriptor = client.get("/api/v1/artifact", &[("address", address.to_string())]).await?;
    eprintln!("Pushed {}.", codeset.address.short());
    if arguments.wait {
        return watch::artifact(&client, &project, &codeset.address, None).await;
    }
    crate::output::print(&format!("{}\n", codeset.address))?;
    Ok(ExitCode::SUCCESS)
}

/// Asks what pushing a commit would start; the server forgets it afterwards.
async fn plan(client: &Client, codeset: &Address, pack: std::fs::File, commit: &str) -> anyhow::Result<PushPlan> {
    let path = format!("/api/v1/projects/{}/codesets/{}/plan", codeset.project, codeset.name);
    let request = client.request(Method::POST, &path).query(&[("commit", commit), ("branch", BRANCH)]);
    let body = reqwest::Body::wrap_stream(ReaderStream::new(tokio::fs::File::from_std(pack)));
    Ok(client.read(request.body(body)).await?)
}

/// Makes the folder and writes the codeset's files into it.
pub(crate) fn check_out(client: &Client, codeset: &Descriptor, folder: &Path) -> anyhow::Result<()> {
    if folder.symlink_metadata().is_ok() {
        let message = format!("{} is already there; choose another folder, or remove it", folder.display());
        return Err(Error::conflict("exists", message).into());
    }
    let beside = folder.parent().filter(|beside| !beside.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let staging = tempfile::tempdir_in(beside).with_context(|| format!("{} cannot be made", folder.display()))?;
    let git = Git::new(client, codeset.project(), &codeset.name, staging.path())?;
    git.run(&["fetch", "--quiet", "--depth", "1", &git.url, &codeset.id], "asking the server")?;
    let work_tree = format!("--work-tree={}", staging.path().display());
    git.run(&[&work_tree, "checkout", "--quiet", "--force", &codeset.id], "writing the files")?;
    let made = staging.keep();
    std::fs::set_permissions(&made, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .and_then(|()| std::fs::rename(&made, folder))
        .with_context(|| format!("{} cannot be made", folder.display()))
}

async fn exists(client: &Client, project: &Name, name: &Name) -> Result<bool> {
    let address = format!("{}://{project}/{name}", Kind::Codeset.scheme());
    match client.get::<Descriptor>("/api/v1/artifact", &[("address", address)]).await {
        Ok(_) => Ok(true),
        Err(error) if error.code == "unknown-artifact" => Ok(false),
        Err(error) => Err(error),
    }
}

/// Git with a repository of its own beside the folder, so that the folder's own repository, if it has one, and
/// the person's git configuration are left alone.
struct Git {
    repository: tempfile::TempDir,
    folder: PathBuf,
    url: String,
    token: String,
}

impl Git {
    fn new(client: &Client, project: &Name, name: &Name, folder: &Path) -> anyhow::Result<Self> {
        let repository = tempfile::tempdir().context("a temporary folder cannot be made")?;
        let url = format!("{}/git/{project}/{name}.git", client.url);
        let git = Self { repository, folder: folder.to_owned(), url, token: client.token.clone() };
        git.run(&["init", "--quiet", "--bare", "."], "making a repository")?;
        Ok(git)
    }

    /// Commits the folder as it is on top of the codeset's newest version, unless it is that.
    fn commit(&self, message: &str, exists: bool) -> Result<Commit> {
        self.run(&["add", "--all", "."], "reading the folder")?;
        let tree = self.run(&["write-tree"], "reading the folder")?;
        let heads = match exists {
            true => self.run(&["ls-remote", &self.url, &format!("refs/heads/{BRANCH}")], "asking the server")?,
            false => String::new(),
        };
        let parent = heads.split_whitespace().next().map(ToOwned::to_owned);
        let mut commit = vec!["commit-tree", &tree, "-m", message];
        if let Some(parent) = &parent {
            self.run(&["fetch", "--quiet", "--depth", "1", &self.url, parent], "asking the server")?;
            if self.run(&["rev-parse", &format!("{parent}^{{tree}}")], "comparing")? == tree {
                return Ok(Commit { id: parent.clone(), parent: Some(parent.clone()), is_new: false });
            }
            commit.extend(["-p", parent]);
        }
        Ok(Commit { id: self.run(&commit, "committing")?, parent, is_new: true })
    }

    fn push(&self, commit: &Commit) -> Result<()> {
        let reference = format!("{}:refs/heads/{BRANCH}", commit.id);
        self.run(&["push", "--quiet", &self.url, &reference], "pushing").map(drop)
    }

    /// What of a commit its parent does not have.
    fn pack(&self, commit: &Commit) -> anyhow::Result<std::fs::File> {
        let wanted = commit.parent.iter().fold(commit.id.clone(), |wanted, parent| format!("{wanted}\n^{parent}\n"));
        let mut list = tempfile::tempfile_in(self.repository.path())?;
        list.write_all(wanted.as_bytes())?;
        list.rewind()?;
        let mut pack = tempfile::tempfile_in(self.repository.path())?;
        let mut git = self.command(&["pack-objects", "--revs", "--thin", "--stdout", "-q"]);
        let output = git.stdin(list).stdout(pack.try_clone()?).stderr(Stdio::piped()).output()?;
        if !output.status.success() {
            return Err(Error::unavailable("git", format!("packing failed: {}", said(&output))).into());
        }
        pack.rewind()?;
        Ok(pack)
    }

    fn run(&self, arguments: &[&str], what: &str) -> Result<String> {
        let output = self.command(arguments).output().map_err(|error| {
            Error::unavailable("git", format!("git cannot be run: {error}; it is needed for pushing code"))
        })?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(Error::unavailable("git", format!("{what} failed: {}", said(&output)))),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        let author = std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "fuseml".to_owned());
        if arguments[0] == "add" {
            command.current_dir(&self.folder).env("GIT_WORK_TREE", &self.folder);
        } else {
            command.current_dir(self.repository.path());
        }
        command
            .args(arguments)
            .env("GIT_DIR", self.repository.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_AUTHOR_NAME", &author)
            .env("GIT_AUTHOR_EMAIL", format!("{author}@localhost"))
            .env("GIT_COMMITTER_NAME", &author)
            .env("GIT_COMMITTER_EMAIL", format!("{author}@localhost"))
            // In the environment of one process rather than in its arguments, which everyone can list.
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "http.extraHeader")
            .env("GIT_CONFIG_VALUE_0", format!("Authorization: Bearer {}", self.token));
        command
    }
}

/// What a folder is as a version.
struct Commit {
    id: String,
    parent: Option<String>,
    /// It differs from the parent.
    is_new: bool,
}

/// Git's last words, without its prefixes.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.join("; ")
}
