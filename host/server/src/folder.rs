//! The data folder: what lies where, and that one server at a time owns it.

use fuseml_domain::{Error, Result};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Paths below one folder, which only its owner may read.
#[derive(Debug, Clone)]
pub struct DataFolder {
    root: PathBuf,
}

/// Where a running server answers: written into its folder so that the CLI finds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    pub url: String,
    pub pid: u32,
}

impl DataFolder {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn path(&self) -> &Path {
        &self.root
    }

    pub fn catalog(&self) -> PathBuf {
        self.root.join("catalog.db")
    }

    pub fn repositories(&self) -> PathBuf {
        self.root.join("git")
    }

    pub fn contents(&self) -> PathBuf {
        self.root.join("contents")
    }

    pub fn process_agent(&self) -> PathBuf {
        self.root.join("agents/process")
    }

    pub fn engines_agent(&self) -> PathBuf {
        self.root.join("agents/engines")
    }

    pub fn wasm_agent(&self) -> PathBuf {
        self.root.join("agents/wasm")
    }

    pub fn extensions(&self) -> PathBuf {
        self.root.join("extensions")
    }

    pub fn compiled(&self) -> PathBuf {
        self.root.join("compiled")
    }

    /// Which versions are installed, for people to read.
    pub fn extension_lock(&self) -> PathBuf {
        self.root.join("extensions.lock")
    }

    pub(crate) fn secret_keys(&self) -> PathBuf {
        self.root.join("secret-keys")
    }

    /// Signs what is said of runs' results.
    pub(crate) fn provenance_key(&self) -> PathBuf {
        self.root.join("provenance-key.pem")
    }

    /// What that is verified with, for whoever does so elsewhere.
    pub fn provenance_public_key(&self) -> PathBuf {
        self.root.join("provenance-key.pub")
    }

    /// What the operator allows extensions at all; need not be there.
    pub(crate) fn policy(&self) -> PathBuf {
        self.root.join("policy.toml")
    }

    pub fn token_file(&self) -> PathBuf {
        self.root.join("admin-token")
    }

    fn running_file(&self) -> PathBuf {
        self.root.join("server.json")
    }

    /// Makes the folder and takes it: a second server is refused with the first one's address. The lock lasts
    /// as long as the answer lives, and ends with the process however that dies.
    pub(crate) fn take(&self) -> Result<Flock<fs::File>> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .map_err(|error| Error::io(format!("the data folder {} cannot be made", self.root.display()), &error))?;
        let path = self.root.join("lock");
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| Error::io(format!("{} cannot be opened", path.display()), &error))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
            let other = self.running().map(|running| format!(" (process {}, {})", running.pid, running.url));
            Error::conflict(
                "data-folder-taken",
                format!(
                    "another server{} already uses the data folder {}; stop it or choose another folder with --data",
                    other.unwrap_or_default(),
                    self.root.display()
                ),
            )
        })
    }

    /// The admin token, made on first use.
    pub(crate) fn token(&self) -> Result<String> {
        if let Ok(token) = self.read_token() {
            return Ok(token);
        }
        let bytes: [u8; 32] = rand::random();
        let token = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        write_private(&self.token_file(), token.as_bytes())?;
        Ok(token)
    }

    /// The admin token of the server that owns this folder.
    pub fn read_token(&self) -> Result<String> {
        let path = self.token_file();
        let text = fs::read_to_string(&path)
            .map_err(|error| Error::io(format!("the admin token {} cannot be read", path.display()), &error))?;
        let token = text.trim();
        if token.is_empty() {
            return Err(Error::invalid(
                "token",
                format!("{} is empty; delete it and start the server", path.display()),
            ));
        }
        Ok(token.to_owned())
    }

    pub(crate) fn announce(&self, url: &str) -> Result<()> {
        let running = Running { url: url.to_owned(), pid: std::process::id() };
        let text = serde_json::to_vec(&running).map_err(|error| Error::internal("document", error.to_string()))?;
        write_private(&self.running_file(), &text)
    }

    pub(crate) fn withdraw(&self) {
        // Gone already is as good.
        let _ = fs::remove_file(self.running_file());
    }

    /// The server that last announced itself here.
    pub fn running(&self) -> Option<Running> {
        serde_json::from_slice(&fs::read(self.running_file()).ok()?).ok()
    }
}

/// Whole or not at all, readable by its owner alone.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    let write = || {
        let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| Error::io(format!("{} cannot be written", path.display()), &error))
}
