//! What a supervisor must know of its workload: the workload itself and where this agent keeps things.

use super::{build::ImageBuilder, container::Container, folder::Folder, procfs::MARK};
use crate::sdk;
use fuseml_domain::{Digest, Workload};
use serde::{Deserialize, Serialize};
use std::{ffi::OsString, io, path::PathBuf, process::Command, time::Duration};

/// Where programs lie that no environment brings.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) workload: Workload,
    pub(crate) timeout: Duration,
    /// Between asking processes to end and killing them.
    pub(crate) grace: Duration,
    /// Bytes of log that are kept.
    pub(crate) log_limit: u64,
    pub(crate) environments: Environments,
    /// For workloads that make an environment, or need one that is not there.
    pub(crate) uv: Option<Uv>,
    /// Where the Python package is that every workload can import.
    #[serde(default)]
    pub(crate) python: PathBuf,
    /// For workloads that run in an image.
    #[serde(default)]
    pub(crate) container: Option<Container>,
    /// For workloads that make an image.
    #[serde(default)]
    pub(crate) builder: Option<ImageBuilder>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Uv {
    pub(crate) program: PathBuf,
    pub(crate) cache: PathBuf,
}

/// The folder with all environments, one for each digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Environments(PathBuf);

impl Environments {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.0.join(digest.hex())
    }

    pub(crate) fn lock(&self, digest: &Digest) -> PathBuf {
        self.0.join(format!("{}.lock", digest.hex()))
    }

    /// Written last: without it an environment is half-made and does not count.
    pub(crate) fn marker(&self, digest: &Digest) -> PathBuf {
        self.path(digest).join("fuseml-complete")
    }

    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.marker(digest).exists()
    }
}

impl Spec {
    /// Whether making it ready needs more of the server's environment than nothing.
    pub(crate) fn needs_environment(&self) -> bool {
        self.uv.is_some() || self.container.is_some() || self.builder.is_some()
    }

    /// The workload's own command with the whole of its environment: nothing of the server's reaches it.
    pub(crate) fn command(&self, folder: &Folder) -> io::Result<Command> {
        if let Some(container) = &self.container {
            return container.command(self, folder);
        }
        let (program, arguments) = self.workload.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir(folder.work());
        let mut path = OsString::new();
        if let Some(environment) = &self.workload.environment {
            let environment = self.environments.path(&environment.digest);
            path.push(environment.join("bin"));
            path.push(":");
            command.env("VIRTUAL_ENV", environment);
        }
        path.push(SYSTEM_PATH);
        command.env("PATH", path).env("HOME", folder.home());
        // Python would keep back what it prints until it ends; logs are followed.
        command.env("PYTHONUNBUFFERED", "1");
        command.env("LANG", "C.UTF-8").env("TMPDIR", folder.temporary());
        let python = sdk::search(self.workload.variables.get(sdk::SEARCHED), &self.python.to_string_lossy());
        command.envs(&self.workload.variables).env(sdk::SEARCHED, python).env(MARK, folder.path());
        Ok(command)
    }
}
