//! The traits that the engine works through. Each is implemented by a crate beside the engine, and in memory
//! by the engine's own tests.

pub use crate::artifact_event::{ArtifactEvent, Unmarked};
use crate::{
    Address, Attributes, BuildPlan, CollectedOutput, Contents, Descriptor, EngineInfo, EngineLog, EngineStatus,
    EngineWorkload, Error, InstanceChoice, Kind, Location, LogChunk, Name, Result, SecretText, Series, StepResult,
    StoreAbilities, StoreBatch, StoreChange, StoreCollected, StoreInfo, StorePage, StoreQuery, StoredArtifact, Tree,
    Unstarted, Workload, WorkloadStatus,
};
use async_trait::async_trait;
use std::{path::Path, sync::Arc, time::Duration};

/// Contents of artifacts: code in git, trees in the content store.
#[async_trait]
pub trait ContentStore: Send + Sync {
    /// Makes `target` (which must not exist) the directory that the contents are, every byte verified against
    /// the digest. Nothing is left behind when it fails.
    async fn stage(&self, contents: &Contents, target: &Path) -> Result<()>;
    /// A new folder, which goes with the answer.
    fn scratch(&self) -> Result<Box<dyn AsRef<Path> + Send + Sync>>;
    /// A registry's clients find the artifact by this tag of its series, too.
    async fn point(&self, descriptor: &Descriptor, tag: &Name) -> Result<()>;
    /// Stores a directory and answers its tree. Storing it again changes nothing.
    async fn store_tree(&self, series: &Series, directory: &Path) -> Result<Tree>;
    /// Stores only the list of files: the contents lie elsewhere.
    async fn store_listing(&self, series: &Series, directory: &Path) -> Result<Tree>;
    /// What the files of a directory that `tree` lists say of themselves: format, framework, schema and the like.
    async fn describe(&self, kind: Kind, directory: &Path, tree: &Tree) -> Attributes;
    /// A stored tree is an artifact's from here on: it is kept until that is deleted, and registries' clients find it.
    /// `is_newest` says whether it is what they get who name no version.
    async fn publish(&self, descriptor: &Descriptor, tree: &Tree, is_newest: bool) -> Result<()>;
    /// An artifact that was published without that is what they get from here on.
    async fn make_newest(&self, descriptor: &Descriptor) -> Result<()>;
    /// Reads all files of contents that nobody listed before, and stores the list; what they say of themselves too.
    async fn record(&self, series: &Series, contents: &Contents) -> Result<(Tree, Attributes)>;
    /// Files of a stored tree that are not as they were stored. Trees of up to 64 MiB are read; of larger ones it is looked
    /// whether the bytes are there in their length.
    async fn damaged(&self, tree: &Tree) -> Result<Vec<String>>;
    /// The tree of a digest that one of these stored.
    async fn tree(&self, digest: &crate::Digest) -> Result<Tree>;
    /// An image of this server, in the repository of this series of runnables from here on.
    ///
    /// # Errors
    /// `not-found` when it is not there.
    async fn keep_image(&self, series: &Series, image: &crate::Image) -> Result<crate::Image>;
    /// Where the built-in store keeps a stored tree.
    fn location(&self, tree: &Tree) -> Location;
}

/// Where a small file lies that is kept together with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedFile {
    pub digest: crate::Digest,
    /// Of the first byte in the pack, in bytes.
    pub offset: u64,
    pub size_bytes: u64,
}

/// Which small file lies in which pack of the content store, and where.
#[async_trait]
pub trait PackIndex: Send + Sync {
    /// The pack and the place of each file that is in one.
    async fn find(
        &self,
        files: &[&crate::Digest],
    ) -> Result<std::collections::HashMap<crate::Digest, (crate::Digest, PackedFile)>>;
    /// Whoever is in a pack already stays there.
    async fn add(&self, pack: &crate::Digest, files: &[PackedFile]) -> Result<()>;
    /// The file is in no pack, whatever was said before.
    async fn forget(&self, file: &crate::Digest) -> Result<()>;
    /// The pack is gone.
    async fn remove(&self, pack: &crate::Digest) -> Result<()>;
    /// All packs.
    async fn packs(&self) -> Result<Vec<crate::Digest>>;
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
    /// Keys of all workloads that have not ended.
    async fn running(&self) -> Result<Vec<String>>;
    /// Removes what nobody needs of an ended workload: everything but what it said and how it ended. One that has not ended
    /// stays as it is, and the answer is false; of one that is not known nothing is left.
    async fn tidy(&self, key: &str) -> Result<bool>;
    /// Removes what an ended workload left.
    async fn delete(&self, key: &str) -> Result<()>;
    /// What the jobs share that it runs on its own machine; `None` for who does not care.
    fn machine(&self) -> Option<crate::Machine> {
        None
    }
}

/// Gets what a program prints, as it comes.
pub type Print = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Runs programs that are components, each run in a sandbox of its own.
#[async_trait]
pub trait CommandRunner: Send + Sync {
    /// Runs one to its end and answers its exit code. Whoever drops the future stops the program.
    async fn run(&self, command: &crate::Command, print: Print) -> Result<i32>;
}

/// The bytes of components that runnables are.
#[async_trait]
pub trait ComponentSource: Send + Sync {
    async fn component(&self, digest: &crate::Digest) -> Result<Vec<u8>>;
}

/// Runs workloads on an engine that stages contents by itself (S115); ids are the engine's own.
#[async_trait]
pub trait EngineAgent: Send + Sync {
    async fn describe(&self) -> Result<EngineInfo>;
    async fn health(&self) -> Result<()>;
    /// Complaints that make the workload impossible there; empty when it can run.
    async fn check(&self, workload: &EngineWorkload) -> Result<Vec<String>>;
    /// Answers the id. The same key twice is one workload.
    async fn submit(&self, workload: &EngineWorkload) -> Result<String>;
    async fn status(&self, id: &str) -> Result<EngineStatus>;
    /// Lines after a cursor of an answer before.
    async fn logs(&self, id: &str, cursor: Option<&str>) -> Result<EngineLog>;
    async fn cancel(&self, id: &str) -> Result<()>;
    /// Removes what an ended workload left in the engine.
    async fn delete(&self, id: &str) -> Result<()>;
}

/// The engines that extensions bring.
#[async_trait]
pub trait Engines: Send + Sync {
    /// The agent of an instance.
    ///
    /// # Errors
    /// `not-found` for one that has none.
    async fn engine(&self, instance: &Name) -> Result<Arc<dyn EngineAgent>>;
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
    async fn describe(&self) -> Result<StoreInfo>;
    async fn health(&self) -> Result<()>;
    async fn register(&self, draft: &StoreDraft) -> Result<StoredArtifact>;
    async fn get(&self, id: &str) -> Result<StoredArtifact>;
    /// One page, at most `limit` long.
    async fn search(&self, query: &StoreQuery, cursor: Option<&str>, limit: u32) -> Result<StorePage>;
    /// Changes labels and tags, and nothing else.
    async fn update(&self, id: &str, change: &StoreChange) -> Result<StoredArtifact>;
    /// One that is gone already is no error.
    async fn delete(&self, id: &str) -> Result<()>;
    /// Root location, and `(path, uri)` of each file where they are fetched one by one.
    async fn locate(&self, id: &str) -> Result<(Location, Vec<(String, String)>)>;
    /// What it can do beyond that.
    fn abilities(&self) -> StoreAbilities {
        StoreAbilities::default()
    }
    /// What happened since a cursor of an answer before; since the beginning without one.
    async fn changes(&self, _cursor: Option<&str>) -> Result<StoreBatch> {
        Err(unable("feed", "does not say what happens in its tool"))
    }
    /// The tool's own page of a version.
    async fn page_of(&self, _id: &str) -> Result<String> {
        Err(unable("redirect", "knows no pages of its tool"))
    }
    /// Removes contents that nothing refers to, a portion of them; a dry run only counts.
    async fn collect_garbage(&self, _cursor: Option<&str>, _dry_run: bool) -> Result<StoreCollected> {
        Err(unable("maintenance", "removes nothing by itself"))
    }
}

fn unable(ability: &str, why: &str) -> Error {
    Error::unsupported(ability, format!("this store {why}"))
}

/// The installed extensions, as configured instances.
#[async_trait]
pub trait Extensions: Send + Sync {
    async fn builder(&self, instance: &Name) -> Result<Arc<dyn Builder>>;
    /// The instance's store for this kind, if it has one and is configured for it.
    async fn store(&self, instance: &Name, kind: Kind) -> Result<Option<Arc<dyn ArtifactStore>>>;
    async fn settings(&self, instance: &Name) -> Result<Attributes>;
    /// The instance that a template's choice means in this project now.
    async fn choose(&self, project: &Name, choice: &InstanceChoice) -> Result<Name>;
    /// The same among those that have an engine.
    async fn choose_agent(&self, project: &Name, choice: &InstanceChoice) -> Result<Name>;
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

/// The secrets of instances, opened only for the call that uses them.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// `None` when the instance was given no such secret.
    async fn secret(&self, instance: &Name, name: &str) -> Result<Option<SecretText>>;
}

/// What was registered, for extensions that follow it.
#[async_trait]
pub trait ArtifactEvents: Send + Sync {
    /// Events after a sequence number, oldest first: of one project or of all.
    async fn since(&self, project: Option<&Name>, after: u64, limit: u32) -> Result<Vec<ArtifactEvent>>;
}

/// Outside services that an admin registered.
#[async_trait]
pub trait Endpoints: Send + Sync {
    /// Sends something once and answers what came back. One that could not be reached, or is busy, is `unavailable`; one
    /// that refuses is `denied` or `invalid`.
    async fn call(&self, project: &Name, call: &crate::OutgoingCall, timeout: Duration) -> Result<crate::CallAnswer>;
    /// Puts what lies below an endpoint's address into a folder, as one file that is called as there.
    async fn fetch(
        &self,
        project: &Name,
        endpoint: &Name,
        path: Option<&str>,
        folder: &Path,
        timeout: Duration,
    ) -> Result<()>;
}

/// How an artifact took part in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Used,
    Made,
    /// It was there already, made by an earlier step of the same work.
    Reused,
}

/// One edge of lineage.
#[derive(Debug, Clone, PartialEq)]
pub struct Participation {
    pub step: Name,
    pub slot: String,
    pub role: Role,
    pub artifact: Address,
}

/// The last build of a codeset: what the next plan is compared with.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Build {
    pub codeset: Address,
    pub environment_digest: crate::Digest,
    /// The image that the environment is, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<crate::Image>,
    pub runnables: Vec<(String, Address)>,
}

/// A predictor kept running behind one URL, and the model that it answers for now.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Service {
    pub project: Name,
    pub pipeline: Name,
    pub name: Name,
    /// The run whose step brought the present workload.
    pub run: u64,
    pub model: Address,
    pub runnable: Address,
    pub predict_path: String,
    pub workload: Workload,
    pub updated: jiff::Timestamp,
}

/// One transition of a run with all that it brings: saved whole or not at all.
#[derive(Debug, Clone)]
pub struct Change {
    pub run: crate::Run,
    /// Positions of the steps that it changed.
    pub changed: Vec<usize>,
    pub artifacts: Vec<Descriptor>,
    pub lineage: Vec<Participation>,
    pub build: Option<Build>,
    pub service: Option<Service>,
    /// Its artifacts are of a sweep or a converter: they start nothing, and are nobody's newest, until they are chosen.
    pub held: bool,
    /// Such artifacts that are chosen now.
    pub released: Vec<Address>,
    /// For jobs that would do the same.
    pub result: Option<StepResult>,
    /// Labels and tags of artifacts, after they are there.
    pub marks: Vec<Mark>,
}

/// Labels and tags that an artifact gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    pub artifact: Descriptor,
    pub labels: Vec<(String, Option<String>)>,
    pub tags: Vec<Name>,
    /// Who gives them.
    pub by: String,
}

impl Change {
    /// From one state of a run to the next.
    pub fn of(before: &crate::Run, run: crate::Run) -> Self {
        Self {
            changed: run.changed_since(before),
            run,
            artifacts: Vec::new(),
            held: false,
            released: Vec::new(),
            lineage: Vec::new(),
            build: None,
            service: None,
            result: None,
            marks: Vec::new(),
        }
    }
}

/// What came of a start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Started {
    pub runs: Vec<crate::Run>,
    /// Earlier runs that are cancelled for them.
    pub replaced: Vec<crate::Run>,
}

/// The servers that share one catalog. Each drives the runs that it holds; whoever's lease is over holds none.
#[async_trait]
pub trait Replicas: Send + Sync {
    /// Renews this server's lease; answers how many others have one.
    async fn renew(&self) -> Result<usize>;
    /// Takes open runs that no living server holds: this server's share of them.
    async fn take_over(&self) -> Result<Vec<crate::Run>>;
    /// Whether this server holds the run, or does from now on because no living one did.
    async fn claim(&self, run: uuid::Uuid) -> Result<bool>;
    /// Id and revision of each open run that this server holds.
    async fn held(&self) -> Result<Vec<(uuid::Uuid, u64)>>;
    /// Project and pipeline of each first open run that is queued and that this server holds: who should have let it begin
    /// died, or could not.
    async fn stuck(&self) -> Result<Vec<(Name, Name)>>;
    /// Tells the others, if there are any.
    async fn tell(&self, signal: crate::Signal);
    /// What another told next.
    async fn heard(&self) -> crate::Signal;
}

/// Descriptors, pipelines and runs: durable, each method one transaction.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Registered artifacts whose consequences are not worked out yet, oldest first.
    async fn pending_events(&self, limit: u32) -> Result<Vec<ArtifactEvent>>;
    /// Saves the runs that an event starts, numbers them, and settles the event; a settled event starts nothing.
    /// `unstarted` says why other pipelines do not start. One that was touched meanwhile stays pending.
    async fn settle(&self, event: &ArtifactEvent, runs: Vec<crate::Run>, unstarted: Vec<Unstarted>) -> Result<Started>;
    /// Events from outside whose consequences are not worked out yet, oldest first.
    async fn pending_received(&self, limit: u32) -> Result<Vec<crate::ReceivedEvent>>;
    /// As [`Catalog::settle`] for an event from outside.
    async fn settle_received(&self, event: i64, runs: Vec<crate::Run>, unstarted: Vec<Unstarted>) -> Result<Started>;
    /// Events of a project that came at this time or later, after a sequence number, oldest first.
    async fn received_since(
        &self,
        project: &Name,
        since: jiff::Timestamp,
        after: i64,
        limit: u32,
    ) -> Result<Vec<crate::ReceivedEvent>>;
    /// Saves a run that a person started; `conflict` when it may not begin now.
    async fn start(&self, run: crate::Run) -> Result<Started>;
    /// The same for a pipeline's schedule, unless it was done for that time.
    async fn start_scheduled(&self, run: crate::Run, due: jiff::Timestamp) -> Result<Started>;
    /// Notes that a time of the schedule is over although nothing started.
    async fn pass_schedule(&self, project: &Name, pipeline: &Name, due: jiff::Timestamp) -> Result<()>;
    /// Pipelines with a schedule, and up to which time that is worked through.
    async fn scheduled(&self) -> Result<Vec<(crate::Pipeline, jiff::Timestamp)>>;
    /// Lets the first open run of a pipeline begin if it is queued.
    async fn begin_next(&self, project: &Name, pipeline: &Name) -> Result<Option<crate::Run>>;
    /// The codeset of that name that the pipeline's newest run had for this input.
    async fn last_input(&self, project: &Name, pipeline: &Name, input: &Name, name: &Name) -> Result<Option<Address>>;
    async fn run(&self, id: uuid::Uuid) -> Result<crate::Run>;
    async fn open_runs(&self) -> Result<Vec<crate::Run>>;
    /// Runs of this server, and of those that are dead, that ended and may have left something with their agents: those after
    /// one of them, the oldest first.
    async fn left_behind(&self, after: Option<uuid::Uuid>, limit: u32) -> Result<Vec<crate::Run>>;
    /// Nothing is left of these runs as of their revisions; one that went on since may leave something again.
    async fn nothing_left(&self, runs: &[(uuid::Uuid, u64)]) -> Result<()>;
    /// The first open run of a pipeline.
    async fn first_open_run(&self, project: &Name, pipeline: &Name) -> Result<Option<crate::Run>>;
    /// Carries out what a person tells a run.
    async fn command(
        &self,
        id: uuid::Uuid,
        command: crate::RunCommand,
        by: &str,
        reason: Option<String>,
    ) -> Result<crate::Run>;
    /// What a job of this identity made last.
    async fn result(&self, project: &Name, identity: &crate::Digest) -> Result<Option<StepResult>>;
    /// What this step of a pipeline made last, whatever of, newest first.
    async fn results(&self, project: &Name, pipeline: &Name, step: &Name, limit: u32) -> Result<Vec<StepResult>>;
    /// Saves transitions of one run that follow each other, all or none; `conflict` when the stored run is not the one that
    /// the first was made from (`stale-run`), or another server holds it by now (`lease-lost`).
    async fn save(&self, changes: &[&Change]) -> Result<()>;
    /// # Errors
    /// `not-found` for a project that is not there.
    async fn has_project(&self, project: &Name) -> Result<()>;
    async fn pipelines(&self, project: &Name) -> Result<Vec<crate::Pipeline>>;
    /// The version an address means; its message says what was looked for.
    async fn artifact(&self, address: &Address) -> Result<Descriptor>;
    /// The newest of the project's artifacts that the selector matches.
    async fn newest(&self, project: &Name, selector: &crate::Selector) -> Result<Option<Descriptor>>;
    async fn runnable(&self, address: &Address) -> Result<crate::Runnable>;
    /// Notes what the files of an artifact are that was found in a tool; who was earlier counts.
    async fn record(&self, address: &Address, digest: &crate::Digest, attributes: &Attributes) -> Result<Descriptor>;
    /// The newest version of each runnable of this kind in the project, newest first.
    async fn runnables(&self, project: &Name, kind: &str) -> Result<Vec<Descriptor>>;
    async fn last_build(&self, project: &Name, codeset: &Name) -> Result<Option<Build>>;
    async fn service(&self, project: &Name, pipeline: &Name, name: &Name) -> Result<Option<Service>>;
    async fn services(&self) -> Result<Vec<Service>>;
    /// Replaces the workload of a service that has to be started again; false where it has another than this key's already.
    async fn restart_service(&self, service: &Service, ended: &str) -> Result<bool>;
}
