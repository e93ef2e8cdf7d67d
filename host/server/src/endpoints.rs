//! Outside services that steps call: the address and the secrets are opened here, for one request at a time.

use crate::extension::Vault;
use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use fuseml_catalog::Catalog;
use fuseml_domain::{
    CallAnswer, CallContent, Endpoint, Error, Method, Name, Notice, NoticeFormat, OutgoingCall, Result, SecretText,
    never_meant, port::Endpoints as Port,
};
use fuseml_sandbox::{HttpClient, HttpResponse};
use jiff::Timestamp;
use reqwest::{
    Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use standardwebhooks::Webhook as Signer;
use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

/// The largest file that is fetched, in bytes.
const MOST_FETCHED: u64 = 64 << 30;
/// The longest answer that is read, in bytes.
const MOST_ANSWER: usize = 1 << 20;
/// Of any secret that proves something, in bytes.
pub(crate) const SHORTEST_SECRET: usize = 16;
/// Of an answer that refuses, for people.
const SHOWN: usize = 200;
/// What a notice is, as a type of CloudEvents.
const NOTICE: &str = "dev.fuseml.notice.v1";

/// What nobody may know of an endpoint.
#[derive(Serialize, Deserialize)]
pub(crate) struct EndpointSecret {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    /// `whsec_…`: what is sent is signed with it.
    #[serde(default)]
    pub(crate) signing: Option<String>,
}

impl EndpointSecret {
    /// Its address, and the headers that are sent along.
    ///
    /// # Errors
    /// `invalid` for what cannot be called; no message repeats more of it than its host.
    pub(crate) fn check(&self) -> Result<(Url, HeaderMap)> {
        let refuse = |why: &str| Error::invalid("endpoint", why.to_owned());
        let url: Url = self.url.parse().map_err(|error| refuse(&format!("the address is none: {error}")))?;
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
            return Err(refuse("only https:// and http:// addresses can be called"));
        }
        // A name is looked up, and judged, when it is called.
        if let Some(why) = literal(&url).and_then(never_meant) {
            return Err(Error::denied("endpoint", format!("{} may not be called: it is {why}", origin(&url))));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(refuse("the address holds a login or a fragment; give a login as header"));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().map_err(|_| refuse(&format!("`{name}` is no header")))?;
            let mut value: HeaderValue =
                value.parse().map_err(|_| refuse(&format!("the value of the header {name} is none")))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        if let Some(secret) = &self.signing {
            signer(secret)?;
        }
        Ok((url, headers))
    }
}

/// The address itself, where no name stands for it.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        url::Host::Ipv4(address) => Some(address.into()),
        url::Host::Ipv6(address) => Some(address.into()),
        url::Host::Domain(_) => None,
    }
}

/// Whether it is a secret of Standard Webhooks that nobody guesses.
pub(crate) fn is_signing_secret(secret: &str) -> bool {
    let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret));
    key.is_ok_and(|key| key.len() >= SHORTEST_SECRET)
}

fn signer(secret: &str) -> Result<Signer> {
    let signer = Signer::new(secret).ok().filter(|_| is_signing_secret(secret));
    signer.ok_or_else(|| Error::invalid("endpoint", "a signing secret is whsec_ and then 16 bytes or more in base64"))
}

pub(crate) struct Endpoints {
    pub(crate) catalog: Catalog,
    pub(crate) vault: Arc<Vault>,
}

impl Endpoints {
    async fn open(&self, project: &Name, name: &Name) -> Result<(Endpoint, EndpointSecret)> {
        let (endpoint, sealed) = self.catalog.endpoint(project, name).await?;
        let opened = self.vault.open(&sealed).await?;
        let secret = serde_json::from_slice(opened.expose())
            .map_err(|_| Error::internal("endpoint", format!("what is kept of {name} cannot be read")))?;
        Ok((endpoint, secret))
    }
}

#[async_trait]
impl Port for Endpoints {
    async fn call(&self, project: &Name, call: &OutgoingCall, timeout: Duration) -> Result<CallAnswer> {
        let (endpoint, secret) = self.open(project, &call.endpoint).await?;
        let (mut url, mut headers) = secret.check()?;
        let (method, body) = match &call.content {
            CallContent::Request { method, path, body } => {
                if let Some(path) = path {
                    url = below(&url, path)?;
                }
                (*method, body.clone())
            }
            CallContent::Notice(notice) => (Method::Post, Some(told(&endpoint, notice, &call.key))),
        };
        let is_event = matches!(&call.content, CallContent::Notice(_)) && endpoint.format == NoticeFormat::Cloudevents;
        let media_type = if is_event { "application/cloudevents+json" } else { "application/json" };
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        let mut set = |name: &'static str, value: &str| {
            let value = value.parse().map_err(|_| Error::internal("endpoint", format!("no value for {name}")))?;
            headers.insert(name, value);
            Ok::<_, Error>(())
        };
        set("idempotency-key", &call.key)?;
        if let Some(secret) = &secret.signing {
            let now = Timestamp::now().as_second();
            let signature = signer(secret)?.sign(&call.key, now, &body).map_err(|error| {
                Error::internal("endpoint", format!("what is sent to {} cannot be signed: {error}", endpoint.name))
            })?;
            set(standardwebhooks::HEADER_WEBHOOK_ID, &call.key)?;
            set(standardwebhooks::HEADER_WEBHOOK_TIMESTAMP, &now.to_string())?;
            set(standardwebhooks::HEADER_WEBHOOK_SIGNATURE, &signature)?;
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let method = reqwest::Method::from_bytes(method.to_string().as_bytes())
            .map_err(|error| Error::internal("endpoint", error.to_string()))?;
        let answer = HttpClient::to([host])?.send(method, url, headers, body, timeout, MOST_ANSWER).await?;
        judge(&endpoint, answer)
    }

    async fn fetch(
        &self,
        project: &Name,
        endpoint: &Name,
        path: Option<&str>,
        folder: &Path,
        timeout: Duration,
    ) -> Result<()> {
        let (endpoint, secret) = self.open(project, endpoint).await?;
        let (mut url, headers) = secret.check()?;
        if let Some(path) = path {
            url = below(&url, path)?;
        }
        let place = folder.join(file_name(path));
        let failed = |error: std::io::Error| Error::io("what was fetched cannot be written", &error);
        let mut file = tokio::fs::File::create_new(&place).await.map_err(failed)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let most = (&mut file, MOST_FETCHED);
        let answer = HttpClient::to([host])?.download(url, headers, timeout, most, SHOWN).await?;
        judge(&endpoint, answer).map(drop)
    }
}

/// What a file is called that lies at a path; the endpoint's own address is a secret.
fn file_name(path: Option<&str>) -> String {
    let path = path.unwrap_or_default().split('?').next().unwrap_or_default();
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    let name: String = last.chars().map(plain).take(100).collect();
    match name.trim_matches('.') {
        "" => "content".to_owned(),
        name => name.to_owned(),
    }
}

/// The endpoint's address with a path below it.
fn below(url: &Url, path: &str) -> Result<Url> {
    let refuse = || Error::invalid("path", format!("`{}` does not lead below the endpoint", path.escape_debug()));
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut below = url.clone();
    {
        let mut segments = below.path_segments_mut().map_err(|()| refuse())?;
        segments.pop_if_empty();
        for segment in path.trim_start_matches('/').split('/') {
            // Written out or escaped: what leads up is refused, whatever the server makes of it.
            let plain = segment.to_ascii_lowercase().replace("%2e", ".");
            if matches!(plain.as_str(), "." | "..") || segment.chars().any(char::is_control) || segment.contains('\\') {
                return Err(refuse());
            }
            segments.push(segment);
        }
    }
    // The endpoint's own query may hold its key.
    if let Some(query) = query {
        let all: Vec<_> = url.query().into_iter().chain([query]).collect();
        below.set_query(Some(&all.join("&")));
    }
    Ok(below)
}

/// What the endpoint is told, in the form that it takes.
fn told(endpoint: &Endpoint, notice: &Notice, key: &str) -> Json {
    match endpoint.format {
        NoticeFormat::Text => json!({"text": notice.text()}),
        NoticeFormat::Content => json!({"content": notice.text()}),
        NoticeFormat::Cloudevents => {
            let failures: Vec<_> =
                notice.failures.iter().map(|(step, why)| json!({"step": step, "reason": why})).collect();
            json!({
                "specversion": "1.0",
                "id": key,
                "source": format!("/projects/{}/runs/{}", notice.project, notice.run),
                "type": NOTICE,
                "time": Timestamp::now().to_string(),
                "datacontenttype": "application/json",
                "data": {
                    "message": notice.message,
                    "project": notice.project,
                    "run": notice.run,
                    "step": notice.step,
                    "failures": failures,
                },
            })
        }
    }
}

fn judge(endpoint: &Endpoint, answer: HttpResponse) -> Result<CallAnswer> {
    let Endpoint { name, origin, .. } = endpoint;
    let HttpResponse { status, body, .. } = answer;
    if (200..300).contains(&status) {
        return Ok(CallAnswer { status, body: serde_json::from_slice(&body).unwrap_or(Json::Null) });
    }
    let said: String = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    let said = if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) };
    let message = format!("the endpoint {name} ({origin}) answered {status}{said}");
    Err(match status {
        408 | 425 | 429 | 500.. => Error::unavailable("endpoint", message),
        401 | 403 => Error::denied("endpoint", message),
        404 | 410 => Error::not_found("endpoint", message),
        409 => Error::conflict("endpoint", message),
        _ => Error::invalid("endpoint", message),
    })
}

/// What everybody may know of it.
pub(crate) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// As the vault seals it.
pub(crate) fn sealable(secret: &EndpointSecret) -> Result<SecretText> {
    let text = serde_json::to_string(secret).map_err(|error| Error::internal("endpoint", error.to_string()))?;
    Ok(SecretText::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetched_file_is_called_as_its_path_says_and_never_as_the_secret_address() {
        for (path, wanted) in [
            (Some("rows/2026.csv?token=x"), "2026.csv"),
            (Some("rows/a b.csv"), "a-b.csv"),
            (Some("rows/"), "rows"),
            (Some("/.."), "content"),
            (None, "content"),
        ] {
            assert_eq!(file_name(path), wanted, "{path:?}");
        }
    }

    #[test]
    fn a_path_stays_below_the_endpoint() {
        let url: Url = "https://crm.example/api/v1/".parse().expect("url");
        for (path, wanted) in [
            ("models", "https://crm.example/api/v1/models"),
            ("/models/a b?x=1", "https://crm.example/api/v1/models/a%20b?x=1"),
            ("model://shop/1", "https://crm.example/api/v1/model:/shop/1"),
        ] {
            assert_eq!(below(&url, path).expect(path).as_str().replace("//shop", "/shop"), wanted, "{path}");
        }
        let keyed: Url = "https://crm.example/api?key=1".parse().expect("url");
        assert_eq!(below(&keyed, "models?x=1").expect("path").as_str(), "https://crm.example/api/models?key=1&x=1");
        for wrong in ["../admin", "a/../../b", "a/%2E%2e/b", "a\\b", "a\nb", "."] {
            assert!(below(&url, wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_called_is_refused_without_being_shown() {
        let of = |url: &str, headers: &[(&str, &str)]| EndpointSecret {
            url: url.to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            signing: None,
        };
        of("https://hooks.example/T0/B0/secret", &[("authorization", "Bearer x")]).check().expect("sound");
        for (wrong, secret) in [
            (of("file:///etc/passwd", &[]), "passwd"),
            (of("https://ada:s3cret@hooks.example", &[]), "s3cret"),
            (of("https://hooks.example", &[("a", "s3cret\n")]), "s3cret"),
            (of("http://169.254.169.254/s3cret", &[]), "s3cret"),
            (of("http://[fd00:ec2::254]/s3cret", &[]), "s3cret"),
            (EndpointSecret { signing: Some("s3cret!".into()), ..of("https://hooks.example", &[]) }, "s3cret"),
        ] {
            let refused = wrong.check().expect_err("refused");
            assert!(!refused.message.contains(secret), "{refused}");
        }
    }
}
