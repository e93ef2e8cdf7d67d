//! The blobs of an OCI image layout: written under their digest, read only as what their digest says.

use crate::format::MOST_METADATA;
use fuseml_domain::{Digest, Error, Result};
use oci_spec::image::{Descriptor, DigestAlgorithm};
use serde::de::DeserializeOwned;
use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    str::FromStr as _,
};

/// Blobs in a layout, and how much may still be read of them.
pub(crate) struct Blobs {
    layout: PathBuf,
    left: u64,
}

impl Blobs {
    pub(crate) fn new(layout: &Path, most: u64) -> Self {
        Self { layout: layout.to_owned(), left: most }
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        self.layout.join("blobs/sha256").join(digest.hex())
    }

    /// Writes bytes and answers their descriptor.
    pub(crate) fn write(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let digest = Digest::of(bytes);
        let path = self.place(&digest);
        fs::write(&path, bytes).map_err(|error| Error::io(path.display(), &error))?;
        let digest = oci_spec::image::Digest::from_str(&digest.to_string())
            .map_err(|error| Error::internal("digest", error.to_string()))?;
        Ok(Descriptor::new(media_type.into(), bytes.len() as u64, digest))
    }

    /// A JSON document that is a blob.
    pub(crate) fn document<T: DeserializeOwned>(&mut self, descriptor: &Descriptor, what: &str) -> Result<T> {
        let bytes = self.read(descriptor, MOST_METADATA, what)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::invalid("package", format!("{what} of the package is not valid: {error}")))
    }

    /// The blob's bytes, verified. `what` says whose they are, for errors.
    pub(crate) fn read(&mut self, descriptor: &Descriptor, most: u64, what: &str) -> Result<Vec<u8>> {
        let refuse = |why: String| Err(Error::invalid("package", format!("{what} of the package {why}")));
        let digest = descriptor.digest();
        if *digest.algorithm() != DigestAlgorithm::Sha256 {
            return refuse(format!("has the digest {digest}; only sha256 is understood"));
        }
        let digest: Digest = digest.to_string().parse()?;
        let size = descriptor.size();
        if size > most.min(self.left) {
            return refuse(format!("has {size} bytes; at most {} are taken", most.min(self.left)));
        }
        let path = self.place(&digest);
        // A link or a device in a layout is no blob.
        let kind = fs::symlink_metadata(&path).map_err(|error| Error::io(path.display(), &error))?;
        if !kind.is_file() {
            return refuse(format!("is no plain file: {}", path.display()));
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(&path).map_err(|error| Error::io(path.display(), &error))?;
        file.take(size + 1).read_to_end(&mut bytes).map_err(|error| Error::io(path.display(), &error))?;
        if bytes.len() as u64 != size || Digest::of(&bytes) != digest {
            return refuse(format!("is damaged: its bytes are not {digest} of {size} bytes"));
        }
        self.left -= size;
        Ok(bytes)
    }
}
