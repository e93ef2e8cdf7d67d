//! The server's REST interface: one place that sends, and turns whatever comes back into a value or a typed
//! error that names the URL.

use crate::id::{Id, encode, encode_path};
use fuseml_extension::http::{Request, Response};
use fuseml_extension::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const API: &str = "api/2.0/mlflow";
const ARTIFACTS: &str = "api/2.0/mlflow-artifacts/artifacts";
/// Oldest release line that knows logged models.
const OLDEST: u32 = 3;

#[derive(Debug)]
pub(crate) struct Server {
    endpoint: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Tag {
    pub key: String,
    #[serde(default)]
    pub value: String,
}

/// `model_version` of the registry. MLflow leaves empty fields out.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Version {
    pub name: String,
    pub version: String,
    #[serde(default)]
    pub creation_timestamp: u64,
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub run_id: String,
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Only `get` fills it.
    #[serde(default)]
    pub aliases: Vec<String>,
}

impl Version {
    pub(crate) fn id(&self) -> Id {
        Id { name: self.name.clone(), version: self.version.clone() }
    }

    pub(crate) fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
    }

    /// The logged model that it was made from, `m-…`.
    pub(crate) fn model_id(&self) -> Option<&str> {
        self.source.strip_prefix("models:/").filter(|id| !id.is_empty() && !id.contains('/'))
    }
}

/// `model` of the tracking server.
#[derive(Debug, Deserialize)]
pub(crate) struct LoggedModel {
    pub info: ModelInfo,
    #[serde(default)]
    pub data: ModelData,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ModelInfo {
    #[serde(default)]
    pub source_run_id: String,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ModelData {
    #[serde(default)]
    pub params: Vec<Tag>,
    #[serde(default)]
    pub metrics: Vec<Metric>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Metric {
    pub key: String,
    /// A number; text for what JSON has no number for.
    pub value: Value,
}

#[derive(Debug, Deserialize)]
pub(crate) struct FileInfo {
    /// Relative to the listed folder.
    pub path: String,
    #[serde(default)]
    pub is_dir: bool,
    #[serde(default)]
    pub file_size: u64,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct VersionPage {
    #[serde(default)]
    pub model_versions: Vec<Version>,
    pub next_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    error_code: String,
    #[serde(default)]
    message: String,
}

impl Server {
    pub(crate) fn at(endpoint: &str) -> Self {
        Self { endpoint: endpoint.trim_end_matches('/').to_owned() }
    }

    /// Is there an MLflow, and one that is new enough?
    pub(crate) fn health(&self) -> Result<()> {
        let endpoint = &self.endpoint;
        let health = self.fetch(&Request::get(format!("{endpoint}/health")).timeout_ms(10_000))?;
        check(&health, &format!("GET {endpoint}/health"))?;
        let url = format!("{endpoint}/version");
        let answer = self.fetch(&Request::get(&url).timeout_ms(10_000))?;
        let version = answer.text().ok().map(str::trim).filter(|_| answer.is_success()).unwrap_or_default();
        match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
            // The first two questions need no login.
            Some(major) if major >= OLDEST => self.versions("name = 'fuseml-health'", 1, None).map(drop),
            Some(_) => Err(Error::unsupported(
                "mlflow-version",
                format!("{endpoint} is MLflow {version}; version {OLDEST} or newer is needed"),
            )),
            None => Err(Error::internal(
                "not-mlflow",
                format!("{url} does not answer like an MLflow server (status {}); check the endpoint", answer.status),
            )),
        }
    }

    pub(crate) fn version(&self, id: &Id) -> Result<Version> {
        #[derive(Deserialize)]
        struct Answer {
            model_version: Version,
        }
        let answer: Answer = self.get("model-versions/get", &[("name", &id.name), ("version", &id.version)])?;
        Ok(answer.model_version)
    }

    pub(crate) fn versions(&self, filter: &str, limit: u32, cursor: Option<&str>) -> Result<VersionPage> {
        let limit = limit.to_string();
        let mut query = vec![("filter", filter), ("max_results", limit.as_str())];
        query.extend(cursor.map(|cursor| ("page_token", cursor)));
        self.get("model-versions/search", &query)
    }

    /// Aliases of a registered model, each with the version it points to.
    pub(crate) fn aliases(&self, name: &str) -> Result<Vec<(String, String)>> {
        #[derive(Deserialize)]
        struct Answer {
            registered_model: Model,
        }
        #[derive(Deserialize)]
        struct Model {
            #[serde(default)]
            aliases: Vec<Alias>,
        }
        #[derive(Deserialize)]
        struct Alias {
            alias: String,
            version: String,
        }
        let answer: Answer = self.get("registered-models/get", &[("name", name)])?;
        Ok(answer.registered_model.aliases.into_iter().map(|alias| (alias.alias, alias.version)).collect())
    }

    pub(crate) fn set_alias(&self, id: &Id, alias: &str) -> Result<()> {
        let body = json!({"name": id.name, "alias": alias, "version": id.version});
        self.send("POST", "registered-models/alias", &body).map(|_| ())
    }

    pub(crate) fn logged_model(&self, id: &str) -> Result<LoggedModel> {
        #[derive(Deserialize)]
        struct Answer {
            model: LoggedModel,
        }
        let answer: Answer = self.get(&format!("logged-models/{}", encode(id)), &[])?;
        Ok(answer.model)
    }

    /// Where the server says that the version's contents lie: `mlflow-artifacts:/1/models/m-…/artifacts`.
    pub(crate) fn download_uri(&self, id: &Id) -> Result<String> {
        #[derive(Deserialize)]
        struct Answer {
            artifact_uri: String,
        }
        let query = [("name", id.name.as_str()), ("version", id.version.as_str())];
        Ok(self.get::<Answer>("model-versions/get-download-uri", &query)?.artifact_uri)
    }

    /// One folder of the artifact proxy.
    pub(crate) fn list_artifacts(&self, path: &str) -> Result<Vec<FileInfo>> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            files: Vec<FileInfo>,
        }
        let url = format!("{}/{ARTIFACTS}?path={}", self.endpoint, encode(path));
        let answer: Answer = self.answer(&Request::get(url))?;
        Ok(answer.files)
    }

    /// The URL of a file or folder of the artifact proxy.
    pub(crate) fn artifact_url(&self, path: &str) -> String {
        format!("{}/{ARTIFACTS}/{}", self.endpoint, encode_path(path))
    }

    /// Where a person sees a version.
    pub(crate) fn page(&self, id: &Id) -> String {
        format!("{}/#/models/{}/versions/{}", self.endpoint, encode(&id.name), id.version)
    }

    /// POST, PATCH or DELETE of a JSON body.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        self.answer(&Request::new(method, format!("{}/{API}/{path}", self.endpoint)).json_body(body)?)
    }

    fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T> {
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        self.answer(&Request::get(format!("{}/{API}/{path}{mark}{}", self.endpoint, query.join("&"))))
    }

    fn answer<T: DeserializeOwned>(&self, request: &Request) -> Result<T> {
        let what = format!("{} {}", request.method, without_query(&request.url));
        let response = self.fetch(request)?;
        check(&response, &what)?;
        response.json().map_err(|error| {
            let message = format!("{what} answered something that is not MLflow's: {}", error.message);
            Error::internal("mlflow-answer", message).detail("body", start(&response))
        })
    }

    /// With the login that the host keeps, or without one where none was given. What keeps an answer from coming has
    /// the URL in front.
    fn fetch(&self, request: &Request) -> Result<Response> {
        match request.clone().secret_header("authorization", "{}", "authorization").send() {
            Err(error) if error.code == "secret-unset" => request.send(),
            answer => answer,
        }
        .map_err(|error| error.context(format_args!("the MLflow server at {} cannot be reached", self.endpoint)))
    }
}

/// Turns every status but 2xx into an error of MLflow's own kind and words.
fn check(response: &Response, what: &str) -> Result<()> {
    if response.is_success() {
        return Ok(());
    }
    let status = response.status;
    let failure: Option<Failure> = response.json().ok();
    let code = failure.as_ref().map_or("", |failure| failure.error_code.as_str());
    let kind = match (code, status) {
        ("RESOURCE_DOES_NOT_EXIST", _) => ErrorKind::NotFound,
        ("RESOURCE_ALREADY_EXISTS", _) => ErrorKind::Conflict,
        ("PERMISSION_DENIED" | "UNAUTHENTICATED", _) | (_, 401 | 403) => ErrorKind::Denied,
        ("TEMPORARILY_UNAVAILABLE" | "REQUEST_LIMIT_EXCEEDED", _) | (_, 429 | 502..=504) => ErrorKind::Unavailable,
        ("INVALID_PARAMETER_VALUE" | "BAD_REQUEST", _) => ErrorKind::Invalid,
        _ => ErrorKind::Internal,
    };
    let (stable, message) = match &failure {
        Some(failure) => (failure.error_code.to_ascii_lowercase().replace('_', "-"), failure.message.clone()),
        None => ("http-status".to_owned(), format!("status {status}, and no word of MLflow's")),
    };
    let mut error = Error::new(kind, &stable, format!("{what}: {message}")).detail("status", status.to_string());
    if kind == ErrorKind::Unavailable {
        error.retry_after_ms = response.header("retry-after").and_then(|s| s.parse::<u64>().ok()).map(|s| s * 1000);
    }
    if failure.is_none() {
        error = error.detail("body", start(response));
    }
    Err(error)
}

fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(url, _)| url)
}

fn start(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).chars().take(200).collect()
}
