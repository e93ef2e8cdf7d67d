//! Blobs on their way in: a file each, which outlives the server, so that a client goes on where it stopped.

use crate::{Code, RegistryError, error::Result};
use bytes::Bytes;
use fuseml_domain::{Digest, Error};
use futures::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{fs::File, io::AsyncWriteExt as _};
use uuid::Uuid;

/// An upload that nobody went on with for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 3600);

/// Uploads that were begun.
#[derive(Debug)]
pub(crate) struct Uploads {
    folder: PathBuf,
    open: Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<Session>>>>,
}

/// Bytes that came so far; the hash is kept beside, so that nothing is read twice.
#[derive(Debug)]
struct Session {
    path: PathBuf,
    size: u64,
    hash: Sha256,
    done: bool,
}

impl Session {
    async fn append<E: std::error::Error>(
        &mut self,
        most: u64,
        bytes: &mut (impl Stream<Item = std::result::Result<Bytes, E>> + Unpin),
    ) -> Result<()> {
        let failed = |error: std::io::Error| RegistryError::machine("writing an upload", &error);
        let mut file = File::options().append(true).open(&self.path).await.map_err(failed)?;
        while let Some(chunk) = bytes.next().await {
            let Ok(chunk) = chunk else {
                file.flush().await.map_err(failed)?;
                return Err(RegistryError::new(Code::BlobUploadInvalid, "the connection ended too early; go on"));
            };
            if self.size + chunk.len() as u64 > most {
                return Err(RegistryError::new(Code::SizeInvalid, format!("a blob has at most {most} bytes")));
            }
            file.write_all(&chunk).await.map_err(failed)?;
            self.hash.update(&chunk);
            self.size += chunk.len() as u64;
        }
        file.flush().await.map_err(failed)
    }
}

/// A whole upload, in a file that is the receiver's to take.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Uploads {
    /// Forgets what was left long ago.
    pub(crate) fn new(folder: PathBuf) -> fuseml_domain::Result<Self> {
        let io = |error: std::io::Error| Error::io(folder.display(), &error);
        std::fs::create_dir_all(&folder).map_err(io)?;
        for entry in std::fs::read_dir(&folder).map_err(io)?.flatten() {
            let age = entry.metadata().and_then(|data| data.modified()).map(|at| SystemTime::now().duration_since(at));
            if matches!(age, Ok(Ok(age)) if age > FORGOTTEN) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(Self { folder, open: Mutex::default() })
    }

    pub(crate) async fn begin(&self) -> Result<Uuid> {
        let id = Uuid::now_v7();
        let path = self.folder.join(id.to_string());
        File::create_new(&path).await.map_err(|error| RegistryError::machine("beginning an upload", &error))?;
        self.keep(id, Session { path, size: 0, hash: Sha256::new(), done: false });
        Ok(id)
    }

    fn keep(&self, id: Uuid, session: Session) -> Arc<tokio::sync::Mutex<Session>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.entry(id).or_insert_with(|| Arc::new(tokio::sync::Mutex::new(session))).clone()
    }

    async fn session(&self, id: Uuid) -> Result<Arc<tokio::sync::Mutex<Session>>> {
        let found = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let path = self.folder.join(id.to_string());
        let missing = || RegistryError::new(Code::BlobUploadUnknown, format!("there is no upload {id}; begin again"));
        if let Some(found) = found {
            let mut session = found.lock().await;
            // The last part may have gone to another server that shares the folder.
            let is_as_left = match tokio::fs::metadata(&path).await {
                Ok(file) => file.len() == session.size,
                Err(_) if session.done => true,
                Err(_) => {
                    self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                    return Err(missing());
                }
            };
            if !is_as_left && !session.done {
                (session.hash, session.size) = hashed(path).await?;
            }
            drop(session);
            return Ok(found);
        }
        if !path.is_file() {
            return Err(missing());
        }
        let (hash, size) = hashed(path.clone()).await?;
        Ok(self.keep(id, Session { path, size, hash, done: false }))
    }

    /// How many bytes came so far.
    pub(crate) async fn size(&self, id: Uuid) -> Result<u64> {
        Ok(self.session(id).await?.lock().await.size)
    }

    /// Adds bytes at the end; `begins` is where the client thinks that is. Answers the size afterwards.
    pub(crate) async fn append<E: std::error::Error>(
        &self,
        id: Uuid,
        begins: Option<u64>,
        most: u64,
        mut bytes: impl Stream<Item = std::result::Result<Bytes, E>> + Unpin,
    ) -> Result<u64> {
        let session = self.session(id).await?;
        let mut session = session.lock().await;
        if session.done {
            return Err(RegistryError::new(Code::BlobUploadUnknown, format!("the upload {id} has ended")));
        }
        if let Some(begins) = begins.filter(|begins| *begins != session.size) {
            let message = format!("the chunk begins at {begins}; the upload has {} bytes", session.size);
            return Err(RegistryError::new(Code::RangeInvalid, message));
        }
        match session.append(most, &mut bytes).await {
            Ok(()) => Ok(session.size),
            Err(error) => {
                // The file may hold more than was counted; whoever goes on reads it again.
                session.done = true;
                self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                if error.code == Code::Full {
                    // It would keep the room that it lacks.
                    let _ = tokio::fs::remove_file(&session.path).await;
                    drain(&mut bytes).await;
                }
                Err(error)
            }
        }
    }

    /// The upload ends here, if it is what it should be; otherwise it is forgotten.
    pub(crate) async fn finish(&self, id: Uuid, expected: &Digest) -> Result<Finished> {
        let session = self.session(id).await?;
        let mut session = session.lock().await;
        let digest = Digest::from_hash(&session.hash.clone().finalize());
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        session.done = true;
        if digest != *expected {
            let _ = tokio::fs::remove_file(&session.path).await;
            let message = format!("what came is {digest}, not {expected}; send it again");
            return Err(RegistryError::new(Code::DigestInvalid, message));
        }
        Ok(Finished { path: session.path.clone(), digest, size: session.size })
    }

    pub(crate) async fn cancel(&self, id: Uuid) -> Result<()> {
        let session = self.session(id).await?;
        let mut session = session.lock().await;
        session.done = true;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        tokio::fs::remove_file(&session.path).await.map_err(|error| RegistryError::machine("ending an upload", &error))
    }
}

/// Hears a client out, or most do not hear the answer.
async fn drain<E>(bytes: &mut (impl Stream<Item = std::result::Result<Bytes, E>> + Unpin)) {
    const MOST: usize = 1 << 30;
    let mut heard = 0;
    while let Some(Ok(chunk)) = bytes.next().await {
        heard += chunk.len();
        if heard > MOST {
            return;
        }
    }
}

/// A file's hash, which can go on, and its size in bytes.
pub(crate) async fn hashed(path: PathBuf) -> Result<(Sha256, u64)> {
    let read = tokio::task::spawn_blocking(move || {
        let (mut file, mut hash, mut size) = (std::fs::File::open(&path)?, Sha256::new(), 0);
        let mut buffer = vec![0; 256 << 10];
        loop {
            match std::io::Read::read(&mut file, &mut buffer)? {
                0 => return Ok((hash, size)),
                read => {
                    hash.update(&buffer[..read]);
                    size += read as u64;
                }
            }
        }
    });
    let read = read.await.map_err(std::io::Error::other).and_then(|done: std::io::Result<_>| done);
    read.map_err(|error| RegistryError::machine("hashing a file", &error))
}
