//! An artifact's files from the server into a directory.
//!
//! They gather beside the place where they belong and appear there together, each verified. What an interrupted pull
//! left is taken up by the next one of the same version.

use super::{AT_ONCE, blob, progress};
use crate::client::Client;
use fuseml_contents::{list, read_pack};
use fuseml_domain::{Descriptor, Digest, Error, Result, SMALL_FILE, Series, Tree, TreeFile};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Method;
use serde_json::json;
use std::{
    collections::HashMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};
use tokio_util::io::{StreamReader, SyncIoBridge};

/// Small files asked for at one time, in bytes.
const PORTION_BYTES: u64 = 32 << 20;

/// Makes `target`, which must not be there, the artifact's directory.
pub(crate) async fn pull(client: &Client, artifact: &Descriptor, target: &Path) -> Result<Tree> {
    if target.symlink_metadata().is_ok() {
        let message = format!("{} is already there; choose another folder, or remove it", target.display());
        return Err(Error::conflict("exists", message));
    }
    let address = artifact.address.to_string();
    let tree: Tree = client.get("/api/v1/artifact/tree", &[("address", address.clone())]).await?;
    // What the server says may be wrong; what the address says is what is wanted.
    if artifact.digest.as_ref() != Some(&tree.digest()) {
        let message = format!("the server's list of files of {} is not the one that was registered", artifact.address);
        return Err(Error::internal("digest-mismatch", message));
    }
    let part = part_of(target, artifact)?;
    let lacking = {
        let (tree, part) = (tree.clone(), part.clone());
        blocking(move || lay_out(&tree, &part)).await?
    };
    let (small, large): (Vec<_>, Vec<_>) =
        lacking.into_iter().partition(|number| tree.files()[*number].size_bytes < SMALL_FILE);
    let bytes = |numbers: &[usize]| numbers.iter().map(|number| tree.files()[*number].size_bytes).sum::<u64>();
    let bar = progress("fetching", bytes(&small) + bytes(&large));
    stream::iter(portions(&tree, &small).into_iter().map(Ok::<_, Error>))
        .try_for_each_concurrent(AT_ONCE, async |numbers| {
            fetch_pack(client, &address, &tree, &numbers, &part).await?;
            bar.inc(bytes(&numbers));
            Ok(())
        })
        .await?;
    let repository = Series::of(artifact).repository();
    stream::iter(large.into_iter().map(|number| Ok::<_, Error>(&tree.files()[number])))
        .try_for_each_concurrent(AT_ONCE, async |file| {
            let place = part.join(&file.path);
            blob::fetch(client, &repository, file, &place, &bar).await?;
            let file = file.clone();
            blocking(move || verify(&file, &place)).await
        })
        .await?;
    bar.finish_and_clear();
    let target = target.to_owned();
    blocking(move || {
        fs::rename(&part, &target).map_err(|error| Error::io(format!("{} cannot be made", target.display()), &error))
    })
    .await?;
    Ok(tree)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::internal("files", error.to_string()))?
}

/// Where the files gather.
fn part_of(target: &Path, artifact: &Descriptor) -> Result<PathBuf> {
    let name = target
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| Error::invalid("path", format!("{} is not the name of a new folder", target.display())))?;
    let id: String = artifact.id.chars().take(12).collect();
    Ok(target.with_file_name(format!(".{name}.{id}.part")))
}

/// Makes the folders, and answers the numbers of files that are not there yet; each digest once.
fn lay_out(tree: &Tree, part: &Path) -> Result<Vec<usize>> {
    let unwritable = |error: std::io::Error| Error::io(format!("{} cannot be written", part.display()), &error);
    let there: HashMap<String, TreeFile> = match part.is_dir() {
        true => list(part, |_| None)?.tree.files().iter().map(|file| (file.path.clone(), file.clone())).collect(),
        false => HashMap::new(),
    };
    fs::create_dir_all(part).map_err(unwritable)?;
    for folder in tree.empty_folders() {
        fs::create_dir_all(part.join(folder)).map_err(unwritable)?;
    }
    let mut lacking = Vec::new();
    for (number, file) in tree.files().iter().enumerate() {
        let place = part.join(&file.path);
        match there.get(&file.path) {
            Some(found) if found.digest == file.digest => continue,
            // The beginning of a large file is gone on with.
            Some(found) if found.size_bytes < file.size_bytes && file.size_bytes >= SMALL_FILE => {}
            Some(_) => fs::remove_file(&place).map_err(unwritable)?,
            None => {}
        }
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(unwritable)?;
        }
        lacking.push(number);
    }
    Ok(lacking)
}

fn portions(tree: &Tree, numbers: &[usize]) -> Vec<Vec<usize>> {
    let mut portions: Vec<Vec<usize>> = Vec::new();
    let mut bytes = PORTION_BYTES;
    for number in numbers {
        if bytes >= PORTION_BYTES {
            portions.push(Vec::new());
            bytes = 0;
        }
        bytes += tree.files()[*number].size_bytes + 512;
        portions.last_mut().into_iter().for_each(|portion| portion.push(*number));
    }
    portions
}

async fn fetch_pack(client: &Client, address: &str, tree: &Tree, numbers: &[usize], part: &Path) -> Result<()> {
    let request = client.request(Method::POST, "/api/v1/artifact/pack").query(&[("address", address)]);
    let response = client.succeeded(request.json(&json!({"files": numbers}))).await?;
    let bytes = response.bytes_stream().map_err(std::io::Error::other);
    let reader = SyncIoBridge::new(StreamReader::new(bytes.boxed()));
    let wanted: Vec<TreeFile> = numbers.iter().map(|number| tree.files()[*number].clone()).collect();
    let part = part.to_owned();
    blocking(move || {
        let mut missing: HashMap<&Digest, Vec<&TreeFile>> = HashMap::new();
        for file in &wanted {
            missing.entry(&file.digest).or_default().push(file);
        }
        let unpacked = read_pack(reader, |digest, _, reader| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map_err(|error| Error::io("a pack cannot be read", &error))?;
            for file in missing.remove(digest).unwrap_or_default() {
                write(file, &bytes, &part.join(&file.path))?;
            }
            Ok(())
        });
        unpacked.map_err(|error| Error::unavailable("fetch", format!("{}; try again", error.message)))?;
        match missing.values().flatten().next() {
            Some(file) => Err(Error::unavailable("fetch", format!("{} did not come; try again", file.path))),
            None => Ok(()),
        }
    })
    .await
}

fn write(file: &TreeFile, bytes: &[u8], place: &Path) -> Result<()> {
    let write = || {
        fs::write(place, bytes)?;
        if file.executable { fs::set_permissions(place, fs::Permissions::from_mode(0o755)) } else { Ok(()) }
    };
    write().map_err(|error| Error::io(format!("{} cannot be written", place.display()), &error))
}

fn verify(file: &TreeFile, place: &Path) -> Result<()> {
    let found = fuseml_contents::list_file(place, &file.path)?;
    if found.digest != file.digest {
        // A next try must not go on after what is wrong.
        let _ = fs::remove_file(place);
        let message = format!("{} came as {}, not as {}; pull again", file.path, found.digest, file.digest);
        return Err(Error::unavailable("digest-mismatch", message));
    }
    let mode = if file.executable { 0o755 } else { 0o644 };
    fs::set_permissions(place, fs::Permissions::from_mode(mode))
        .map_err(|error| Error::io(format!("{} cannot be written", place.display()), &error))
}
