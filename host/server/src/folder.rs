//! The data folder: what lies where, and whose it is: one server's, or that of all servers of one PostgreSQL database.

use fuseml_domain::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};
use uuid::Uuid;

/// Paths below one folder, which only its owner may read.
#[derive(Debug, Clone)]
pub struct DataFolder {
    root: PathBuf,
}

/// Between two looks at whose turn it is.
const TURN: Duration = Duration::from_millis(20);

/// Where a running server answers: written into its folder so that the CLI finds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    pub url: String,
    pub pid: u32,
}

impl Running {
    /// Whether it says within this time that it is well.
    pub fn answers(&self, within: Duration) -> bool {
        let address = self.url.trim_start_matches("http://");
        let ask = || -> std::io::Result<bool> {
            let address = address.parse().map_err(std::io::Error::other)?;
            let mut stream = TcpStream::connect_timeout(&address, within)?;
            stream.set_read_timeout(Some(within))?;
            write!(stream, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
            let mut status = [0; 12];
            stream.read_exact(&mut status)?;
            Ok(status == *b"HTTP/1.1 200")
        };
        ask().unwrap_or(false)
    }
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

    /// One file for each server, locked as long as that lives.
    fn servers(&self) -> PathBuf {
        self.root.join("servers")
    }

    fn server(&self, id: Uuid) -> PathBuf {
        self.servers().join(format!("{id}.json"))
    }

    /// Makes the folder and takes it, alone or with other servers: another is refused with the first one's address. The
    /// lock lasts as long as the answer lives, and ends with the process however that dies.
    pub(crate) fn take(&self, shared: bool) -> Result<Flock<fs::File>> {
        let failed = |error| Error::io(format!("the data folder {} cannot be made", self.root.display()), &error);
        for folder in [&self.root, &self.servers(), &self.root.join("turns")] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        let how = if shared { FlockArg::LockSharedNonblock } else { FlockArg::LockExclusiveNonblock };
        lock(&self.root.join("lock"), how)?.ok_or_else(|| {
            let other = self.running().into_iter().next();
            let other = other.map(|running| format!(" (process {}, {})", running.pid, running.url)).unwrap_or_default();
            let message = format!(
                "another server{other} already uses the data folder {}; stop it, or choose another folder with --data. \
                 Several servers share a folder when all are started with the same PostgreSQL --database",
                self.root.display()
            );
            Error::conflict("data-folder-taken", message)
        })
    }

    /// Held while a server starts, and by whoever must not be joined: waits for its turn, and says so.
    pub(crate) async fn start_alone(&self) -> Result<Flock<fs::File>> {
        let mut said = false;
        loop {
            if let Some(alone) = self.try_start_alone()? {
                return Ok(alone);
            }
            if !std::mem::replace(&mut said, true) {
                tracing::warn!("waiting for another server that starts, stops, or collects contents");
            }
            tokio::time::sleep(TURN).await;
        }
    }

    /// The same at once, or not.
    pub(crate) fn try_start_alone(&self) -> Result<Option<Flock<fs::File>>> {
        lock(&self.root.join("starting"), FlockArg::LockExclusiveNonblock)
    }

    /// Held by whoever changes extensions: waits for its turn among all servers.
    pub(crate) async fn change_extensions(&self) -> Result<Flock<fs::File>> {
        self.turn("extensions").await
    }

    pub(crate) fn try_change_extensions(&self) -> Result<Option<Flock<fs::File>>> {
        self.try_turn("extensions")
    }

    /// Waits until no other server, and nobody else on this one, has a turn of that name.
    pub(crate) async fn turn(&self, name: &str) -> Result<Flock<fs::File>> {
        loop {
            match self.try_turn(name)? {
                Some(turn) => return Ok(turn),
                None => tokio::time::sleep(TURN).await,
            }
        }
    }

    /// The same at once, or not.
    pub(crate) fn try_turn(&self, name: &str) -> Result<Option<Flock<fs::File>>> {
        lock(&self.root.join("turns").join(name), FlockArg::LockExclusiveNonblock)
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

    /// Says that a server is there, as long as the answer lives.
    pub(crate) fn announce(&self, id: Uuid) -> Result<Flock<fs::File>> {
        let (path, beside) = (self.server(id), self.servers().join(format!("{id}.new")));
        // Nobody knows it by this name, so that the lock is got; and nobody sees it unlocked by the other.
        let locked = lock(&beside, FlockArg::LockExclusive)?
            .ok_or_else(|| Error::internal("lock", "a lock that is waited for was not got"))?;
        fs::rename(&beside, &path).map_err(|error| Error::io(path.display(), &error))?;
        Ok(locked)
    }

    /// Says where it answers, once it does.
    pub(crate) fn answers(&self, announced: &mut Flock<fs::File>, url: &str) -> Result<()> {
        let running = Running { url: url.to_owned(), pid: std::process::id() };
        let text = serde_json::to_vec(&running).map_err(|error| Error::internal("document", error.to_string()))?;
        announced.write_all(&text).map_err(|error| Error::io("where this server answers cannot be written", &error))
    }

    pub(crate) fn withdraw(&self, id: Uuid) {
        // Gone already is as good.
        let _ = fs::remove_file(self.server(id));
    }

    /// Removes what servers left that are gone; while no other starts.
    pub(crate) fn sweep(&self) {
        for entry in fs::read_dir(self.servers()).into_iter().flatten().flatten() {
            if matches!(is_locked(&entry.path()), Ok(Some(false))) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Whether a server of this folder lives; `None` for one that never was here.
    pub(crate) fn is_alive(&self, id: Uuid) -> Result<Option<bool>> {
        is_locked(&self.server(id))
    }

    /// Servers that announced themselves here and live, and where each answers if it does by now.
    pub(crate) fn alive(&self) -> Vec<(Uuid, Option<Running>)> {
        let entries = fs::read_dir(self.servers()).into_iter().flatten().flatten();
        let mut alive: Vec<_> = entries
            .filter_map(|entry| {
                let path = entry.path();
                let id = path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()?;
                matches!(is_locked(&path), Ok(Some(true))).then_some(())?;
                Some((id, serde_json::from_slice(&fs::read(&path).ok()?).ok()))
            })
            .collect();
        alive.sort_by_key(|(id, _): &(Uuid, _)| *id);
        alive
    }

    /// The servers that run here, the longest there first.
    pub fn running(&self) -> Vec<Running> {
        self.alive().into_iter().filter_map(|(_, running)| running).collect()
    }
}

/// `None` when somebody else has it and it is not waited for.
fn lock(path: &Path, how: FlockArg) -> Result<Option<Flock<fs::File>>> {
    let failed = |error: std::io::Error| Error::io(format!("{} cannot be locked", path.display()), &error);
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    match Flock::lock(file.map_err(failed)?, how) {
        Ok(locked) => Ok(Some(locked)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(failed(error.into())),
    }
}

/// `None` when it is not there.
fn is_locked(path: &Path) -> Result<Option<bool>> {
    let failed = |error: std::io::Error| Error::io(format!("{} cannot be looked at", path.display()), &error);
    match fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
        Ok(file) => match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(_) => Ok(Some(false)),
            Err((_, Errno::EWOULDBLOCK)) => Ok(Some(true)),
            Err((_, error)) => Err(failed(error.into())),
        },
    }
}

/// Whole or not at all, readable by its owner alone.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    // Of this process alone: another may write the same.
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let write = || {
        let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| Error::io(format!("{} cannot be written", path.display()), &error))
}
