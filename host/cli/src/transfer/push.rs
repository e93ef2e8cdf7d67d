//! A directory, or a file, to the server.

use super::{AT_ONCE, KnownDigests, blob, progress};
use crate::client::Client;
use fuseml_contents::{Found, Listed, Missing, PACK_BYTES, PackWriter, list};
use fuseml_domain::{Descriptor, Error, PushedArtifact, Result, Series, Tree, TreeFile};
use futures::{TryStreamExt as _, stream};
use reqwest::Method;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// What was not sent, and what was.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

/// Sends what the server does not have and registers the version; answers it with what was sent.
pub(crate) async fn push(
    client: &Client,
    series: &Series,
    path: &Path,
    said: PushedArtifact,
    repair: bool,
) -> Result<(Descriptor, Sent)> {
    let listed = {
        let path = path.to_owned();
        let listing = tokio::task::spawn_blocking(move || survey(&path));
        Arc::new(listing.await.map_err(|error| Error::internal("listing", error.to_string()))??)
    };
    let said = PushedArtifact { tree: listed.tree.digest(), ..said };
    let mut sent = Sent::default();
    if !repair {
        match register(client, series, &said).await {
            Err(error) if matches!(error.code.as_str(), "unknown-tree" | "incomplete") => {}
            done => return Ok((done?, sent)),
        }
    }
    let missing = expect(client, series, &listed.tree, repair).await?;
    send(client, series, &listed, &missing, &mut sent).await?;
    Ok((register(client, series, &said).await?, sent))
}

fn place(what: &str, series: &Series) -> String {
    format!("/api/v1/projects/{}/{what}/{}/{}", series.project, series.kind, series.name)
}

async fn register(client: &Client, series: &Series, said: &PushedArtifact) -> Result<Descriptor> {
    client.send(Method::POST, &place("versions", series), said).await
}

async fn expect(client: &Client, series: &Series, tree: &Tree, repair: bool) -> Result<Missing> {
    let request = client.request(Method::POST, &place("trees", series)).query(&[("repair", repair)]);
    client.read(request.body(tree.to_json())).await
}

/// Lists a directory, or a file as a directory of one; files that did not change since are not read again.
fn survey(path: &Path) -> Result<Listed> {
    let metadata = fs::metadata(path)
        .map_err(|error| Error::invalid("path", format!("{} cannot be pushed: {error}", path.display())))?;
    if metadata.is_file() {
        return one_file(path);
    }
    let began = SystemTime::now();
    let known = KnownDigests::of(path);
    let looks = Mutex::new(Vec::new());
    let bar = indicatif::ProgressBar::new_spinner().with_message("reading");
    let listed = list(path, |found: &Found| {
        looks.lock().unwrap_or_else(PoisonError::into_inner).push((found.path.clone(), found.metadata.clone()));
        known.digest(found)
    });
    bar.finish_and_clear();
    let listed = listed?;
    let mut looks = looks.into_inner().unwrap_or_else(PoisonError::into_inner);
    looks.sort_by(|one, other| one.0.cmp(&other.0));
    let files = looks.iter().zip(listed.tree.files());
    known.remember(files.map(|((path, metadata), file)| (path.as_str(), metadata, &file.digest)), began);
    Ok(listed)
}

fn one_file(path: &Path) -> Result<Listed> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let file = fuseml_contents::list_file(path, &name)?;
    Ok(Listed { tree: Tree::new(vec![file])?, real: vec![folder.join(name)] })
}

async fn send(
    client: &Client,
    series: &Series,
    listed: &Arc<Listed>,
    missing: &Missing,
    sent: &mut Sent,
) -> Result<()> {
    let file = |number: &usize| {
        let found = listed.tree.files().get(*number).zip(listed.real.get(*number));
        found.ok_or_else(|| Error::internal("answer", "the server misses a file that was not said to it"))
    };
    let together = missing.together.iter().map(file).collect::<Result<Vec<_>>>()?;
    let alone = missing.alone.iter().map(file).collect::<Result<Vec<_>>>()?;
    sent.files = together.len() + alone.len();
    sent.bytes = together.iter().chain(&alone).map(|(file, _)| file.size_bytes).sum();
    let bar = progress("sending", sent.bytes);
    stream::iter(packs(&together).into_iter().map(Ok::<_, Error>))
        .try_for_each_concurrent(AT_ONCE, async |files| {
            let bytes = files.iter().map(|(file, _)| file.size_bytes).sum();
            let packed = tokio::task::spawn_blocking(move || pack(&files)).await;
            let body = packed.map_err(|error| Error::internal("packing", error.to_string()))??;
            client.call(client.request(Method::POST, &place("packs", series)).body(body)).await?;
            bar.inc(bytes);
            Ok(())
        })
        .await?;
    let repository = series.repository();
    stream::iter(alone.into_iter().map(Ok::<_, Error>))
        .try_for_each_concurrent(AT_ONCE, async |(file, path)| {
            blob::send(client, &repository, &file.digest, path, &bar).await
        })
        .await?;
    bar.finish_and_clear();
    Ok(())
}

type Lying = (TreeFile, PathBuf);

/// Files in portions of a pack.
fn packs(files: &[(&TreeFile, &PathBuf)]) -> Vec<Vec<Lying>> {
    let mut packs: Vec<Vec<Lying>> = Vec::new();
    let mut bytes = PACK_BYTES;
    for (file, path) in files {
        if bytes >= PACK_BYTES {
            packs.push(Vec::new());
            bytes = 0;
        }
        // An entry's header counts too: a million empty files are not one pack.
        bytes += file.size_bytes + 512;
        packs.last_mut().into_iter().for_each(|pack| pack.push(((*file).clone(), (*path).clone())));
    }
    packs
}

fn pack(files: &[Lying]) -> Result<Vec<u8>> {
    let mut writer = PackWriter::new(Vec::new());
    for (file, path) in files {
        let reader =
            fs::File::open(path).map_err(|error| Error::io(format!("{} cannot be read", path.display()), &error))?;
        writer.append(&file.digest, file.size_bytes, reader).map_err(|error| error.context(path.display()))?;
    }
    Ok(writer.finish()?.0)
}
