//! The traits that the engine works through. Each is implemented by a crate beside the engine, and in memory
//! by the engine's own tests.

use crate::{
    Address, Attributes, BuildPlan, CollectedOutput, Contents, Descriptor, Kind, Location, LogChunk, Name, Result,
    Tree, Workload, WorkloadStatus,
};
use async_trait::async_trait;
use std::{path::Path, sync::Arc, time::Duration};

/// Contents of artifacts: code in git, trees in the content store.
#[async_trait]
pub trait ContentStore: Send + Sync {
    /// Makes `target` (which must not exist) the directory that the contents are, every byte verified against
    /// the digest. Nothing is left behind when it fails.
    async fn stage(&self, contents: &Contents, target: &Path) -> Result<()>;
    /// Stores a directory and answers its tree. Storing it again changes nothing.
    async fn store_tree(&self, directory: &Path) -> Result<Tree>;
    /// Stores only the list of files: the contents lie elsewhere.
    async fn store_listing(&self, directory: &Path) -> Result<Tree>;
    /// The tree of a digest that one of the two stored.
    async fn tree(&self, digest: &crate::Digest) -> Result<Tree>;
    /// Where the built-in store keeps a stored tree.
    fn location(&self, tree: &Tree) -> Location;
}

/// The files of a codeset, read straight from its commit.
pub trait CodesetFiles: Send + Sync {
    /// `(path, size in bytes, digest, executable)` of files matching the glob, sorted, at most 10,000, after a path.
    fn find(&self, glob: &str, after: Option<&str>) -> Result<Vec<FileEntry>>;
    fn read(&self, path: &str) -> Result<Vec<u8>>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    pub path: String,
    pub size_bytes: u64,
    /// `git:<blob id>` or `sha256:…`.
    pub digest: String,
    pub executable: bool,
}

/// Codesets as the engine needs them.
#[async_trait]
pub trait Codesets: Send + Sync {
    async fn files(&self, codeset: &Descriptor) -> Result<Arc<dyn CodesetFiles>>;
    /// Paths that differ between two commits of one repository.
    async fn changed_files(&self, from: &Descriptor, to: &Descriptor) -> Result<Vec<String>>;
}

/// Runs workloads on one engine (S115).
#[async_trait]
pub trait RuntimeAgent: Send + Sync {
    /// Stages the inputs and starts it. The same key twice is one workload.
    async fn submit(&self, workload: &Workload) -> Result<()>;
    async fn status(&self, key: &str) -> Result<WorkloadStatus>;
    /// The status once it has ended (or, for a service, is ready), or as it is after `limit`.
    async fn wait(&self, key: &str, limit: Duration) -> Result<WorkloadStatus>;
    /// Up to 64 KiB from byte `cursor` on.
    async fn logs(&self, key: &str, cursor: u64) -> Result<LogChunk>;
    /// The whole process tree is gone when this returns.
    async fn cancel(&self, key: &str) -> Result<()>;
    /// What a succeeded job left; an output that it did not leave is an error naming it.
    async fn outputs(&self, workload: &Workload) -> Result<Vec<CollectedOutput>>;
    /// `http://127.0.0.1:<port>` of a ready service.
    async fn endpoint(&self, key: &str) -> Result<String>;
    /// Removes what an ended workload left.
    async fn delete(&self, key: &str) -> Result<()>;
}

/// What a builder is asked about.
pub struct CodesetToBuild {
    pub address: Address,
    pub name: Name,
    pub files: Arc<dyn CodesetFiles>,
    pub changed_files: Vec<String>,
}

/// The result of the build before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousBuild {
    pub environment_digest: crate::Digest,
    pub runnables: Vec<(String, Address)>,
}

/// Turns a codeset into runnables.
#[async_trait]
pub trait Builder: Send + Sync {
    /// Confidence 0 to 100 and its reason.
    async fn detect(&self, codeset: &CodesetToBuild) -> Result<(u8, String)>;
    async fn plan(&self, codeset: &CodesetToBuild, previous: Option<&PreviousBuild>) -> Result<BuildPlan>;
}

/// An artifact as a store gave it back.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredArtifact {
    pub id: String,
    pub name: String,
    pub version: String,
    pub attributes: Attributes,
    pub metrics: std::collections::BTreeMap<String, f64>,
}

/// A new version for a store, whose contents the tool already reaches.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreDraft {
    pub descriptor: Descriptor,
    pub location: Location,
    pub key: String,
}

/// Adapts one tool that keeps artifacts (S79).
#[async_trait]
pub trait ArtifactStore: Send + Sync {
    async fn health(&self) -> Result<()>;
    async fn register(&self, draft: &StoreDraft) -> Result<StoredArtifact>;
    async fn get(&self, id: &str) -> Result<StoredArtifact>;
    /// Versions of this name, newest first.
    async fn search(&self, kind: Kind, name: Option<&str>) -> Result<Vec<StoredArtifact>>;
    /// Root location, and `(path, uri)` of each file where they are fetched one by one.
    async fn locate(&self, id: &str) -> Result<(Location, Vec<(String, String)>)>;
}

/// The installed extensions, as configured instances.
#[async_trait]
pub trait Extensions: Send + Sync {
    async fn builder(&self, instance: &Name) -> Result<Arc<dyn Builder>>;
    /// The instance's store for this kind, if it has one and is configured for it.
    async fn store(&self, instance: &Name, kind: Kind) -> Result<Option<Arc<dyn ArtifactStore>>>;
    async fn settings(&self, instance: &Name) -> Result<Attributes>;
}

/// Small durable state of one instance (`fuseml:state`).
#[async_trait]
pub trait InstanceState: Send + Sync {
    async fn get(&self, instance: &Name, key: &str) -> Result<Option<Vec<u8>>>;
    /// `None` deletes.
    async fn set(&self, instance: &Name, key: &str, value: Option<&[u8]>) -> Result<()>;
    /// False when the stored value is not `expected`.
    async fn compare_and_set(&self, instance: &Name, key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool>;
    /// Keys with the prefix, in order, after `after`.
    async fn list_keys(&self, instance: &Name, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>>;
}
