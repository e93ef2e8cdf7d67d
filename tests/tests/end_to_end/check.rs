//! The conformance suite as an author meets it.

#[allow(dead_code)]
#[path = "../../../host/sandbox/tests/sandbox/common/guest.rs"]
mod guest;

use fuseml_tests::{Mlflow, World, tool};
use std::{fs, path::Path};

#[test]
fn the_mlflow_extension_keeps_its_contract() {
    let (mlflow, world) = (Mlflow::start(), World::without_server());
    let wine = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mlflow-wine");
    let samples = format!(
        r#"[settings]
           endpoint = "{}"
           [[artifacts]]
           kind = "model"
           name = "check"
           scheme = "models"
           uri = "{}"
           attributes = {{ note = "sample" }}
           [[codesets]]
           folder = "{}"
           detected = true
           [[codesets]]
           folder = "data"
           detected = false
        "#,
        mlflow.url,
        mlflow.log_model(),
        wine.display()
    );
    world.code("data", &[("table.csv", "a,b\n1,2\n")]);
    fs::write(world.folder.path().join("check.toml"), samples).expect("samples");
    let extension = tool("FUSEML_TEST_EXTENSION").display().to_string();

    let said = world.fuseml(&["extension", "check", &extension, "--samples", "check.toml"]).good();

    insta::assert_snapshot!("the_contract_kept", said.stdout());
    let left = mlflow.get("/api/2.0/mlflow/model-versions/search").expect("versions");
    assert!(left["model_versions"].is_null(), "the suite left {left}");
}

/// What a careless author would hand in: it answers nothing to everything, and `get` panics.
#[test]
fn a_broken_component_is_told_what_to_mend() {
    let world = World::without_server();
    let manifest = r#"
        schema_version = 1
        name = "careless"
        version = "0.1.0"
        title = "Careless"
        description = "Keeps no contract."
        license = "Apache-2.0"
        settings = {}
        [[components]]
        name = "store"
        world = "fuseml:artifact-store/artifact-store@0.1.0"
        file = "store.wasm"
        kinds = ["model"]
    "#;
    let folder = world.code("careless", &[("extension.toml", manifest)]);
    let component = guest::store(&[("get", "unreachable")], "");
    fs::write(Path::new(&folder).join("store.wasm"), component).expect("component");

    let said = world.fuseml(&["extension", "check", "careless"]).bad(2);

    insta::assert_snapshot!("the_contract_broken", said.stdout());
    let (said, _) = said.stderr().split_once("store: ").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("usage");
    insta::assert_snapshot!("what_to_mend", world.steady(&said));
}
