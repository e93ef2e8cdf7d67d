//! The one way out: a client that resolves through the address rule, dials what it resolved, follows nothing,
//! reads no proxy from the environment and never holds more of an answer than it may.

use super::Response;
use fuseml_domain::{AllowedHost, Error, Result, never_meant};
use reqwest::{
    Method,
    dns::{Addrs, Name, Resolve, Resolving},
    header::HeaderMap,
    redirect::Policy,
};
use std::{
    collections::BTreeSet,
    error::Error as StdError,
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};
use url::Url;

/// Of one instance, or one endpoint: its connections are reused by its calls and by nobody else's.
pub struct Client {
    http: reqwest::Client,
}

/// Headers of an answer, all together.
const MAX_HEADERS: usize = 64 << 10;

impl Client {
    /// The instance's client, made at the first request: most calls make none.
    pub(crate) fn of<'a>(slot: &'a OnceLock<Self>, granted: &[AllowedHost]) -> Result<&'a Self> {
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = Self::to(granted.iter().map(|host| host.host().to_owned()))?;
        Ok(slot.get_or_init(|| client))
    }

    /// One that dials these hosts and no other.
    ///
    /// # Errors
    /// `internal` when the system's certificates cannot be read.
    pub fn to(names: impl IntoIterator<Item = String>) -> Result<Self> {
        Self::with_lookup(names.into_iter().collect(), lookup)
    }

    fn with_lookup(names: BTreeSet<String>, lookup: Lookup) -> Result<Self> {
        let http = reqwest::Client::builder()
            .dns_resolver(Arc::new(Resolver { names, lookup }))
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(Duration::from_secs(10))
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(4)
            .build()
            .map_err(|error| Error::internal("http", format!("no HTTP client can be made: {error}")))?;
        Ok(Self { http })
    }

    /// Sends once. An answer with more than `most` bytes is an error, found out without holding more.
    ///
    /// # Errors
    /// `unavailable` where nobody answers in time, `denied` for a name that leads where none may.
    pub async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Vec<u8>,
        timeout: Duration,
        most: usize,
    ) -> Result<Response> {
        let shown = url.origin().ascii_serialization();
        let mut request = self.http.request(method, url).headers(headers).timeout(timeout);
        if !body.is_empty() {
            request = request.body(body);
        }
        let mut answer = request.send().await.map_err(|error| failed(&shown, &error, timeout))?;
        let too_large = || {
            Error::internal("response-too-large", format!("the answer of {shown} has more than the {most} bytes left"))
        };
        if answer.content_length().is_some_and(|length| length > most as u64) {
            return Err(too_large());
        }
        let headers = text(answer.headers());
        if headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_HEADERS {
            return Err(too_large());
        }
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| failed(&shown, &error, timeout))? {
            if body.len() + chunk.len() > most {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body })
    }
}

impl Client {
    /// Asks once, and writes an answer of success into the file as it comes; of any other answer at most `said` bytes are
    /// read.
    ///
    /// # Errors
    /// As [`Client::send`] has them; what was written until then is no answer.
    pub async fn download(
        &self,
        url: Url,
        headers: HeaderMap,
        timeout: Duration,
        (file, most): (&mut tokio::fs::File, u64),
        said: usize,
    ) -> Result<Response> {
        use tokio::io::AsyncWriteExt as _;
        let shown = url.origin().ascii_serialization();
        let answer = self.http.get(url).headers(headers).timeout(timeout).send().await;
        let mut answer = answer.map_err(|error| failed(&shown, &error, timeout))?;
        let (status, headers) = (answer.status(), text(answer.headers()));
        let (mut body, mut size) = (Vec::new(), 0);
        while let Some(chunk) = answer.chunk().await.map_err(|error| failed(&shown, &error, timeout))? {
            if !status.is_success() {
                body.extend_from_slice(&chunk[..chunk.len().min(said - body.len())]);
                if body.len() == said {
                    break;
                }
                continue;
            }
            size += chunk.len() as u64;
            if size > most {
                let message = format!("what {shown} sends has more than {most} bytes");
                return Err(Error::invalid("response-too-large", message));
            }
            file.write_all(&chunk).await.map_err(|error| Error::io("what was fetched cannot be written", &error))?;
        }
        file.flush().await.map_err(|error| Error::io("what was fetched cannot be written", &error))?;
        Ok(Response { status: status.as_u16(), headers, body })
    }
}

fn text(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

fn failed(origin: &str, error: &reqwest::Error, timeout: Duration) -> Error {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    let mut innermost = String::new();
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Error::denied("address-refused", format!("{origin} may not be called: {refused}"));
        }
        innermost = error.to_string();
        cause = error.source();
    }
    if error.is_timeout() {
        return Error::unavailable("timeout", format!("{origin} did not answer within {timeout:?}"));
    }
    Error::unavailable("unreachable", format!("{origin} does not answer: {innermost}"))
}

type Lookup = fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

fn lookup(name: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
    Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()) })
}

/// Resolves granted names to addresses they may lead to. What it returns is what is dialled.
struct Resolver {
    names: BTreeSet<String>,
    lookup: Lookup,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        if !self.names.contains(&name) {
            return Box::pin(async move { Err(Refused { name, why: "is not granted" }.into()) });
        }
        let found = (self.lookup)(name.clone());
        Box::pin(async move {
            let found = found.await?;
            // One bad address condemns the name: whoever answers so is not to be trusted with the others.
            if let Some(why) = found.iter().find_map(|ip| never_meant(*ip)) {
                return Err(Refused { name, why }.into());
            }
            let addresses: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[derive(Debug)]
struct Refused {
    name: String,
    why: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` leads to an address that is {}", self.name, self.why)
    }
}

impl StdError for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    fn rebound(_: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([169, 254, 169, 254])]) })
    }

    #[tokio::test]
    async fn a_name_that_leads_to_metadata_is_not_dialled() {
        let client = Client::with_lookup(["tool.example".to_owned()].into(), rebound).expect("client");
        let url = "http://tool.example/latest/meta-data".parse().expect("url");

        let answer =
            client.send(Method::GET, url, HeaderMap::new(), Vec::new(), Duration::from_secs(5), 1024).await.err();

        let error = answer.expect("refused");
        assert_eq!((error.code.as_str(), error.kind), ("address-refused", fuseml_domain::ErrorKind::Denied));
        assert!(error.message.contains("`tool.example` leads to an address that is link-local"), "{error}");
    }
}
