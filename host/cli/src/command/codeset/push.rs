//! `fuseml codeset push`: a folder becomes a commit on the server.

use crate::{Options, client::Client, command::watch};
use anyhow::Context as _;
use clap::Args;
use fuseml_domain::{Address, Descriptor, Error, Kind, Name, Result};
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

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
    let commit = git.push(&arguments.message, exists(&client, &project, &name).await?)?;
    let address: Address = format!("{}://{project}/{name}/{commit}", Kind::Codeset.scheme()).parse()?;
    // The server registered it before git was answered; this says so, or says what is wrong.
    let codeset: Descriptor = client.get("/api/v1/artifact", &[("address", address.to_string())]).await?;
    eprintln!("Pushed {}.", codeset.address.short());
    if arguments.wait {
        return watch::artifact(&client, &project, &codeset.address).await;
    }
    crate::output::print(&format!("{}\n", codeset.address))?;
    Ok(ExitCode::SUCCESS)
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

    /// Commits the folder as it is on top of the codeset's newest version and pushes it; answers the commit.
    fn push(&self, message: &str, exists: bool) -> Result<String> {
        self.run(&["add", "--all", "."], "reading the folder")?;
        let tree = self.run(&["write-tree"], "reading the folder")?;
        let heads = match exists {
            true => self.run(&["ls-remote", &self.url, "refs/heads/main"], "asking the server")?,
            false => String::new(),
        };
        let parent = heads.split_whitespace().next().map(ToOwned::to_owned);
        let mut commit = vec!["commit-tree", &tree, "-m", message];
        if let Some(parent) = &parent {
            self.run(&["fetch", "--quiet", "--depth", "1", &self.url, parent], "asking the server")?;
            if self.run(&["rev-parse", &format!("{parent}^{{tree}}")], "comparing")? == tree {
                eprintln!("Nothing changed since the last push.");
                return Ok(parent.clone());
            }
            commit.extend(["-p", parent]);
        }
        let commit = self.run(&commit, "committing")?;
        self.run(&["push", "--quiet", &self.url, &format!("{commit}:refs/heads/main")], "pushing")?;
        Ok(commit)
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

/// Git's last words, without its prefixes.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.join("; ")
}
