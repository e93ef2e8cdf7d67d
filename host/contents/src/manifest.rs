//! Directories that registries' clients push: ModelPack, KitOps, ORAS, and whoever writes layers like theirs.

use crate::{
    disk::blocking,
    form::{DESCRIPTOR, FILE_PATH, TITLE},
    store::{TreeStore, repository},
};
use fuseml_domain::{Digest, Error, Result, Series, Tree, TreeFile, check_relative_path};
use fuseml_registry::StoredManifest;
use serde::Deserialize;
use std::{collections::BTreeMap, io::Read};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    artifact_type: Option<String>,
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// How ORAS says that a layer is a folder.
const UNPACK: &str = "io.deis.oras.content.unpack";

/// More than this much, in bytes, out of archives is an accident or an attack.
const MOST_UNPACKED: u64 = 1 << 40;

enum Packing {
    File,
    Tar,
    Gzip,
}

impl Layer {
    fn path(&self) -> Option<&str> {
        [FILE_PATH, TITLE].iter().find_map(|name| self.annotations.get(*name)).map(String::as_str)
    }

    fn packing(&self) -> Result<Packing> {
        let media_type = self.media_type.as_str();
        let folder = self.annotations.get(UNPACK).is_some_and(|value| value == "true");
        // ORAS calls any file an image's layer; one that it packed itself it says to be unpacked.
        if media_type == "application/vnd.oci.image.layer.v1.tar" && self.annotations.contains_key(TITLE) && !folder {
            return Ok(Packing::File);
        }
        if media_type.ends_with("tar+gzip") || media_type.ends_with("tar.gzip") || folder {
            Ok(Packing::Gzip)
        } else if media_type.ends_with(".tar") {
            Ok(Packing::Tar)
        } else if media_type.ends_with("+zstd") {
            Err(Error::unsupported(
                "layer",
                format!("layers of {media_type} are not read here; push them as tar or tar+gzip"),
            ))
        } else {
            Ok(Packing::File)
        }
    }
}

impl TreeStore {
    /// The directory that a manifest's layers are, stored as a list of files; `None` for manifests that are about
    /// something else, such as signatures.
    ///
    /// # Errors
    /// `invalid` for layers that say no path, or leave the directory.
    pub async fn tree_of_manifest(&self, series: &Series, manifest: &StoredManifest) -> Result<Option<Tree>> {
        let (store, series) = (self.clone(), series.clone());
        let manifest: Manifest = serde_json::from_slice(&manifest.bytes)
            .map_err(|error| Error::invalid("manifest", format!("the manifest is not understood: {error}")))?;
        if manifest.artifact_type.as_deref() == Some(DESCRIPTOR) || manifest.layers.is_empty() {
            return Ok(None);
        }
        blocking(move || store.tree_of_layers(&series, &manifest.layers).map(Some)).await
    }

    fn tree_of_layers(&self, series: &Series, layers: &[Layer]) -> Result<Tree> {
        let repository = repository(series)?;
        let mut files = Vec::new();
        for layer in layers {
            let path = layer.path();
            let archive: Box<dyn Read> = match layer.packing()? {
                Packing::File => {
                    let path = path.ok_or_else(|| {
                        let message = format!("the layer {} does not say which file it is ({TITLE})", layer.digest);
                        Error::invalid("layer", message)
                    })?;
                    check_relative_path(path)?;
                    files.push(TreeFile {
                        path: path.to_owned(),
                        size_bytes: layer.size,
                        digest: layer.digest.clone(),
                        executable: false,
                    });
                    continue;
                }
                Packing::Tar => self.open_blob(&layer.digest, 0..layer.size)?,
                Packing::Gzip => Box::new(flate2::read::GzDecoder::new(self.open_blob(&layer.digest, 0..layer.size)?)),
            };
            self.unpack(&repository, archive.take(MOST_UNPACKED), path, &mut files)?;
        }
        let tree = Tree::new(files)?;
        self.keep_list(&repository, &tree)?;
        Ok(tree)
    }

    /// Each file of an archive becomes a blob. Links are refused: they could lead anywhere.
    fn unpack(
        &self,
        repository: &fuseml_registry::Repository,
        archive: impl Read,
        below: Option<&str>,
        files: &mut Vec<TreeFile>,
    ) -> Result<()> {
        let damaged = |error: std::io::Error| Error::invalid("layer", format!("an archive cannot be read: {error}"));
        for entry in tar::Archive::new(archive).entries().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            let kind = entry.header().entry_type();
            if kind.is_dir() || kind.is_pax_global_extensions() {
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
            if !kind.is_file() {
                let message = format!("`{}` is neither a file nor a folder", name.escape_debug());
                return Err(Error::invalid("file-type", message));
            }
            // ORAS and ModelPack archive a folder with its own name, KitOps what is in it.
            let path = match below.filter(|below| name != **below && !name.starts_with(&format!("{below}/"))) {
                Some(below) if below != "." && below != "./" => format!("{}/{name}", below.trim_end_matches('/')),
                _ => name,
            };
            check_relative_path(&path)?;
            let executable = entry.header().mode().map_err(damaged)? & 0o100 != 0;
            let copied = self.take_in(repository, &mut entry)?;
            files.push(TreeFile { path, size_bytes: copied.size_bytes, digest: copied.digest, executable });
        }
        Ok(())
    }
}
