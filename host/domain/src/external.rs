//! External artifacts (S104): references to what lies elsewhere, recorded so that it can be found and named.

use crate::{Address, Attributes, Descriptor, Digest, Error, Kind, Location, Name, Origin, Result, Store};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use url::Url;

/// What a person or a program says of an artifact that lies elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalArtifact {
    pub kind: Kind,
    pub name: Name,
    pub uri: String,
    /// Of the contents, if it is known.
    #[serde(default)]
    pub digest: Option<Digest>,
    #[serde(default)]
    pub attributes: Attributes,
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    #[serde(default)]
    pub labels: Attributes,
    /// Who says so.
    pub by: String,
}

/// Schemes that lead into this server's own stores or machine.
const OWN_SCHEMES: [&str; 4] = ["file", "git", "contents", "data"];
const LONGEST_URI: usize = 2048;
const MOST_FACTS: usize = 256;
const LONGEST_FACT: usize = 4096;

impl ExternalArtifact {
    /// Its descriptor. The same reference to the same contents is the same version.
    ///
    /// # Errors
    /// `invalid` for what nobody could follow or read.
    pub fn describe(self, project: &Name, created: Timestamp) -> Result<Descriptor> {
        self.check()?;
        let Self { kind, name, uri, digest, attributes, metrics, labels, by } = self;
        let identity = digest.clone().unwrap_or_else(|| Digest::of(uri.as_bytes()));
        let id: Name = identity.hex().parse()?;
        let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme).to_lowercase();
        let mut location = Location::new(&scheme, uri);
        location.digest.clone_from(&digest);
        let mut descriptor = Descriptor {
            address: Address::of_version(kind, project, &name, &id),
            name,
            id,
            digest: None,
            created,
            attributes,
            metrics,
            labels: Attributes::new(),
            tags: Vec::new(),
            location,
            store: Store::External,
            runnable: None,
            origin: Origin::Registered { by },
        };
        let labels: Vec<_> = labels.into_iter().map(|(name, value)| (name, Some(value))).collect();
        descriptor.relabel(&labels)?;
        Ok(descriptor)
    }

    fn check(&self) -> Result<()> {
        let Self { kind, uri, attributes, metrics, .. } = self;
        let invalid = |why: String| Err(Error::invalid("external-artifact", why));
        let url = match uri.parse::<Url>() {
            Ok(url) if uri.len() <= LONGEST_URI => url,
            Ok(_) => return invalid(format!("a reference has at most {LONGEST_URI} bytes")),
            Err(error) => {
                return invalid(format!("`{}` is no reference such as s3://bucket/key: {error}", uri.escape_debug()));
            }
        };
        if OWN_SCHEMES.contains(&url.scheme()) {
            return invalid(format!(
                "`{}` leads into this machine or its stores; an external artifact lies elsewhere, such as https://… or s3://…",
                uri.escape_debug()
            ));
        }
        if url.password().is_some() {
            return invalid(format!(
                "a reference to {} holds a password; everybody could read it",
                url.host_str().unwrap_or_default()
            ));
        }
        if matches!(kind, Kind::Codeset | Kind::Runnable) {
            return invalid(format!("a {kind} cannot be external: FuseML runs only what it keeps"));
        }
        check_facts(attributes, metrics)
    }
}

/// Refuses what a person or a program says of an artifact when it is too much, or no number.
pub(crate) fn check_facts(attributes: &Attributes, metrics: &BTreeMap<String, f64>) -> Result<()> {
    let mut texts = attributes.iter().flat_map(|(name, value)| [name, value]).chain(metrics.keys());
    if attributes.len() + metrics.len() > MOST_FACTS || texts.any(|text| text.len() > LONGEST_FACT) {
        let message = format!("at most {MOST_FACTS} attributes and metrics, of at most {LONGEST_FACT} bytes each");
        return Err(Error::invalid("facts", message));
    }
    match metrics.iter().find(|(_, value)| !value.is_finite()) {
        Some((name, _)) => Err(Error::invalid("facts", format!("the metric {} is no number", name.escape_debug()))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(uri: &str, change: impl FnOnce(&mut ExternalArtifact)) -> Result<Descriptor> {
        let mut external = ExternalArtifact {
            kind: Kind::Dataset,
            name: "wine".parse().expect("name"),
            uri: uri.to_owned(),
            digest: None,
            attributes: Attributes::new(),
            metrics: BTreeMap::new(),
            labels: Attributes::new(),
            by: "ada".to_owned(),
        };
        change(&mut external);
        external.describe(&"shop".parse().expect("name"), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_same_reference_is_the_same_version_and_a_digest_makes_it_another() {
        let one = described("s3://bucket/wine.csv", |_| {}).expect("artifact");
        assert_eq!(described("s3://bucket/wine.csv", |_| {}).expect("artifact").address, one.address);
        let digest = Digest::of(b"contents");
        let other =
            described("s3://bucket/wine.csv", |external| external.digest = Some(digest.clone())).expect("artifact");
        assert_eq!((&*other.id, other.digest, other.location.digest), (digest.hex(), None, Some(digest.clone())));
        assert_ne!(other.address, one.address);
    }

    #[test]
    fn what_nobody_could_follow_or_should_is_refused() {
        for uri in [
            "wine.csv",
            "",
            "file:///etc/passwd",
            "git://shop/app",
            "contents:sha256",
            "https://ada:secret@x.example/y",
        ] {
            let refused = described(uri, |_| {}).expect_err(uri);
            assert!(!refused.message.contains("secret"), "{refused}");
        }
        assert!(described("s3://b/k", |external| external.kind = Kind::Runnable).is_err());
        assert!(described("s3://b/k", |external| external.metrics = [("a".to_owned(), f64::NAN)].into()).is_err());
        assert!(
            described("s3://b/k", |external| drop(external.labels.insert("a b".to_owned(), String::new()))).is_err()
        );
        let many = |external: &mut ExternalArtifact| {
            external.attributes = (0..300).map(|number| (number.to_string(), String::new())).collect();
        };
        assert!(described("s3://b/k", many).is_err());
    }
}
