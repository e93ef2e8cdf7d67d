//! The marketplaces that this server installs from: what is trusted of each, what was seen last, what was fetched.
//!
//! A folder each: `marketplace.toml`, `root.json` (the pinned root metadata), `seen/` (what must not go back),
//! `log` (the last head of its log). Packages lie in `packages/<digest>`, verified, with where they came from.

use crate::{
    folder::{DataFolder, write_private},
    trust::Trust,
    view::{ImportView, MarketplaceRequest, MarketplaceView, PackageView},
};
use fuseml_domain::{Digest, Error, Manifest, Name, PackageOrigin, PackageReference, Result, exactly};
use fuseml_marketplace::{Carried, Checkpoint, Freshness, NamespaceIndex, Published, Remote};
use nix::fcntl::Flock;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::Mutex;
use url::Url;

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What is known of one marketplace.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    name: Name,
    url: Url,
    root_key: String,
    priority: u32,
}

/// All of them.
pub(crate) struct Marketplaces {
    folder: PathBuf,
    packages: PathBuf,
    pub(crate) trust: Trust,
    http: reqwest::Client,
    /// What was seen last is read and written by one at a time.
    seen: Mutex<()>,
    turns: DataFolder,
}

/// A version that was chosen, and by which metadata.
pub(crate) struct Chosen {
    pub(crate) marketplace: Name,
    url: Url,
    index: NamespaceIndex,
    published: Published,
}

impl Known {
    /// A marketplace that only ever came in bundles has no address but its folder.
    fn freshness(&self) -> Freshness {
        if self.url.scheme() == "file" { Freshness::AsCarried } else { Freshness::Required }
    }
}

impl Marketplaces {
    pub(crate) fn new(turns: DataFolder) -> Result<Self> {
        let data = turns.path();
        let http = reqwest::Client::builder()
            .timeout(ANSWER_WITHIN)
            .build()
            .map_err(|error| Error::internal("client", error.to_string()))?;
        let (folder, packages) = (data.join("marketplaces"), data.join("packages"));
        let trust = Trust::read(&data.join("trust.toml"))?;
        Ok(Self { folder, packages, trust, http, seen: Mutex::default(), turns })
    }

    fn known(&self) -> Result<Vec<Known>> {
        let mut known = Vec::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path().join("marketplace.toml");
            if let Ok(text) = fs::read_to_string(&path) {
                known.push(toml::from_str::<Known>(&text).map_err(|error| {
                    Error::internal("marketplace", format!("{} is damaged: {error}", path.display()))
                })?);
            }
        }
        known.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
        Ok(known)
    }

    pub(crate) fn list(&self) -> Result<Vec<MarketplaceView>> {
        Ok(self.known()?.into_iter().map(view).collect())
    }

    /// Pins a marketplace's root metadata, if it is of the root key that is expected.
    pub(crate) async fn add(&self, request: MarketplaceRequest) -> Result<MarketplaceView> {
        let MarketplaceRequest { name, url, root_key: expected, priority } = request;
        let url: Url = url
            .trim_end_matches('/')
            .parse()
            .map_err(|error| Error::invalid("address", format!("`{}` is no address: {error}", url.escape_debug())))?;
        if self.known()?.iter().any(|known| known.name == name || known.url == url) {
            return Err(Error::conflict("marketplace", format!("there is a marketplace {name}, or one at {url}")));
        }
        let root = self.get(&url, "metadata/root.json").await?;
        let shown = root_key(&root)?;
        if let Some(expected) = expected.filter(|expected| *expected != shown) {
            let message = format!("{url} shows the root key {shown}, not {expected}; do not trust it");
            return Err(Error::denied("root-key", message));
        }
        let known = Known { name, url, root_key: shown, priority };
        let staging = self.folder.join(format!(".{}", known.name));
        let text = toml::to_string(&known).map_err(|error| Error::internal("marketplace", error.to_string()))?;
        let write = || {
            let _ = fs::remove_dir_all(&staging);
            fs::create_dir_all(staging.join("seen"))?;
            fs::write(staging.join("root.json"), &root)?;
            fs::write(staging.join("marketplace.toml"), text)?;
            fs::rename(&staging, self.folder.join(&*known.name))
        };
        write().map_err(|error| Error::io(staging.display(), &error))?;
        Ok(view(known))
    }

    /// Takes in an unpacked bundle: its metadata under the pinned root, its packages once they are asked for. A
    /// marketplace that is not known yet is known by its root key from here on.
    pub(crate) async fn import(&self, bundle: &Path, name: &Name, expected: Option<String>) -> Result<ImportView> {
        let carried = Carried::read(bundle)?;
        let folder = self.folder.join(&**name);
        let site = folder.join("site");
        let known = self.known()?.into_iter().find(|known| known.name == *name);
        let root = match &known {
            Some(_) => fs::read(folder.join("root.json")),
            None => fs::read(bundle.join("metadata/root.json")),
        };
        let root = root.map_err(|error| Error::io("the root metadata", &error))?;
        let shown = root_key(&root)?;
        match (&known, &expected) {
            (_, Some(expected)) if *expected != shown => {
                return Err(Error::denied("root-key", format!("the bundle's root key is {shown}, not {expected}")));
            }
            (None, None) => {
                let message = format!("{name} is not known yet; say --root-key {shown} if its operator publishes that");
                return Err(Error::denied("root-key", message));
            }
            _ => {}
        }
        let metadata = Url::from_directory_path(bundle.join("metadata"))
            .map_err(|()| Error::internal("bundle", "the bundle has no whole path"))?;
        {
            let _alone = self.alone().await?;
            for namespace in &carried.namespaces {
                let seen = folder.join("seen");
                NamespaceIndex::load(&root, &metadata, namespace, &seen, Freshness::AsCarried).await?;
            }
        }
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&self.packages)?;
            for entry in fs::read_dir(bundle.join("packages"))?.flatten() {
                let place = self.packages.join(entry.file_name());
                // What was verified before stays; anything else may be what a worse bundle left.
                if !place.join("origin.json").is_file() {
                    let _ = fs::remove_dir_all(&place);
                    fs::rename(entry.path(), place)?;
                }
            }
            let _ = fs::remove_dir_all(&site);
            fs::create_dir_all(&folder)?;
            fs::rename(bundle, &site)?;
            if known.is_none() {
                fs::write(folder.join("root.json"), &root)?;
            }
            Ok(())
        };
        write().map_err(|error| Error::io("the bundle cannot be kept", &error))?;
        if known.is_none() {
            let url = Url::from_directory_path(&site)
                .map_err(|()| Error::internal("bundle", "the data folder has no whole path"))?;
            let known = Known { name: name.clone(), url, root_key: shown, priority: 100 };
            let text = toml::to_string(&known).map_err(|error| Error::internal("marketplace", error.to_string()))?;
            let path = folder.join("marketplace.toml");
            fs::write(&path, text).map_err(|error| Error::io(path.display(), &error))?;
        }
        Ok(ImportView { marketplace: name.clone(), packages: carried.packages })
    }

    pub(crate) fn remove(&self, name: &Name) -> Result<()> {
        let folder = self.folder.join(&**name);
        if !folder.join("marketplace.toml").is_file() {
            return Err(Error::not_found("marketplace", format!("there is no marketplace {name}")));
        }
        fs::remove_dir_all(&folder).map_err(|error| Error::io(folder.display(), &error))
    }

    async fn get(&self, url: &Url, path: &str) -> Result<Vec<u8>> {
        let address = format!("{}/{path}", url.as_str().trim_end_matches('/'));
        if let ("file", Ok(folder)) = (url.scheme(), url.to_file_path()) {
            let path = folder.join(path);
            return fs::read(&path).map_err(|error| Error::io(path.display(), &error));
        }
        let silent = |error: reqwest::Error| {
            Error::unavailable("marketplace", format!("{address} does not answer: {}", error.without_url()))
        };
        let response = self.http.get(&address).send().await.map_err(silent)?;
        if !response.status().is_success() {
            return Err(Error::unavailable("marketplace", format!("{address} answers {}", response.status())));
        }
        Ok(response.bytes().await.map_err(silent)?.to_vec())
    }

    /// A namespace as one marketplace says, after a look at whether its log only grew.
    async fn index(&self, known: &Known, namespace: &Name) -> Result<NamespaceIndex> {
        let _alone = self.alone().await?;
        let folder = self.folder.join(&*known.name);
        let root = folder.join("root.json");
        let root = fs::read(&root).map_err(|error| Error::io(root.display(), &error))?;
        let base = format!("{}/metadata/", known.url.as_str().trim_end_matches('/'));
        let base = base.parse().map_err(|error| Error::internal("address", format!("{base}: {error}")))?;
        let index = NamespaceIndex::load(&root, &base, namespace, &folder.join("seen"), known.freshness())
            .await
            .map_err(|error| error.context(&known.name))?;
        self.check_log(known, &index).await.map_err(|error| error.context(&known.name))?;
        Ok(index)
    }

    async fn check_log(&self, known: &Known, index: &NamespaceIndex) -> Result<()> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let note = text(self.get(&known.url, "api/v1/log/checkpoint").await?);
        let key = &index.facts.marketplace;
        let head = Checkpoint::verify(&note, key)?;
        let path = self.folder.join(&*known.name).join("log");
        // A head that another key signed is from before the marketplace replaced its key.
        let before = fs::read_to_string(&path).ok().and_then(|old| Checkpoint::verify(&old, key).ok());
        if let Some(before) = before {
            if before == head {
                return Ok(());
            }
            // A bundle carries no proof; it must not be older than what was seen.
            if known.freshness() == Freshness::AsCarried && before.size < head.size {
                return write_private(&path, note.as_bytes());
            }
            let proof = match before.size < head.size {
                true => text(self.get(&known.url, &format!("api/v1/log/proof?old={}", before.size)).await?),
                false => String::new(),
            };
            head.continues(&before, &proof)?;
        }
        write_private(&path, note.as_bytes())
    }

    /// Alone among all who look at what was seen last, on this server and those beside it.
    async fn alone(&self) -> Result<(tokio::sync::MutexGuard<'_, ()>, Flock<fs::File>)> {
        let turn = self.seen.lock().await;
        Ok((turn, self.turns.turn("marketplaces").await?))
    }

    /// The one marketplace that has an extension. Several that have it are an error: whoever publishes a known name in
    /// another one must not be chosen by chance.
    async fn find(&self, reference: &PackageReference) -> Result<(Known, NamespaceIndex)> {
        let mut known = self.known()?;
        if let Some(name) = &reference.marketplace {
            known.retain(|known| known.name == *name);
        }
        if known.is_empty() {
            let message = match &reference.marketplace {
                Some(name) => {
                    format!("there is no marketplace {name}; `fuseml marketplace list` shows which there are")
                }
                None => "this server knows no marketplace; `fuseml marketplace add NAME URL` adds one".to_owned(),
            };
            return Err(Error::not_found("marketplace", message));
        }
        let mut having = Vec::new();
        for known in known {
            match self.index(&known, &reference.namespace).await {
                Ok(index) if index.versions.iter().any(|it| it.name == reference.name) => having.push((known, index)),
                Ok(_) => {}
                Err(error) if error.code == "namespace" => {}
                Err(error) => return Err(error),
            }
        }
        if having.len() > 1 {
            let names: Vec<_> = having.iter().map(|(known, _)| format!("{}:{reference}", known.name)).collect();
            let message = format!("several marketplaces have it; say which: {}", names.join(" or "));
            return Err(Error::conflict("ambiguous-package", message));
        }
        having.pop().ok_or_else(|| {
            let message = format!("no marketplace has {}/{}", reference.namespace, reference.name);
            Error::not_found("extension", message)
        })
    }

    /// What has to be fetched for a reference, beside what is installed, each exactly and in the order in which it can
    /// be installed.
    pub(crate) async fn plan(
        &self,
        reference: &PackageReference,
        host: &Version,
        installed: &[Manifest],
    ) -> Result<Vec<PackageReference>> {
        let (known, index) = self.find(reference).await?;
        let solved = index.solve(&reference.name, &reference.wanted, host, installed)?;
        let exact = |published: &Published| PackageReference {
            marketplace: Some(known.name.clone()),
            namespace: reference.namespace.clone(),
            name: published.name.clone(),
            wanted: exactly(&published.version),
        };
        Ok(solved.into_iter().map(exact).collect())
    }

    /// The one version that a reference means.
    pub(crate) async fn resolve(&self, reference: &PackageReference) -> Result<Chosen> {
        let (known, index) = self.find(reference).await?;
        let published = index.resolve(&reference.name, &reference.wanted)?.clone();
        Ok(Chosen { marketplace: known.name, url: known.url, index, published })
    }

    /// Fetches what a reference means, verifies all of it and keeps it.
    pub(crate) async fn fetch(&self, reference: &PackageReference) -> Result<PackageView> {
        let chosen = self.resolve(reference).await?;
        let Chosen { marketplace, url, index, published } = &chosen;
        let full = format!("{}/{}", reference.namespace, reference.name);
        let place = self.packages.join(published.digest.hex());
        let layout = place.join("layout");
        if url.scheme() != "file" {
            Remote::new(url, &full, None)?.pull(&published.digest, &layout, |_| {}).await?;
        } else if !layout.is_dir() {
            let message = format!("the bundle that was imported last does not hold {full} {}", published.version);
            return Err(Error::not_found("package", message));
        }
        let keys = index.keys_for(published);
        let unpacked = tempfile::tempdir_in(&place).map_err(|error| Error::io(place.display(), &error))?;
        let (from, to, name) = (layout.clone(), unpacked.path().to_owned(), full.clone());
        let verified = tokio::task::spawn_blocking(move || {
            let digest = fuseml_marketplace::read(&from, &to)?;
            Ok::<_, Error>((digest, fuseml_marketplace::signers(&from, &name, &keys)?))
        });
        let verified = verified.await.map_err(|error| Error::internal("package", error.to_string()))?;
        let (digest, signers) = verified.inspect_err(|_| {
            // Fetched anew the next time, not found damaged for ever.
            let _ = fs::remove_dir_all(&place);
        })?;
        let key = signers.first().map(ToString::to_string).ok_or_else(|| {
            Error::denied(
                "unsigned",
                format!("{full} {} carries no signature of {}", published.version, reference.namespace),
            )
        })?;
        if digest != published.digest {
            return Err(Error::denied("package", format!("{full} is {digest}, not {}", published.digest)));
        }
        let (marketplace, namespace) = (marketplace.clone(), reference.namespace.clone());
        let origin = PackageOrigin { marketplace, namespace, digest, key };
        self.trust.check(&origin)?;
        let path = unpacked.path().join("extension.toml");
        let text = fs::read_to_string(&path).map_err(|error| Error::io(path.display(), &error))?;
        let advisories = index.advisories(&published.name, &published.version).cloned().collect();
        let deprecation = index.deprecation(&published.name).cloned();
        let view = PackageView { origin, manifest: Manifest::parse(&text)?, advisories, deprecation };
        let text = serde_json::to_vec(&view.origin).map_err(|error| Error::internal("package", error.to_string()))?;
        fs::write(place.join("origin.json"), text).map_err(|error| Error::io(place.display(), &error))?;
        Ok(view)
    }

    /// The layout of a package that was fetched before, and where it came from.
    pub(crate) fn fetched(&self, digest: &Digest) -> Result<(PathBuf, PackageOrigin)> {
        let place = self.packages.join(digest.hex());
        let origin = fs::read(place.join("origin.json")).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let origin =
            origin.ok_or_else(|| Error::not_found("package", format!("{digest} was not fetched; ask again")))?;
        self.trust.check(&origin)?;
        Ok((place.join("layout"), origin))
    }

    /// What each namespace's marketplace says now, each asked once.
    pub(crate) async fn indexes(
        &self,
        origins: impl Iterator<Item = &PackageOrigin>,
    ) -> Result<BTreeMap<(Name, Name), Result<NamespaceIndex>>> {
        let known = self.known()?;
        let mut indexes = BTreeMap::new();
        for origin in origins {
            let place = (origin.marketplace.clone(), origin.namespace.clone());
            if indexes.contains_key(&place) {
                continue;
            }
            let index = match known.iter().find(|known| known.name == origin.marketplace) {
                Some(known) => self.index(known, &origin.namespace).await,
                None => Err(Error::not_found(
                    "marketplace",
                    format!("there is no marketplace {} any more", origin.marketplace),
                )),
            };
            indexes.insert(place, index);
        }
        Ok(indexes)
    }
}

fn view(known: Known) -> MarketplaceView {
    let Known { name, url, root_key, priority } = known;
    MarketplaceView { name, url: url.as_str().trim_end_matches('/').to_owned(), root_key, priority }
}

/// What stands for the root role's keys: the one key's id, or a digest of all ids and of how many must sign. A root
/// that lists a known key beside others stands for something else.
fn root_key(root: &[u8]) -> Result<String> {
    let damaged = || Error::denied("root-key", "what the marketplace shows as its root metadata is none");
    let document: serde_json::Value = serde_json::from_slice(root).map_err(|_| damaged())?;
    let role = document.pointer("/signed/roles/root").ok_or_else(damaged)?;
    let ids = role.get("keyids").and_then(|ids| ids.as_array()).ok_or_else(damaged)?;
    let mut ids: Vec<&str> = ids.iter().filter_map(|id| id.as_str()).collect();
    ids.sort_unstable();
    let threshold = role.get("threshold").and_then(serde_json::Value::as_u64).ok_or_else(damaged)?;
    match (ids.as_slice(), threshold) {
        ([], _) | (_, 0) => Err(damaged()),
        ([one], 1) => Ok((*one).to_owned()),
        _ => Ok(Digest::of(format!("{threshold} of {}", ids.join(" ")).as_bytes()).hex().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_lists_a_known_key_beside_a_strangers_is_another_root() {
        let root = |ids: &[&str], threshold: u64| {
            let role = serde_json::json!({"keyids": ids, "threshold": threshold});
            root_key(serde_json::json!({"signed": {"roles": {"root": role}}}).to_string().as_bytes())
        };
        assert_eq!(root(&["known"], 1).as_deref(), Ok("known"));
        for other in [root(&["known", "stranger"], 1), root(&["known", "stranger"], 2), root(&["stranger", "known"], 1)]
        {
            assert_ne!(other.expect("a key"), "known");
        }
        assert_eq!(root(&["a", "b"], 1), root(&["b", "a"], 1));
        assert!(root(&[], 1).is_err() && root(&["known"], 0).is_err() && root_key(b"{}").is_err());
    }
}
