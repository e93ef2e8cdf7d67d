//! What the server acknowledged survives `kill -9`; what it submitted it does not submit twice.

use fuseml_tests::{Mlflow, World, until};
use std::fs;

/// The example, made to wait for a file before it trains.
fn patient_example(world: &World) -> (String, std::path::PathBuf) {
    let code = world.example();
    let go = world.folder.path().join("go");
    let begun = world.folder.path().join("begun");
    let text = fs::read_to_string(code.join("train.py")).expect("train.py");
    let wait = format!(
        "if __name__ == '__main__':\n    import os, time\n    open({begun:?}, 'a').write('x')\n    while not os.path.exists({go:?}):\n        time.sleep(0.05)\n"
    );
    let (head, tail) = text.split_once("\nimport ").expect("train.py imports something");
    fs::write(code.join("train.py"), format!("{head}\n{wait}\nimport {tail}")).expect("train.py");
    (code.display().to_string(), go)
}

fn state(world: &World) -> String {
    world.json(&["run", "list"])[0]["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_server_killed_in_the_middle_of_training_ends_the_run_right_and_nothing_twice() {
    let mlflow = Mlflow::start();
    killed_in_the_middle(&mlflow, World::with_mlflow(Some(&mlflow)));
}

#[test]
fn what_survives_on_a_file_survives_on_postgresql() {
    let mlflow = Mlflow::start();
    killed_in_the_middle(&mlflow, World::on_postgres_with_mlflow(&mlflow));
}

fn killed_in_the_middle(mlflow: &Mlflow, mut world: World) {
    let (code, go) = patient_example(&world);
    world.fuseml(&["pipeline", "add", "mlflow-end-to-end", "--name", "full", "--input", "mlflow_code=code://*"]).good();
    world.fuseml(&["push", &code, "--name", "myapp"]).good();
    let begun = world.folder.path().join("begun");
    until("training begins", || begun.exists());

    world.kill();
    world.start();
    assert_eq!(state(&world), "running");
    world.kill();
    fs::write(&go, "").expect("go");
    world.start();

    until("the run ends", || state(&world) != "running");
    let run = &world.json(&["run", "list"])[0];
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(fs::read_to_string(&begun).expect("begun"), "x", "trained once");
    let versions = mlflow.get("/api/2.0/mlflow/model-versions/search").expect("versions");
    assert_eq!(versions["model_versions"].as_array().map(Vec::len), Some(1), "registered once");
    assert_eq!(world.json(&["artifact", "list", "--kind", "model"]).as_array().map(Vec::len), Some(1));

    // A service outlives a killed server and is found again; a stopped one comes back.
    let answers = || {
        let url = world.json(&["service", "list"])[0]["url"].as_str().expect("url").to_owned();
        let request = fs::read_to_string(world.folder.path().join("wine/request.json")).expect("request");
        world.http(reqwest::Method::POST, &url, Some(serde_json::from_str(&request).expect("JSON"))).0 == 200
    };
    assert!(answers());
    world.kill();
    world.start();
    let answers = || {
        let url = world.json(&["service", "list"])[0]["url"].as_str().expect("url").to_owned();
        let request = fs::read_to_string(world.folder.path().join("wine/request.json")).expect("request");
        world.http(reqwest::Method::POST, &url, Some(serde_json::from_str(&request).expect("JSON"))).0 == 200
    };
    assert!(answers(), "the same process answers");
}

#[test]
fn a_stopped_server_brings_its_services_back_and_a_cancelled_run_leaves_nothing() {
    let mut world = World::with_mlflow(None);
    let (code, go) = patient_example(&world);
    world.fuseml(&["pipeline", "add", "mlflow-end-to-end", "--name", "full", "--input", "mlflow_code=code://*"]).good();
    world.fuseml(&["push", &code, "--name", "myapp"]).good();
    let begun = world.folder.path().join("begun");
    until("training begins", || begun.exists());

    world.fuseml(&["run", "cancel", "full/1"]).good();
    until("the run ends", || state(&world) != "running");
    assert_eq!(state(&world), "cancelled");
    assert!(world.json(&["artifact", "list", "--kind", "model"]).as_array().is_some_and(Vec::is_empty));

    fs::write(&go, "").expect("go");
    world.fuseml(&["run", "start", "full", "--wait"]).good();
    world.stop();
    world.start();
    until("the service is back", || world.json(&["service", "list"])[0]["state"] == "ready");
}
