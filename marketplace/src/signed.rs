//! Signed packages: signatures listed beside the package in a layout's `index.json`.

use crate::{
    attestation::{Envelope, SIGNATURE, Statement},
    blobs::Blobs,
    bundle::{self, BUNDLE},
    format::MOST_BYTES,
    key::{KeyId, PublicKey, SigningKey},
    read::{only_package, top},
};
use fuseml_domain::{Digest, Error, Result};
use oci_spec::image::{Descriptor, ImageIndex};
use serde_json::Value;
use std::path::Path;

/// Signs the package in a layout as `<namespace>/<extension>`. Signing twice with one key changes nothing.
///
/// # Errors
/// When the layout holds no package or cannot be written.
pub fn sign(layout: &Path, name: &str, key: &SigningKey) -> Result<Digest> {
    let mut index = top(layout)?;
    let package = only_package(&index)?;
    let digest: Digest = package.digest().to_string().parse()?;
    let public = key.public()?;
    if signers(layout, name, std::slice::from_ref(&public)).is_ok_and(|signers| !signers.is_empty()) {
        return Ok(digest);
    }
    let envelope = Envelope::sign(&Statement::new(name, &digest, SIGNATURE, Value::Object(Default::default())), key)?;
    let descriptor = bundle::attach(&Blobs::new(layout, MOST_BYTES), &package, &envelope, &public.id())?;
    let mut manifests = index.manifests().clone();
    manifests.push(descriptor);
    index.set_manifests(manifests);
    write_top(layout, &index)?;
    Ok(digest)
}

/// The descriptors of a layout's signatures.
///
/// # Errors
/// When there is no layout.
pub fn signatures(layout: &Path) -> Result<Vec<Descriptor>> {
    let is_signature =
        |one: &Descriptor| one.artifact_type().as_ref().is_some_and(|found| found.as_ref() == BUNDLE) || is_old(one);
    Ok(top(layout)?.manifests().iter().filter(|one| is_signature(one)).cloned().collect())
}

/// In cosign's older form the tag alone says what a manifest is.
fn is_old(descriptor: &Descriptor) -> bool {
    let tag = descriptor.annotations().as_ref().and_then(|annotations| annotations.get(crate::format::REFERENCE));
    tag.is_some_and(|tag| tag.starts_with("sha256-") && tag.ends_with(".sig"))
}

/// Which of the keys signed the layout's package as `<namespace>/<extension>`.
///
/// # Errors
/// `denied` says why the last signature did not count, when there are signatures and none counts.
pub fn signers(layout: &Path, name: &str, keys: &[PublicKey]) -> Result<Vec<KeyId>> {
    let package: Digest = only_package(&top(layout)?)?.digest().to_string().parse()?;
    let (mut found, mut refused) = (Vec::new(), None);
    for descriptor in signatures(layout)? {
        match bundle::signer(&mut Blobs::new(layout, MOST_BYTES), &descriptor, name, &package, keys) {
            Ok(key) => found.push(key),
            Err(error) => refused = Some(error),
        }
    }
    match (found.is_empty(), refused) {
        (true, Some(error)) => Err(error),
        _ => Ok(found),
    }
}

/// The digest of the one package in a layout, of which nothing else is looked at.
///
/// # Errors
/// When there is none, or several.
pub fn package_digest(layout: &Path) -> Result<Digest> {
    only_package(&top(layout)?)?.digest().to_string().parse()
}

pub(crate) fn write_top(layout: &Path, index: &ImageIndex) -> Result<()> {
    let bytes = serde_json::to_value(index).and_then(|value| serde_json::to_vec(&value));
    let bytes = bytes.map_err(|error| Error::internal("package", error.to_string()))?;
    let path = layout.join("index.json");
    let staging = layout.join(".index.json");
    std::fs::write(&staging, bytes)
        .and_then(|()| std::fs::rename(&staging, &path))
        .map_err(|error| Error::io(path.display(), &error))
}
