//! Large files, as blobs of the server's registry: what was interrupted goes on where it stopped.

use crate::{client::Client, config};
use fuseml_domain::{Digest, Error, Result, TreeFile};
use futures::{StreamExt as _, TryStreamExt as _};
use indicatif::ProgressBar;
use reqwest::{Method, StatusCode, header};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;

/// How often a broken connection is taken up again.
const TRIES: u32 = 5;
const BUFFER: usize = 1 << 20;

/// Where an upload that was begun goes on, in another process too.
fn note(client: &Client, repository: &str, digest: &Digest) -> Option<PathBuf> {
    let name = Digest::of(format!("{} {repository} {digest}", client.url).as_bytes());
    Some(config::cache_folder().ok()?.join("uploads").join(name.hex()))
}

/// Sends a file unless the server has it by now.
pub(super) async fn send(
    client: &Client,
    repository: &str,
    digest: &Digest,
    path: &Path,
    bar: &ProgressBar,
) -> Result<()> {
    let note = note(client, repository, digest);
    let mut tried = 0;
    loop {
        match attempt(client, repository, (digest, path), note.as_deref(), bar).await {
            Ok(()) => {
                note.iter().for_each(|note| drop(fs::remove_file(note)));
                return Ok(());
            }
            Err(error) if error.kind == fuseml_domain::ErrorKind::Unavailable && tried < TRIES => {
                tried += 1;
                tokio::time::sleep(std::time::Duration::from_millis(200 << tried)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn attempt(
    client: &Client,
    repository: &str,
    (digest, path): (&Digest, &Path),
    note: Option<&Path>,
    bar: &ProgressBar,
) -> Result<()> {
    let unreadable = |error: std::io::Error| Error::io(format!("{} cannot be read", path.display()), &error);
    let (place, begun) = match begun(client, note).await? {
        Some(begun) => begun,
        None => (begin(client, repository, note).await?, 0),
    };
    let mut file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let size = file.metadata().await.map_err(unreadable)?.len();
    file.seek(std::io::SeekFrom::Start(begun)).await.map_err(unreadable)?;
    if begun < size {
        let counted = bar.clone();
        let body = ReaderStream::with_capacity(file, BUFFER).inspect_ok(move |chunk| counted.inc(chunk.len() as u64));
        let request = client
            .request(Method::PATCH, &place)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, size - begun)
            .header(header::CONTENT_RANGE, format!("{begun}-{}", size - 1))
            .body(reqwest::Body::wrap_stream(body));
        client.call(request).await?;
    }
    let finish = client.request(Method::PUT, &place).query(&[("digest", digest.to_string())]);
    let finished = client.call(finish).await.map(drop);
    if finished.is_err() {
        // It is of no use any more, whatever was wrong with it.
        note.into_iter().for_each(|note| drop(fs::remove_file(note)));
    }
    finished.map_err(|error| match error.message.contains("DIGEST_INVALID") {
        true => Error::conflict("changed", format!("{} was changed while it was sent; push it again", path.display())),
        false => error,
    })
}

/// Where an upload of before goes on, and from which byte; `None` when the server knows none.
async fn begun(client: &Client, note: Option<&Path>) -> Result<Option<(String, u64)>> {
    let Some(place) = note.and_then(|note| fs::read_to_string(note).ok()) else { return Ok(None) };
    let response = client.answer(client.request(Method::GET, &place)).await?;
    if response.status() != StatusCode::NO_CONTENT {
        return Ok(None);
    }
    // `0-0` is what an upload of nothing and one of a byte both say.
    let range = response.headers().get(header::RANGE).and_then(|range| range.to_str().ok());
    let last = range.and_then(|range| range.rsplit_once('-')?.1.parse::<u64>().ok()).unwrap_or(0);
    Ok((last > 0).then_some((place, last + 1)))
}

async fn begin(client: &Client, repository: &str, note: Option<&Path>) -> Result<String> {
    let response = client.answer(client.request(Method::POST, &format!("/v2/{repository}/blobs/uploads/"))).await?;
    let status = response.status();
    let place = response.headers().get(header::LOCATION).and_then(|place| place.to_str().ok());
    let place = place.filter(|place| place.starts_with("/v2/")).map(ToOwned::to_owned).ok_or_else(|| {
        Error::unavailable("upload", format!("the server answered {status} when an upload was begun"))
    })?;
    if let Some(note) = note {
        let write = || {
            note.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(note, &place)
        };
        if let Err(error) = write() {
            tracing::debug!(%error, "an interrupted upload will begin anew");
        }
    }
    Ok(place)
}

/// Fetches a file, going on after what is there of it; it is still to be verified.
pub(super) async fn fetch(
    client: &Client,
    repository: &str,
    file: &TreeFile,
    target: &Path,
    bar: &ProgressBar,
) -> Result<()> {
    let mut tried = 0;
    loop {
        match fetch_rest(client, repository, file, target, bar).await {
            Err(error) if error.kind == fuseml_domain::ErrorKind::Unavailable && tried < TRIES => {
                tried += 1;
                tokio::time::sleep(std::time::Duration::from_millis(200 << tried)).await;
            }
            done => return done,
        }
    }
}

async fn fetch_rest(
    client: &Client,
    repository: &str,
    file: &TreeFile,
    target: &Path,
    bar: &ProgressBar,
) -> Result<()> {
    let failed = |error: std::io::Error| Error::io(format!("{} cannot be written", target.display()), &error);
    let mut writer = tokio::fs::File::options().create(true).append(true).open(target).await.map_err(failed)?;
    let there = writer.metadata().await.map_err(failed)?.len();
    if there >= file.size_bytes {
        return Ok(());
    }
    bar.inc(there);
    let request = client.request(Method::GET, &format!("/v2/{repository}/blobs/{}", file.digest));
    let request = request.header(header::RANGE, format!("bytes={there}-{}", file.size_bytes - 1));
    let response = client.answer(request).await?;
    let whole = response.status() == StatusCode::OK && there == 0;
    if response.status() != StatusCode::PARTIAL_CONTENT && !whole {
        let message = format!("{} cannot be fetched: the server answered {}", file.path, response.status());
        return Err(Error::not_found("missing-file", message));
    }
    let mut body = response.bytes_stream();
    let mut left = file.size_bytes - there;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Error::unavailable("fetch", "the connection broke off"))?;
        left = left.checked_sub(chunk.len() as u64).ok_or_else(|| {
            Error::internal("digest-mismatch", format!("{} came with more bytes than were registered", file.path))
        })?;
        writer.write_all(&chunk).await.map_err(failed)?;
        bar.inc(chunk.len() as u64);
    }
    writer.flush().await.map_err(failed)
}
