//! What a component may ask for and reach. A request is the author's text and never becomes a grant by itself.

use crate::{Attributes, Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use url::Url;

/// The host interfaces that must be asked for. Logging, clock and random are always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    Configuration,
    State,
    Files,
    ArtifactEvents,
    Http,
    Reveal,
}

impl Capability {
    /// From the weakest to the strongest.
    pub const ALL: [Self; 6] =
        [Self::Configuration, Self::State, Self::Files, Self::ArtifactEvents, Self::Http, Self::Reveal];

    /// The capability behind an imported WIT interface name (`fuseml:http/http@0.1.0`), `None` for those
    /// that need no request.
    pub fn of_interface(interface: &str) -> Option<Self> {
        let package = interface.strip_prefix("fuseml:")?.split('/').next()?;
        Self::ALL.into_iter().find(|capability| capability.name() == package)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::State => "state",
            Self::Files => "files",
            Self::ArtifactEvents => "artifact-events",
            Self::Http => "http",
            Self::Reveal => "reveal",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One line of a manifest: a capability and the author's reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Request {
    pub capability: Capability,
    pub reason: String,
    /// For `http`: `https://host[:port][/prefix]` or `${settings.<name>}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// For `reveal`: names of secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

impl Request {
    /// In plain words, with settings filled in as far as they are known.
    pub fn rendering(&self, settings: &Attributes) -> String {
        match self.capability {
            Capability::Configuration => "may read the settings of its instance".to_owned(),
            Capability::State => "may keep small state of its own".to_owned(),
            Capability::Files => "may read the files of the codeset or artifact that a call is about".to_owned(),
            Capability::ArtifactEvents => {
                "may see which artifacts are registered, in its project or in all when it has none".to_owned()
            }
            Capability::Reveal => format!(
                "may READ the secret {} itself: the strongest right there is, for what it has read it can send to every host that it may call",
                crate::runnable::list_or_none(&self.secrets.iter().map(String::as_str).collect::<Vec<_>>())
            ),
            Capability::Http => {
                let hosts: Vec<_> = self.hosts.iter().map(|host| host_rendering(host, settings)).collect();
                format!("may call {} and nothing else", hosts.join(", "))
            }
        }
    }
}

/// The `<name>` of `${settings.<name>}`.
pub fn setting_reference(text: &str) -> Option<&str> {
    text.strip_prefix("${settings.")?.strip_suffix('}')
}

/// The text itself, or the setting it refers to; `None` when that has no value.
pub fn fill_setting(text: &str, settings: &Attributes) -> Option<String> {
    match setting_reference(text) {
        Some(name) => settings.get(name).cloned(),
        None => Some(text.to_owned()),
    }
}

/// A host pattern in plain words, with settings filled in as far as they are known.
pub fn host_rendering(host: &str, settings: &Attributes) -> String {
    match (fill_setting(host, settings), setting_reference(host)) {
        (Some(filled), _) => filled,
        (None, Some(setting)) => format!("the server in its setting `{setting}`"),
        (None, None) => host.to_owned(),
    }
}

/// Exact scheme, host and port, with an optional path prefix: where a component may send requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AllowedHost {
    scheme: String,
    host: String,
    port: u16,
    /// Ends with `/`, or is empty.
    prefix: String,
}

impl AllowedHost {
    /// Whether a request to this URL stays inside. The URL must already be normalised by the `url` crate.
    pub fn allows(&self, url: &Url) -> bool {
        url.scheme() == self.scheme
            && url.host_str() == Some(&self.host)
            && url.port_or_known_default() == Some(self.port)
            && url.username().is_empty()
            && url.password().is_none()
            && (self.prefix.is_empty() || format!("{}/", url.path()).starts_with(&self.prefix))
            && !has_encoded_dots(url.path())
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether everything that `other` allows is allowed here too.
    pub fn covers(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.host == other.host
            && self.port == other.port
            && other.prefix.starts_with(&self.prefix)
    }

    /// What both allow: the narrower of the two, where one lies within the other.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        match (self.covers(other), other.covers(self)) {
            (true, _) => Some(other.clone()),
            (_, true) => Some(self.clone()),
            _ => None,
        }
    }
}

/// A server behind the URL may decode `%2e%2e%2f` and leave the prefix that was granted.
fn has_encoded_dots(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    path.contains("%2e%2e") || path.contains("%2f..") || path.contains("..%2f") || path.contains("%5c")
}

impl FromStr for AllowedHost {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Error::invalid(
                "allowed-host",
                format!(
                    "`{text}` is no host that a component can be allowed: {why}; the form is https://host[:port][/prefix]"
                ),
            )
        };
        let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("only http and https can be allowed"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it has a user, a query or a fragment"));
        }
        let host = url.host_str().filter(|host| !host.contains('*')).ok_or_else(|| refuse("it names no one host"))?;
        let path = url.path().trim_end_matches('/');
        Ok(Self {
            scheme: url.scheme().to_owned(),
            host: host.to_owned(),
            port: url.port_or_known_default().ok_or_else(|| refuse("it has no port"))?,
            prefix: if path.is_empty() { String::new() } else { format!("{path}/") },
        })
    }
}

impl TryFrom<String> for AllowedHost {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<AllowedHost> for String {
    fn from(host: AllowedHost) -> Self {
        host.to_string()
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}{}", self.scheme, self.host, self.port, self.prefix.trim_end_matches('/'))
    }
}

/// What one component of one instance may do, worked out before a call and fixed for its length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    pub capabilities: std::collections::BTreeSet<Capability>,
    pub hosts: Vec<AllowedHost>,
    /// Secrets that the host may put into its requests.
    pub secrets: Vec<BoundSecret>,
    /// Names of secrets whose values it may read.
    pub revealed: std::collections::BTreeSet<String>,
    /// It may change nothing: only GET and HEAD go out, and state stays as it is.
    pub read_only: bool,
}

/// A secret that goes only to these hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundSecret {
    pub name: String,
    pub hosts: Vec<AllowedHost>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_allows_exactly_itself() {
        let cases = [
            ("http://mlflow.example:5000", "http://mlflow.example:5000/api/2.0/x", true),
            ("http://mlflow.example:5000", "https://mlflow.example:5000/", false),
            ("http://mlflow.example:5000", "http://mlflow.example/", false),
            ("http://mlflow.example:5000", "http://mlflow.example:5000@evil.example/", false),
            ("http://mlflow.example:5000", "http://user@mlflow.example:5000/", false),
            ("https://api.example", "https://api.example:443/x", true),
            ("https://api.example", "https://API.example/x", true),
            ("https://api.example", "https://xapi.example/x", false),
            ("https://api.example/v1", "https://api.example/v1", true),
            ("https://api.example/v1", "https://api.example/v1/x", true),
            ("https://api.example/v1", "https://api.example/v10", false),
            ("https://api.example/v1", "https://api.example/v1/../v2", false),
            ("https://api.example/v1", "https://api.example/v1/%2e%2e/v2", false),
            ("https://api.example/v1", "https://api.example/v1/..%2fv2", false),
        ];
        for (allowed, url, expected) in cases {
            let host: AllowedHost = allowed.parse().expect(allowed);
            assert_eq!(host.allows(&Url::parse(url).expect(url)), expected, "{allowed} and {url}");
        }
    }

    #[test]
    fn hosts_that_say_too_much_or_too_little_are_refused() {
        for text in ["*", "https://*.example", "ftp://x", "https://u:p@x", "https://x?y", "mlflow.example"] {
            assert!(text.parse::<AllowedHost>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        /// Against the plainest reading of the grant: the same origin, and a path below the prefix.
        #[test]
        fn an_allowed_host_allows_what_its_parts_say(
            scheme in "https?", host in "[a-c]{1,3}\\.example", port in 1u16..4, prefix in "(/[ab]{1,2}){0,2}",
            other_host in "[a-c]{1,3}\\.example", other_port in 1u16..4, path in "(/[ab]{1,2}){0,3}",
        ) {
            let allowed: AllowedHost = format!("{scheme}://{host}:{port}{prefix}").parse().expect("host");
            let url = Url::parse(&format!("{scheme}://{other_host}:{other_port}{path}")).expect("url");
            let below = path == prefix || path.starts_with(&format!("{prefix}/"));
            let expected = host == other_host && port == other_port && (prefix.is_empty() || below);
            proptest::prop_assert_eq!(allowed.allows(&url), expected);
        }

        /// A narrower grant allows exactly what both allow.
        #[test]
        fn an_intersection_allows_what_both_allow(
            first in "http://[ab]\\.example(/[ab]){0,2}", second in "http://[ab]\\.example(/[ab]){0,2}",
            url in "http://[ab]\\.example(/[ab]){0,3}",
        ) {
            let (first, second): (AllowedHost, AllowedHost) = (first.parse().expect("host"), second.parse().expect("host"));
            let url = Url::parse(&url).expect("url");
            let both = first.allows(&url) && second.allows(&url);
            let narrowed = first.intersection(&second).is_some_and(|narrowed| narrowed.allows(&url));
            proptest::prop_assert_eq!(narrowed, both);
            proptest::prop_assert_eq!(first.intersection(&second), second.intersection(&first));
        }
    }
}
