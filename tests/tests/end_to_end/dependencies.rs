//! Extensions that need others: found, installed in order, locked, and brought to another server as they are.

use fuseml_tests::{Marketplace, Terminal, World, variant};
use std::fs;

const TEMPLATES: &str = "[[templates]]
file = \"templates/mlflow-training.yaml\"

[[templates]]
file = \"templates/mlflow-serving.yaml\"

[[templates]]
file = \"templates/mlflow-end-to-end.yaml\"
";

/// Another extension, that needs mlflow.
fn workbench(world: &World, version: &str, needs: &str) -> String {
    let version = format!("\nversion = \"{version}\"");
    let needs = format!("[dependencies]\nmlflow = \"{needs}\"\n\n[settings.endpoint]");
    let changes = [
        ("name = \"mlflow\"", "name = \"workbench\""),
        ("title = \"MLflow\"", "title = \"Workbench\""),
        ("\nversion = \"0.1.0\"", &version),
        ("[settings.endpoint]", &needs),
        (TEMPLATES, ""),
    ];
    variant(world, &format!("workbench{}", version.len() + needs.len()), &changes)
}

fn published(world: &World) -> Marketplace {
    let market = Marketplace::start(world, "market");
    market.publisher(world, "ada", "acme");
    let next = ("\nversion = \"0.1.0\"", "\nversion = \"0.1.1\"");
    for folder in [
        variant(world, "first", &[]),
        variant(world, "next", &[next]),
        workbench(world, "0.1.0", "^0.1"),
        workbench(world, "0.2.0", ">=0.2"),
    ] {
        world.fuseml(&["extension", "publish", &folder, "--namespace", "acme"]).good();
    }
    world.fuseml(&["marketplace", "add", "hub", &market.url]).good();
    market
}

#[test]
fn what_an_extension_needs_comes_with_it_and_the_lock_file_brings_the_same_to_another_server() {
    let world = World::new();
    let market = published(&world);
    let mut terminal = Terminal { world: &world, said: String::new() };

    terminal.types(5, "extension install acme/workbench@0.2.0 --grant all");
    terminal.types(4, "extension install acme/workbench");
    terminal.types(0, "extension install acme/workbench --grant all");
    terminal.types(5, "extension remove mlflow");
    terminal.types(0, "extension lock");
    insta::assert_snapshot!("first_server", terminal.steady());

    let lock = world.fuseml(&["extension", "lock"]).good().stdout();
    assert_eq!(fs::read_to_string(world.data().join("extensions.lock")).expect("lock"), lock);
    let other = World::new();
    let place = other.folder.path().join("extensions.lock");
    fs::write(&place, &lock).expect("file");
    let install = format!("extension install --lock {} --grant all", place.display());
    let mut terminal = Terminal { world: &other, said: String::new() };
    terminal.types(3, &install);
    other.fuseml(&["marketplace", "add", "hub", &market.url]).good();
    terminal.types(0, "extension install acme/mlflow@0.1.0 --grant all");
    terminal.types(0, &install);
    terminal.types(0, &install);
    terminal.types(0, "extension list");
    insta::assert_snapshot!("other_server", terminal.steady());
    assert_eq!(other.fuseml(&["extension", "lock"]).good().stdout(), lock);
}

#[test]
fn another_package_than_the_locked_one_changes_nothing() {
    let world = World::new();
    let _market = published(&world);
    world.fuseml(&["extension", "install", "acme/workbench", "--grant", "all"]).good();
    let lock = world.fuseml(&["extension", "lock"]).good().stdout();
    for name in ["workbench", "mlflow"] {
        world.fuseml(&["extension", "remove", name]).good();
    }
    let package = lock.lines().rfind(|line| line.starts_with("digest")).expect("digest").to_owned();
    let place = world.folder.path().join("changed.lock");
    fs::write(&place, lock.replace(&package, &format!("digest = \"sha256:{}\"", "0".repeat(64)))).expect("file");

    let refused = world.fuseml(&["extension", "install", "--lock", &place.display().to_string(), "--grant", "all"]);

    assert!(refused.bad(4).stderr().contains("as the lock file says"));
    assert_eq!(world.json(&["extension", "list"]).as_array().map(Vec::len), Some(0));
    fs::write(&place, "schema_version = 7").expect("file");
    world.fuseml(&["extension", "install", "--lock", &place.display().to_string()]).bad(2);
}
