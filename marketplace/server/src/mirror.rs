//! A mirror: another marketplace's packages and metadata, kept from the first time that somebody asks for them.
//!
//! Nothing is signed here and nothing here has to be trusted: clients verify under the origin's root key, so they add
//! a mirror by its own address with that key's id. What is named by its digest or its version never changes and is
//! asked of the origin once. Everything else is asked anew, and answered from what is kept while the origin is silent;
//! clients refuse metadata that is older than its signature allows.

mod metadata_file;

use crate::limit::Limits;
use async_trait::async_trait;
use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use fuseml_domain::{Digest, Error, ErrorKind, Name, Result};
use fuseml_marketplace::Remote;
use fuseml_registry::{Access, Action, Refusal, Repository, Store};
use fuseml_rest::{Answer, Path, Problem};
use metadata_file::{MetadataFile, check_version, named};
use oci_spec::image::ImageIndex;
use semver::Version;
use serde_json::Value;
use std::{
    collections::HashMap,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::net::TcpListener;
use url::Url;

/// How long the origin may take with a document.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// After it did not answer it is left alone for so long.
const LEFT_ALONE: Duration = Duration::from_secs(10);
/// Largest document that is kept, in bytes: a large namespace's metadata.
const MOST_DOCUMENT: usize = 64 << 20;
/// The code of the error that the origin did not answer at all.
const SILENT: &str = "origin-silent";
/// Says that the origin did not answer, and that this is what it said before.
const KEPT: HeaderName = HeaderName::from_static("fuseml-kept");

/// What an operator of a mirror chooses.
#[derive(Debug, Clone)]
pub struct MirrorConfig {
    /// The origin: a marketplace, or another mirror.
    pub of: Url,
    pub data: PathBuf,
    pub listen: SocketAddr,
    pub requests_per_second: u32,
    pub proxies: Vec<IpAddr>,
}

/// A mirror that has its port.
pub struct MirrorServer {
    mirror: Arc<Mirror>,
    listener: TcpListener,
    limits: Limits,
    url: String,
}

#[derive(Debug)]
struct Mirror {
    origin: Url,
    store: Store,
    documents: PathBuf,
    staging: PathBuf,
    http: reqwest::Client,
    silent_since: Mutex<Option<Instant>>,
    /// What is fetched now: who else wants it waits.
    fetching: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl MirrorServer {
    /// # Errors
    /// When the address is taken or the data folder cannot be used.
    pub async fn start(config: MirrorConfig) -> Result<Self> {
        let MirrorConfig { of: origin, data, listen, requests_per_second, proxies } = config;
        let (documents, staging) = (data.join("documents"), data.join("staging"));
        // What was under way when the mirror was stopped is fetched again.
        let _ = std::fs::remove_dir_all(&staging);
        for folder in [&documents, &staging] {
            std::fs::create_dir_all(folder).map_err(|error| Error::io(folder.display(), &error))?;
        }
        let http = reqwest::Client::builder()
            .timeout(ANSWER_WITHIN)
            .build()
            .map_err(|error| Error::internal("client", error.to_string()))?;
        let store = Store::on_disk(data.join("registry"))?;
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            Error::unavailable("listen", format!("{listen} cannot be listened on: {error}; choose another"))
        })?;
        let address = listener.local_addr().map_err(|error| Error::io("the mirror's own address", &error))?;
        let (silent_since, fetching) = (Mutex::default(), Mutex::default());
        let mirror = Mirror { origin, store, documents, staging, http, silent_since, fetching };
        let limits = Limits::new(requests_per_second, proxies);
        Ok(Self { mirror: Arc::new(mirror), listener, limits, url: format!("http://{address}") })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers until `stop` resolves.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<()> {
        let service = router(self.mirror, self.limits).into_make_service_with_connect_info::<SocketAddr>();
        tokio::select! {
            served = axum::serve(self.listener, service) => served.map_err(|error| Error::io("serving", &error)),
            () = stop => Ok(()),
        }
    }
}

fn router(mirror: Arc<Mirror>, limits: Limits) -> Router {
    let registry = fuseml_registry::router(mirror.store.clone(), Arc::new(ReadOnly), 0);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metadata/root.json", get(root))
        .route("/metadata/{namespace}/{file}", get(metadata))
        .route("/api/v1/extensions", get(passed_on))
        .route("/api/v1/extensions/{namespace}/{name}", get(extension))
        .route("/api/v1/extensions/{namespace}/{name}/versions/{version}", get(version))
        .route("/api/v1/namespaces/{namespace}", get(namespace))
        .route("/api/v1/log/checkpoint", get(checkpoint))
        .route("/api/v1/log/entries", get(passed_on))
        .route("/api/v1/log/proof", get(passed_on))
        .with_state(mirror.clone())
        .merge(registry.layer(from_fn_with_state(mirror.clone(), bring)))
        .fallback(elsewhere)
        .layer(Extension(mirror))
        .layer(from_fn_with_state(limits, crate::route::limited))
}

/// Everybody reads, nobody writes.
struct ReadOnly;

#[async_trait]
impl Access for ReadOnly {
    async fn allow(&self, _: &HeaderMap, _: &Repository, action: Action) -> Result<(), Refusal> {
        match action {
            Action::Pull => Ok(()),
            _ => Err(Refusal::Denied("this is a mirror; publish at the marketplace itself".to_owned())),
        }
    }
    async fn greet(&self, _: &HeaderMap) -> Result<(), Refusal> {
        Ok(())
    }
}

async fn elsewhere(Extension(mirror): Extension<Arc<Mirror>>, method: Method, uri: Uri) -> Response {
    let message = format!("{method} {} is nothing that this mirror of {} answers", uri.path(), mirror.origin);
    Problem::from(Error::not_found("mirror", message)).into_response()
}

/// An answer of the origin's.
struct Said {
    bytes: Vec<u8>,
    /// The origin did not answer now; it said this before.
    is_kept: bool,
}

impl IntoResponse for Said {
    fn into_response(self) -> Response {
        let json = self.bytes.first().is_some_and(|byte| matches!(byte, b'{' | b'['));
        let kind = if json { "application/json" } else { "text/plain; charset=utf-8" };
        let mut response = ([(header::CONTENT_TYPE, kind)], self.bytes).into_response();
        if self.is_kept {
            response.headers_mut().insert(KEPT, HeaderValue::from_static("the origin does not answer"));
        }
        response
    }
}

async fn root(State(mirror): State<Arc<Mirror>>) -> Answer<Said> {
    Ok(mirror.document("/metadata/root.json").await?)
}

async fn checkpoint(State(mirror): State<Arc<Mirror>>) -> Answer<Said> {
    Ok(mirror.document("/api/v1/log/checkpoint").await?)
}

// Paths are made of what was understood: one thing has many spellings, and each would be kept.

async fn namespace(State(mirror): State<Arc<Mirror>>, Path(namespace): Path<Name>) -> Answer<Said> {
    Ok(mirror.document(&format!("/api/v1/namespaces/{namespace}")).await?)
}

async fn extension(State(mirror): State<Arc<Mirror>>, Path((namespace, name)): Path<(Name, Name)>) -> Answer<Said> {
    Ok(mirror.document(&format!("/api/v1/extensions/{namespace}/{name}")).await?)
}

async fn version(
    State(mirror): State<Arc<Mirror>>,
    Path((namespace, name, version)): Path<(Name, Name, Version)>,
) -> Answer<Said> {
    Ok(mirror.document(&format!("/api/v1/extensions/{namespace}/{name}/versions/{version}")).await?)
}

/// What depends on the question is not kept: there are more questions than a disk holds.
async fn passed_on(State(mirror): State<Arc<Mirror>>, uri: Uri) -> Answer<Said> {
    let path = uri.path_and_query().map_or_else(|| uri.path(), |path| path.as_str());
    Ok(Said { bytes: mirror.ask(path).await?, is_kept: false })
}

async fn metadata(State(mirror): State<Arc<Mirror>>, Path((namespace, file)): Path<(Name, String)>) -> Answer<Said> {
    Ok(match file.parse()? {
        MetadataFile::Timestamp => mirror.timestamp(&namespace).await?,
        MetadataFile::Root(version) => mirror.numbered_root(&namespace, version).await?,
        MetadataFile::Numbered(version, role) => mirror.unchanging(&namespace, version, role, None).await?,
    })
}

/// Before the registry answers: what it does not have yet is fetched from the origin.
async fn bring(State(mirror): State<Arc<Mirror>>, mut request: Request, next: Next) -> Response {
    let parts: Vec<&str> = request.uri().path().split('/').collect();
    let (["", "v2", namespace, name, "manifests", reference], &Method::GET | &Method::HEAD) =
        (parts.as_slice(), request.method())
    else {
        return next.run(request).await;
    };
    let (Ok(namespace), Ok(name)) = (namespace.parse::<Name>(), name.parse::<Name>()) else {
        return next.run(request).await;
    };
    let brought = match reference.parse::<Digest>() {
        Ok(digest) => mirror.package(&namespace, &name, &digest).await.map(|()| None),
        Err(_) => mirror.tagged(&namespace, &name, reference).await.map(Some),
    };
    match brought {
        Ok(None) => {}
        Ok(Some(digest)) => {
            let path = format!("/v2/{namespace}/{name}/manifests/{digest}");
            if let Ok(uri) = path.parse() {
                *request.uri_mut() = uri;
            }
        }
        // The registry says in its own words that it has no such thing.
        Err(error) if error.kind == ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(%namespace, %name, %error, "a package could not be fetched from the origin");
            let body = serde_json::json!({"errors": [{"code": "UNKNOWN", "message": error.message}]});
            return (StatusCode::BAD_GATEWAY, axum::Json(body)).into_response();
        }
    }
    next.run(request).await
}

impl Mirror {
    fn is_left_alone(&self) -> bool {
        let since = *self.silent_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() < LEFT_ALONE)
    }

    fn silent(&self, why: &str) -> Error {
        Error::unavailable(SILENT, format!("{} does not answer: {why}", self.origin))
    }

    /// Asks the origin for a path with its query.
    async fn ask(&self, path: &str) -> Result<Vec<u8>> {
        if self.is_left_alone() {
            return Err(self.silent("it did not a moment ago"));
        }
        let answered = self.ask_now(path).await;
        // Who answers, if only that it has too much to do, is asked again.
        let is_silent = matches!(&answered, Err(error) if error.code == SILENT);
        *self.silent_since.lock().unwrap_or_else(PoisonError::into_inner) = is_silent.then(Instant::now);
        answered
    }

    async fn ask_now(&self, path: &str) -> Result<Vec<u8>> {
        let address = format!("{}{path}", self.origin.as_str().trim_end_matches('/'));
        let failed = |error: reqwest::Error| self.silent(&error.without_url().to_string());
        let mut response = self.http.get(address).send().await.map_err(failed)?;
        match response.status() {
            status if status.is_success() => {}
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Error::unavailable("origin", format!("{} says {status}", self.origin)));
            }
            StatusCode::NOT_FOUND => {
                return Err(Error::not_found("document", format!("{} has no {path}", self.origin)));
            }
            status => {
                let said: Value = response.json().await.unwrap_or_default();
                let detail = said.get("detail").and_then(Value::as_str).unwrap_or("it says nothing more");
                return Err(Error::invalid("origin", format!("{} says {status}: {detail}", self.origin)));
            }
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > MOST_DOCUMENT {
                return Err(Error::invalid("document", format!("{path} has over {} MiB", MOST_DOCUMENT >> 20)));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// A hash, because paths come from outside.
    fn place(&self, path: &str) -> PathBuf {
        self.documents.join(Digest::of(path.as_bytes()).hex())
    }

    async fn kept(&self, path: &str) -> Option<Vec<u8>> {
        tokio::fs::read(self.place(path)).await.ok()
    }

    async fn keep(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let (place, staging, bytes) = (self.place(path), self.staging.clone(), bytes.to_vec());
        let shown = place.display().to_string();
        let write = tokio::task::spawn_blocking(move || {
            let mut file = tempfile::NamedTempFile::new_in(staging)?;
            file.write_all(&bytes)?;
            // What never changes is never asked for again: half of it must not be there after a power cut.
            file.as_file().sync_all()?;
            file.persist(place).map_err(|error| error.error)
        });
        let written = write.await.map_err(|error| Error::internal("mirror", error.to_string()))?;
        written.map(drop).map_err(|error| Error::io(shown, &error))
    }

    /// What the origin says now, or said before if it is silent.
    async fn document(&self, path: &str) -> Result<Said> {
        match self.ask(path).await {
            Ok(bytes) => {
                self.keep(path, &bytes).await?;
                Ok(Said { bytes, is_kept: false })
            }
            Err(error) if error.kind == ErrorKind::Unavailable => match self.kept(path).await {
                Some(bytes) => Ok(Said { bytes, is_kept: true }),
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// One of the roots, which are the same for all namespaces. Clients ask for one after the other until there is none.
    async fn numbered_root(&self, namespace: &Name, version: u64) -> Result<Said> {
        let file = format!("{version}.root.json");
        let kept = format!("/metadata/{file}");
        match self.ask(&format!("/metadata/{namespace}/{file}")).await {
            Ok(bytes) => {
                check_version(version, &bytes)?;
                self.keep(&kept, &bytes).await?;
                Ok(Said { bytes, is_kept: false })
            }
            Err(error) if error.kind == ErrorKind::Unavailable => match self.kept(&kept).await {
                Some(bytes) => Ok(Said { bytes, is_kept: true }),
                None => Err(Error::not_found("metadata", format!("this mirror has no {file}"))),
            },
            Err(error) => Err(error),
        }
    }

    /// Metadata that is named by its version; kept is what has the hash that leads to it, if that is known: an origin
    /// that was brought back from an archive counts on from there.
    async fn unchanging(&self, namespace: &Name, version: u64, role: &str, hash: Option<&str>) -> Result<Said> {
        let path = format!("/metadata/{namespace}/{version}.{role}");
        let is_meant = |bytes: &[u8]| hash.is_none_or(|hash| Digest::of(bytes).hex() == hash);
        if let Some(bytes) = self.kept(&path).await.filter(|bytes| is_meant(bytes)) {
            return Ok(Said { bytes, is_kept: false });
        }
        let bytes = self.ask(&path).await?;
        check_version(version, &bytes)?;
        if !is_meant(&bytes) {
            return Err(Error::unavailable("origin", format!("{path} is not what the origin's metadata leads to")));
        }
        self.keep(&path, &bytes).await?;
        Ok(Said { bytes, is_kept: false })
    }

    /// The newest metadata, with everything that it leads to: a client that begins with it here can end here.
    async fn timestamp(&self, namespace: &Name) -> Result<Said> {
        let path = format!("/metadata/{namespace}/timestamp.json");
        let bytes = match self.ask(&path).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind == ErrorKind::Unavailable => {
                return match self.kept(&path).await {
                    Some(bytes) => Ok(Said { bytes, is_kept: true }),
                    None => Err(error),
                };
            }
            Err(error) => return Err(error),
        };
        let (version, hash) = named(&bytes, "snapshot.json")?;
        let snapshot = self.unchanging(namespace, version, "snapshot.json", hash.as_deref()).await?;
        let (version, hash) = named(&snapshot.bytes, "targets.json")?;
        self.unchanging(namespace, version, "targets.json", hash.as_deref()).await?;
        self.keep(&path, &bytes).await?;
        Ok(Said { bytes, is_kept: false })
    }

    fn alone(&self, digest: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        fetching.retain(|_, lock| Arc::strong_count(lock) > 1);
        fetching.entry(digest.clone()).or_default().clone()
    }

    /// Fetches a package with its signatures, unless it is here.
    async fn package(&self, namespace: &Name, name: &Name, digest: &Digest) -> Result<()> {
        let repository = crate::package::repository(namespace, name)?;
        if self.store.manifest(&repository, digest).await.is_ok() {
            return Ok(());
        }
        let lock = self.alone(digest);
        let _alone = lock.lock().await;
        if self.store.manifest(&repository, digest).await.is_ok() {
            return Ok(());
        }
        if self.is_left_alone() {
            return Err(self.silent("it did not a moment ago"));
        }
        let staging = tempfile::tempdir_in(&self.staging).map_err(|error| Error::io(self.staging.display(), &error))?;
        let remote = Remote::new(&self.origin, &format!("{namespace}/{name}"), None)?;
        remote.pull(digest, staging.path(), |_| {}).await?;
        self.take_in(staging.path(), &repository, digest).await
    }

    /// A fetched layout becomes the store's; the index, by which it is found, comes last.
    async fn take_in(&self, layout: &std::path::Path, repository: &Repository, digest: &Digest) -> Result<()> {
        let read = |path: PathBuf| std::fs::read(&path).map_err(|error| Error::io(path.display(), &error));
        let blob = |digest: &Digest| layout.join("blobs/sha256").join(digest.hex());
        let damaged = |error: serde_json::Error| Error::invalid("package", format!("{digest} is no package: {error}"));
        let top: ImageIndex = serde_json::from_slice(&read(layout.join("index.json"))?).map_err(damaged)?;
        let index: ImageIndex = serde_json::from_slice(&read(blob(digest))?).map_err(damaged)?;
        let mut manifests: Vec<(Digest, String)> = Vec::new();
        for descriptor in index.manifests().iter().chain(top.manifests()) {
            let (one, media_type) = (descriptor.digest().to_string().parse()?, descriptor.media_type().to_string());
            if one != *digest {
                manifests.push((one, media_type));
            }
        }
        manifests.push((digest.clone(), oci_spec::image::MediaType::ImageIndex.to_string()));
        for entry in std::fs::read_dir(layout.join("blobs/sha256")).map_err(|error| Error::io("a layout", &error))? {
            let path = entry.map_err(|error| Error::io("a layout", &error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !manifests.iter().any(|(digest, _)| digest.hex() == name) {
                self.store.take_file(repository, &path).await.map_err(crate::package::registry)?;
            }
        }
        for (one, media_type) in manifests {
            let bytes = read(blob(&one))?;
            self.store.put_manifest(repository, &media_type, bytes.into()).await.map_err(crate::package::registry)?;
        }
        Ok(())
    }

    /// What a tag points at, for people and tools that name versions.
    async fn tagged(&self, namespace: &Name, name: &Name, tag: &str) -> Result<Digest> {
        let tag: fuseml_registry::Tag = tag.parse().map_err(crate::package::registry)?;
        let repository = crate::package::repository(namespace, name)?;
        match self.ask(&format!("/v2/{namespace}/{name}/manifests/{tag}")).await {
            Ok(bytes) => {
                let digest = Digest::of(&bytes);
                self.package(namespace, name, &digest).await?;
                self.store.tag(&repository, &tag, &digest, false).await.map_err(crate::package::registry)?;
                Ok(digest)
            }
            Err(error) if error.kind == ErrorKind::Unavailable => {
                self.store.resolve(&repository, &tag).await.map_err(|_| error)
            }
            Err(error) => Err(error),
        }
    }
}
