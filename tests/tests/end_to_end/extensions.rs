//! An admin's life with an extension: rights, versions, instances, secrets, what calls leave; against a real MLflow
//! server.

use fuseml_tests::{Mlflow, Terminal, World, until, variant};
use std::{fs, path::Path};

const NEWER: (&str, &str) = ("\nversion = \"0.1.0\"", "\nversion = \"0.2.0\"");
const NOSIER: (&str, &str) =
    ("hosts = [\"${settings.endpoint}\"]", "hosts = [\"${settings.endpoint}\", \"https://telemetry.example\"]");

#[test]
fn a_version_that_asks_for_more_waits_for_approval_and_can_be_rolled_back() {
    let mlflow = Mlflow::start();
    let world = World::with_mlflow(Some(&mlflow));
    let newer = variant(&world, "newer", &[NEWER]);
    let nosier = variant(&world, "nosier", &[("\nversion = \"0.1.0\"", "\nversion = \"0.3.0\""), NOSIER]);
    let mut terminal = Terminal { world: &world, said: String::new() };

    terminal.types(5, &format!("extension install {newer} --grant all"));
    terminal.types(0, &format!("extension upgrade mlflow {newer}"));
    terminal.types(5, &format!("extension upgrade mlflow {newer}"));
    terminal.types(4, &format!("extension upgrade mlflow {nosier}"));
    terminal.types(0, "extension show mlflow");
    terminal.types(0, "extension upgrade mlflow --approve");
    terminal.types(0, "extension list");
    terminal.types(0, "extension rollback mlflow");
    terminal.types(3, "extension upgrade mlflow --approve");
    terminal.types(0, "extension verify");

    insta::assert_snapshot!(terminal.steady());
    let lock = fs::read_to_string(world.data().join("extensions.lock")).expect("lock");
    assert!(lock.contains("name = \"mlflow\"\nversion = \"0.2.0\"\ndigest = \"sha256:"), "{lock}");
    let folders = fs::read_dir(world.data().join("extensions")).expect("folder").count();
    assert_eq!(folders, 2, "only the active version and the one that a rollback returns to are kept");
}

#[test]
fn a_pipeline_says_whose_template_it_is_and_that_there_is_a_newer_one() {
    let world = World::with_mlflow(None);
    let newer = variant(&world, "newer", &[NEWER]);
    let mut terminal = Terminal { world: &world, said: String::new() };

    terminal.types(0, "template list");
    terminal.types(0, "pipeline add mlflow-training --name training --input mlflow_code=code://*");
    terminal.types(0, "pipeline show training");
    world.fuseml(&["extension", "upgrade", "mlflow", &newer]).good();
    terminal.types(0, "pipeline show training");
    terminal.types(0, "pipeline update training --template mlflow-training");
    terminal.types(0, "pipeline show training");
    terminal.types(0, "pipeline history training");

    insta::assert_snapshot!("templates", terminal.steady());
}

#[test]
fn a_revoked_right_is_gone_at_the_next_call_and_refusals_are_shown() {
    let mlflow = Mlflow::start();
    let world = World::with_mlflow(Some(&mlflow));
    let mut terminal = Terminal { world: &world, said: String::new() };

    terminal.types(0, "extension revoke-grant mlflow http");
    terminal.types(0, "extension list");
    terminal.types(0, "extension show mlflow");
    terminal.types(0, "extension grant mlflow http --host https://elsewhere.example");
    terminal.types(0, "extension grant mlflow http");
    terminal.types(3, "extension revoke-grant mlflow state");
    terminal.types(2, "extension grant mlflow state");
    terminal.types(2, "extension grant mlflow telepathy");
    terminal.types(0, "extension list");

    insta::assert_snapshot!(terminal.steady());
    let refused = world.json(&["extension", "calls", "mlflow", "--refused"]);
    let calls = refused.as_array().expect("calls");
    assert!(calls.iter().all(|call| call["function"] == "health" && call["outcome"].as_str() != Some("answered")));
    assert!(!calls.is_empty());
    let all = world.json(&["extension", "calls", "mlflow"]);
    let newest = &all[0];
    assert_eq!(newest["outcome"], "answered");
    assert_eq!(newest["hosts"][0], mlflow.url.as_str());
    assert!(newest["wall-us"].as_u64() > Some(0) && newest["memory-bytes"].as_u64() > Some(0));
}

#[test]
fn one_extension_serves_several_tools_each_with_its_own_settings_and_rights() {
    let (first, second) = (Mlflow::start(), Mlflow::start());
    let world = World::with_mlflow(Some(&first));
    let endpoint = format!("endpoint={}", second.url);
    let add = ["extension", "add-instance", "mlflow", "staging", "--grant", "all", "--zone", "eu", "--set", &endpoint];
    world.fuseml(&add).good();
    let mut terminal = Terminal { world: &world, said: String::new() };

    terminal.types(5, "extension add-instance mlflow staging --grant all");
    terminal.types(0, "extension disable staging --instance");
    terminal.types(0, "extension list");
    terminal.types(0, "extension enable staging --instance");
    terminal.types(0, "pipeline add mlflow-training --name training --input mlflow_code=code://*");
    terminal.types(5, "extension remove mlflow");
    terminal.types(5, "extension remove mlflow --instance");
    terminal.types(0, "extension remove staging --instance");
    terminal.types(0, "pipeline remove training");
    terminal.types(0, "extension remove mlflow");
    terminal.types(0, "extension list");
    terminal.types(3, "extension show mlflow");

    insta::assert_snapshot!(terminal.steady());
    let left: Vec<_> = fs::read_dir(world.data().join("extensions")).expect("folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_operators_policy_goes_before_every_grant() {
    let mlflow = Mlflow::start();
    let mut world = World::with_mlflow(Some(&mlflow));
    world.stop();
    fs::write(world.data().join("policy.toml"), "hosts = [\"https://allowed.example\"]\n").expect("policy");
    world.start();

    let list = world.json(&["extension", "list"]);

    let health = list[0]["instances"][0]["health"].as_str().expect("health");
    assert!(health.contains("may not call"), "{health}");
}

#[test]
fn a_changed_file_is_found_and_never_run() {
    let mut world = World::with_mlflow(None);
    let folder = fs::read_dir(world.data().join("extensions")).expect("folder").next().expect("one").expect("entry");
    let file = folder.path().join("components/builder.wasm");
    let mut bytes = fs::read(&file).expect("component");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).expect("component");

    let said = world.fuseml(&["extension", "verify"]).bad(5);
    assert!(said.stdout().contains("it was changed"), "{}", said.stdout());

    // The compiled code is still that of the file which was installed; without it, nothing runs.
    world.stop();
    fs::remove_dir_all(world.data().join("compiled")).expect("compiled");
    world.start();
    world
        .fuseml(&["pipeline", "add", "mlflow-training", "--name", "training", "--input", "mlflow_code=code://*"])
        .good();
    let said = world.fuseml(&["push", &world.example().display().to_string(), "--wait"]).bad(7);
    assert!(said.stderr().contains("is not the file that was installed"), "{}", said.stderr());
}

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("folder").flatten() {
        match entry.file_type().expect("type").is_dir() {
            true => files(&entry.path(), found),
            false => found.push(entry.path()),
        }
    }
}

#[test]
fn a_login_is_kept_sealed_and_only_the_host_uses_it() {
    const PASSWORD: &str = "a-long-password";
    let login =
        format!("Basic {}", base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("admin:{PASSWORD}")));
    let mlflow = Mlflow::behind_login(PASSWORD);
    let mut world = World::with_mlflow(Some(&mlflow));
    fs::write(world.folder.path().join("login.txt"), format!("{login}\n")).expect("file");
    let mut terminal = Terminal { world: &world, said: String::new() };

    terminal.types(0, "extension list");
    terminal.types(2, "extension configure mlflow --secret-file password=login.txt");
    terminal.types(0, "extension configure mlflow --secret-file authorization=login.txt");
    terminal.types(0, "extension show mlflow");
    terminal.types(0, "server rotate-secret-key");
    terminal.types(0, "extension list");
    insta::assert_snapshot!(terminal.steady());

    let calls = world.json(&["extension", "calls", "mlflow", "--limit", "1"]);
    assert_eq!(
        (calls[0]["outcome"].as_str(), calls[0]["secrets"][0].as_str()),
        (Some("answered"), Some("authorization"))
    );
    let keys = fs::read_to_string(world.data().join("secret-keys")).expect("keys");
    assert_eq!(keys.lines().count(), 1, "the old key is gone");

    world.stop();
    fs::remove_file(world.folder.path().join("login.txt")).expect("file");
    let mut kept = Vec::new();
    files(world.folder.path(), &mut kept);
    assert!(kept.iter().any(|path| path.ends_with("catalog.db")), "{kept:?}");
    for path in kept {
        let bytes = fs::read(&path).expect("file");
        let leaked =
            [login.as_bytes(), PASSWORD.as_bytes()].iter().any(|text| bytes.windows(text.len()).any(|it| it == *text));
        assert!(!leaked, "{} holds the login", path.display());
    }

    world.start();
    assert_eq!(world.json(&["extension", "list"])[0]["instances"][0]["health"], "ok", "after a restart");
    world.fuseml(&["extension", "configure", "mlflow", "--forget-secret", "authorization"]).good();
    assert_ne!(world.json(&["extension", "list"])[0]["instances"][0]["health"], "ok");
}

#[test]
fn a_budget_stops_calls_of_its_instance() {
    let mlflow = Mlflow::start();
    let world = World::with_mlflow(Some(&mlflow));
    let mut terminal = Terminal { world: &world, said: String::new() };

    terminal.types(2, "extension configure mlflow --budget speed=3");
    terminal.types(0, "extension configure mlflow --budget requests=1 --budget cpu-ms=1000");
    terminal.types(0, "extension show mlflow");
    terminal.types(0, "extension configure mlflow --budget requests=default");

    insta::assert_snapshot!(terminal.steady());
}

#[test]
fn a_shadow_is_compared_with_the_version_that_answers_and_changes_nothing() {
    let mlflow = Mlflow::start();
    let world = World::with_mlflow(Some(&mlflow));
    let elsewhere = ("hosts = [\"${settings.endpoint}\"]\nreason", "hosts = [\"https://elsewhere.example\"]\nreason");
    let comparison = || world.json(&["extension", "show", "mlflow"])["comparison"].clone();

    world.fuseml(&["extension", "upgrade", "mlflow", &variant(&world, "newer", &[NEWER]), "--shadow"]).good();
    assert_eq!(world.json(&["extension", "list"])[0]["manifest"]["version"], "0.1.0", "the old version answers");
    until("the shadow was asked", || comparison()["calls"].as_u64() > Some(0));
    assert_eq!(comparison()["different"], 0, "{}", comparison());

    world
        .fuseml(&["extension", "upgrade", "mlflow", &variant(&world, "strange", &[NEWER, elsewhere]), "--shadow"])
        .good();
    assert_eq!(world.json(&["extension", "list"])[0]["instances"][0]["health"], "ok", "nobody notices the shadow");
    until("the shadow was asked", || comparison()["different"].as_u64() > Some(0));
    let example = &comparison()["examples"][0];
    assert_eq!((example["function"].as_str(), example["active"].as_str()), (Some("health"), Some("()")));
    assert!(example["shadow"].as_str().is_some_and(|said| said.contains("host-not-granted")), "{example}");

    world.fuseml(&["extension", "upgrade", "mlflow", "--discard"]).good();
    assert!(comparison().is_null());
}

#[test]
fn a_recorded_call_is_replayed_while_the_tool_is_gone() {
    let mlflow = Mlflow::start();
    let world = World::with_mlflow(Some(&mlflow));
    let before =
        world.json(&["extension", "calls", "mlflow", "--limit", "1"])[0]["id"].as_str().expect("id").to_owned();
    let refused = world.fuseml(&["extension", "replay", &before]).bad(3);
    assert!(refused.stderr().contains("--record on"), "{}", refused.stderr());

    world.fuseml(&["extension", "configure", "mlflow", "--record", "on"]).good();
    let recorded = world.json(&["extension", "calls", "mlflow", "--limit", "1"])[0].clone();
    assert_eq!((recorded["function"].as_str(), recorded["recorded"].as_bool()), (Some("health"), Some(true)));
    drop(mlflow);

    let replayed = world.json(&["extension", "replay", recorded["id"].as_str().expect("id")]);
    assert_eq!((replayed["same"].as_bool(), replayed["answer"].as_str()), (Some(true), Some("()")), "{replayed}");
    assert_ne!(world.json(&["extension", "list"])[0]["instances"][0]["health"], "ok", "the tool is really gone");
}
