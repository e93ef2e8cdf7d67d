//! Outgoing HTTP inside the grant. In this order: the grant is there, the method and the URL are plain, the
//! URL lies inside a granted host, the headers are the guest's to set, the sizes fit; then the name is resolved
//! once, the addresses are judged, and exactly those are dialled. Redirects are answers. Secrets stay here.

mod client;
pub use client::Client;

use crate::{
    call::Call,
    failure::clean,
    limits::{MAX_REQUEST_BODY, MAX_RESPONSE_BODY},
};
use fuseml_domain::{Capability, Error, Result};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use std::time::Duration;
use url::Url;

/// A request in the core's own words.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) secrets: Vec<SecretHeader>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) timeout: Option<Duration>,
}

/// A header whose value only the host knows.
pub(crate) struct SecretHeader {
    pub(crate) name: String,
    /// `{}` stands for the value.
    pub(crate) template: String,
    pub(crate) secret: String,
}

/// What came back.
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Headers that belong to the connection, to the host, or would smuggle a second request: dropped from
/// requests and answers alike.
const DROPPED: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// `CONNECT` and `TRACE` speak to proxies, not to tools.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

impl Call {
    pub(crate) async fn fetch(&mut self, request: Request) -> Result<Response> {
        self.require(Capability::Http)?;
        let (method, url) = self.check_target(&request)?;
        let mut headers = headers(request.headers)?;
        let body = request.body.unwrap_or_default();
        self.check_sizes(body.len(), &url)?;
        for header in &request.secrets {
            self.put_secret(&mut headers, header, &url).await?;
        }
        // A tool that does not answer is the component's to report, so a tenth is left for its words.
        let left = self.remaining().mul_f32(0.9);
        let timeout = request.timeout.map_or(left, |asked| asked.min(left));
        let origin = url.origin().ascii_serialization();
        let instance = self.instance.clone();
        let client = Client::of(&instance.live.http, &instance.rights.hosts)?;
        self.reached(origin.clone());
        self.sent += body.len();
        let most = MAX_RESPONSE_BODY.min(self.limits.traffic.saturating_sub(self.traffic()));
        let answer = client.send(method, url, headers, body, timeout, most).await;
        match answer {
            Ok(response) => {
                self.received += response.body.len();
                Ok(Response { headers: kept(response.headers), ..response })
            }
            Err(error) => {
                if error.code == "address-refused" {
                    self.refused(Some(Capability::Http), &origin);
                }
                Err(error)
            }
        }
    }

    /// Puts a secret into a header, if this request goes where the secret may go. No message shows the value.
    async fn put_secret(&mut self, headers: &mut HeaderMap, header: &SecretHeader, url: &Url) -> Result<()> {
        let shown = clean(&header.secret, 64);
        let instance = self.instance.clone();
        let Some(bound) = instance.rights.secrets.iter().find(|bound| bound.name == header.secret) else {
            self.refused(Some(Capability::Http), format_args!("secret {shown}"));
            return Err(Error::denied(
                "secret-unknown",
                format!("{instance} has no secret `{shown}`; extension.toml declares the secrets that it may use"),
            ));
        };
        if !bound.hosts.iter().any(|host| host.allows(url)) {
            let origin = url.origin().ascii_serialization();
            self.refused(Some(Capability::Http), format_args!("secret {shown} to {origin}"));
            return Err(Error::denied(
                "secret-elsewhere",
                format!("the secret `{shown}` of {instance} does not go to {origin}, to which it is not bound"),
            ));
        }
        let refuse =
            |why: &str| Err(Error::invalid("secret-header", format!("the header of the secret `{shown}` {why}")));
        let Ok(name) = HeaderName::try_from(header.name.as_str()) else { return refuse("has no proper name") };
        if dropped(&name) {
            return refuse("is one that only the host sets");
        }
        let Some((before, after)) = header.template.split_once("{}") else {
            return refuse("has a template without `{}`");
        };
        let Some(value) = instance.secrets.secret(&instance.instance, &bound.name).await? else {
            return Err(super::reveal::unset(&instance, &shown));
        };
        let text = [before.as_bytes(), value.expose(), after.as_bytes()].concat();
        let Ok(mut text) = HeaderValue::from_bytes(&zeroize::Zeroizing::new(text)) else {
            return refuse("cannot hold that value");
        };
        text.set_sensitive(true);
        headers.insert(name, text);
        self.used_secret(&bound.name);
        Ok(())
    }

    fn check_target(&mut self, request: &Request) -> Result<(Method, Url)> {
        let method = METHODS.into_iter().find(|method| method.as_str() == request.method).ok_or_else(|| {
            let known: Vec<_> = METHODS.iter().map(Method::as_str).collect();
            Error::invalid("method", format!("`{}` is not one of {}", clean(&request.method, 32), known.join(", ")))
        })?;
        if self.instance.rights.read_only && !matches!(method, Method::GET | Method::HEAD) {
            self.refused(Some(Capability::Http), format_args!("{method}, read-only"));
            let message = format!("{} runs read-only, and {method} may change something", self.instance);
            return Err(Error::denied("read-only", message));
        }
        let shown = clean(&request.url, 256);
        let url = Url::parse(&request.url)
            .map_err(|error| Error::invalid("url", format!("`{shown}` is not a URL: {error}")))?;
        if !self.instance.rights.hosts.iter().any(|host| host.allows(&url)) {
            // Path and query may hold what nobody should read in a receipt.
            let origin = match url.origin() {
                origin if origin.is_tuple() => origin.ascii_serialization(),
                _ => format!("{}:", url.scheme()),
            };
            self.refused(Some(Capability::Http), &origin);
            let granted: Vec<_> = self.instance.rights.hosts.iter().map(ToString::to_string).collect();
            let granted = if granted.is_empty() { "nothing".to_owned() } else { granted.join(", ") };
            return Err(Error::denied(
                "host-not-granted",
                format!("{} may not call {origin} (`{shown}`); granted: {granted}", self.instance),
            ));
        }
        Ok((method, url))
    }

    fn check_sizes(&mut self, body: usize, url: &Url) -> Result<()> {
        if body > MAX_REQUEST_BODY {
            return Err(Error::invalid(
                "request-too-large",
                format!("the request to {url} has {body} bytes; at most {MAX_REQUEST_BODY} are sent"),
            ));
        }
        let limits = self.limits.clone();
        if self.requests >= limits.requests || self.traffic().saturating_add(body) > limits.traffic {
            let what = format!("traffic-limit: {} requests or {} MiB a call", limits.requests, limits.traffic >> 20);
            self.refused(Some(Capability::Http), &what);
            return Err(Error::denied("traffic-limit", what));
        }
        self.requests += 1;
        Ok(())
    }
}

fn headers(given: Vec<(String, String)>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let refuse = || Error::invalid("header", format!("the header `{}` is not one", clean(&name, 64)));
        let parsed = HeaderName::try_from(name.as_str()).map_err(|_| refuse())?;
        if dropped(&parsed) {
            continue;
        }
        let value = HeaderValue::try_from(value).map_err(|_| refuse())?;
        headers.try_append(parsed, value).map_err(|_| refuse())?;
    }
    Ok(headers)
}

fn dropped(name: &HeaderName) -> bool {
    DROPPED.contains(&name.as_str())
}

fn kept(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers.into_iter().filter(|(name, _)| !DROPPED.contains(&name.as_str())).collect()
}
