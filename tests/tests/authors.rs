//! An author's afternoon: the Python example is built, installed and called, against a real MLflow server.

use fuseml_tests::{Mlflow, World};
use std::{path::Path, process::Command};

#[test]
fn the_python_example_is_built_installed_and_asked() {
    let mlflow = Mlflow::start();
    let world = World::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/extensions/python-mlflow-datasets");
    let project = world.folder.path().join("datasets");
    // As an author copies it: links become files.
    let copied = Command::new("cp").args(["-rL"]).args([&example, &project]).status().expect("cp");
    assert!(copied.success());
    let own =
        Command::new("python3").args(["-m", "unittest", "--quiet"]).current_dir(&project).output().expect("python3");
    assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stderr));

    let built = world.fuseml(&["extension", "build", "datasets"]).good();
    let package = built.stdout().trim().to_owned();
    let endpoint = format!("endpoint={}", mlflow.url);
    let installed = world.fuseml(&["extension", "install", &package, "--grant", "all", "--set", &endpoint]).good();
    assert!(installed.stderr().contains("Its tool answers."), "{}", installed.stderr());

    let list = world.json(&["extension", "list"]);
    let name = list[0]["manifest"]["name"].as_str().expect("name");
    assert_eq!(list[0]["instances"][0]["health"], "ok", "{list}");
    let calls = world.json(&["extension", "calls", name, "--limit", "1"]);
    assert_eq!(
        (calls[0]["outcome"].as_str(), calls[0]["hosts"][0].as_str()),
        (Some("answered"), Some(mlflow.url.as_str()))
    );

    world.fuseml(&["extension", "revoke-grant", name, "http"]).good();
    let health = world.json(&["extension", "list"])[0]["instances"][0]["health"].as_str().expect("health").to_owned();
    assert!(health.contains("`http` is not granted"), "{health}");
}
