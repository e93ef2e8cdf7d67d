//! Bundles for sites without a network: packages and the metadata that vouches for them, in one tar.
//!
//! `carried.json` names the marketplace and what is inside; `metadata/<namespace>/…` is what the marketplace signed,
//! `packages/<digest>/` are layouts. Nothing in it is believed because it is there: the metadata says every digest,
//! and who has the root key's id verifies all of it.

use crate::{
    metadata::{Freshness, NamespaceIndex},
    remote::{Remote, Transfer},
};
use fuseml_domain::{Error, Name, PackageReference, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fs, path::Path};
use url::Url;

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// Where it was made from.
    pub marketplace: Url,
    pub namespaces: BTreeSet<Name>,
    /// `<namespace>/<extension> <version>`, for people.
    pub packages: Vec<String>,
}

impl Carried {
    /// Of an unpacked bundle.
    ///
    /// # Errors
    /// `invalid` when the folder is none.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("carried.json");
        let text = fs::read(&path).map_err(|_| Error::invalid("bundle", "this is no bundle of a marketplace"))?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::invalid("bundle", format!("the bundle is not understood: {error}")))
    }
}

/// Gathers what the references mean into an empty folder, as it is put into a tar.
///
/// # Errors
/// What the marketplace lacks or gets wrong; nothing is verified here that a client would not verify again.
pub async fn export(
    marketplace: &Url,
    references: &[PackageReference],
    folder: &Path,
    mut report: impl FnMut(Transfer),
) -> Result<Carried> {
    let http = reqwest::Client::new();
    let base = marketplace.as_str().trim_end_matches('/').to_owned();
    let get = async |path: String| -> Result<Option<Vec<u8>>> {
        let silent =
            |error: reqwest::Error| Error::unavailable("marketplace", format!("{path}: {}", error.without_url()));
        let response = http.get(format!("{base}/{path}")).send().await.map_err(silent)?;
        match response.status().as_u16() {
            200 => Ok(Some(response.bytes().await.map_err(silent)?.to_vec())),
            404 => Ok(None),
            status => Err(Error::unavailable("marketplace", format!("{base}/{path} answers {status}"))),
        }
    };
    let missing = |path: &str| Error::not_found("metadata", format!("the marketplace has no {path}"));
    let root = get("metadata/root.json".to_owned()).await?.ok_or_else(|| missing("root metadata"))?;
    write(&folder.join("metadata/root.json"), &root)?;
    let note = get("api/v1/log/checkpoint".to_owned()).await?.ok_or_else(|| missing("log"))?;
    write(&folder.join("api/v1/log/checkpoint"), &note)?;
    let namespaces: BTreeSet<Name> = references.iter().map(|reference| reference.namespace.clone()).collect();
    for namespace in &namespaces {
        let place = |file: &str| folder.join("metadata").join(&**namespace).join(file);
        for version in 1.. {
            let file = format!("{version}.root.json");
            match get(format!("metadata/{namespace}/{file}")).await? {
                Some(bytes) => write(&place(&file), &bytes)?,
                None => break,
            }
        }
        let file = "timestamp.json".to_owned();
        let timestamp = get(format!("metadata/{namespace}/{file}")).await?.ok_or_else(|| missing(namespace))?;
        write(&place(&file), &timestamp)?;
        let number: serde_json::Value = serde_json::from_slice(&timestamp).unwrap_or_default();
        let number = number.pointer("/signed/version").and_then(serde_json::Value::as_u64).unwrap_or_default();
        for role in ["snapshot", "targets"] {
            let file = format!("{number}.{role}.json");
            let bytes = get(format!("metadata/{namespace}/{file}")).await?.ok_or_else(|| missing(&file))?;
            write(&place(&file), &bytes)?;
        }
    }
    let seen = tempfile::tempdir().map_err(|error| Error::io("a temporary folder", &error))?;
    let metadata = Url::from_directory_path(folder.join("metadata"))
        .map_err(|()| Error::invalid("folder", format!("{} is no whole path", folder.display())))?;
    let mut packages = Vec::new();
    for reference in references {
        let index =
            NamespaceIndex::load(&root, &metadata, &reference.namespace, seen.path(), Freshness::Required).await?;
        let published = index.resolve(&reference.name, &reference.wanted)?;
        let full = format!("{}/{}", reference.namespace, reference.name);
        let layout = folder.join("packages").join(published.digest.hex()).join("layout");
        Remote::new(marketplace, &full, None)?.pull(&published.digest, &layout, &mut report).await?;
        packages.push(format!("{full} {}", published.version));
    }
    let carried = Carried { marketplace: marketplace.clone(), namespaces, packages };
    let text = serde_json::to_vec_pretty(&carried).map_err(|error| Error::internal("bundle", error.to_string()))?;
    write(&folder.join("carried.json"), &text)?;
    Ok(carried)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder.and_then(|()| fs::write(path, bytes)).map_err(|error| Error::io(path.display(), &error))
}
