//! Signatures beside packages: sigstore bundles in manifests whose subject is the package.
//!
//! Written as cosign 3 writes them. Cosign's older form (a `.sig` tag over a `simplesigning` text) is read as well.

use crate::{
    attestation::{Envelope, SIGNATURE},
    blobs::Blobs,
    format::{EMPTY, EMPTY_CONFIG, MOST_METADATA},
    key::{KeyId, PublicKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use fuseml_domain::{Digest, Error, Result};
use oci_spec::image::{Descriptor, ImageManifest, MediaType};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Media type of a sigstore bundle, and artifact type of the manifest that carries it.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIMPLE_SIGNATURE: &str = "dev.cosignproject.cosign/signature";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Value,
    dsse_envelope: Envelope,
}

/// A bundle's bytes.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn bundle(envelope: &Envelope, key: &KeyId) -> Result<Vec<u8>> {
    let verification_material = serde_json::json!({"publicKey": {"hint": key.as_str()}});
    let bundle = Bundle { media_type: BUNDLE.to_owned(), verification_material, dsse_envelope: envelope.clone() };
    serde_json::to_vec(&bundle).map_err(|error| Error::internal("bundle", error.to_string()))
}

/// The envelope in a bundle's bytes.
///
/// # Errors
/// `invalid` or `unsupported` for anything else.
pub fn envelope(bytes: &[u8]) -> Result<Envelope> {
    let bundle: Bundle = serde_json::from_slice(bytes)
        .map_err(|error| Error::invalid("bundle", format!("a signature is no sigstore bundle: {error}")))?;
    match bundle.media_type.as_str() {
        BUNDLE => Ok(bundle.dsse_envelope),
        other => Err(Error::unsupported("bundle", format!("a signature is a {other}, which is not understood"))),
    }
}

/// The blobs and the manifest of a signed statement beside a package whose index has this digest and size.
///
/// # Errors
/// When they cannot be written as JSON.
pub fn referrer(envelope: &Envelope, key: &KeyId, subject: &Digest, size: u64) -> Result<(Vec<Vec<u8>>, Vec<u8>)> {
    let layer = bundle(envelope, key)?;
    let digest = |bytes: &[u8]| Digest::of(bytes).to_string();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest.to_string(),
        "artifactType": BUNDLE,
        "config": {"mediaType": EMPTY_CONFIG, "digest": digest(EMPTY), "size": EMPTY.len()},
        "layers": [{"mediaType": BUNDLE, "digest": digest(&layer), "size": layer.len()}],
        "subject": {"mediaType": MediaType::ImageIndex.to_string(), "digest": subject.to_string(), "size": size},
    });
    let manifest = serde_json::to_vec(&manifest).map_err(|error| Error::internal("bundle", error.to_string()))?;
    Ok((vec![EMPTY.to_vec(), layer], manifest))
}

/// Writes a bundle and the manifest that carries it beside `subject`; answers that manifest's descriptor.
pub(crate) fn attach(blobs: &Blobs, subject: &Descriptor, envelope: &Envelope, key: &KeyId) -> Result<Descriptor> {
    let package: Digest = subject.digest().to_string().parse()?;
    let (parts, bytes) = referrer(envelope, key, &package, subject.size())?;
    for part in parts {
        blobs.write(BUNDLE, &part)?;
    }
    let mut descriptor = blobs.write(MediaType::ImageManifest.as_ref(), &bytes)?;
    descriptor.set_artifact_type(Some(MediaType::from(BUNDLE)));
    Ok(descriptor)
}

/// Which key signed the package with this signature manifest, in either form. `name` is `<namespace>/<extension>`.
pub(crate) fn signer(
    blobs: &mut Blobs,
    manifest: &Descriptor,
    name: &str,
    package: &Digest,
    keys: &[PublicKey],
) -> Result<KeyId> {
    let image: ImageManifest = blobs.document(manifest, "a signature's manifest")?;
    let mut refused = Error::denied("signature", "the signature's manifest holds no signature");
    for layer in image.layers() {
        let bytes = blobs.read(layer, MOST_METADATA, "a signature")?;
        let signed = match layer.media_type().as_ref() {
            BUNDLE => envelope(&bytes)?.verify(keys).and_then(|(statement, key)| {
                statement.check(name, package, SIGNATURE)?;
                Ok(key)
            }),
            SIMPLE_SIGNING => simple(layer, &bytes, package, keys),
            _ => continue,
        };
        match signed {
            Ok(key) => return Ok(key),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Cosign's older form: a text that names the digest, its signature in an annotation.
fn simple(layer: &Descriptor, text: &[u8], package: &Digest, keys: &[PublicKey]) -> Result<KeyId> {
    let denied = |why: &str| Error::denied("signature", why.to_owned());
    let signature = layer.annotations().as_ref().and_then(|annotations| annotations.get(SIMPLE_SIGNATURE));
    let signature = signature.and_then(|text| STANDARD.decode(text).ok());
    let signature = signature.ok_or_else(|| denied("a signature lacks its signature"))?;
    let key = keys
        .iter()
        .find(|key| key.verifies(text, &signature))
        .ok_or_else(|| denied("none of the keys that are trusted here made the signature"))?;
    let document: Value = serde_json::from_slice(text).map_err(|_| denied("a signature is over no JSON"))?;
    match document.pointer("/critical/image/docker-manifest-digest").and_then(Value::as_str) {
        Some(digest) if digest == package.to_string() => Ok(key.id()),
        _ => Err(denied("a signature is about another package")),
    }
}
