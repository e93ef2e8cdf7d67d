//! What the CLI remembers between commands, and where it finds the server.

use crate::Options;
use anyhow::Context as _;
use fuseml_domain::{Error, Name, Result};
use fuseml_server::DataFolder;
use serde::{Deserialize, Serialize};
use std::{env, fs, path::PathBuf, time::Duration};

/// `$XDG_CONFIG_HOME/fuseml/config.toml`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<Name>,
}

impl Config {
    pub(crate) fn load() -> anyhow::Result<Self> {
        let path = path()?;
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("{} is damaged", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    pub(crate) fn save(&self) -> anyhow::Result<()> {
        let path = path()?;
        let folder = path.parent().context("the configuration has no folder")?;
        let save = || -> anyhow::Result<()> {
            fs::create_dir_all(folder)?;
            let file = tempfile::NamedTempFile::new_in(folder)?;
            fs::write(file.path(), toml::to_string(self)?)?;
            file.persist(&path)?;
            Ok(())
        };
        save().with_context(|| format!("{} cannot be written", path.display()))
    }
}

fn path() -> Result<PathBuf> {
    Ok(folder()?.join("config.toml"))
}

/// What is remembered of a person: `$XDG_CONFIG_HOME/fuseml`.
pub(crate) fn folder() -> Result<PathBuf> {
    Ok(xdg("XDG_CONFIG_HOME", ".config")?.join("fuseml"))
}

/// For what can be made again: compiled components, say.
pub(crate) fn cache_folder() -> Result<PathBuf> {
    Ok(xdg("XDG_CACHE_HOME", ".cache")?.join("fuseml"))
}

fn xdg(variable: &str, below_home: &str) -> Result<PathBuf> {
    let set = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(below_home)))
        .ok_or_else(|| Error::invalid("home", format!("neither HOME nor {variable} is set")))
}

/// Until another server is asked.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);

impl Options {
    /// The data folder of the server on this machine.
    pub(crate) fn folder(&self) -> Result<DataFolder> {
        match &self.data {
            Some(path) => {
                Ok(DataFolder::new(std::path::absolute(path).map_err(|error| Error::io(path.display(), &error))?))
            }
            None => Ok(DataFolder::new(xdg("XDG_DATA_HOME", ".local/share")?.join("fuseml"))),
        }
    }

    /// The project that commands work in.
    pub(crate) fn project(&self) -> anyhow::Result<Name> {
        if let Some(project) = &self.project {
            return Ok(project.parse()?);
        }
        Ok(Config::load()?.project.ok_or_else(|| {
            Error::invalid(
                "no-project",
                "no project is chosen; `fuseml project set NAME` chooses one, --project names one for this command",
            )
        })?)
    }

    pub(crate) fn server_url(&self) -> Result<String> {
        if let Some(url) = &self.server {
            return Ok(url.trim_end_matches('/').to_owned());
        }
        let folder = self.folder()?;
        let running = folder.running();
        // Of several, one that answers: another may hang, or be about to go.
        let is_one = running.len() == 1;
        let answers = running.iter().find(|running| is_one || running.answers(ANSWERS_WITHIN)).or(running.first());
        answers.map(|running| running.url.clone()).ok_or_else(|| {
            Error::unavailable(
                "no-server",
                format!(
                    "no server runs on {}; start one with `fuseml server start`, or name one with --server",
                    folder.path().display()
                ),
            )
        })
    }

    pub(crate) fn token(&self) -> Result<String> {
        match env::var("FUSEML_TOKEN") {
            Ok(token) if !token.is_empty() => Ok(token),
            _ => self.folder()?.read_token(),
        }
    }
}
