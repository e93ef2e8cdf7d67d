//! Outgoing HTTP inside the grant. Redirects are returned, never followed.
//!
//! ```no_run
//! use fuseml_extension::http;
//! # fn call() -> fuseml_extension::Result<()> {
//! let models: Vec<String> = http::get_json("https://tool.example/models")?;
//! let answer = http::Request::new("DELETE", "https://tool.example/models/7")
//!     .secret_header("authorization", "Bearer {}", "tool-token")
//!     .send()?;
//! # let _ = (models, answer.status);
//! # Ok(())
//! # }
//! ```

use super::imports;
use crate::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};

pub use crate::bindings::host::fuseml::http::http::{Request, Response, SecretHeader};

/// GET, and the body as JSON. Any status but 2xx is an error.
pub fn get_json<T: DeserializeOwned>(url: &str) -> Result<T> {
    let response = Request::get(url).header("accept", "application/json").send()?;
    if !response.is_success() {
        let message = format!("GET {url} answered {}", response.status);
        return Err(Error::internal("http-status", message).detail("status", response.status.to_string()));
    }
    response.json().map_err(|error| error.context(format_args!("GET {url}")))
}

impl Request {
    /// A request with no headers and no body.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            url: url.into(),
            headers: Vec::new(),
            secret_headers: Vec::new(),
            body: None,
            timeout_ms: None,
        }
    }

    /// A GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A POST of a JSON body.
    pub fn post_json(url: impl Into<String>, body: &impl Serialize) -> Result<Self> {
        Self::new("POST", url).json_body(body)
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// A header into which the host puts a granted secret in place of `{}`; the component never sees it.
    #[must_use]
    pub fn secret_header(mut self, name: &str, template: &str, secret: &str) -> Self {
        let (name, template, secret) = (name.to_owned(), template.to_owned(), secret.to_owned());
        self.secret_headers.push(SecretHeader { name, template, secret });
        self
    }

    /// A JSON body and its content type.
    pub fn json_body(mut self, body: &impl Serialize) -> Result<Self> {
        self.body = Some(serde_json::to_vec(body)?);
        Ok(self.header("content-type", "application/json"))
    }

    /// Lowers the instance's own time limit, never raises it.
    #[must_use]
    pub fn timeout_ms(mut self, milliseconds: u32) -> Self {
        self.timeout_ms = Some(milliseconds);
        self
    }

    /// Sends it. Any HTTP status is an answer; `denied` is outside the grant, `unavailable` is no answer.
    pub fn send(&self) -> Result<Response> {
        imports::http::fetch(self)
    }
}

impl Response {
    /// Is the status 2xx?
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> Result<&str> {
        Ok(std::str::from_utf8(&self.body)?)
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}
