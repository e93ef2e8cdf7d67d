//! The media types and limits of a package.

use serde::{Deserialize, Serialize};

/// Artifact type of the index that a package is.
pub const EXTENSION: &str = "application/vnd.fuseml.extension.v1";
/// Artifact type of the manifest with all files but the components.
pub const FILES: &str = "application/vnd.fuseml.extension.files.v1";
/// Media type of `extension.toml`, which is that manifest's config.
pub const MANIFEST: &str = "application/vnd.fuseml.extension.manifest.v1+toml";
/// Media type of a component's bytes (the wasm artifact format of CNCF's runtime group).
pub const COMPONENT: &str = "application/wasm";
/// Media type of a component's config.
pub(crate) const COMPONENT_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// Media type and bytes of a config that says nothing.
pub(crate) const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const EMPTY: &[u8] = b"{}";
/// Where a file belongs in the extension's folder.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";
pub(crate) const VERSION: &str = "org.opencontainers.image.version";
/// In a layout's `index.json`: the tag.
pub(crate) const REFERENCE: &str = "org.opencontainers.image.ref.name";

/// Of an index, a manifest or a config, in bytes.
pub(crate) const MOST_METADATA: u64 = 4 << 20;
/// Of all blobs together: a Python component is some 20 MB.
pub(crate) const MOST_BYTES: u64 = 512 << 20;
pub(crate) const MOST_FILES: usize = 10_000;

/// The config of a wasm manifest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WasmConfig {
    /// Readers want one; the same for all, so that the same bytes give the same package.
    pub(crate) created: String,
    pub(crate) architecture: String,
    pub(crate) os: String,
    pub(crate) layer_digests: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) component: Option<ComponentConfig>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ComponentConfig {
    pub(crate) exports: Vec<String>,
    pub(crate) imports: Vec<String>,
    /// The world, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
}

/// What a file is, by its name: for registries' pages and for people.
pub(crate) fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "md" => "text/markdown",
        "yaml" | "yml" => "application/yaml",
        "toml" => "application/toml",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "txt" => "text/plain",
        _ => "application/octet-stream",
    }
}

/// `1.0.0+build` as a tag, which cannot hold `+`.
pub(crate) fn tag(version: &semver::Version) -> String {
    version.to_string().replace('+', "_")
}
