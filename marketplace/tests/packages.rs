//! Packages: the same bytes for the same files, back as they were, and nothing taken on trust.
#![allow(clippy::unwrap_used)]

use fuseml_domain::Digest;
use fuseml_marketplace::{EXTENSION, read, write};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const MANIFEST: &str = r#"
schema_version = 1
name = "acme"
version = "1.2.0+debian"
title = "Acme"
description = "Keeps models in Acme."
license = "Apache-2.0"

[[components]]
name = "store"
world = "fuseml:artifact-store/artifact-store@0.1.0"
file = "components/store.wasm"
kinds = ["model"]
"#;

struct Package {
    folder: TempDir,
}

impl Package {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let component = wat::parse_str(r#"(component (import "fuseml:clock/clock@0.1.0" (instance)))"#).unwrap();
        for (path, bytes) in [
            ("extension.toml", MANIFEST.as_bytes()),
            ("README.md", b"# Acme\n"),
            ("docs/guide.md", b"Set the endpoint.\n"),
            ("components/store.wasm", &component),
        ] {
            let path = folder.path().join("built").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        write(&folder.path().join("built"), &folder.path().join("package")).unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.at("package/blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
    }

    fn json(&self, path: &Path) -> Value {
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    fn index(&self) -> Value {
        let top = self.json(&self.at("package/index.json"));
        self.json(&self.blob(top["manifests"][0]["digest"].as_str().unwrap()))
    }

    fn put(&self, value: &Value) -> Value {
        let bytes = serde_json::to_vec(value).unwrap();
        self.put_bytes("application/vnd.oci.image.manifest.v1+json", &bytes)
    }

    /// A blob, and its descriptor.
    fn put_bytes(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes).to_string();
        fs::write(self.blob(&digest), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Makes this the package's index.
    fn set_index(&self, index: &Value) {
        let mut descriptor = self.put(index);
        descriptor["mediaType"] = json!("application/vnd.oci.image.index.v1+json");
        let top = json!({"schemaVersion": 2, "manifests": [descriptor]});
        fs::write(self.at("package/index.json"), top.to_string()).unwrap();
    }

    /// Changes one manifest of the index, and the index with it.
    fn change(&self, position: usize, change: impl FnOnce(&Self, &mut Value)) {
        let mut index = self.index();
        let mut manifest = self.json(&self.blob(index["manifests"][position]["digest"].as_str().unwrap()));
        change(self, &mut manifest);
        let descriptor = self.put(&manifest);
        index["manifests"][position]["digest"] = descriptor["digest"].clone();
        index["manifests"][position]["size"] = descriptor["size"].clone();
        self.set_index(&index);
    }

    fn refused(&self) -> String {
        let target = self.at("target");
        fs::create_dir_all(&target).unwrap();
        let error = read(&self.at("package"), &target).expect_err("refused");
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "something was written: {error}");
        error.message
    }
}

const FILES: usize = 0;
const STORE: usize = 1;

#[test]
fn a_package_comes_back_as_it_was() {
    let package = Package::new();
    fs::create_dir(package.at("target")).unwrap();

    read(&package.at("package"), &package.at("target")).unwrap();

    for file in ["extension.toml", "README.md", "docs/guide.md", "components/store.wasm"] {
        assert_eq!(
            fs::read(package.at("target").join(file)).unwrap(),
            fs::read(package.at("built").join(file)).unwrap(),
            "{file}"
        );
    }
}

#[test]
fn the_same_files_give_the_same_package() {
    let (one, other) = (Package::new(), Package::new());
    let index = |package: &Package| fs::read(package.at("package/index.json")).unwrap();
    assert_eq!(index(&one), index(&other));
    // Written over itself, it stays.
    let again = write(&one.at("built"), &one.at("package")).unwrap();
    assert_eq!(index(&one), index(&other));
    assert_eq!(one.json(&one.at("package/index.json"))["manifests"][0]["digest"], json!(again.digest.to_string()));
}

#[test]
fn a_component_is_a_plain_wasm_artifact() {
    let package = Package::new();
    let index = package.index();
    assert_eq!(index["artifactType"], EXTENSION);
    let manifest = package.json(&package.blob(index["manifests"][STORE]["digest"].as_str().unwrap()));
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    let config = package.json(&package.blob(manifest["config"]["digest"].as_str().unwrap()));
    assert_eq!(config["architecture"], "wasm");
    assert_eq!(config["os"], "wasip2");
    assert_eq!(config["layerDigests"][0], manifest["layers"][0]["digest"]);
    assert_eq!(config["component"]["imports"][0], "fuseml:clock/clock@0.1.0");
    let top = package.json(&package.at("package/index.json"));
    assert_eq!(top["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "1.2.0_debian");
}

#[test]
fn something_else_is_not_overwritten() {
    let package = Package::new();
    fs::create_dir(package.at("mine")).unwrap();
    fs::write(package.at("mine/thesis.tex"), "years of work").unwrap();
    let error = write(&package.at("built"), &package.at("mine")).expect_err("refused");
    assert_eq!(error.code, "folder-not-empty");
    assert!(package.at("mine/thesis.tex").exists());
}

#[test]
fn a_link_is_not_packed() {
    let package = Package::new();
    std::os::unix::fs::symlink("/etc/passwd", package.at("built/users")).unwrap();
    let error = write(&package.at("built"), &package.at("package")).expect_err("refused");
    assert!(error.message.contains("neither a file nor a folder"), "{error}");
}

type Spoil = fn(&Package);

/// What an attacker or a broken tool would hand in, and the words that refuse it.
#[test]
fn a_package_that_is_not_as_it_should_be_is_refused_whole() {
    let rows: &[(&str, Spoil, &str)] = &[
        (
            "a changed blob",
            |package| {
                let index = package.index();
                let manifest = package.json(&package.blob(index["manifests"][STORE]["digest"].as_str().unwrap()));
                let blob = package.blob(manifest["layers"][0]["digest"].as_str().unwrap());
                let mut bytes = fs::read(&blob).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                fs::write(blob, bytes).unwrap();
            },
            "is damaged",
        ),
        (
            "a blob that grew",
            |package| {
                let index = package.index();
                let blob = package.blob(index["manifests"][FILES]["digest"].as_str().unwrap());
                let mut bytes = fs::read(&blob).unwrap();
                bytes.extend(b"   ");
                fs::write(blob, bytes).unwrap();
            },
            "is damaged",
        ),
        (
            "a blob that is a link",
            |package| {
                let index = package.index();
                let blob = package.blob(index["manifests"][STORE]["digest"].as_str().unwrap());
                fs::rename(&blob, package.at("elsewhere")).unwrap();
                std::os::unix::fs::symlink(package.at("elsewhere"), blob).unwrap();
            },
            "no plain file",
        ),
        (
            "a missing blob",
            |package| {
                let index = package.index();
                fs::remove_file(package.blob(index["manifests"][STORE]["digest"].as_str().unwrap())).unwrap();
            },
            "No such file",
        ),
        (
            "an index of another type",
            |package| {
                let mut index = package.index();
                index["artifactType"] = json!("application/vnd.example");
                package.set_index(&index);
            },
            "is of the type application/vnd.example",
        ),
        (
            "an index that is an image's",
            |package| {
                let mut index = package.index();
                index.as_object_mut().unwrap().remove("artifactType");
                package.set_index(&index);
            },
            "has no artifact type",
        ),
        (
            "an index that lists itself again",
            |package| {
                let mut index = package.index();
                let mut inner = package.put(&index);
                inner["mediaType"] = json!("application/vnd.oci.image.index.v1+json");
                inner["annotations"] = json!({"org.opencontainers.image.title": "components/store.wasm"});
                index["manifests"][STORE] = inner;
                package.set_index(&index);
            },
            "not an image manifest",
        ),
        (
            "a component with two layers",
            |package| {
                package.change(STORE, |_, manifest| {
                    let layer = manifest["layers"][0].clone();
                    manifest["layers"].as_array_mut().unwrap().push(layer);
                })
            },
            "has 2 layers",
        ),
        (
            "a component of another media type",
            |package| {
                package.change(STORE, |_, manifest| {
                    manifest["layers"][0]["mediaType"] = json!("application/x-executable");
                })
            },
            "has a layer of the type application/x-executable",
        ),
        (
            "a component with another config",
            |package| {
                package.change(STORE, |_, manifest| {
                    manifest["config"]["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
                })
            },
            "has a config of the type",
        ),
        (
            "a component that the manifest does not name",
            |package| {
                let mut index = package.index();
                index["manifests"][STORE]["annotations"]["org.opencontainers.image.title"] =
                    json!("components/evil.wasm");
                package.set_index(&index);
            },
            "which extension.toml does not name",
        ),
        (
            "a component left out",
            |package| {
                let mut index = package.index();
                index["manifests"].as_array_mut().unwrap().remove(STORE);
                package.set_index(&index);
            },
            "brings 0 components, extension.toml names 1",
        ),
        (
            "two manifests of files",
            |package| {
                let mut index = package.index();
                let files = index["manifests"][FILES].clone();
                index["manifests"].as_array_mut().unwrap().push(files);
                package.set_index(&index);
            },
            "has 2 manifests of files",
        ),
        (
            "a file that climbs out",
            |package| {
                package.change(FILES, |_, manifest| {
                    manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] = json!("../../evil");
                })
            },
            "may not have",
        ),
        (
            "an absolute file",
            |package| {
                package.change(FILES, |_, manifest| {
                    manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] = json!("/etc/cron.d/evil");
                })
            },
            "may not have",
        ),
        (
            "a file without a name",
            |package| {
                package.change(FILES, |_, manifest| {
                    manifest["layers"][0].as_object_mut().unwrap().remove("annotations");
                })
            },
            "has no org.opencontainers.image.title",
        ),
        (
            "one file twice",
            |package| {
                package.change(FILES, |_, manifest| {
                    let layer = manifest["layers"][0].clone();
                    manifest["layers"].as_array_mut().unwrap().push(layer);
                })
            },
            "cannot both be",
        ),
        (
            "a second extension.toml",
            |package| {
                package.change(FILES, |_, manifest| {
                    manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] = json!("extension.toml");
                })
            },
            "cannot both be",
        ),
        (
            "a file that is another's folder",
            |package| {
                package.change(FILES, |_, manifest| {
                    manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] =
                        json!("docs/guide.md/more");
                })
            },
            "cannot both be",
        ),
        (
            "a size that would fill the disk",
            |package| {
                package.change(FILES, |_, manifest| {
                    manifest["layers"][0]["size"] = json!(1_u64 << 40);
                })
            },
            "at most",
        ),
        (
            "a digest of another algorithm",
            |package| {
                package.change(FILES, |_, manifest| {
                    manifest["layers"][0]["digest"] = json!(format!("sha512:{}", "0".repeat(128)));
                })
            },
            "only sha256 is understood",
        ),
        (
            "a manifest with unknown keys",
            |package| {
                package.change(FILES, |package, manifest| {
                    let toml = format!("grant_everything = true\n{MANIFEST}");
                    manifest["config"] =
                        package.put_bytes("application/vnd.fuseml.extension.manifest.v1+toml", toml.as_bytes());
                })
            },
            "grant_everything",
        ),
        ("no JSON", |package| fs::write(package.at("package/index.json"), "{").unwrap(), "is no OCI index"),
        (
            "an empty layout",
            |package| {
                fs::write(package.at("package/index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
            },
            "holds no extension package",
        ),
        (
            "two packages",
            |package| {
                let mut top = package.json(&package.at("package/index.json"));
                let one = top["manifests"][0].clone();
                top["manifests"].as_array_mut().unwrap().push(one);
                fs::write(package.at("package/index.json"), top.to_string()).unwrap();
            },
            "several packages",
        ),
    ];
    for (what, spoil, words) in rows {
        let package = Package::new();
        spoil(&package);
        let refused = package.refused();
        assert!(refused.contains(words), "{what}: {refused}");
    }
}
