//! A real git client against repositories served over HTTP, as the server serves them.

use axum::{
    Router,
    body::Body,
    extract::{Path as UrlPath, Request, State},
    response::{IntoResponse, Response},
    routing::any,
    serve::ListenerExt as _,
};
use fuseml_contents::{GitRequest, Repositories, TreeStore};
use fuseml_domain::{
    Address, Attributes, Contents, Descriptor, Digest, ErrorKind, Kind, Location, Name, Origin, Series, Store, Tree,
    port::{PackIndex, PackedFile},
};
use futures::TryStreamExt as _;
use std::{
    collections::{BTreeSet, HashMap},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;

/// Where small files lie, in memory.
#[derive(Default)]
pub struct MemoryIndex(Mutex<HashMap<Digest, (Digest, PackedFile)>>);

#[async_trait::async_trait]
impl PackIndex for MemoryIndex {
    async fn find(&self, files: &[&Digest]) -> fuseml_domain::Result<HashMap<Digest, (Digest, PackedFile)>> {
        let places = self.0.lock().unwrap();
        Ok(files.iter().filter_map(|file| Some(((*file).clone(), places.get(*file)?.clone()))).collect())
    }
    async fn add(&self, pack: &Digest, files: &[PackedFile]) -> fuseml_domain::Result<()> {
        let mut places = self.0.lock().unwrap();
        for file in files {
            places.entry(file.digest.clone()).or_insert_with(|| (pack.clone(), file.clone()));
        }
        Ok(())
    }
    async fn forget(&self, file: &Digest) -> fuseml_domain::Result<()> {
        self.0.lock().unwrap().remove(file);
        Ok(())
    }
    async fn remove(&self, pack: &Digest) -> fuseml_domain::Result<()> {
        self.0.lock().unwrap().retain(|_, (there, _)| there != pack);
        Ok(())
    }
    async fn packs(&self) -> fuseml_domain::Result<Vec<Digest>> {
        let packs: BTreeSet<Digest> = self.0.lock().unwrap().values().map(|(pack, _)| pack.clone()).collect();
        Ok(packs.into_iter().collect())
    }
}

/// A store over a folder.
pub fn trees(folder: &Path) -> Arc<TreeStore> {
    let blobs = fuseml_registry::Store::on_disk(folder.to_owned()).unwrap();
    Arc::new(TreeStore::new(blobs, Arc::new(MemoryIndex::default()), folder.join("incoming")).unwrap())
}

/// Versions of a dataset.
pub fn series() -> Series {
    Series::new(&name("p"), Kind::Dataset, &name("wine"))
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A server with one repository, `p/app`, and a folder for clones.
pub struct World {
    pub folder: TempDir,
    pub repositories: Arc<Repositories>,
    pub url: String,
    /// Compressed requests so far.
    pub gzipped: Arc<AtomicUsize>,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Arc::new(Repositories::new(folder.path().join("git")).unwrap());
        repositories.create_if_missing(&name("p"), &name("app")).await.unwrap();
        let gzipped = Arc::new(AtomicUsize::new(0));
        let router = Router::new()
            .route("/git/{project}/{name}/{*service}", any(bridge))
            .with_state((repositories.clone(), gzipped.clone()));
        let url = format!("{}/git/p/app.git", listen(router).await);
        Self { folder, repositories, url, gzipped }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new work tree with these files committed, not yet pushed.
    pub async fn work_tree(&self, files: &[(&str, &str)]) -> Clone {
        let clone = Clone { path: self.path(&format!("work-{}", uuid::Uuid::now_v7())) };
        fs::create_dir(&clone.path).unwrap();
        clone.git(&["init", "--quiet", "--initial-branch=main"]).await;
        clone.git(&["remote", "add", "origin", &self.url]).await;
        clone.commit(files).await;
        clone
    }

    pub fn bare(&self) -> PathBuf {
        self.path("git/p/app.git")
    }

    pub async fn branches(&self) -> Vec<(String, String)> {
        self.repositories.branches(&name("p"), &name("app")).await.unwrap()
    }

    pub async fn retain(&self, commit: &str) {
        self.repositories.retain(&name("p"), &name("app"), commit).await.unwrap();
    }
}

/// Somebody's work tree.
pub struct Clone {
    pub path: PathBuf,
}

impl Clone {
    pub async fn git(&self, arguments: &[&str]) -> String {
        git(&self.path, arguments).await
    }

    /// Writes the files and commits everything; answers the commit.
    pub async fn commit(&self, files: &[(&str, &str)]) -> String {
        write(&self.path, files);
        self.git(&["add", "--all"]).await;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "a change"]).await;
        self.git(&["rev-parse", "HEAD"]).await
    }
}

pub fn write(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

pub fn make_executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs the client apart from the settings of whoever runs the tests.
pub async fn try_git(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("git");
    command
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("no_proxy", "*");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.com");
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

pub async fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = try_git(folder, arguments).await;
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Serves on a free port; answers `http://…`.
pub async fn listen(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Else the second half of a small answer waits 40 ms for the client's acknowledgement of the first.
    let listener = listener.tap_io(|socket| socket.set_nodelay(true).unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

async fn bridge(
    State((repositories, gzipped)): State<(Arc<Repositories>, Arc<AtomicUsize>)>,
    UrlPath((project, repository, service)): UrlPath<(String, String, String)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name: &str| Some(parts.headers.get(name)?.to_str().unwrap().to_owned());
    if header("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        gzipped.fetch_add(1, Ordering::Relaxed);
    }
    let request = GitRequest {
        project: name(&project),
        name: name(repository.trim_end_matches(".git")),
        service,
        method: parts.method.to_string(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        content_type: header("content-type"),
        content_encoding: header("content-encoding"),
        git_protocol: header("git-protocol"),
        body: Box::pin(body.into_data_stream().map_err(std::io::Error::other)),
    };
    match repositories.serve(request).await {
        Ok(answer) => {
            let mut response = Response::builder().status(answer.status);
            for (name, value) in answer.headers {
                response = response.header(name, value);
            }
            response.body(Body::from_stream(answer.body)).unwrap()
        }
        Err(error) if error.kind == ErrorKind::NotFound => {
            (axum::http::StatusCode::NOT_FOUND, error.message).into_response()
        }
        Err(error) => (axum::http::StatusCode::INTERNAL_SERVER_ERROR, error.message).into_response(),
    }
}

/// `code://p/app/<commit>`.
pub fn codeset(commit: &str) -> Descriptor {
    let (project, app, id) = (name("p"), name("app"), name(commit));
    Descriptor {
        address: Address::of_version(Kind::Codeset, &project, &app, &id),
        name: app,
        id,
        digest: None,
        created: jiff::Timestamp::UNIX_EPOCH,
        attributes: Attributes::new(),
        metrics: Default::default(),
        labels: Attributes::new(),
        tags: Vec::new(),
        location: Location::new("git", format!("p/app#{commit}")),
        store: Store::BuiltIn,
        runnable: None,
        origin: Origin::Push { reference: "main".to_owned(), subject: String::new() },
    }
}

pub fn at(scheme: &str, uri: impl Into<String>) -> Contents {
    Contents { location: Location::new(scheme, uri), tree: None, files: Vec::new() }
}

pub fn stored(tree: &Tree) -> Contents {
    at("contents", tree.digest().to_string())
}

/// Every file, link and folder below, with what it holds: what two folders are compared by.
pub fn contents_of(folder: &Path) -> Vec<String> {
    fn look(folder: &Path, prefix: &Path, lines: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, shown) = (entry.path(), prefix.join(entry.file_name()));
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                lines.push(format!("{shown:?}/"));
                look(&path, &shown, lines);
            } else if metadata.is_symlink() {
                lines.push(format!("{shown:?} -> {:?}", fs::read_link(path).unwrap()));
            } else {
                let executable = if metadata.permissions().mode() & 0o100 == 0 { "" } else { "*" };
                lines.push(format!("{shown:?}{executable} = {:?}", String::from_utf8_lossy(&fs::read(path).unwrap())));
            }
        }
    }
    let mut lines = Vec::new();
    look(folder, Path::new(""), &mut lines);
    lines.sort();
    lines
}
