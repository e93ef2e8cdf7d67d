//! What a marketplace says of a namespace, as TUF metadata: which versions there are, their digests, whose keys sign.
//!
//! Each namespace is a TUF repository of its own under the marketplace's one root, so that a client asks only for
//! what it wants. A target is a package's index; its name is `<extension>/<version>`.

use crate::{
    advisory::Advisory,
    attestation::Envelope,
    deprecation::Deprecation,
    key::{KeyId, PublicKey},
};
use fuseml_domain::{Digest, Error, Name, Result};
use jiff::Timestamp;
use schemars::JsonSchema;
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};
use tough::{
    Repository, RepositoryLoader,
    error::Error as TufError,
    schema::{Root, Target},
};
use url::Url;

/// Where in a target's `custom` and in the targets' metadata our part is.
pub const FIELD: &str = "fuseml";

/// Whether a version may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Available,
    /// Not chosen any more; still fetched by who names exactly this version.
    Yanked,
    /// Must not run anywhere.
    Revoked,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Yanked => "yanked",
            Self::Revoked => "revoked",
        }
    }
}

/// The predicate of a signed statement about a version's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusChange {
    pub version: Version,
    pub status: Status,
    /// One line, for people.
    pub reason: String,
    pub at: Timestamp,
}

/// One version of one extension.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Published {
    pub name: Name,
    pub version: Version,
    /// Of the package's index.
    pub digest: Digest,
    /// Of the package's index, in bytes.
    pub size: u64,
    pub published: Timestamp,
    /// Which key signed it.
    pub key: KeyId,
    pub status: Status,
    /// The signed [`StatusChange`] that led there; none for a version that was never touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Envelope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub fuseml: Option<VersionReq>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<Name, String>")]
    pub dependencies: BTreeMap<Name, VersionReq>,
}

/// What a key may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    Active,
    /// Signs nothing new; what it signed before stays good.
    Retired,
    /// Lost or stolen: what it signed counts no more.
    Revoked,
}

/// A key of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamespaceKey {
    pub key: PublicKey,
    pub state: KeyState,
    pub added: Timestamp,
    /// When it was retired or revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

impl NamespaceKey {
    /// Whether a signature on something published at that time counts.
    pub fn counts(&self, published: Timestamp) -> bool {
        match self.state {
            KeyState::Active => true,
            KeyState::Retired => self.ended.is_some_and(|ended| published <= ended),
            KeyState::Revoked => false,
        }
    }
}

/// Whether metadata that is out of date is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// From a marketplace that answers: what is out of date is held back by somebody.
    Required,
    /// From a bundle that was carried here: it says what was so when it was made.
    AsCarried,
}

/// What the metadata says of the namespace itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceFacts {
    pub namespace: Name,
    pub keys: Vec<NamespaceKey>,
    /// The marketplace's own key, which signs statements and the log.
    pub marketplace: PublicKey,
    /// Known vulnerabilities of its extensions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advisories: Vec<Advisory>,
    /// Extensions that nobody should begin with any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deprecations: Vec<Deprecation>,
}

/// A namespace as its verified metadata says.
#[derive(Debug, Clone)]
pub struct NamespaceIndex {
    pub facts: NamespaceFacts,
    pub versions: Vec<Published>,
}

impl NamespaceIndex {
    /// Fetches and verifies a namespace's metadata. `root` is the root metadata that is trusted; `seen` a folder in
    /// which what was seen last is kept, so that older metadata is noticed. Among it is the newest root that followed
    /// from `root`: beginning with that one, a replaced online key is news only once, and what was seen since stays.
    ///
    /// # Errors
    /// `denied` with the code `expired-metadata`, `rollback`, `mixed-metadata` or `forged-metadata`;
    /// `unavailable` when the marketplace does not answer.
    pub async fn load(
        root: &[u8],
        metadata: &Url,
        namespace: &Name,
        seen: &Path,
        freshness: Freshness,
    ) -> Result<Self> {
        let seen = seen.join(&**namespace);
        std::fs::create_dir_all(&seen).map_err(|error| Error::io(seen.display(), &error))?;
        let base = metadata
            .join(&format!("{namespace}/"))
            .map_err(|error| Error::invalid("address", format!("{metadata}: {error}")))?;
        let limits =
            tough::Limits { max_snapshot_size: 4 << 20, max_targets_size: 64 << 20, ..tough::Limits::default() };
        // Half a file is what a machine that stopped leaves behind.
        let newest = std::fs::read(seen.join("root.json")).ok();
        let newest = newest.filter(|newest| serde_json::from_slice::<tough::schema::Signed<Root>>(newest).is_ok());
        let root = newest.as_deref().unwrap_or(root);
        let repository = RepositoryLoader::new(&root, base.clone(), base)
            .datastore(seen)
            .expiration_enforcement((freshness == Freshness::Required).into())
            .limits(limits)
            .load()
            .await
            .map_err(|error| explain(error, namespace))?;
        Self::of(&repository, namespace)
    }

    fn of(repository: &Repository, namespace: &Name) -> Result<Self> {
        let forged = |why: String| Error::denied("forged-metadata", format!("the metadata of {namespace} {why}"));
        let targets = &repository.targets().signed;
        let facts = targets._extra.get(FIELD).cloned().ok_or_else(|| forged("says nothing of its keys".to_owned()))?;
        let facts: NamespaceFacts =
            serde_json::from_value(facts).map_err(|error| forged(format!("is not understood: {error}")))?;
        if facts.namespace != *namespace {
            return Err(forged(format!("is that of {}", facts.namespace)));
        }
        let mut versions = Vec::new();
        for (name, target) in &targets.targets {
            let published = published(target).map_err(|why| forged(format!("says of {}: {why}", name.raw())))?;
            if name.raw() != format!("{}/{}", published.name, published.version) {
                return Err(forged(format!("names {} {} as {}", published.name, published.version, name.raw())));
            }
            versions.push(published);
        }
        versions.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        Ok(Self { facts, versions })
    }

    /// The keys whose signatures on that version count.
    pub fn keys_for(&self, published: &Published) -> Vec<PublicKey> {
        let counting = self.facts.keys.iter().filter(|key| key.counts(published.published));
        counting.map(|key| key.key.clone()).collect()
    }

    /// What is known to be wrong with a version.
    pub fn advisories(&self, extension: &Name, version: &Version) -> impl Iterator<Item = &Advisory> {
        self.facts.advisories.iter().filter(move |advisory| advisory.concerns(extension, version))
    }

    /// Why nobody should begin with an extension any more.
    pub fn deprecation(&self, extension: &Name) -> Option<&Deprecation> {
        self.facts.deprecations.iter().find(|deprecation| deprecation.extension == *extension)
    }

    /// The newest version that may be chosen, or exactly the one that is named.
    ///
    /// # Errors
    /// `not-found` with what there is; `denied` for a revoked version.
    pub fn resolve(&self, name: &Name, wanted: &VersionReq) -> Result<&Published> {
        let namespace = &self.facts.namespace;
        let mut all = self.versions.iter().filter(|version| version.name == *name).peekable();
        if all.peek().is_none() {
            return Err(Error::not_found("extension", format!("{namespace} has no extension {name}")));
        }
        let matching: Vec<_> = all.filter(|version| wanted.matches(&version.version)).collect();
        let exact = is_exact(wanted);
        let chosen = matching.iter().rev().find(|version| version.status == Status::Available || exact);
        match (chosen, matching.last()) {
            (Some(chosen), _) if chosen.status == Status::Revoked => Err(Error::denied(
                "revoked",
                format!("{namespace}/{name} {} was revoked and runs nowhere", chosen.version),
            )),
            (Some(chosen), _) => Ok(chosen),
            (None, Some(last)) => Err(Error::not_found(
                "version",
                format!(
                    "every version of {namespace}/{name} that fits {wanted} was {}; `={}` would name one exactly",
                    last.status.name(),
                    last.version
                ),
            )),
            (None, None) => {
                let there: Vec<_> = self
                    .versions
                    .iter()
                    .filter(|version| version.name == *name && version.status == Status::Available)
                    .map(|version| version.version.to_string())
                    .collect();
                let message = format!("no version of {namespace}/{name} fits {wanted}; there are {}", there.join(", "));
                Err(Error::not_found("version", message))
            }
        }
    }
}

/// `=1.2.3`, and nothing else.
fn is_exact(wanted: &VersionReq) -> bool {
    match wanted.comparators.as_slice() {
        [one] => one.op == semver::Op::Exact && one.minor.is_some() && one.patch.is_some(),
        _ => false,
    }
}

fn published(target: &Target) -> Result<Published, String> {
    let facts = target.custom.get(FIELD).cloned().ok_or("nothing")?;
    let published: Published = serde_json::from_value(facts).map_err(|error| error.to_string())?;
    let same = published.digest.hex() == hex::encode(&*target.hashes.sha256) && published.size == target.length;
    if same { Ok(published) } else { Err("two different digests".to_owned()) }
}

/// A version as a target; the reverse of what is read.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn target(published: &Published) -> Result<Target> {
    let internal = |error: &dyn std::fmt::Display| Error::internal("metadata", error.to_string());
    let facts = serde_json::to_value(published).map_err(|error| internal(&error))?;
    let sha256 = hex::decode(published.digest.hex()).map_err(|error| internal(&error))?;
    Ok(Target {
        length: published.size,
        hashes: tough::schema::Hashes { sha256: sha256.into(), _extra: HashMap::new() },
        custom: HashMap::from([(FIELD.to_owned(), facts)]),
        _extra: HashMap::new(),
    })
}

/// The attack or the fault behind an error of the update procedure, in words.
fn explain(error: TufError, namespace: &Name) -> Error {
    let denied = |code: &str, why: String| Error::denied(code, format!("the metadata of {namespace} {why}"));
    // What does not belong together is noticed while it is being fetched, and wrapped as a failure to fetch.
    let wrapped = std::error::Error::source(&error).and_then(std::error::Error::source);
    let wrapped = wrapped.and_then(|cause| cause.downcast_ref::<TufError>());
    match wrapped.unwrap_or(&error) {
        TufError::ExpiredMetadata { role, .. } => denied(
            "expired-metadata",
            format!(
                "({role}) is out of date: somebody may be holding back newer metadata, or the marketplace stands still"
            ),
        ),
        TufError::OlderMetadata { role, current_version, new_version, .. } => denied(
            "rollback",
            format!("({role}) is of version {new_version}, though version {current_version} was seen before"),
        ),
        TufError::OlderSnapshotInTimestamp { .. }
        | TufError::SnapshotRoleRollback { .. }
        | TufError::SnapshotRoleMissing { .. } => {
            denied("rollback", format!("is older than what was seen before: {error}"))
        }
        TufError::HashMismatch { .. } | TufError::VersionMismatch { .. } | TufError::MaxSizeExceeded { .. } => {
            denied("mixed-metadata", format!("does not belong together: {error}"))
        }
        TufError::SystemTimeSteppedBackward { .. } => {
            denied("clock", "cannot be judged: this machine's clock went back since it was looked at last".to_owned())
        }
        TufError::Transport { source, .. } => match source.kind() {
            tough::TransportErrorKind::FileNotFound => {
                Error::not_found("namespace", format!("the marketplace has no namespace {namespace}"))
            }
            _ => Error::unavailable("marketplace", format!("the marketplace does not answer: {source}")),
        },
        _ => denied("forged-metadata", format!("is not what the trusted root says it must be: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    fn index(versions: &[(&str, Status)]) -> NamespaceIndex {
        let key = SigningKey::generate().and_then(|key| key.public()).expect("key");
        let published = |(version, status): &(&str, Status)| Published {
            name: "tool".parse().expect("name"),
            version: version.parse().expect("version"),
            digest: Digest::of(version.as_bytes()),
            size: 1,
            published: Timestamp::UNIX_EPOCH,
            key: key.id(),
            status: *status,
            statement: None,
            fuseml: None,
            dependencies: BTreeMap::new(),
        };
        let namespace = "acme".parse().expect("name");
        let facts = NamespaceFacts {
            namespace,
            keys: Vec::new(),
            marketplace: key.clone(),
            advisories: Vec::new(),
            deprecations: Vec::new(),
        };
        NamespaceIndex { facts, versions: versions.iter().map(published).collect() }
    }

    #[test]
    fn a_range_chooses_what_is_available_and_an_exact_version_also_what_was_yanked() {
        let index = index(&[
            ("0.1.0", Status::Available),
            ("0.1.1", Status::Yanked),
            ("0.2.0", Status::Revoked),
            ("0.3.0-beta.1", Status::Available),
        ]);
        let resolve = |wanted: &str| {
            let found = index.resolve(&"tool".parse().expect("name"), &wanted.parse().expect("range"));
            found.map(|version| version.version.to_string()).map_err(|error| error.code)
        };
        for (wanted, expected) in [
            ("*", Ok("0.1.0")),
            ("^0.1", Ok("0.1.0")),
            ("=0.1.1", Ok("0.1.1")),
            ("=0.2.0", Err("revoked")),
            ("^0.2", Err("version")),
            ("^0.4", Err("version")),
            ("=0.3.0-beta.1", Ok("0.3.0-beta.1")),
        ] {
            assert_eq!(resolve(wanted), expected.map(str::to_owned).map_err(str::to_owned), "{wanted}");
        }
    }

    #[test]
    fn a_retired_key_counts_for_what_was_published_before_and_a_revoked_one_for_nothing() {
        let key = SigningKey::generate().and_then(|key| key.public()).expect("key");
        let at = |seconds| Timestamp::from_second(seconds).expect("time");
        let key = |state, ended| NamespaceKey { key: key.clone(), state, added: at(0), ended };
        for (key, published, counts) in [
            (key(KeyState::Active, None), at(5), true),
            (key(KeyState::Retired, Some(at(4))), at(4), true),
            (key(KeyState::Retired, Some(at(4))), at(5), false),
            (key(KeyState::Revoked, Some(at(9))), at(1), false),
        ] {
            assert_eq!(key.counts(published), counts, "{key:?}");
        }
    }
}
