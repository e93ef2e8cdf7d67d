//! What a registry reads of a manifest or an index.

use crate::{Code, RegistryError, error::Result};
use fuseml_domain::Digest;
use oci_spec::image::Descriptor;
use serde::Deserialize;

/// What is read of any manifest or index.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    pub(crate) config: Option<Descriptor>,
    #[serde(default)]
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default)]
    pub(crate) manifests: Vec<Descriptor>,
    pub(crate) subject: Option<Descriptor>,
    annotations: Option<std::collections::HashMap<String, String>>,
}

impl Document {
    /// What is understood of a manifest or an index.
    pub(crate) fn read(media_type: &str, bytes: &[u8]) -> Result<Self> {
        let invalid = |why: String| RegistryError::new(Code::ManifestInvalid, why);
        let document: Self =
            serde_json::from_slice(bytes).map_err(|error| invalid(format!("the manifest is not valid: {error}")))?;
        if document.schema_version != 2 {
            return Err(invalid(format!("the manifest has the schema version {}, not 2", document.schema_version)));
        }
        match &document.media_type {
            Some(own) if own != media_type => {
                Err(invalid(format!("the manifest is {own}, but was sent as {media_type}")))
            }
            _ => Ok(document),
        }
    }

    /// The blobs that it names and that are kept here.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Digest> {
        let own = self.config.iter().chain(&self.layers).filter(|blob| blob.urls().is_none());
        own.filter_map(|blob| crate::name::digest(blob.digest().as_ref()).ok())
    }

    /// The manifests that it lists.
    pub(crate) fn listed(&self) -> impl Iterator<Item = Digest> {
        self.manifests.iter().filter_map(|one| crate::name::digest(one.digest().as_ref()).ok())
    }

    /// The manifest that it is about.
    pub(crate) fn about(&self) -> Option<Digest> {
        crate::name::digest(self.subject.as_ref()?.digest().as_ref()).ok()
    }
}

/// As the referrers list names it: an image without an artifact type has its config's.
pub(crate) fn referrer(digest: &Digest, size: u64, media_type: &str, document: &Document) -> Result<Vec<u8>> {
    let config = document.config.as_ref().map(|config| config.media_type().to_string());
    let mut descriptor = serde_json::json!({
        "mediaType": media_type,
        "digest": digest.to_string(),
        "size": size,
        "artifactType": document.artifact_type.clone().or(config),
    });
    if let (Some(annotations), Some(object)) = (&document.annotations, descriptor.as_object_mut()) {
        object.insert("annotations".to_owned(), serde_json::json!(annotations));
    }
    serde_json::to_vec(&descriptor).map_err(|error| RegistryError::machine("writing a descriptor", &error))
}
