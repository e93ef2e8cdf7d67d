//! Datasets and models: pushed, found, fetched, verified, and gone when nobody names them any more (S32–S33, S84–S90,
//! S96–S97, S102).

use fuseml_tests::{World, tool};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

/// A server with the project `ml`, which is chosen.
fn shop(world: World) -> World {
    world.fuseml(&["project", "create", "ml"]).good();
    world.fuseml(&["project", "set", "ml"]).good();
    world
}

fn write(folder: &Path, files: &[(&str, &[u8])]) {
    for (path, bytes) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("folder")).expect("folder");
        fs::write(path, bytes).expect("file");
    }
}

/// Two hundred small files, a large one, an empty folder, odd names and a script.
fn wine(world: &World) -> PathBuf {
    let folder = world.folder.path().join("wine");
    for number in 0..200 {
        write(&folder, &[(&format!("rows/{number}.csv"), format!("a,b\n{number},x\n").as_bytes())]);
    }
    let large: Vec<u8> = (0..3_000_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    write(&folder, &[("large.bin", &large), ("empty", b""), ("ü 猫 \n-", b"odd"), ("run.sh", b"#!/bin/sh\n")]);
    fs::create_dir(folder.join("nothing here")).expect("folder");
    fs::set_permissions(folder.join("run.sh"), fs::Permissions::from_mode(0o755)).expect("script");
    symlink("run.sh", folder.join("link.sh")).expect("link");
    folder
}

fn same(one: &Path, other: &Path) -> bool {
    let mut diff = Command::new("diff");
    diff.arg("-r").args([one, other]).status().expect("diff").success()
}

/// Bytes of everything below a folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry"));
    entries
        .map(|entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().expect("file").len() })
        .sum()
}

/// Makes what was written look old enough to be collected.
fn age(folder: &Path) {
    let touched = Command::new("find").arg(folder).args(["-exec", "touch", "-d", "3 days ago", "{}", "+"]).status();
    assert!(touched.expect("find").success());
}

fn a_dataset_comes_back_as_it_was_and_only_what_changed_is_sent(world: World) {
    let world = shop(world);
    let wine = wine(&world);
    // A short name: the S3 server makes file names of whole keys.
    let push = |more: &[&str]| world.fuseml(&[&["dataset", "push", "wine", "--name", "w"], more].concat()).good();

    let first = push(&["--label", "team=red", "--tag", "golden"]);
    assert!(first.stderr().contains("205 files, 2.9 MiB; 204 files were sent"), "{}", first.stderr());
    let again = push(&[]);
    assert!(again.stderr().contains("nothing had to be sent"), "{}", again.stderr());
    assert_eq!(again.stdout(), first.stdout(), "the same contents are the same version");
    write(&wine, &[("rows/7.csv", b"a,b\n7,changed\n")]);
    let changed = push(&[]);
    assert!(changed.stderr().contains("1 file was sent, 14 B"), "{}", changed.stderr());

    world.fuseml(&["dataset", "pull", "w", "back"]).good();
    let back = world.folder.path().join("back");
    assert!(same(&wine, &back) && back.join("nothing here").is_dir());
    assert_eq!(fs::metadata(back.join("run.sh")).expect("script").mode() & 0o777, 0o755);
    world.fuseml(&["dataset", "pull", "data://ml/w@golden", "golden"]).good();
    assert_eq!(fs::read_to_string(world.folder.path().join("golden/rows/7.csv")).expect("file"), "a,b\n7,x\n");
    let shown = world.json(&["artifact", "search", "kind = dataset and label.team = red"]);
    let shown = &shown[0];
    assert_eq!((shown["tags"][0].as_str(), shown["attributes"]["files"].as_str()), (Some("golden"), Some("205")));
}

#[test]
fn a_dataset_comes_back_on_sqlite_and_the_disk() {
    a_dataset_comes_back_as_it_was_and_only_what_changed_is_sent(World::new());
}

#[test]
fn a_dataset_comes_back_on_postgres_and_s3() {
    a_dataset_comes_back_as_it_was_and_only_what_changed_is_sent(World::on_postgres_and_s3());
}

#[test]
fn what_a_killed_server_acknowledged_is_there_and_what_was_interrupted_goes_on() {
    let mut world = shop(World::new());
    wine(&world);
    let address = world.fuseml(&["dataset", "push", "wine"]).good().stdout();
    world.kill();
    world.start();
    let verified = world.fuseml(&["artifact", "verify", address.trim()]).good();
    assert!(verified.stderr().contains("as it was registered"), "{}", verified.stderr());

    // A pull that ended in its middle left some files, the beginning of a large one, and one that is damaged.
    world.fuseml(&["dataset", "pull", "wine", "whole"]).good();
    let id = &address.trim().rsplit('/').next().expect("id")[..12];
    let part = world.folder.path().join(format!(".back.{id}.part"));
    fs::rename(world.folder.path().join("whole"), &part).expect("part");
    let large = fs::File::options().write(true).open(part.join("large.bin")).expect("file");
    large.set_len(1_500_000).expect("shorter");
    fs::remove_file(part.join("rows/1.csv")).expect("file");
    fs::write(part.join("rows/2.csv"), "damaged").expect("file");
    let inode = fs::metadata(part.join("rows/3.csv")).expect("file").ino();
    world.fuseml(&["dataset", "pull", "wine", "back"]).good();
    let back = world.folder.path().join("back");
    assert!(same(&world.folder.path().join("wine"), &back));
    assert_eq!(
        fs::metadata(back.join("rows/3.csv")).expect("file").ino(),
        inode,
        "what was there was not fetched again"
    );
}

#[test]
fn a_large_upload_goes_on_where_it_stopped() {
    let world = shop(World::new());
    let folder = world.folder.path().join("wine");
    write(&folder, &[("large.bin", &vec![7; 4 << 20])]);
    // Somebody began to send it and was cut off.
    let digest = Command::new("sha256sum").arg(folder.join("large.bin")).output().expect("sha256sum").stdout;
    let digest = String::from_utf8_lossy(&digest[..64]).into_owned();
    let client = reqwest::blocking::Client::new();
    let send = |request: reqwest::blocking::RequestBuilder| request.bearer_auth(world.token()).send().expect("answer");
    let begun = send(client.post(format!("{}/v2/ml/data/wine/blobs/uploads/", world.url())));
    let place = begun.headers()["location"].to_str().expect("place").to_owned();
    send(client.patch(format!("{}{place}", world.url())).body(vec![7; 1 << 20]));
    let note = format!("{} ml/data/wine sha256:{digest}", world.url());
    let note = sha256(note.as_bytes());
    write(&world.folder.path().join("cache/fuseml/uploads"), &[(&note, place.as_bytes())]);

    world.fuseml(&["dataset", "push", "wine"]).good();

    assert!(!world.folder.path().join("cache/fuseml/uploads").join(&note).exists());
    assert_eq!(fs::read_dir(world.data().join("contents/uploads")).expect("folder").count(), 0, "the upload was ended");
    world.fuseml(&["artifact", "verify", "data/wine"]).good();
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn damage_is_found_named_never_delivered_and_repaired_by_a_push() {
    let world = shop(World::new());
    wine(&world);
    world.fuseml(&["dataset", "push", "wine"]).good();
    let blobs = world.data().join("contents/blobs/sha256");
    for folder in fs::read_dir(blobs).expect("blobs") {
        for blob in fs::read_dir(folder.expect("folder").path()).expect("folder") {
            let blob = blob.expect("blob").path();
            let mut bytes = fs::read(&blob).expect("blob");
            // The large file, and the pack of the small ones.
            if bytes.len() > 50_000 && !bytes.starts_with(b"{") {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::remove_file(&blob).expect("blob");
                fs::write(&blob, bytes).expect("blob");
            }
        }
    }
    let faults = world.fuseml(&["artifact", "verify", "data/wine"]).bad(1);
    assert!(faults.stdout().contains("large.bin is sha256:"), "{}", faults.stdout());
    world.fuseml(&["dataset", "pull", "wine", "back"]).bad(6);
    assert!(!world.folder.path().join("back").exists(), "nothing half there");

    world.fuseml(&["dataset", "push", "wine", "--repair"]).good();

    world.fuseml(&["artifact", "verify", "data/wine"]).good();
    world.fuseml(&["dataset", "pull", "wine", "back"]).good();
    let local = world.fuseml(&["artifact", "verify", "data/wine", "back"]).good();
    assert!(local.stderr().contains("back is data://ml/wine/"), "{}", local.stderr());
    write(&world.folder.path().join("back"), &[("new.txt", b""), ("rows/1.csv", b"other")]);
    let differences = world.fuseml(&["artifact", "verify", "data/wine", "back"]).bad(1).stdout();
    assert_eq!(differences, "new.txt is new\nrows/1.csv has changed: 5 bytes, 8 before\n");
}

#[test]
fn what_is_deleted_is_remembered_and_its_contents_are_collected_when_nobody_else_has_them() {
    let world = shop(World::new());
    wine(&world);
    world.fuseml(&["dataset", "push", "wine", "--tag", "golden"]).good();
    write(&world.folder.path().join("wine"), &[("more.bin", &vec![3; 2 << 20])]);
    let second = world.fuseml(&["dataset", "push", "wine"]).good().stdout();
    let second = second.trim();

    let refused = world.fuseml(&["artifact", "delete", "data/wine@golden", "--yes"]).bad(5);
    assert!(refused.stderr().contains("is tagged `golden`"), "{}", refused.stderr());
    world.fuseml(&["artifact", "delete", second]).bad(2);
    world.fuseml(&["artifact", "delete", second, "--yes", "--reason", "holds names of customers"]).good();

    let gone = world.fuseml(&["artifact", "show", second]).bad(3);
    assert!(
        gone.stderr().contains("was deleted by ada on") && gone.stderr().contains("names of customers"),
        "{}",
        gone.stderr()
    );
    let history = world.fuseml(&["artifact", "history", "data/wine"]).good().stdout();
    assert!(history.contains("deleted") && history.contains("holds names of customers"), "{history}");
    let contents = world.data().join("contents");
    let before = size(&contents);
    let young = world.json(&["store", "gc"]);
    assert_eq!(young["blobs"], 0, "somebody may be about to name what is young");
    age(&contents);
    let collected = world.json(&["store", "gc"]);
    assert!(before - size(&contents) >= 2 << 20, "{collected}");
    world.fuseml(&["artifact", "verify", "data/wine@golden"]).good();
    world.fuseml(&["dataset", "pull", "wine@golden", "back"]).good();
}

#[test]
fn other_clients_of_registries_fetch_models_and_push_datasets() {
    let world = shop(World::new());
    write(
        &world.folder.path().join("m"),
        &[
            ("MLmodel", b"flavors:\n  sklearn: {sklearn_version: 1.5.2}\n"),
            ("code/model.py", b"pass\n"),
            ("model.pkl", &[1; 5000]),
        ],
    );
    world.fuseml(&["model", "push", "m", "--name", "wine", "--metric", "accuracy=0.9", "--tag", "production"]).good();
    let (host, token) = (world.url().replace("http://", ""), world.token());

    // ModelPack, as skopeo copies it and anybody reads it.
    let image = format!("docker://{host}/ml/model/wine:production");
    let inspect = ["inspect", "--raw", "--tls-verify=false", "--creds", &format!("x:{token}"), &image];
    let said = Command::new(tool("FUSEML_TEST_SKOPEO")).args(inspect).output().expect("skopeo");
    let manifest: Value = serde_json::from_slice(&said.stdout).expect("manifest");
    assert_eq!(manifest["artifactType"], "application/vnd.cncf.model.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.cncf.model.config.v1+json");
    let paths: Vec<_> = manifest["layers"]
        .as_array()
        .expect("layers")
        .iter()
        .map(|layer| layer["annotations"]["org.cncf.model.filepath"].clone())
        .collect();
    assert_eq!(json!(paths), json!(["MLmodel", "code/model.py", "model.pkl"]));

    let folder = world.folder.path().join("oras");
    write(&folder, &[("table.csv", b"x,y\n1,2\n"), ("images/1.txt", b"one"), ("images/deep/2.txt", b"two")]);
    let script = format!(
        "import oras.client, os\n\
         os.chdir({folder:?})\n\
         client = oras.client.OrasClient(insecure=True, auth_backend='basic')\n\
         client.auth.set_basic_auth('x', '{token}')\n\
         client.pull(target='{host}/ml/model/wine:production', outdir='pulled')\n\
         client.push(target='{host}/ml/data/table:v1', files=['table.csv', 'images'], disable_path_validation=True)\n"
    );
    let ran = Command::new(tool("FUSEML_TEST_ORAS")).args(["-c", &script]).output().expect("python");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));

    assert!(same(&world.folder.path().join("m"), &folder.join("pulled")));
    let pushed = world.json(&["artifact", "show", "data/table@v1"]);
    assert_eq!(pushed["origin"]["by"], "an OCI client");
    world.fuseml(&["dataset", "pull", "table@v1", "table"]).good();
    fs::remove_dir_all(folder.join("pulled")).expect("folder");
    assert!(same(&folder, &world.folder.path().join("table")), "a file, and a folder that ORAS packed");
    // What a client leaves after a tag is deleted elsewhere stays: deletion is not theirs.
    let client = reqwest::blocking::Client::new();
    let deleted = client.delete(format!("{}/v2/ml/data/table/manifests/v1", world.url())).bearer_auth(&token).send();
    assert_eq!(deleted.expect("answer").status(), 403);
}

#[test]
fn files_say_what_they_are_in_the_words_of_their_real_writers() {
    let world = shop(World::new());
    let folder = world.folder.path().join("made");
    fs::create_dir(&folder).expect("folder");
    let script = include_str!("formats.py");
    let ran = Command::new(tool("FUSEML_TEST_FORMATS")).args(["-c", script]).arg(&folder).output().expect("python");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));

    let mut said = Vec::new();
    for (kind, name) in [
        ("model", "bert"),
        ("model", "llama"),
        ("model", "net"),
        ("model", "liar"),
        ("dataset", "wine"),
        ("dataset", "lines"),
    ] {
        world.fuseml(&[kind, "push", &format!("made/{name}")]).good();
        let address = format!("{}/{name}", if kind == "model" { "model" } else { "data" });
        let attributes = &world.json(&["artifact", "show", &address])["attributes"];
        let shown: Vec<_> = attributes
            .as_object()
            .expect("attributes")
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "size-bytes" | "producer-version"))
            .map(|(name, value)| format!("  {name} = {}", value.as_str().expect("text")))
            .collect();
        said.push(format!("{kind} {name}\n{}", shown.join("\n")));
    }

    insta::assert_snapshot!(said.join("\n"));
    let found =
        world.json(&["artifact", "search", "kind = dataset and format = parquet and schema ~ \"price:double\""]);
    assert_eq!(found.as_array().expect("artifacts").len(), 1);
}

#[test]
fn what_cannot_be_pushed_or_pulled_is_said_and_leaves_nothing() {
    let world = shop(World::new());
    let home = world.folder.path();
    write(&home.join("there"), &[("a", b"a")]);
    symlink("/etc/passwd", home.join("there/out")).expect("link");
    fs::create_dir(home.join("Upper Case")).expect("folder");
    write(&home.join("good"), &[("a", b"a")]);
    world.fuseml(&["dataset", "push", "good"]).good();
    let mut said = String::new();
    for line in [
        "dataset push nowhere",
        "dataset push there",
        "dataset push good --metric accuracy=high",
        "dataset push good --project nobody",
        "dataset pull nothing",
        "dataset pull good good",
        "dataset pull good missing/folder/../..",
        "artifact fetch runnable/none",
        "artifact delete data/good",
        "artifact verify data/none",
    ] {
        let done = world.fuseml(&line.split(' ').collect::<Vec<_>>());
        said += &format!("$ fuseml {line}\n{}{}\n", done.stdout(), done.stderr());
    }
    let done = world.fuseml(&["dataset", "push", "Upper Case"]);
    said += &format!("$ fuseml dataset push 'Upper Case'\n{}", done.stderr());
    insta::assert_snapshot!(world.steady(&said));

    // A client that lies about what it sends.
    let send = |path: &str, body: Vec<u8>| {
        let client = reqwest::blocking::Client::new();
        let sent =
            client.post(format!("{}{path}", world.url())).bearer_auth(world.token()).body(body).send().expect("answer");
        (sent.status().as_u16(), sent.json::<Value>().expect("problem")["detail"].as_str().expect("detail").to_owned())
    };
    let tree = r#"{"files":[{"path":"../x","size_bytes":1,"digest":"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}]}"#;
    assert_eq!(send("/api/v1/projects/ml/trees/dataset/x", tree.into()).0, 422);
    assert_eq!(send("/api/v1/projects/ml/packs/dataset/x", b"no pack at all".repeat(80)).0, 422);
    assert_eq!(send("/api/v1/projects/ml/trees/codeset/x", b"{\"files\":[]}".to_vec()).0, 422);
    let count = |folder: &str| fs::read_dir(world.data().join(folder)).expect("folder").count();
    assert_eq!((count("contents/incoming"), count("contents/uploads")), (0, 0));
}
