//! A server whose catalog is gone knows again what lies in its stores (S112).

use fuseml_tests::{World, tool};
use serde_json::json;
use std::{fs, process::Command};

#[test]
fn artifacts_come_back_from_the_registry_and_the_repositories_alone() {
    let mut world = World::new();
    world.fuseml(&["project", "create", "ml"]).good();
    world.fuseml(&["project", "set", "ml"]).good();
    let folder = world.folder.path().to_owned();
    for number in 0..200 {
        fs::create_dir_all(folder.join("wine")).expect("folder");
        fs::write(folder.join(format!("wine/{number}.csv")), format!("a\n{number}\n")).expect("file");
    }
    fs::write(folder.join("weights.gguf"), "no weights").expect("file");
    fs::write(folder.join("scorer.yaml"), "{schema_version: 1, name: scorer, kind: task, command: [a]}").expect("file");
    world.code("app", &[("train.py", "print()\n")]);
    world.fuseml(&["dataset", "push", "wine", "--label", "team=red", "--tag", "golden"]).good();
    world.fuseml(&["model", "push", "weights.gguf", "--name", "m", "--metric", "accuracy=0.9"]).good();
    world.fuseml(&["artifact", "register", "dataset", "far", "s3://bucket/far.csv"]).good();
    world.fuseml(&["runnable", "register", "scorer.yaml", "--tag", "v1"]).good();
    world.fuseml(&["codeset", "push", "app"]).good();
    world.fuseml(&["dataset", "push", "weights.gguf", "--name", "gone"]).good();
    world.fuseml(&["artifact", "delete", "data/gone", "--yes"]).good();
    let before = world.json(&["artifact", "list"]);

    world.kill();
    for file in fs::read_dir(world.data()).expect("folder").flatten() {
        if file.file_name().to_string_lossy().starts_with("catalog") {
            fs::remove_file(file.path()).expect("gone");
        }
    }
    world.start();
    let said = world.fuseml(&["store", "recover"]).good();
    insta::assert_snapshot!("recovered", world.steady(&format!("{}{}", said.stdout(), said.stderr())));

    let after = world.json(&["artifact", "list"]);
    let known = |list: &serde_json::Value| -> Vec<serde_json::Value> {
        let one = |it: &serde_json::Value| {
            json!([it["address"], it["tags"], it["labels"], it["metrics"], it["digest"], it["runnable"]])
        };
        let mut known: Vec<_> = list.as_array().expect("list").iter().map(one).collect();
        known.sort_by_key(ToString::to_string);
        known
    };
    assert_eq!(known(&after), known(&before));
    world.fuseml(&["dataset", "pull", "wine@golden", "back"]).good();
    let same = Command::new("diff").arg("-r").args([folder.join("wine"), folder.join("back")]).status().expect("diff");
    assert!(same.success());
    world.fuseml(&["artifact", "verify", "model/m"]).good();
    let again = world.json(&["store", "recover"]);
    assert_eq!(again, json!({"registered": 0, "codesets": 0, "tags": 0, "skipped": 0, "left_out": []}));
    let image = format!("docker://{}/ml/data/wine:golden", world.url().replace("http://", ""));
    let mut inspect = Command::new(tool("FUSEML_TEST_SKOPEO"));
    inspect.args(["inspect", "--raw", "--tls-verify=false", "--creds", &format!("x:{}", world.token()), &image]);
    assert!(inspect.output().expect("skopeo").status.success());
}

#[test]
fn a_backup_that_was_taken_while_people_push_is_whole_and_the_rest_comes_back_from_the_stores() {
    let mut world = World::new();
    world.fuseml(&["project", "create", "ml"]).good();
    world.fuseml(&["project", "set", "ml"]).good();
    let push = |world: &World, number: usize| {
        fs::write(world.folder.path().join("file"), number.to_string()).expect("file");
        world.fuseml(&["dataset", "push", "file", "--name", "d", "--label", &format!("n={number}")]).good();
    };
    for number in 0..3 {
        push(&world, number);
    }
    let backup = world.folder.path().join("backup.db");
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| (3..8).for_each(|number| push(&world, number)));
        world.fuseml(&["server", "backup", "backup.db"]).good();
        pushing.join().expect("pushes");
    });
    world.fuseml(&["server", "backup", "backup.db"]).bad(5);

    world.kill();
    for file in fs::read_dir(world.data()).expect("folder").flatten() {
        if file.file_name().to_string_lossy().starts_with("catalog") {
            fs::remove_file(file.path()).expect("gone");
        }
    }
    fs::copy(&backup, world.data().join("catalog.db")).expect("restored");
    world.start();
    let restored = world.json(&["artifact", "search", "has label.n"]).as_array().expect("list").len();
    assert!((3..=8).contains(&restored), "{restored}");
    world.fuseml(&["store", "recover"]).good();
    assert_eq!(world.json(&["artifact", "search", "has label.n"]).as_array().expect("list").len(), 8);
    world.fuseml(&["artifact", "verify", "data/d"]).good();
}
