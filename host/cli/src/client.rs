//! The REST client: one place that sends requests and reads problems.

use crate::Options;
use eventsource_stream::{Event, Eventsource as _};
use fuseml_domain::{Error, ErrorKind, Result};
use futures::{StreamExt as _, stream::BoxStream};
use reqwest::{Method, RequestBuilder, Response};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) token: String,
}

/// RFC 9457 as the server writes it.
#[derive(Deserialize)]
struct Problem {
    title: String,
    detail: String,
    kind: ErrorKind,
}

impl Client {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        Self::at(options.server_url()?, options.token()?)
    }

    /// Of any server that speaks the same way; without a token only what is public.
    pub(crate) fn at(url: String, token: String) -> Result<Self> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::internal("client", error.to_string()))?;
        Ok(Self { http, url, token })
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T> {
        self.read(self.request(Method::GET, path).query(query)).await
    }

    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        self.read(self.request(method, path).json(body)).await
    }

    /// What server-sent events say, until the server says no more or goes away.
    pub(crate) async fn follow<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<BoxStream<'static, T>> {
        let answer = self.succeeded(self.request(Method::GET, path).query(query)).await?;
        let read = |event: std::result::Result<Event, _>| serde_json::from_str(&event.ok()?.data).ok();
        Ok(answer.bytes_stream().eventsource().scan((), move |(), event| std::future::ready(read(event))).boxed())
    }

    fn gone(&self, error: &reqwest::Error) -> Error {
        Error::unavailable("server-silent", format!("the server {} does not answer: {}", self.url, causes(error)))
    }

    /// Whatever the server answers.
    pub(crate) async fn answer(&self, request: RequestBuilder) -> Result<Response> {
        request.send().await.map_err(|error| self.gone(&error))
    }

    /// For answers without contents.
    pub(crate) async fn call(&self, request: RequestBuilder) -> Result<Vec<u8>> {
        let response = self.succeeded(request).await?;
        Ok(response.bytes().await.map_err(|error| self.gone(&error))?.to_vec())
    }

    /// An answer that is still to be read.
    pub(crate) async fn succeeded(&self, request: RequestBuilder) -> Result<Response> {
        let response = self.answer(request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = response.bytes().await.map_err(|error| self.gone(&error))?;
        if let Ok(problem) = serde_json::from_slice::<Problem>(&bytes) {
            return Err(Error { kind: problem.kind, code: problem.title, message: problem.detail });
        }
        let of_registry =
            serde_json::from_slice::<RegistryAnswer>(&bytes).ok().and_then(|answer| answer.errors.into_iter().next());
        let text = of_registry.map_or_else(|| String::from_utf8_lossy(&bytes).trim().to_owned(), |error| error.message);
        let kind = match status.as_u16() {
            401 | 403 => ErrorKind::Denied,
            404 => ErrorKind::NotFound,
            400..500 => ErrorKind::Invalid,
            507 => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        };
        Err(Error { kind, code: "http".to_owned(), message: format!("the server answered {status}: {text}") })
    }

    pub(crate) async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let bytes = self.call(request).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::internal(
                "answer",
                format!("{} answered something else than this program understands: {error}", self.url),
            )
        })
    }
}

/// How registries say what is wrong.
#[derive(Deserialize)]
struct RegistryAnswer {
    errors: Vec<RegistryProblem>,
}

#[derive(Deserialize)]
struct RegistryProblem {
    message: String,
}

/// The innermost cause says what happened: `Connection refused`.
fn causes(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}
