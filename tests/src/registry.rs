//! A real OCI registry with its own folder.

use crate::{Group, free_port, tool, until};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::{fs, process::Command};
use tempfile::TempDir;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

pub struct OciRegistry {
    pub url: String,
    _group: Group,
    _folder: TempDir,
}

impl OciRegistry {
    pub fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().expect("folder"), free_port());
        let configuration = json!({
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": folder.path().join("data")}, "delete": {"enabled": true}},
            "http": {"addr": format!("127.0.0.1:{port}")},
        });
        // YAML reads JSON.
        let path = folder.path().join("config.yml");
        fs::write(&path, configuration.to_string()).expect("configuration");
        let log = folder.path().join("log");
        let group = Group::start(Command::new(tool("FUSEML_TEST_REGISTRY")).arg("serve").arg(&path), &log);
        let url = format!("http://127.0.0.1:{port}");
        let answers = || reqwest::blocking::get(format!("{url}/v2/")).is_ok_and(|answer| answer.status().is_success());
        until("the registry answers", answers);
        Self { url, _group: group, _folder: folder }
    }

    /// Pushes a model of one blob; answers the manifest's digest. Without a tag it can only be got by that.
    pub fn push_model(&self, repository: &str, weights: &str, tag: Option<&str>) -> String {
        let empty = self.push_blob(repository, "{}");
        let blob = self.push_blob(repository, weights);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.cncf.model.manifest.v1+json",
            "config": {"mediaType": EMPTY, "digest": empty, "size": 2},
            "layers": [{"mediaType": "application/octet-stream", "digest": blob, "size": weights.len()}],
            "annotations": {"org.opencontainers.image.created": "2026-01-01T00:00:00Z"},
        });
        let (manifest, client) = (manifest.to_string(), reqwest::blocking::Client::new());
        let digest = digest(manifest.as_bytes());
        let place = format!("{}/v2/{repository}/manifests/{}", self.url, tag.unwrap_or(&digest));
        let answer = client.put(place).header("content-type", MANIFEST).body(manifest).send();
        answer.and_then(reqwest::blocking::Response::error_for_status).expect("the registry takes the manifest");
        digest
    }

    fn push_blob(&self, repository: &str, text: &str) -> String {
        let (client, digest) = (reqwest::blocking::Client::new(), digest(text.as_bytes()));
        let begun = client.post(format!("{}/v2/{repository}/blobs/uploads/", self.url)).send().expect("upload");
        let place = begun.headers()["location"].to_str().expect("location").to_owned();
        let join = if place.contains('?') { '&' } else { '?' };
        let answer = client.put(format!("{place}{join}digest={digest}")).body(text.to_owned()).send();
        answer.and_then(reqwest::blocking::Response::error_for_status).expect("the registry takes the blob");
        digest
    }
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    format!("sha256:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
