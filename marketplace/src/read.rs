//! From a package to an extension's folder, every byte verified on the way.

use crate::{
    blobs::Blobs,
    format::{COMPONENT, COMPONENT_CONFIG, EXTENSION, FILES, MANIFEST, MOST_BYTES, MOST_FILES, MOST_METADATA, TITLE},
};
use fuseml_domain::{Digest, Error, Manifest, Result, check_relative_path};
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};
use std::{collections::BTreeMap, fs, io::Read as _, path::Path};

/// Whether a folder is an OCI layout.
pub fn is_layout(folder: &Path) -> bool {
    folder.join("oci-layout").is_file()
}

/// Unpacks the one package of a layout into `target`, which must be an empty folder, and answers the package's
/// digest. Nothing is written unless all of it is as its digests say.
///
/// # Errors
/// `invalid` says what of the package is not as it should be.
pub fn read(layout: &Path, target: &Path) -> Result<Digest> {
    let mut blobs = Blobs::new(layout, MOST_BYTES);
    let package = only_package(&top(layout)?)?;
    let index: ImageIndex = blobs.document(&package, "the index")?;
    check_type(index.artifact_type(), EXTENSION, "the index")?;
    let (rest, components): (Vec<_>, Vec<_>) =
        index.manifests().iter().partition(|one| one.artifact_type().as_ref().is_some_and(|found| is(found, FILES)));
    let [rest] = rest.as_slice() else {
        return refuse(format!("the package has {} manifests of files; it must have one", rest.len()));
    };
    let mut files = files(&mut blobs, rest)?;
    let manifest = declared(&files)?;
    if components.len() != manifest.components.len() {
        let declared = manifest.components.len();
        return refuse(format!("the package brings {} components, extension.toml names {declared}", components.len()));
    }
    for descriptor in components {
        let (path, bytes) = component(&mut blobs, descriptor)?;
        if !manifest.components.iter().any(|component| component.file == path) {
            return refuse(format!("the package brings the component `{path}`, which extension.toml does not name"));
        }
        add(&mut files, path, bytes)?;
    }
    for (path, bytes) in &files {
        put(target, path, bytes)?;
    }
    package.digest().to_string().parse()
}

fn refuse<T>(why: String) -> Result<T> {
    Err(Error::invalid("package", why))
}

/// `index.json`, which nothing verifies: it only says where to begin.
pub(crate) fn top(layout: &Path) -> Result<ImageIndex> {
    let path = layout.join("index.json");
    let file = fs::File::open(&path).map_err(|error| Error::io(path.display(), &error))?;
    let mut text = Vec::new();
    file.take(MOST_METADATA).read_to_end(&mut text).map_err(|error| Error::io(path.display(), &error))?;
    serde_json::from_slice(&text)
        .map_err(|error| Error::invalid("package", format!("{} is no OCI index: {error}", path.display())))
}

pub(crate) fn only_package(top: &ImageIndex) -> Result<Descriptor> {
    let mut packages = top.manifests().iter().filter(|one| *one.media_type() == MediaType::ImageIndex);
    match (packages.next(), packages.next()) {
        (Some(one), None) => Ok(one.clone()),
        (None, _) => refuse("the layout holds no extension package".to_owned()),
        (Some(_), Some(_)) => refuse("the layout holds several packages; give one of them its own folder".to_owned()),
    }
}

fn is(found: &MediaType, wanted: &str) -> bool {
    found.as_ref() == wanted
}

fn check_type(found: &Option<MediaType>, wanted: &str, what: &str) -> Result<()> {
    match found {
        Some(found) if is(found, wanted) => Ok(()),
        Some(found) => refuse(format!("{what} is of the type {found}, not {wanted}")),
        None => refuse(format!("{what} has no artifact type; a package has {wanted}")),
    }
}

fn manifest(blobs: &mut Blobs, descriptor: &Descriptor, what: &str) -> Result<ImageManifest> {
    if *descriptor.media_type() != MediaType::ImageManifest {
        return refuse(format!("{what} is a {}, not an image manifest", descriptor.media_type()));
    }
    blobs.document(descriptor, what)
}

/// Everything but the components, by path.
fn files(blobs: &mut Blobs, descriptor: &Descriptor) -> Result<BTreeMap<String, Vec<u8>>> {
    let image = manifest(blobs, descriptor, "the manifest of files")?;
    check_type(image.artifact_type(), FILES, "the manifest of files")?;
    if !is(image.config().media_type(), MANIFEST) {
        return refuse(format!("the manifest of files has a config of the type {}", image.config().media_type()));
    }
    if image.layers().len() > MOST_FILES {
        return refuse(format!("the package has over {MOST_FILES} files"));
    }
    let toml = blobs.read(image.config(), MOST_METADATA, "extension.toml")?;
    let mut files = BTreeMap::from([("extension.toml".to_owned(), toml)]);
    for layer in image.layers() {
        let path = title(layer)?;
        let bytes = blobs.read(layer, MOST_BYTES, &format!("`{path}`"))?;
        add(&mut files, path, bytes)?;
    }
    Ok(files)
}

fn declared(files: &BTreeMap<String, Vec<u8>>) -> Result<Manifest> {
    let toml = files.get("extension.toml").map(Vec::as_slice).unwrap_or_default();
    let text = std::str::from_utf8(toml).map_err(|_| Error::invalid("package", "extension.toml is no UTF-8 text"))?;
    Manifest::parse(text)
}

/// Where a component belongs, and its bytes.
fn component(blobs: &mut Blobs, descriptor: &Descriptor) -> Result<(String, Vec<u8>)> {
    let path = title(descriptor)?;
    let what = format!("the manifest of `{path}`");
    let image = manifest(blobs, descriptor, &what)?;
    if !is(image.config().media_type(), COMPONENT_CONFIG) {
        return refuse(format!(
            "{what} has a config of the type {}, not {COMPONENT_CONFIG}",
            image.config().media_type()
        ));
    }
    let [layer] = image.layers().as_slice() else {
        return refuse(format!("{what} has {} layers; a component has one", image.layers().len()));
    };
    if !is(layer.media_type(), COMPONENT) {
        return refuse(format!("{what} has a layer of the type {}, not {COMPONENT}", layer.media_type()));
    }
    let bytes = blobs.read(layer, MOST_BYTES, &format!("`{path}`"))?;
    Ok((path, bytes))
}

fn title(descriptor: &Descriptor) -> Result<String> {
    let title = descriptor.annotations().as_ref().and_then(|annotations| annotations.get(TITLE));
    let title = title
        .ok_or_else(|| Error::invalid("package", format!("{} of the package has no {TITLE}", descriptor.digest())))?;
    check_relative_path(title).map_err(|error| error.context("the package has a file that it may not have"))?;
    Ok(title.clone())
}

fn add(files: &mut BTreeMap<String, Vec<u8>>, path: String, bytes: Vec<u8>) -> Result<()> {
    // `a` and `a/b` cannot both be files.
    let above = path.match_indices('/').map(|(end, _)| &path[..end]).find(|above| files.contains_key(*above));
    let below = format!("{path}/");
    let below = files.range(below.clone()..).next().map(|(other, _)| other).filter(|other| other.starts_with(&below));
    let same = files.contains_key(&path).then_some(path.as_str());
    if let Some(other) = same.or(above).or(below.map(String::as_str)) {
        return refuse(format!("the package has `{path}` and `{other}`, which cannot both be"));
    }
    files.insert(path, bytes);
    Ok(())
}

fn put(target: &Path, path: &str, bytes: &[u8]) -> Result<()> {
    let place = target.join(path);
    let above = place.parent().map_or(Ok(()), fs::create_dir_all);
    above.and_then(|()| fs::write(&place, bytes)).map_err(|error| Error::io(place.display(), &error))
}
