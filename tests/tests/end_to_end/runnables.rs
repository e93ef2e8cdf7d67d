//! Runnables: registered by their description or pushed as images, and found by what they take (S11, S20–S31, S43, S111).

use fuseml_tests::{World, tool};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::{fs, path::Path, process::Command};

const SCORER: &str = "schema_version: 1
name: scorer
kind: predictor
environment: {python: '3.12', requirements: [scikit-learn==1.5.2]}
command: [python, score.py]
scripts: {score.py: src/score.py}
inputs:
  model: {kind: model, requires: {framework: sklearn}}
parameters:
  threshold: {type: number, default: 0.5}
  top-k: {type: integer, default: 3, argument: '--top-k={}'}
service: {ready: /health, predict: /score}
resources: {memory: 1Gi}
labels: {team: red}
";

fn shop() -> World {
    let world = World::new();
    world.fuseml(&["project", "create", "ml"]).good();
    world.fuseml(&["project", "set", "ml"]).good();
    let folder = world.folder.path();
    fs::create_dir(folder.join("src")).expect("folder");
    fs::write(folder.join("src/score.py"), "print('score')\n").expect("script");
    fs::write(folder.join("scorer.yaml"), SCORER).expect("description");
    world
}

fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An image of one empty layer in OCI's layout, as `skopeo copy oci:…` reads it.
fn image(folder: &Path, labels: &serde_json::Value) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("folder");
    let blob = |media_type: &str, bytes: &[u8]| {
        let digest = digest_of(bytes);
        fs::write(blobs.join(&digest), bytes).expect("blob");
        json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()})
    };
    let layer = vec![0; 1024];
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": ["/bin/score"], "Cmd": ["--all"], "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest_of(&layer))]},
    });
    let config = blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let layer = blob("application/vnd.oci.image.layer.v1.tar", &layer);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
    let manifest = blob(media_type, manifest.to_string().as_bytes());
    fs::write(folder.join("index.json"), json!({"schemaVersion": 2, "manifests": [manifest]}).to_string())
        .expect("index");
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).expect("layout");
}

/// Copies an image with skopeo; answers what it said when it failed.
fn copy(world: &World, from: &str, to: &str) -> Result<(), String> {
    let token = format!("x:{}", world.token());
    let mut skopeo = Command::new(tool("FUSEML_TEST_SKOPEO"));
    skopeo.args(["copy", "--src-tls-verify=false", "--dest-tls-verify=false"]);
    for (place, option) in [(from, "--src-creds"), (to, "--dest-creds")] {
        if place.starts_with("docker://") {
            skopeo.args([option, &token]);
        }
    }
    let said = skopeo.args([from, to]).output().expect("skopeo");
    if said.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said.stderr).into_owned()) }
}

#[test]
fn a_description_becomes_a_runnable_that_is_shown_and_found_by_what_it_takes() {
    let world = shop();
    let said = world.fuseml(&["runnable", "register", "scorer.yaml", "--tag", "v1"]).good();
    let again = world.fuseml(&["runnable", "register", "scorer.yaml"]).good();
    assert_eq!(said.stdout(), again.stdout(), "the same description is the same version");
    insta::assert_snapshot!("shown", world.steady(&world.fuseml(&["runnable", "show", "scorer@v1"]).good().stdout()));

    for (name, framework) in [("red", "sklearn"), ("blue", "tensorflow")] {
        fs::write(world.folder.path().join("weights"), name).expect("weights");
        let framework = format!("framework={framework}");
        world.fuseml(&["model", "push", "weights", "--name", name, "--attribute", &framework]).good();
    }
    let names = |arguments: &[&str]| -> Vec<String> {
        let found = world.json(&[&["artifact", "search"], arguments].concat());
        found.as_array().expect("list").iter().map(|one| one["name"].as_str().expect("name").to_owned()).collect()
    };
    assert_eq!(names(&["--taking", "model/red"]), ["scorer"]);
    assert_eq!(names(&["--taking", "model/red", "runnable-kind = predictor"]), ["scorer"]);
    assert_eq!(names(&["--taking", "model/red", "runnable-kind = trainer"]), [""; 0]);
    assert_eq!(names(&["--taking", "model/blue"]), [""; 0]);
    assert_eq!(names(&["--taken-by", "scorer"]), ["red"]);
    assert_eq!(names(&["--taken-by", "scorer", "--input", "model"]), ["red"]);
    assert_eq!(names(&["input = model and not has output"]), ["scorer"]);
    let refused = world.fuseml(&["artifact", "search", "--taken-by", "scorer", "--input", "code"]).bad(2);
    assert!(refused.stderr().contains("`scorer` has no input `code`; it has model"), "{}", refused.stderr());
}

#[test]
fn an_image_that_is_pushed_is_a_runnable_and_can_be_described_further() {
    let world = shop();
    let folder = world.folder.path().join("image");
    let labels = json!({
        "org.opencontainers.image.version": "1.2.0", "org.opencontainers.image.source": "https://git.example/score",
        "org.fuseml.runnable": "{schema_version: 1, name: score, kind: validator, inputs: {data: {kind: dataset}}}",
    });
    image(&folder, &labels);
    let host = world.url().replace("http://", "");
    let place = format!("docker://{host}/ml/runnable/score:v1");
    copy(&world, &format!("oci:{}", folder.display()), &place).expect("push");

    let pushed = world.json(&["runnable", "show", "score@v1"]);
    assert_eq!(pushed["runnable"]["command"], json!(["/bin/score", "--all"]));
    assert_eq!(pushed["attributes"]["platforms"], "linux/amd64");
    assert_eq!(pushed["attributes"]["image-version"], "1.2.0");
    assert_eq!(pushed["attributes"]["runnable-kind"], "validator");

    // The same image as something else, under its own name; and another registry's.
    let described = "schema_version: 1\nname: explainer\nkind: explainer\ncommand: [/bin/explain]\ninputs: {model: {kind: model}}\n";
    fs::write(world.folder.path().join("explainer.yaml"), described).expect("description");
    world.fuseml(&["runnable", "register", "explainer.yaml", "--image", "score@v1"]).good();
    let foreign = format!("quay.io/acme/serve@sha256:{}", "ab".repeat(32));
    fs::write(world.folder.path().join("serve.yaml"), described.replace("name: explainer", "name: serve"))
        .expect("file");
    let said = world.fuseml(&["runnable", "register", "serve.yaml", "--image", &foreign]).good();
    assert!(said.stderr().contains("another registry's"), "{}", said.stderr());
    world.fuseml(&["runnable", "register", "scorer.yaml"]).good();
    let listed = world.fuseml(&["runnable", "list"]).good();
    insta::assert_snapshot!("listed", world.steady(&format!("{}{}", listed.stderr(), listed.stdout())));

    // Deleting one description leaves the image to the other.
    world.fuseml(&["artifact", "delete", "runnable/score@v1", "--force", "--yes", "--reason", "test"]).good();
    let gone = copy(&world, &place, &format!("dir:{}", world.folder.path().join("gone").display()));
    assert!(gone.expect_err("gone").contains("manifest unknown"));
    let explainer = format!(
        "docker://{host}/ml/runnable/explainer:{}",
        world.json(&["runnable", "show", "explainer"])["id"].as_str().expect("id")
    );
    world.fuseml(&["store", "gc"]).good();
    copy(&world, &explainer, &format!("dir:{}", world.folder.path().join("there").display())).expect("pull");
}

#[test]
fn what_cannot_be_a_runnable_is_refused_and_nothing_is_left() {
    let world = shop();
    let write = |text: &str| fs::write(world.folder.path().join("x.yaml"), text).expect("description");
    for (from, to, why) in [
        ("src/score.py", "../../etc/passwd", "is not a path inside a directory"),
        ("src/score.py", "missing.py", "missing.py cannot be read"),
        ("command: [python, score.py]", "command: []", "has no command"),
        ("kind: predictor", "kind: predictor\nimage: python:3.12", "a tag may mean something else tomorrow"),
        ("team: red", "'te am': red", "label"),
    ] {
        write(&SCORER.replace(from, to));
        let refused = world.fuseml(&["runnable", "register", "x.yaml"]).bad(2);
        assert!(refused.stderr().contains(why), "{to}: {}", refused.stderr());
    }
    write(SCORER);
    let missing = format!("ml/runnable/none@sha256:{}", "ab".repeat(32));
    let refused = world.fuseml(&["runnable", "register", "x.yaml", "--image", &missing]).bad(3);
    assert!(refused.stderr().contains("no manifest"), "{}", refused.stderr());

    let folder = world.folder.path().join("image");
    image(&folder, &json!({"org.fuseml.runnable": "{schema_version: 1, name: other, kind: task}"}));
    let place = format!("docker://{}/ml/runnable/score:v1", world.url().replace("http://", ""));
    let refused = copy(&world, &format!("oci:{}", folder.display()), &place).expect_err("refused");
    assert!(refused.contains("it was pushed as `score`"), "{refused}");
    assert_eq!(world.json(&["runnable", "list"]), json!([]));
}
