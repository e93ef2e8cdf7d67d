//! What the registry keeps, as keys of an object store.
//!
//! | key | holds |
//! |---|---|
//! | `blobs/sha256/<2 digits>/<digest>` | the bytes |
//! | `repositories/<name>/_blobs/<digest>` | nothing: the repository has that blob |
//! | `repositories/<name>/_manifests/<digest>` | the manifest's media type |
//! | `repositories/<name>/_tags/<tag>` | the digest it points at |
//! | `repositories/<name>/_referrers/<subject>/<digest>` | the referrer's descriptor |

mod manifests;

use crate::{
    Code, RegistryError, Repository,
    collect::Relied,
    error::Result,
    upload::{Finished, Uploads, hashed},
};
use bytes::Bytes;
use fuseml_domain::{Digest, Error};
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart, local::LocalFileSystem,
    path::Path as Key,
};
use oci_spec::image::Descriptor;
use sha2::Digest as _;
use std::{ops::Range, path::PathBuf, sync::Arc};

/// Bytes read at one time.
const CHUNK: usize = 256 << 10;

/// A registry's contents.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// Where the objects are files: finished uploads then become blobs by renaming.
    disk: Option<PathBuf>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) relied: Relied,
}

/// A manifest's bytes and what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Bytes,
}

/// Something that says of itself that it is about a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    pub descriptor: Descriptor,
}

/// A blob on its way.
pub type Stream = BoxStream<'static, std::io::Result<Bytes>>;

impl Store {
    /// In a folder of this machine.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn on_disk(folder: PathBuf) -> fuseml_domain::Result<Self> {
        let io = |error: std::io::Error| Error::io(folder.display(), &error);
        std::fs::create_dir_all(&folder).map_err(io)?;
        let uploads = Uploads::new(folder.join("uploads"))?;
        let objects = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| Error::internal("registry", error.to_string()))?
            .with_fsync(true);
        Ok(Self {
            objects: Arc::new(objects),
            disk: Some(folder),
            uploads: Arc::new(uploads),
            relied: Relied::default(),
        })
    }

    /// In an object store such as `s3://bucket/prefix`, with its options as `object_store` names them
    /// (`aws_endpoint`, `aws_access_key_id`, …). Uploads gather in a folder of this machine.
    ///
    /// # Errors
    /// `invalid` for an address that is not understood.
    pub fn at(address: &str, options: Vec<(String, String)>, uploads: PathBuf) -> fuseml_domain::Result<Self> {
        let invalid = |why: String| Error::invalid("object-store", format!("{address}: {why}"));
        let url = url::Url::parse(address).map_err(|error| invalid(error.to_string()))?;
        let (objects, prefix) =
            object_store::parse_url_opts(&url, options).map_err(|error| invalid(error.to_string()))?;
        let objects = object_store::prefix::PrefixStore::new(objects, prefix);
        let uploads = Arc::new(Uploads::new(uploads)?);
        Ok(Self { objects: Arc::new(objects), disk: None, uploads, relied: Relied::default() })
    }

    /// In an object store, whose login and options come from the `AWS_…` variables of the environment.
    ///
    /// # Errors
    /// `invalid` for an address that is not understood.
    pub fn at_as_environment_says(address: &str, uploads: PathBuf) -> fuseml_domain::Result<Self> {
        let options = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
        Self::at(address, options.map(|(name, value)| (name.to_lowercase(), value)).collect(), uploads)
    }

    /// The file that a blob is, where that is a disk; it need not be there.
    pub fn file_of(&self, digest: &Digest) -> Option<PathBuf> {
        self.disk.as_ref().map(|disk| disk.join(Self::blob_key(digest).as_ref()))
    }

    fn blob_key(digest: &Digest) -> Key {
        Key::from(format!("blobs/sha256/{}/{}", &digest.hex()[..2], digest.hex()))
    }

    pub(crate) fn key(repository: &Repository, folder: &str, name: &str) -> Key {
        Key::from(format!("repositories/{repository}/_{folder}/{name}"))
    }

    async fn has(&self, key: &Key) -> Result<bool> {
        match self.objects.head(key).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(RegistryError::machine("looking something up", &error)),
        }
    }

    async fn text(&self, key: &Key) -> Result<Option<String>> {
        let bytes = match self.objects.get(key).await {
            Ok(found) => found.bytes().await.map_err(|error| RegistryError::machine("reading", &error))?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(RegistryError::machine("reading", &error)),
        };
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn put(&self, key: &Key, bytes: impl Into<PutPayload>) -> Result<()> {
        self.objects.put(key, bytes.into()).await.map_err(|error| RegistryError::machine("writing", &error))?;
        Ok(())
    }

    /// The size in bytes of a blob that the repository has.
    ///
    /// # Errors
    /// `BlobUnknown`.
    pub async fn blob_size(&self, repository: &Repository, digest: &Digest) -> Result<u64> {
        let unknown = || RegistryError::new(Code::BlobUnknown, format!("{repository} has no blob {digest}"));
        if !self.has(&Self::key(repository, "blobs", digest.hex())).await? {
            return Err(unknown());
        }
        match self.objects.head(&Self::blob_key(digest)).await {
            Ok(found) => Ok(found.size),
            Err(object_store::Error::NotFound { .. }) => Err(unknown()),
            Err(error) => Err(RegistryError::machine("looking a blob up", &error)),
        }
    }

    /// The size in bytes of a blob that any repository has.
    ///
    /// # Errors
    /// When nobody can tell.
    pub async fn size_anywhere(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.objects.head(&Self::blob_key(digest)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(RegistryError::machine("looking a blob up", &error)),
        }
    }

    /// The repository has a blob, if it is there: from here on it is not collected for as long as new ones are not.
    /// Answers its size in bytes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn hold(&self, repository: &Repository, digest: &Digest) -> Result<Option<u64>> {
        if self.size_anywhere(digest).await?.is_none() {
            return Ok(None);
        }
        // Written anew, the note is young: a collection that begins later sees that, an earlier one is told.
        self.link(repository, digest).await?;
        self.relied.on(digest).await;
        self.size_anywhere(digest).await
    }

    /// The bytes of a blob, whoever has it.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn read_blob(&self, digest: &Digest, range: Range<u64>) -> Result<Stream> {
        let key = Self::blob_key(digest);
        if let Some(disk) = &self.disk {
            return read_file(disk.join(key.as_ref()), range).await;
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found =
            self.objects.get_opts(&key, options).await.map_err(|error| RegistryError::machine("reading", &error))?;
        Ok(found.into_stream().map_err(std::io::Error::other).boxed())
    }

    /// The whole blob in memory: for small ones.
    ///
    /// # Errors
    /// `BlobUnknown`, or `SizeInvalid` when it is larger than `most` bytes.
    pub async fn blob(&self, repository: &Repository, digest: &Digest, most: u64) -> Result<Bytes> {
        let size = self.blob_size(repository, digest).await?;
        if size > most {
            return Err(RegistryError::new(Code::SizeInvalid, format!("{digest} has {size} bytes")));
        }
        let chunks: Vec<Bytes> = self
            .read_blob(digest, 0..size)
            .await?
            .try_collect()
            .await
            .map_err(|error| RegistryError::machine("reading", &error))?;
        Ok(chunks.concat().into())
    }

    /// Copies a repository's blob into a file.
    ///
    /// # Errors
    /// `BlobUnknown`.
    pub async fn save_blob(&self, repository: &Repository, digest: &Digest, path: &std::path::Path) -> Result<()> {
        let size = self.blob_size(repository, digest).await?;
        if let Some(disk) = &self.disk {
            let from = disk.join(Self::blob_key(digest).as_ref());
            if tokio::fs::hard_link(&from, path).await.is_ok() {
                return Ok(());
            }
        }
        let mut stream = tokio_util::io::StreamReader::new(self.read_blob(digest, 0..size).await?);
        let write = async {
            let mut file = tokio::fs::File::create(path).await?;
            tokio::io::copy(&mut stream, &mut file).await?;
            tokio::io::AsyncWriteExt::flush(&mut file).await
        };
        write.await.map_err(|error| RegistryError::machine("copying a blob", &error))
    }

    /// Keeps bytes as a blob of the repository.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn put_blob(&self, repository: &Repository, bytes: Bytes) -> Result<Digest> {
        let digest = Digest::of(&bytes);
        let _push = self.relied.push().await;
        self.relied.on(&digest).await;
        self.put(&Self::blob_key(&digest), bytes).await?;
        self.link(repository, &digest).await?;
        Ok(digest)
    }

    /// Takes a file whose digest and size in bytes are known over as a blob of the repository; it is gone afterwards.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub async fn take_known(&self, repository: &Repository, path: PathBuf, digest: Digest, size: u64) -> Result<()> {
        self.adopt(repository, Finished { path, digest, size }).await
    }

    /// Takes a file over as a blob of the repository; it is gone afterwards.
    ///
    /// # Errors
    /// When it cannot be read or kept.
    pub async fn take_file(&self, repository: &Repository, path: &std::path::Path) -> Result<Digest> {
        let path = path.to_owned();
        let (hash, size) = hashed(path.clone()).await?;
        let digest = Digest::from_hash(&hash.finalize());
        self.adopt(repository, Finished { path, digest: digest.clone(), size }).await?;
        Ok(digest)
    }

    async fn link(&self, repository: &Repository, digest: &Digest) -> Result<()> {
        self.put(&Self::key(repository, "blobs", digest.hex()), Bytes::new()).await
    }

    /// A blob that another repository has becomes this one's too; false when that one does not have it.
    pub(crate) async fn mount(&self, from: &Repository, to: &Repository, digest: &Digest) -> Result<bool> {
        let _push = self.relied.push().await;
        self.relied.on(digest).await;
        match self.blob_size(from, digest).await {
            Ok(_) => self.link(to, digest).await.map(|()| true),
            Err(error) if error.code == Code::BlobUnknown => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A finished upload becomes a blob. Its file is gone afterwards.
    pub(crate) async fn adopt(&self, repository: &Repository, upload: Finished) -> Result<()> {
        let key = Self::blob_key(&upload.digest);
        let _push = self.relied.push().await;
        self.relied.on(&upload.digest).await;
        match &self.disk {
            Some(disk) => move_file(upload.path, disk.join(key.as_ref())).await?,
            None => {
                let failed = |error: object_store::Error| RegistryError::machine("writing a blob", &error);
                let file = read_file(upload.path.clone(), 0..upload.size).await?;
                let mut target = WriteMultipart::new(self.objects.put_multipart(&key).await.map_err(failed)?);
                let mut chunks = file;
                while let Some(chunk) = chunks.next().await {
                    let chunk = chunk.map_err(|error| RegistryError::machine("reading an upload", &error))?;
                    target.wait_for_capacity(4).await.map_err(failed)?;
                    target.put(chunk);
                }
                target.finish().await.map_err(failed)?;
                let _ = tokio::fs::remove_file(&upload.path).await;
            }
        }
        self.link(repository, &upload.digest).await
    }

    /// The repository forgets a blob.
    pub(crate) async fn unlink(&self, repository: &Repository, digest: &Digest) -> Result<()> {
        self.blob_size(repository, digest).await?;
        self.delete(&Self::key(repository, "blobs", digest.hex())).await
    }

    pub(crate) async fn delete(&self, key: &Key) -> Result<()> {
        match self.objects.delete(key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(RegistryError::machine("deleting", &error)),
        }
    }

    pub(crate) fn folder(repository: &Repository, folder: &str) -> Key {
        Key::from(format!("repositories/{repository}/_{folder}"))
    }

    pub(crate) async fn names(&self, folder: &Key) -> Result<Vec<String>> {
        let listed = self.objects.list(Some(folder)).map_ok(|found| found.location);
        let listed: Vec<Key> = listed.try_collect().await.map_err(|error| RegistryError::machine("listing", &error))?;
        Ok(listed.iter().filter_map(|key| key.filename().map(ToOwned::to_owned)).collect())
    }
}

async fn read_file(path: PathBuf, range: Range<u64>) -> Result<Stream> {
    let open = async {
        let mut file = tokio::fs::File::open(path).await?;
        tokio::io::AsyncSeekExt::seek(&mut file, std::io::SeekFrom::Start(range.start)).await?;
        Ok::<_, std::io::Error>(file)
    };
    let file = open.await.map_err(|error| RegistryError::machine("opening a blob", &error))?;
    let part = tokio::io::AsyncReadExt::take(file, range.end - range.start);
    Ok(tokio_util::io::ReaderStream::with_capacity(part, CHUNK).boxed())
}

/// The file is there under its new name once this answers, also after a power cut.
async fn move_file(from: PathBuf, to: PathBuf) -> Result<()> {
    let work = move || {
        let folder = to.parent().map_or_else(PathBuf::new, ToOwned::to_owned);
        std::fs::create_dir_all(&folder)?;
        std::fs::File::open(&from)?.sync_all()?;
        std::fs::rename(&from, &to)?;
        std::fs::File::open(folder)?.sync_all()
    };
    let moved = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other).and_then(|done| done);
    moved.map_err(|error| RegistryError::machine("keeping a blob", &error))
}
