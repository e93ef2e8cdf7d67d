//! What a run made can say where it came from: to whoever has no server, and to lineage services (S10, S12).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fuseml_tests::{Group, World, tool, until};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A server that tells a real OpenLineage endpoint, with a model that it trained from `examples/mlflow-wine`.
struct Story {
    world: World,
    notes: PathBuf,
    endpoint: Group,
}

impl Story {
    fn new() -> Self {
        let mut world = World::without_server();
        let folder = world.folder.path().to_owned();
        let (notes, url) = (folder.join("events.jsonl"), folder.join("endpoint"));
        let mut endpoint = Command::new(tool("FUSEML_TEST_FORMATS"));
        endpoint.args(["-c", include_str!("openlineage.py")]).args([&notes, &url]);
        let endpoint = Group::start(&mut endpoint, &folder.join("endpoint.log"));
        until("the endpoint answers", || fs::read_to_string(&url).is_ok_and(|url| !url.is_empty()));
        world.tell_lineage_to(fs::read_to_string(&url).expect("url"));
        world.start();
        Self { world: world.and_mlflow(None), notes, endpoint }
    }

    fn events(&self) -> Vec<Value> {
        let notes = fs::read_to_string(&self.notes).unwrap_or_default();
        notes.lines().map(|line| serde_json::from_str(line).expect("a note")).collect()
    }
}

#[test]
fn a_trained_model_says_where_it_came_from_with_and_without_a_server() {
    let mut story = Story::new();
    let code = story.world.example().display().to_string();
    let pipeline = ["pipeline", "add", "mlflow-training", "--name", "train", "--input", "mlflow_code=code://*"];
    story.world.fuseml(&pipeline).good();
    story.world.fuseml(&["codeset", "push", &code, "--name", "myapp", "--wait"]).good();
    let world = &story.world;

    let said = world.fuseml(&["artifact", "provenance", "model/myapp", "--save", "model.json"]).good();
    insta::assert_snapshot!(world.steady(&said.stdout()));
    let verified = world.fuseml(&["artifact", "verify", "model/myapp"]).good();
    assert!(verified.stderr().contains("train/1 made it in step train"), "{}", verified.stderr());
    // A runnable, which has no files, is attested too.
    let runnables = world.json(&["artifact", "list", "--kind", "runnable"]);
    let runnable = runnables[0]["address"].as_str().expect("address");
    world.fuseml(&["artifact", "provenance", runnable]).good();

    world.fuseml(&["model", "pull", "myapp", "model"]).good();
    let key = world.data().join("provenance-key.pub").display().to_string();
    let alone = |folder: &str| {
        let words = ["artifact", "verify", folder, "--provenance", "model.json", "--key", &key];
        world.fuseml_with(&[("FUSEML_DATA", "/nowhere")], &words)
    };
    let good = alone("model").good();
    assert!(good.stderr().contains("model is model://myproj/"), "{}", good.stderr());
    openssl_agrees(&story.world.folder.path().join("model.json"), Path::new(&key));
    fs::write(world.folder.path().join("model/extra"), "x").expect("file");
    assert!(alone("model").bad(4).stderr().contains("not the provenance of"));
    let bundle = fs::read_to_string(world.folder.path().join("model.json")).expect("bundle");
    let mut changed: Value = serde_json::from_str(&bundle).expect("JSON");
    let payload = changed["dsseEnvelope"]["payload"].as_str().expect("payload").to_owned();
    let forged = String::from_utf8(STANDARD.decode(payload).expect("base64")).expect("text").replace("train", "drain");
    changed["dsseEnvelope"]["payload"] = STANDARD.encode(forged).into();
    fs::write(world.folder.path().join("model.json"), changed.to_string()).expect("bundle");
    assert!(alone("model").bad(4).stderr().contains("none of the keys"));

    // OpenLineage: all of it arrived, though the endpoint was busy at first and the server is killed.
    let done = |events: &[Value]| {
        events.iter().any(|note| note["event"]["eventType"] == "COMPLETE" && note["event"]["job"]["name"] == "train")
    };
    until("the run's end was told", || done(&story.events()));
    story.world.kill();
    story.world.start();
    let events = story.events();
    assert!(events.iter().all(|note| note["error"].is_null()), "{events:#?}");
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for note in &events {
        assert_eq!(note["key"], "Bearer marquez");
        let event = &note["event"];
        let (job, kind) = (event["job"]["name"].to_string(), event["eventType"].as_str().expect("type").to_owned());
        told.entry(job).or_default().push(kind);
    }
    let expected = ["\"train\"", "\"train.build\"", "\"train.train\""];
    assert_eq!(told, expected.map(|job| (job.to_owned(), vec!["START".to_owned(), "COMPLETE".to_owned()])).into());
    let trained = events
        .iter()
        .map(|note| &note["event"])
        .find(|event| event["eventType"] == "COMPLETE" && event["job"]["name"] == "train.train");
    let trained = trained.expect("event");
    assert_eq!(trained["outputs"][0]["namespace"], "model://myproj");
    assert_eq!(trained["outputs"][0]["name"], "myapp");
    assert!(trained["inputs"].as_array().expect("inputs").iter().any(|input| input["namespace"] == "code://myproj"));
    let printed = story.world.fuseml(&["lineage", "model/myapp", "--openlineage"]).good().stdout();
    let printed: Vec<Value> = serde_json::from_str(&printed).expect("JSON");
    let same = |event: &&Value| event["run"]["runId"] == trained["run"]["runId"] && event["eventType"] == "COMPLETE";
    assert_eq!(printed.iter().find(same).expect("the same run")["outputs"], trained["outputs"]);
    story.endpoint.signal(nix::sys::signal::Signal::SIGKILL);
}

/// Another program checks the signature, as the DSSE specification says what is signed.
fn openssl_agrees(bundle: &Path, key: &Path) {
    let bundle: Value = serde_json::from_slice(&fs::read(bundle).expect("bundle")).expect("JSON");
    let envelope = &bundle["dsseEnvelope"];
    let bytes = |value: &Value| STANDARD.decode(value.as_str().expect("base64")).expect("base64");
    let (payload, kind) = (bytes(&envelope["payload"]), envelope["payloadType"].as_str().expect("type"));
    let folder = tempfile::tempdir().expect("folder");
    let (message, signature) = (folder.path().join("message"), folder.path().join("signature"));
    let begin = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    fs::write(&message, [begin.as_bytes(), &payload].concat()).expect("message");
    fs::write(&signature, bytes(&envelope["signatures"][0]["sig"])).expect("signature");
    let mut openssl = Command::new(tool("FUSEML_TEST_OPENSSL"));
    openssl.args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"]).arg(key);
    let said = openssl.arg("-in").arg(&message).arg("-sigfile").arg(&signature).output().expect("openssl");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}
