//! Files that a tool serves one by one over HTTP, verified while they arrive.

use crate::store::{check, create};
use fuseml_domain::{Contents, Digest, Error, Result, TreeFile, check_relative_path};
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, io::Write as _, path::Path, time::Duration};

/// A server that sends nothing for so long is taken for dead.
const SILENCE: Duration = Duration::from_secs(60);

pub(crate) fn client() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(SILENCE)
        .build()
        .map_err(|error| Error::internal("client", error.to_string()))
}

/// Writes every file of the tree below `target`; what the tool serves beside them is left.
pub(crate) async fn tree(client: &reqwest::Client, contents: &Contents, target: &Path) -> Result<()> {
    let tree = contents.tree.as_ref().ok_or_else(|| {
        Error::internal("no-tree", format!("it is not known which files belong to {}", contents.location.uri))
    })?;
    let uris: HashMap<_, _> = contents.files.iter().map(|(path, uri)| (path.as_str(), uri.as_str())).collect();
    for file in tree.files() {
        check_relative_path(&file.path)?;
        let uri = uris.get(file.path.as_str()).ok_or_else(|| {
            Error::not_found(
                "missing-file",
                format!("the file {} of {} is gone from its store", file.path, contents.location.uri),
            )
        })?;
        one(client, file, uri, &target.join(&file.path)).await?;
    }
    Ok(())
}

async fn one(client: &reqwest::Client, file: &TreeFile, uri: &str, target: &Path) -> Result<()> {
    let failed =
        |error: reqwest::Error| Error::unavailable("fetch", format!("{uri} cannot be fetched: {}", innermost(&error)));
    let response = client.get(uri).send().await.map_err(failed)?;
    let status = response.status();
    if !status.is_success() {
        let message = format!("{uri} cannot be fetched: the server answered {status}");
        return Err(match status.is_server_error() {
            true => Error::unavailable("fetch", message),
            false => Error::not_found("fetch", message),
        });
    }
    let mut writer = create(target, file.executable)?;
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(failed)?;
        size += chunk.len() as u64;
        if size > file.size_bytes {
            let message = format!("{uri} has more than the {} bytes that were registered", file.size_bytes);
            return Err(Error::invalid("digest-mismatch", message));
        }
        hash.update(&chunk);
        writer
            .write_all(&chunk)
            .map_err(|error| Error::io(format!("{} cannot be written", target.display()), &error))?;
    }
    check(file, &Digest::from_hash(&hash.finalize())).map_err(|error| error.context(uri))
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
