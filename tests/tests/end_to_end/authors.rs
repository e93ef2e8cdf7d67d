//! An author's afternoon: from a new project to a package that is installed, and the examples against real tools.

use fuseml_tests::{Mlflow, OciRegistry, Ray, World, until};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// An example as an author copies it: links become files.
fn copy_of(example: &str, world: &World) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/extensions").join(example);
    let to = world.folder.path().join(example);
    let copied = Command::new("cp").arg("-rL").args([&from, &to]).status().expect("cp");
    assert!(copied.success());
    to
}

/// Runs a command of the author's own tools.
fn run(folder: &Path, command: &[&str]) {
    let output = Command::new(command[0]).args(&command[1..]).current_dir(folder).output().expect(command[0]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}:\n{out}{err}");
}

#[test]
fn the_javascript_example_is_built_checked_installed_and_asked() {
    let (registry, world) = (OciRegistry::start(), World::new());
    let project = copy_of("javascript-oci-registry", &world);
    let untagged = registry.push_model("check", "weights", None);
    for tag in ["v1", "v2", "v3"] {
        registry.push_model("check", tag, Some(tag));
    }
    let samples = format!(
        r#"[settings]
           endpoint = "{}"
           [[artifacts]]
           kind = "model"
           name = "check"
           scheme = "oci"
           uri = "{}/check@{untagged}"
        "#,
        registry.url,
        registry.url.trim_start_matches("http://")
    );
    fs::write(project.join("check.toml"), samples).expect("samples");
    run(&project, &["npm", "install", "--no-audit", "--no-fund"]);
    run(&project, &["npm", "test"]);

    let checked = world.fuseml(&["extension", "check", "javascript-oci-registry"]).good();
    insta::assert_snapshot!("the_javascript_example_checked", world.steady(&checked.stdout()));

    let package = project.join("target/extension").display().to_string();
    let endpoint = format!("endpoint={}", registry.url);
    let installed = world.fuseml(&["extension", "install", &package, "--grant", "all", "--set", &endpoint]).good();
    assert!(installed.stderr().contains("Its tool answers."), "{}", installed.stderr());
}

#[test]
fn a_new_project_is_developed_in_a_server_and_handed_on_as_a_package() {
    let world = World::new();
    let endpoint = format!("endpoint={}", world.url());
    world.fuseml(&["extension", "new", "acme", "--lang", "rust", "--kind", "artifact-store"]).good();
    let checked = world.fuseml(&["extension", "check", "acme"]).good();
    assert!(checked.stderr().contains("0 broken"), "{}", checked.stderr());

    let log = world.folder.path().join("dev.log");
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let mut dev = world.spawn(&["extension", "dev", "acme", "--set", &endpoint], &log);
    until("the project is loaded", || said().contains("Watching"));
    world.fuseml(&["extension", "list"]).good();
    until("a call is shown down to its host calls", || {
        said().contains("store.health()") && said().contains("http.fetch") && said().contains("/index.json")
    });
    let manifest = world.folder.path().join("acme/extension.toml");
    let text = fs::read_to_string(&manifest).expect("manifest");
    fs::write(&manifest, text.replace("version = \"0.1.0\"", "version = \"0.2.0\"")).expect("manifest");
    until("it is reloaded", || said().contains("Reloaded acme 0.2.0."));
    fs::write(&manifest, "no manifest").expect("manifest");
    until("a broken change is refused", || said().contains("The version before goes on."));
    fs::write(&manifest, text).expect("manifest");
    until("it is mended", || said().contains("Reloaded acme 0.1.0."));
    dev.signal(nix::sys::signal::Signal::SIGINT);
    assert!(said().contains("acme stays installed"), "{}", said());
    world.fuseml(&["extension", "remove", "acme"]).good();

    let package = world.json(&["extension", "package", "acme"]);
    let folder = package["folder"].as_str().expect("folder");
    let installed =
        world.fuseml(&["extension", "install", folder, "--grant", "all", "--set", &endpoint]).good().stderr();
    let digest = package["digest"].as_str().expect("digest");
    assert!(installed.contains(&format!("holds the package {digest}")), "{installed}");
    assert_eq!(world.json(&["extension", "list"])[0]["manifest"]["version"], "0.1.0");

    // One bit of it, and nothing is installed.
    world.fuseml(&["extension", "remove", "acme"]).good();
    let blobs = fs::read_dir(world.folder.path().join("acme/target/package/blobs/sha256")).expect("blobs");
    let largest = blobs.flatten().max_by_key(|blob| blob.metadata().map_or(0, |data| data.len())).expect("a blob");
    let mut bytes = fs::read(largest.path()).expect("blob");
    bytes[1000] ^= 1;
    fs::write(largest.path(), bytes).expect("blob");
    let refused = world.fuseml(&["extension", "install", folder, "--grant", "all", "--set", &endpoint]).bad(2);
    assert!(refused.stderr().contains("is damaged"), "{}", refused.stderr());
    assert_eq!(world.json(&["extension", "list"]), serde_json::json!([]));
}

#[test]
fn the_python_example_is_built_checked_installed_and_asked() {
    let mlflow = Mlflow::start();
    let world = World::new();
    let project = copy_of("python-mlflow-datasets", &world);
    run(&project, &["python3", "-m", "unittest", "--quiet"]);

    let endpoint = format!("endpoint={}", mlflow.url);
    let checked = world.fuseml(&["extension", "check", "python-mlflow-datasets", "--set", &endpoint]).good();
    assert!(checked.stderr().contains("0 broken"), "{}", checked.stderr());
    let package = project.join("target/extension").display().to_string();
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

/// What new projects of the kind begin with, too.
#[test]
fn the_rust_example_runs_jobs_on_ray() {
    let world = World::without_server();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/extensions/rust-ray-jobs");
    world.fuseml(&["extension", "build", &example.display().to_string(), "--out", "ray-jobs"]).good();
    let ray = Ray::start();
    let samples = format!(
        r#"[settings]
           endpoint = "{}"
           [[workloads]]
           image = {{ scheme = "none", uri = "" }}
           command = ["python", "-c", "import os; print('checked', os.environ['FUSEML_CHECK'])"]
        "#,
        ray.url
    );
    fs::write(world.folder.path().join("check.toml"), samples).expect("samples");

    let checked = world.fuseml(&["extension", "check", "ray-jobs", "--samples", "check.toml"]).good();

    insta::assert_snapshot!("the_rust_example_checked", checked.stdout());
}

/// The four ways of keeping descriptors and contents (S91–S94): the adapter is the JavaScript example's.
#[test]
fn a_store_of_each_pattern_keeps_the_contract_in_a_real_registry() {
    let (registry, world) = (OciRegistry::start(), World::without_server());
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/extensions/rust-store-patterns");
    world.fuseml(&["extension", "build", &example.display().to_string(), "--out", "patterns"]).good();
    let digest = registry.push_model("check", "weights", None);
    let host = registry.url.trim_start_matches("http://");
    let mut samples = format!("[settings]\nendpoint = \"{}\"\n", registry.url);
    for kind in ["dataset", "model", "runnable"] {
        samples += &format!(
            "[[artifacts]]\nkind = \"{kind}\"\nname = \"check\"\nscheme = \"oci\"\nuri = \"{host}/check@{digest}\"\n\
             attributes = {{ note = \"sample\" }}\n"
        );
    }
    fs::write(world.folder.path().join("check.toml"), samples).expect("samples");

    let checked = world.fuseml(&["extension", "check", "patterns", "--samples", "check.toml"]).good();

    insta::assert_snapshot!("the_store_patterns_checked", world.steady(&checked.stdout()));
}
