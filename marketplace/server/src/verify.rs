//! Whether a namespace is who it says: its website or its repository says a word that only the namespace was told.

use crate::{
    About, Caller, Marketplace, Role,
    database::{failed, to_json},
};
use aws_lc_rs::hmac;
use fuseml_domain::{Error, Name, Result, is_public};
use reqwest::{
    dns::{Addrs, Resolve, Resolving},
    redirect::Policy,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use url::{Host, Url};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of an answer that are looked at: the names of a large repository's branches and tags.
const MOST_ANSWER: usize = 4 << 20;
const WELL_KNOWN: &str = "/.well-known/fuseml-namespace";

/// One place where a namespace can prove that it is who it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proof {
    /// What has to be done there, for people.
    pub to_do: String,
    /// Why it proves nothing yet; none when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What came of looking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    pub verified: bool,
    pub proofs: Vec<Proof>,
}

impl Marketplace {
    /// Looks at the namespace's website and repository. One that proves it makes the namespace a verified one.
    pub(crate) async fn verify_namespace(&self, caller: &Caller, namespace: &Name) -> Result<Verification> {
        self.authorise(caller, namespace, None, Role::Owner).await?;
        let about = self.namespace(namespace).await?.about;
        let word = self.word_of(namespace).await;
        let (mut proofs, mut verified_by) = (Vec::new(), None);
        for place in places(&about, namespace, &word)? {
            let problem = self.look(&place).await.err().map(|error| error.message);
            if problem.is_none() && verified_by.is_none() {
                verified_by = place.url.host_str().map(ToOwned::to_owned);
            }
            proofs.push(Proof { to_do: place.to_do, problem });
        }
        if proofs.is_empty() {
            let message = format!(
                "{namespace} names no website and no repository; `fuseml marketplace namespace describe {namespace} --website URL` does"
            );
            return Err(Error::invalid("verification", message));
        }
        let verified = verified_by.is_some();
        if let Some(host) = verified_by {
            // Only what was looked at: whoever moved meanwhile is looked at again.
            let now = About { verified: true, verified_by: Some(host), ..about.clone() };
            let done =
                sqlx::query("UPDATE namespaces SET document = $1, verified = 1 WHERE name = $2 AND document = $3")
                    .bind(to_json(&now)?)
                    .bind(&**namespace)
                    .bind(to_json(&about)?)
                    .execute(&self.database.pool)
                    .await
                    .map_err(failed)?;
            if done.rows_affected() == 0 {
                return Err(Error::conflict("verification", format!("{namespace} was changed meanwhile; try again")));
            }
            self.audit(&caller.account, "namespace-verify", namespace).await?;
        }
        Ok(Verification { verified, proofs })
    }

    /// The same word for as long as the online key stays, told to owners alone.
    async fn word_of(&self, namespace: &Name) -> String {
        let keys = self.keys.read().await;
        let key = hmac::Key::new(hmac::HMAC_SHA256, keys.online.pkcs8());
        hex::encode(&hmac::sign(&key, format!("namespace {namespace}").as_bytes()).as_ref()[..16])
    }

    async fn look(&self, place: &Place) -> Result<()> {
        let url = &place.url;
        let failed = |error: reqwest::Error| {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            Error::unavailable("verification", format!("{url} does not answer: {cause}"))
        };
        if let Some(address) = literal(url).filter(|address| !self.looks_at(*address)) {
            return Err(Error::denied("verification", refusal(url.host_str().unwrap_or_default(), address)));
        }
        let resolver = Public { any: self.verify_private };
        let client = reqwest::Client::builder()
            .dns_resolver(Arc::new(resolver))
            .redirect(Policy::none())
            .no_proxy()
            .timeout(ANSWER_WITHIN)
            .build()
            .map_err(failed)?;
        let mut answer = client.get(url.clone()).send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(Error::not_found("verification", format!("{url} answers {}", answer.status())));
        }
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            text.extend_from_slice(&chunk);
            if text.len() > MOST_ANSWER {
                return Err(Error::invalid("verification", format!("{url} says more than {} MiB", MOST_ANSWER >> 20)));
            }
        }
        match says(&String::from_utf8_lossy(&text), &place.expected) {
            true => Ok(()),
            false => Err(Error::not_found("verification", format!("{url} does not say it"))),
        }
    }

    fn looks_at(&self, address: IpAddr) -> bool {
        self.verify_private || is_public(address)
    }
}

/// Where is looked, and for what.
struct Place {
    url: Url,
    expected: String,
    to_do: String,
}

fn places(about: &About, namespace: &Name, word: &str) -> Result<Vec<Place>> {
    let parse =
        |text: &String| text.parse::<Url>().map_err(|error| Error::invalid("address", format!("{text}: {error}")));
    let mut places = Vec::new();
    if let Some(website) = &about.website {
        let mut url = parse(website)?;
        url.set_path(WELL_KNOWN);
        url.set_query(None);
        let expected = format!("{namespace} {word}");
        places.push(Place { to_do: format!("let {url} say the line `{expected}`"), url, expected });
    }
    if let Some(repository) = &about.repository {
        let base = repository.trim_end_matches('/');
        let url = parse(&format!("{base}/info/refs?service=git-upload-pack"))?;
        let tag = format!("fuseml-{word}");
        let to_do = format!("push the tag `{tag}` to {base}: git tag {tag} && git push {base} {tag}");
        places.push(Place { url, expected: format!("refs/tags/{tag}"), to_do });
    }
    Ok(places)
}

/// Whether one of the lines ends in what is expected; git's lines begin with what a tag points at.
fn says(text: &str, expected: &str) -> bool {
    text.lines().map(str::trim).any(|line| {
        line.strip_suffix(expected).is_some_and(|before| before.is_empty() || before.ends_with(['\t', ' ']))
    })
}

fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

fn refusal(name: &str, address: IpAddr) -> String {
    format!("{name} is at {address}, which is not a public address; the operator can allow that with --verify-private")
}

/// Resolves names to public addresses alone; what it answers is what is dialled.
struct Public {
    any: bool,
}

impl Resolve for Public {
    fn resolve(&self, name: reqwest::dns::Name) -> Resolving {
        let any = self.any;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if let Some(private) = found.iter().find(|found| !any && !is_public(found.ip())) {
                return Err(refusal(name.as_str(), private.ip()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_must_be_the_expected_one_whole() {
        let tag = "refs/tags/fuseml-abc";
        for (text, expected) in [
            ("0123\trefs/tags/other\n0123\trefs/tags/fuseml-abc\n", true),
            ("003d0123456789 refs/tags/fuseml-abc\n0000", true),
            ("0123\trefs/tags/fuseml-abcd\n", false),
            ("0123\trefs/tags/fuseml-abc/more\n", false),
            ("", false),
        ] {
            assert_eq!(says(text, tag), expected, "{text}");
        }
        assert!(says("# ours\nacme abc\n", "acme abc"));
        assert!(!says("not-acme abc\n", "acme abc"));
    }

    #[test]
    fn each_place_is_asked_for_what_its_owner_alone_can_put_there() {
        let about = About {
            website: Some("https://acme.example/about?x=1".to_owned()),
            repository: Some("https://git.example/acme/tools.git/".to_owned()),
            ..About::default()
        };
        let places = places(&about, &"acme".parse().expect("name"), "abc").expect("places");
        let urls: Vec<_> = places.iter().map(|place| place.url.as_str()).collect();
        assert_eq!(
            urls,
            [
                "https://acme.example/.well-known/fuseml-namespace",
                "https://git.example/acme/tools.git/info/refs?service=git-upload-pack"
            ]
        );
    }
}
