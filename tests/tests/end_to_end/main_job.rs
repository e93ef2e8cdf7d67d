//! The published story: push code, get a trained, registered, served model — with a real MLflow.

use fuseml_tests::{Mlflow, World};
use reqwest::Method;
use std::fs;

fn predict(world: &World, url: &str) -> serde_json::Value {
    let request = fs::read_to_string(world.folder.path().join("wine/request.json")).expect("request");
    let (status, answer) = world.http(Method::POST, url, Some(serde_json::from_str(&request).expect("JSON")));
    assert_eq!(status, 200, "{answer}");
    answer["outputs"][0]["data"].clone()
}

fn service_url(world: &World) -> String {
    world.json(&["service", "list"])[0]["url"].as_str().expect("url").to_owned()
}

#[test]
fn pushed_code_becomes_a_trained_registered_and_served_model() {
    let mlflow = Mlflow::start();
    let world = World::with_mlflow(Some(&mlflow));
    let code = world.example();
    let path = code.display().to_string();
    let push = ["codeset", "push", &path, "--name", "myapp", "--wait"];
    world
        .fuseml(&[
            "pipeline",
            "add",
            "mlflow-training",
            "--name",
            "training-pipeline",
            "--input",
            "mlflow_code=code://*",
        ])
        .good();
    world
        .fuseml(&["pipeline", "add", "mlflow-serving", "--name", "serving-pipeline", "--input", "model=model://*"])
        .good();

    let first = world.fuseml(&push).good();
    insta::assert_snapshot!("first_push", world.steady(&first.stderr()));
    let results = world.fuseml(&["pipeline", "results", "show", "--current-code", "--recursive"]).good();
    insta::assert_snapshot!("results", world.steady(&results.stdout()));
    let url = service_url(&world);
    assert_eq!(predict(&world, &url), serde_json::json!([0, 1, 2]));
    let suggested = world.fuseml(&["pipeline", "suggest", "--from", "myapp", "--to", "url"]).good();
    insta::assert_snapshot!("suggested", suggested.stdout());

    // The adapter registered it in the real registry, with the run's metrics and parameters in the descriptor.
    let versions = mlflow.get("/api/2.0/mlflow/model-versions/search").expect("versions");
    assert_eq!(versions["model_versions"].as_array().map(Vec::len), Some(1), "{versions}");
    let models = world.json(&["artifact", "list", "--kind", "model"]);
    assert_eq!(models[0]["attributes"]["framework"], "sklearn");
    assert!(models[0]["metrics"]["accuracy"].as_f64().is_some_and(|accuracy| accuracy > 0.9), "{models}");
    assert_eq!(models[0]["store"]["kind"], "extension");

    // Only training code: the environment stays, the URL stays, the new model answers.
    let text = fs::read_to_string(code.join("train.py")).expect("train.py");
    fs::write(code.join("train.py"), format!("{text}\n# once more\n")).expect("train.py");
    let second = world.fuseml(&push).good();
    insta::assert_snapshot!("second_push", world.steady(&second.stderr()));
    assert_eq!(service_url(&world), url);
    assert_eq!(predict(&world, &url), serde_json::json!([0, 1, 2]));
    let models = world.json(&["artifact", "list", "--kind", "model"]);
    assert_eq!(world.json(&["service", "list"])[0]["model"], models[0]["address"], "the newer model is served");

    let [after, before] = [0, 1].map(|at| models[at]["address"].as_str().expect("address").to_owned());
    let explained = world.fuseml(&["artifact", "diff", &before, &after]).good();
    let ids = regex::Regex::new(r"\b[0-9a-f]{32}\b").expect("pattern");
    insta::assert_snapshot!("diff", ids.replace_all(&world.steady(&explained.stdout()), "[id]"));

    // A dependency: the environment is built again.
    let conda = fs::read_to_string(code.join("conda.yaml")).expect("conda.yaml");
    fs::write(code.join("conda.yaml"), conda.replace("      - pandas", "      - tabulate\n      - pandas"))
        .expect("conda.yaml");
    let third = world.fuseml(&push).good();
    insta::assert_snapshot!("third_push", world.steady(&third.stderr()));

    let address = models[0]["address"].as_str().expect("address");
    let lineage = world.fuseml(&["lineage", address]).good();
    insta::assert_snapshot!("lineage", world.steady(&lineage.stdout()));
    let unchanged = world.fuseml(&["push", &path, "--name", "myapp"]).good();
    assert!(unchanged.stderr().contains("Nothing changed since the last push."), "{}", unchanged.stderr());
}

#[test]
fn without_an_mlflow_server_the_built_in_store_takes_the_model_and_verifies_it() {
    let world = World::with_mlflow(None);
    let code = world.example().display().to_string();
    world
        .fuseml(&["pipeline", "add", "mlflow-end-to-end", "--name", "full-pipeline", "--input", "mlflow_code=code://*"])
        .good();
    world.fuseml(&["codeset", "push", &code, "--name", "myapp", "--wait"]).good();
    let results = world.fuseml(&["pipeline", "results", "show", "--current-code", "--recursive"]).good();
    insta::assert_snapshot!("built_in_results", world.steady(&results.stdout()));
    let url = service_url(&world);
    assert_eq!(predict(&world, &url), serde_json::json!([0, 1, 2]));

    // Somebody changes the stored bytes: the next use of the model is refused.
    world.fuseml(&["pipeline", "add", "mlflow-serving", "--name", "serving", "--input", "model=model://*"]).good();
    let mut changed = 0;
    for folder in fs::read_dir(world.data().join("contents/blobs/sha256")).expect("blobs") {
        for blob in fs::read_dir(folder.expect("blob").path()).expect("blobs") {
            let path = blob.expect("blob").path();
            let bytes = fs::read(&path).expect("blob");
            // The list of files stays; what it lists changes.
            if !bytes.starts_with(b"{\"files\"") {
                let mut permissions = fs::metadata(&path).expect("blob").permissions();
                std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
                fs::set_permissions(&path, permissions).expect("blob");
                fs::write(&path, [&bytes[..], b"!"].concat()).expect("blob");
                changed += 1;
            }
        }
    }
    assert!(changed > 0);
    let refused = world.fuseml(&["run", "start", "serving", "--wait"]).bad(7);
    assert!(refused.stderr().contains("was registered"), "{}", refused.stderr());
    assert_eq!(predict(&world, &url), serde_json::json!([0, 1, 2]), "what runs goes on");
}
