//! Files that a tool serves one by one over HTTP, verified while they arrive.
//!
//! A server is believed nothing: not how long its answer is, not where else to ask, not that it will go on.

use crate::{
    disk::{Copied, Staging, blocking},
    stage::expected,
    verify::Source,
};
use fuseml_domain::{Contents, Digest, Error, Result, TreeFile, check_relative_path};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Response, Url, redirect};
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, path::Path, time::Duration};
use tokio::io::AsyncWriteExt as _;

/// A server that sends nothing for so long is taken for dead.
pub(crate) const SILENCE: Duration = Duration::from_secs(60);
/// Files under way at once.
const AT_ONCE: usize = 4;
const MAX_REDIRECTS: usize = 5;
/// One that sends, but slower than this, would keep a step waiting for ever.
const LEAST_BYTES_PER_SECOND: u64 = 4 << 10;
/// Bytes of an artifact that are read without knowing how many there should be.
const MOST_UNLISTED: u64 = 64 << 30;
const WRITE_BUFFER: usize = 256 << 10;

pub(crate) fn client(silence: Duration) -> Result<reqwest::Client> {
    let same_host = redirect::Policy::custom(|attempt| {
        let same = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
        match same && attempt.previous().len() <= MAX_REDIRECTS {
            true => attempt.follow(),
            false => attempt.stop(),
        }
    });
    reqwest::Client::builder()
        .redirect(same_host)
        // Tools are reached directly: what the server's environment says of proxies is not meant for them.
        .no_proxy()
        .connect_timeout(silence.min(Duration::from_secs(10)))
        .read_timeout(silence)
        .build()
        .map_err(|error| Error::internal("http-client", innermost(&error)))
}

/// Fetches every file of the tree; what the tool serves beside them is left.
pub(crate) async fn tree(client: &reqwest::Client, contents: &Contents, staging: &Staging) -> Result<()> {
    let tree = expected(contents)?;
    let source = Source::of_a_tool(shown(&contents.location.uri));
    let uris: HashMap<_, _> = contents.files.iter().map(|(path, uri)| (path.as_str(), uri.as_str())).collect();
    let missing = tree.files().iter().find(|file| !uris.contains_key(file.path.as_str()));
    if let Some(file) = missing {
        return Err(source.missing(file));
    }
    let places = {
        let (staging, tree) = (staging.clone(), tree.clone());
        blocking(move || staging.lay_out(&tree)).await?
    };
    stream::iter(tree.files().iter().zip(&places).map(Ok))
        .try_for_each_concurrent(AT_ONCE, |(file, place)| {
            let fetched = one(client, file, uris[file.path.as_str()], &source, place);
            async move {
                let limit = SILENCE + Duration::from_secs(file.size_bytes / LEAST_BYTES_PER_SECOND);
                tokio::time::timeout(limit, fetched).await.unwrap_or_else(|_| {
                    let message = format!("the file {} did not arrive in {} s", file.path, limit.as_secs());
                    Err(Error::unavailable("fetch", message))
                })
            }
        })
        .await
}

/// Fetches files of which nobody knows what they were, into a folder.
pub(crate) async fn unlisted(client: &reqwest::Client, contents: &Contents, folder: &Path) -> Result<()> {
    let mut left = MOST_UNLISTED;
    for (path, uri) in &contents.files {
        check_relative_path(path)?;
        let place = folder.join(path);
        let io = |error: std::io::Error| Error::io(format!("{} cannot be written", place.display()), &error);
        tokio::fs::create_dir_all(place.parent().unwrap_or(folder)).await.map_err(io)?;
        let failed = |error: reqwest::Error| unavailable(uri, &error);
        let response = answered(client.get(uri).send().await.map_err(failed)?, uri)?;
        let mut file = tokio::fs::File::create_new(&place).await.map_err(io)?;
        let mut body = response.bytes_stream().map_err(failed);
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            left = left.checked_sub(chunk.len() as u64).ok_or_else(|| {
                let message = format!("it has more than {} GiB: that is not recorded", MOST_UNLISTED >> 30);
                Error::invalid("too-large", message)
            })?;
            file.write_all(&chunk).await.map_err(io)?;
        }
        file.flush().await.map_err(io)?;
    }
    Ok(())
}

async fn one(client: &reqwest::Client, file: &TreeFile, uri: &str, source: &Source, place: &Path) -> Result<()> {
    let failed = |error: reqwest::Error| unavailable(uri, &error);
    let response = answered(client.get(uri).send().await.map_err(failed)?, uri)?;
    if let Some(length) = response.content_length().filter(|length| *length != file.size_bytes) {
        return Err(source.changed(file, &format!("{length} bytes"), &format!("{} bytes", file.size_bytes)));
    }
    let io = |error: std::io::Error| Error::io(format!("{} cannot be written", place.display()), &error);
    let open = tokio::fs::OpenOptions::new().write(true).open(place).await.map_err(io)?;
    let mut writer = tokio::io::BufWriter::with_capacity(WRITE_BUFFER, open);
    let mut hash = Sha256::new();
    let mut size_bytes = 0;
    let mut body = response.bytes_stream().map_err(failed);
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        size_bytes += chunk.len() as u64;
        if size_bytes > file.size_bytes {
            return Err(source.too_long(file));
        }
        hash.update(&chunk);
        writer.write_all(&chunk).await.map_err(io)?;
    }
    writer.flush().await.map_err(io)?;
    source.check(file, &Copied { digest: Digest::from_hash(&hash.finalize()), size_bytes })
}

/// Lets through an answer that holds the file.
fn answered(response: Response, uri: &str) -> Result<Response> {
    let status = response.status();
    let uri = shown(uri);
    if status.is_redirection() {
        let to = response.headers().get("location").and_then(|to| to.to_str().ok()).map_or_else(String::new, shown);
        let message = format!("{uri} leads on to {to}: only redirects on the same host are followed");
        return Err(Error::denied("redirect", message));
    }
    let message = format!("{uri} cannot be fetched: the server answered {status}");
    match status.as_u16() {
        200 => Ok(response),
        404 | 410 => Err(Error::not_found("fetch", message)),
        401 | 403 => Err(Error::denied("fetch", message)),
        _ => Err(Error::unavailable("fetch", message)),
    }
}

fn unavailable(uri: &str, error: &reqwest::Error) -> Error {
    let uri = shown(uri);
    let why = innermost(error);
    if error.is_builder() {
        return Error::invalid("uri", format!("`{uri}` cannot be fetched: {why}"));
    }
    let message = match error.is_connect() || error.is_timeout() {
        true => format!("{uri} does not answer: {why}"),
        false => format!("{uri} cannot be fetched: the connection broke off: {why}"),
    };
    Error::unavailable("fetch", message)
}

/// Without what is often a secret: user, password and query (presigned links).
pub(crate) fn shown(uri: &str) -> String {
    let Ok(mut url) = Url::parse(uri) else { return uri.to_owned() };
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_server_is_given_up() -> Result<(), Box<dyn std::error::Error>> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let uri = format!("http://{}/model", listener.local_addr()?);
        let client = client(Duration::from_millis(100))?;
        let error = client.get(&uri).send().await.err().ok_or("it answered")?;
        let error = unavailable(&uri, &error);
        assert_eq!(error.kind, fuseml_domain::ErrorKind::Unavailable);
        assert!(error.message.starts_with(&format!("{uri} does not answer: ")), "{error}");
        Ok(())
    }

    #[test]
    fn secrets_in_addresses_are_not_shown() {
        assert_eq!(shown("https://user:pass@host/a/b?X-Signature=1#f"), "https://host/a/b#f");
        assert_eq!(shown("/a/folder"), "/a/folder");
    }
}
