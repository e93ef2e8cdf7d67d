//! Clients and registries that others wrote read what is published here, and ours read theirs.

use fuseml_marketplace::{Remote, SigningKey};
use fuseml_tests::{Marketplace, OciRegistry, World, tool};
use reqwest::Method;
use serde_json::{Value, json};
use std::{fs, process::Command};

fn built() -> String {
    std::env::var("FUSEML_TEST_EXTENSION").expect("cargo xtask test")
}

/// Runs a real OCI client and answers what it printed.
fn skopeo(arguments: &[&str]) -> String {
    let output = Command::new(tool("FUSEML_TEST_SKOPEO")).args(arguments).output().expect("skopeo");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn other_oci_clients_and_registries_read_what_is_published_and_write_what_is_installed() {
    let world = World::new();
    let (market, registry) = (Marketplace::start(&world, "market"), OciRegistry::start());
    let token = market.publisher(&world, "ada", "acme");
    world.fuseml(&["extension", "publish", &built(), "--namespace", "acme"]).good();
    let at = |url: &str, name: &str| format!("docker://{}/{name}", url.trim_start_matches("http://"));
    let folder = |name: &str| world.folder.path().join(name).display().to_string();

    let get = |path: String| -> Value {
        let (_, text) = market.http(Method::GET, &path, None, None);
        serde_json::from_str(&text).expect("JSON")
    };
    let package = get("/v2/acme/mlflow/manifests/0.1.0".to_owned());
    assert_eq!(package["artifactType"], "application/vnd.fuseml.extension.v1");
    let component = package["manifests"][1]["digest"].as_str().expect("digest").to_owned();

    // Out: a component is a plain wasm artifact, which goes through Docker's registry and comes back byte for byte.
    let (from, there) =
        (at(&market.url, &format!("acme/mlflow@{component}")), at(&registry.url, "mirror/mlflow:0.1.0"));
    skopeo(&["copy", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &there]);
    skopeo(&["copy", "--src-tls-verify=false", &there, &format!("oci:{}:0.1.0", folder("back"))]);
    assert!(fs::exists(folder("back") + "/blobs/sha256/" + &component["sha256:".len()..]).expect("blob"));
    let tags = skopeo(&["list-tags", "--tls-verify=false", &at(&market.url, "acme/mlflow")]);
    assert!(tags.contains("\"0.1.0\""), "{tags}");

    // In: with a token as the password, under a tag that promises nothing.
    let login = format!("--dest-creds=ada:{token}");
    let push = |tag: &str| {
        let to = at(&market.url, tag);
        let words = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false", &login, &there, &to];
        Command::new(tool("FUSEML_TEST_SKOPEO")).args(words).output().expect("skopeo").status.success()
    };
    assert!(push("acme/mlflow:candidate"));
    assert_eq!(get("/v2/acme/mlflow/tags/list".to_owned())["tags"], json!(["0.1.0", "candidate"]));
    assert!(!push("acme/mlflow:0.1.0"), "a published version never changes");
    assert!(!push("other/mlflow:candidate"), "another's namespace");
}

/// What a script of Python says that has the client `oras`.
fn oras(script: &str) -> String {
    let output = Command::new(tool("FUSEML_TEST_ORAS")).args(["-c", script]).output().expect("python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn oras_pulls_a_component_and_pushes_with_a_token_as_the_password() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    let token = market.publisher(&world, "ada", "acme");
    world.fuseml(&["extension", "publish", &built(), "--namespace", "acme"]).good();
    let (_, package) = market.http(Method::GET, "/v2/acme/mlflow/manifests/0.1.0", None, None);
    let package: Value = serde_json::from_str(&package).expect("JSON");
    let component = package["manifests"][1]["digest"].as_str().expect("digest");
    let (host, folder) = (market.url.trim_start_matches("http://"), world.folder.path().join("oras"));
    fs::create_dir(&folder).expect("folder");
    fs::write(folder.join("note.txt"), "kept beside it").expect("file");

    let said = oras(&format!(
        "import oras.client, os, hashlib\n\
         os.chdir({folder:?})\n\
         client = oras.client.OrasClient(insecure=True)\n\
         manifest = client.get_manifest('{host}/acme/mlflow@{component}')\n\
         layer = manifest['layers'][0]\n\
         client.download_blob('{host}/acme/mlflow', layer['digest'], 'component.wasm')\n\
         print(layer['mediaType'], layer['digest'] == 'sha256:' + hashlib.sha256(open('component.wasm', 'rb').read()).hexdigest())\n\
         client.auth.set_basic_auth('ada', '{token}')\n\
         pushed = client.push(target='{host}/acme/mlflow:notes', files=['note.txt'], disable_path_validation=True)\n\
         print(pushed.status_code)\n"
    ));

    assert!(said.contains("application/wasm True") && said.contains("201"), "{said}");
    let (_, tags) = market.http(Method::GET, "/v2/acme/mlflow/tags/list", None, None);
    assert!(tags.contains("notes"), "{tags}");
}

#[test]
fn wkg_pulls_a_component_and_pushes_with_a_token_as_the_password() {
    let world = World::new();
    let market = Marketplace::start(&world, "market");
    let token = market.publisher(&world, "ada", "acme");
    world.fuseml(&["extension", "publish", &built(), "--namespace", "acme"]).good();
    let (_, package) = market.http(Method::GET, "/v2/acme/mlflow/manifests/0.1.0", None, None);
    let package: Value = serde_json::from_str(&package).expect("JSON");
    let component = package["manifests"][1]["digest"].as_str().expect("digest");
    let host = market.url.trim_start_matches("http://");
    let file = world.folder.path().join("pulled.wasm");
    let wkg = |arguments: &[&str]| {
        let mut command = Command::new(tool("FUSEML_TEST_WKG"));
        let output = command.args(["oci"]).args(arguments).args(["--insecure", host]).output().expect("wkg");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };

    wkg(&["pull", &format!("{host}/acme/mlflow@{component}"), "--output", &file.display().to_string()]);

    let pulled = fs::read(&file).expect("component");
    let own = ["builder", "store"].map(|name| fs::read(format!("{}/components/{name}.wasm", built())).expect("own"));
    assert!(own.contains(&pulled), "one of the package's components, byte for byte");
    let there = format!("{host}/acme/mlflow:from-wkg");
    wkg(&["push", &there, &file.display().to_string(), "-u", "ada", "-p", &token]);
    let (_, pushed) = market.http(Method::GET, "/v2/acme/mlflow/manifests/from-wkg", None, None);
    let pushed: Value = serde_json::from_str(&pushed).expect("JSON");
    assert_eq!(pushed["layers"][0]["mediaType"], "application/wasm");
    assert_eq!(pushed["layers"][0]["size"].as_u64(), Some(pulled.len() as u64));
}

#[test]
fn a_signed_package_goes_through_any_registry_with_its_signatures() {
    let (folder, registry) = (tempfile::tempdir().expect("folder"), OciRegistry::start());
    let (layout, back) = (folder.path().join("layout"), folder.path().join("back"));
    let packaged = fuseml_marketplace::write(built().as_ref(), &layout).expect("package");
    let keys = [1, 2].map(|_| SigningKey::generate().expect("key"));
    let remote = Remote::new(&registry.url.parse().expect("address"), "acme/mlflow", None).expect("remote");
    let runtime = tokio::runtime::Runtime::new().expect("runtime");

    // Docker's registry knows nothing of referrers; both signatures are listed by the tag that stands in for them.
    let mut sent = Vec::new();
    for key in &keys {
        fuseml_marketplace::sign(&layout, "acme/mlflow", key).expect("signed");
        runtime.block_on(remote.push(&layout, |done| sent.push(done))).expect("pushed");
    }
    runtime.block_on(remote.pull(&packaged.digest, &back, |_| {})).expect("pulled");

    let public = keys.map(|key| key.public().expect("key"));
    let signers = fuseml_marketplace::signers(&back, "acme/mlflow", &public).expect("signers");
    assert_eq!(signers.len(), 2);
    assert!(fuseml_marketplace::signers(&back, "evil/mlflow", &public).is_err(), "signed as something else");
    let unpacked = folder.path().join("unpacked");
    fs::create_dir(&unpacked).expect("folder");
    assert_eq!(fuseml_marketplace::read(&back, &unpacked).expect("read"), packaged.digest);
    assert!(sent.iter().filter(|done| done.skipped).count() > 3, "what was there was not sent again: {sent:?}");
}
