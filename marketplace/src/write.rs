//! From a built extension to a package.

use crate::{
    blobs::Blobs,
    format::{
        COMPONENT, COMPONENT_CONFIG, ComponentConfig, EXTENSION, FILES, MANIFEST, MOST_BYTES, REFERENCE, TITLE,
        VERSION, WasmConfig, media_type, tag,
    },
    read::is_layout,
};
use fuseml_domain::{Component, Digest, Error, Manifest, Name, Result, Surface, check_relative_path};
use oci_spec::image::{
    Arch, Descriptor, ImageIndex, ImageIndexBuilder, ImageManifestBuilder, MediaType, Os, PlatformBuilder,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};
use walkdir::WalkDir;

/// A package that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Packaged {
    pub extension: Name,
    pub version: semver::Version,
    /// Of the index: it says every byte of the package.
    pub digest: Digest,
    /// The layout's folder.
    pub folder: PathBuf,
    /// Files in it, by path, with their size in bytes.
    pub files: BTreeMap<String, u64>,
}

/// Packs a built extension into an OCI layout at `out`, which it replaces if that is a layout.
///
/// # Errors
/// `invalid` for an extension that is not whole, `conflict` when something else is at `out`.
pub fn write(extension: &Path, out: &Path) -> Result<Packaged> {
    let files = collect(extension)?;
    let text = files.get("extension.toml").cloned().unwrap_or_default();
    let text = String::from_utf8(text).map_err(|_| Error::invalid("package", "extension.toml is no UTF-8 text"))?;
    let manifest = Manifest::parse(&text)?;
    if out.exists() && !is_layout(out) && !is_empty(out) {
        let message = format!("{} is neither empty nor a package; choose another folder", out.display());
        return Err(Error::conflict("folder-not-empty", message));
    }
    let above = out.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let io = |error: std::io::Error| Error::io(out.display(), &error);
    fs::create_dir_all(above).map_err(io)?;
    let staging = tempfile::Builder::new().prefix(".package-").tempdir_in(above).map_err(io)?;
    let layout = staging.path().join("layout");
    fs::create_dir_all(layout.join("blobs/sha256")).map_err(io)?;
    let digest = lay_out(&manifest, &files, &layout)?;
    // No rename replaces a folder that is not empty, so the old one steps aside into the folder that goes away.
    if out.exists() {
        fs::rename(out, staging.path().join("old")).map_err(io)?;
    }
    fs::rename(&layout, out).map_err(io)?;
    Ok(Packaged {
        extension: manifest.name,
        version: manifest.version,
        digest,
        folder: out.to_owned(),
        files: files.into_iter().map(|(path, bytes)| (path, bytes.len() as u64)).collect(),
    })
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Every file of the extension, by its path in it.
fn collect(extension: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut total = 0;
    for entry in WalkDir::new(extension).min_depth(1) {
        let entry = entry.map_err(|error| Error::invalid("package", format!("{}: {error}", extension.display())))?;
        let path = entry.path();
        let refuse = |why: &str| Err(Error::invalid("package", format!("{} {why}", path.display())));
        if entry.file_type().is_dir() {
            continue;
        }
        if !entry.file_type().is_file() {
            return refuse("is neither a file nor a folder, so it cannot be packed");
        }
        let Some(inside) = path.strip_prefix(extension).ok().and_then(Path::to_str) else {
            return refuse("has a name that is no text, so it cannot be packed");
        };
        check_relative_path(inside)?;
        let bytes = fs::read(path).map_err(|error| Error::io(path.display(), &error))?;
        total += bytes.len() as u64;
        if total > MOST_BYTES {
            return refuse(&format!("makes the package larger than {} MiB", MOST_BYTES >> 20));
        }
        files.insert(inside.to_owned(), bytes);
    }
    Ok(files)
}

/// Writes all blobs and the index over them; answers the index's digest.
fn lay_out(manifest: &Manifest, files: &BTreeMap<String, Vec<u8>>, layout: &Path) -> Result<Digest> {
    let blobs = Blobs::new(layout, MOST_BYTES);
    let mut manifests = vec![rest(manifest, files, &blobs)?];
    for component in &manifest.components {
        let bytes = files.get(&component.file).ok_or_else(|| missing(&component.file))?;
        manifests.push(wasm(manifest, component, bytes, &blobs)?);
    }
    for template in &manifest.templates {
        files.get(&template.file).ok_or_else(|| missing(&template.file))?;
    }
    let index = ImageIndexBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageIndex)
        .artifact_type(MediaType::from(EXTENSION))
        .manifests(manifests)
        .annotations(about(manifest))
        .build()
        .map_err(incomplete)?;
    let mut index = blobs.write(MediaType::ImageIndex.as_ref(), &json(&index)?)?;
    let digest: Digest = index.digest().to_string().parse()?;
    index.set_artifact_type(Some(MediaType::from(EXTENSION)));
    index.set_annotations(Some(HashMap::from([(REFERENCE.to_owned(), tag(&manifest.version))])));
    let mut top = ImageIndex::default();
    top.set_schema_version(2);
    top.set_media_type(Some(MediaType::ImageIndex));
    top.set_manifests(vec![index]);
    for (file, bytes) in [("index.json", json(&top)?), ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())] {
        fs::write(layout.join(file), bytes).map_err(|error| Error::io(layout.join(file).display(), &error))?;
    }
    Ok(digest)
}

fn missing(file: &str) -> Error {
    Error::invalid(
        "file-missing",
        format!("extension.toml names `{file}`, which is not there; build the extension first"),
    )
}

fn about(manifest: &Manifest) -> HashMap<String, String> {
    HashMap::from([
        ("org.opencontainers.image.title".to_owned(), manifest.name.to_string()),
        (VERSION.to_owned(), manifest.version.to_string()),
        ("org.opencontainers.image.description".to_owned(), manifest.description.clone()),
        ("org.opencontainers.image.licenses".to_owned(), manifest.license.clone()),
    ])
}

/// Everything but the components.
fn rest(manifest: &Manifest, files: &BTreeMap<String, Vec<u8>>, blobs: &Blobs) -> Result<Descriptor> {
    let is_component = |path: &str| manifest.components.iter().any(|component| component.file == path);
    let mut layers = Vec::new();
    for (path, bytes) in files.iter().filter(|(path, _)| *path != "extension.toml" && !is_component(path)) {
        let mut layer = blobs.write(media_type(path), bytes)?;
        layer.set_annotations(Some(HashMap::from([(TITLE.to_owned(), path.clone())])));
        layers.push(layer);
    }
    let config = blobs.write(MANIFEST, files.get("extension.toml").map(Vec::as_slice).unwrap_or_default())?;
    let image = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .artifact_type(MediaType::from(FILES))
        .config(config)
        .layers(layers)
        .build()
        .map_err(incomplete)?;
    let mut descriptor = blobs.write(MediaType::ImageManifest.as_ref(), &json(&image)?)?;
    descriptor.set_artifact_type(Some(MediaType::from(FILES)));
    Ok(descriptor)
}

/// A component as any wasm tool reads it.
fn wasm(manifest: &Manifest, component: &Component, bytes: &[u8], blobs: &Blobs) -> Result<Descriptor> {
    let Surface { imports, exports } = Surface::of(bytes).map_err(|error| error.context(&component.file))?;
    let layer = blobs.write(COMPONENT, bytes)?;
    let config = WasmConfig {
        created: "1970-01-01T00:00:00Z".to_owned(),
        architecture: "wasm".to_owned(),
        os: "wasip2".to_owned(),
        layer_digests: vec![layer.digest().to_string()],
        component: Some(ComponentConfig { exports, imports, target: Some(component.world.clone()) }),
    };
    let config = blobs.write(COMPONENT_CONFIG, &json(&config)?)?;
    let titles =
        HashMap::from([(TITLE.to_owned(), component.file.clone()), (VERSION.to_owned(), manifest.version.to_string())]);
    let image = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(vec![layer])
        .build()
        .map_err(incomplete)?;
    let mut descriptor = blobs.write(MediaType::ImageManifest.as_ref(), &json(&image)?)?;
    let platform = PlatformBuilder::default().architecture(Arch::Wasm).os(Os::from("wasip2")).build();
    descriptor.set_platform(Some(platform.map_err(incomplete)?));
    descriptor.set_annotations(Some(titles));
    Ok(descriptor)
}

fn incomplete(error: impl std::fmt::Display) -> Error {
    Error::internal("package", format!("the package's metadata is incomplete: {error}"))
}

/// Through a value, whose keys are sorted: annotations are hash maps, and the same input gives the same bytes.
fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_value(value).and_then(|value| serde_json::to_vec(&value)).map_err(incomplete)
}
