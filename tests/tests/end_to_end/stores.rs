//! What lies in tools becomes known here, follows what happens there, and is found, fetched and opened (S81, S88–S95,
//! S101).

use fuseml_tests::{Mlflow, World};
use serde_json::{Value, json};
use std::fs;

/// Registers a version of a model in MLflow, past FuseML; answers its number.
fn registered(mlflow: &Mlflow, name: &str) -> String {
    let source = mlflow.log_model();
    ask(mlflow, "POST", "registered-models/create", &json!({"name": name}));
    let id = source.strip_prefix("models:/").expect("logged model");
    let body = json!({"name": name, "source": source, "model_id": id, "tags": [{"key": "team", "value": "red"}]});
    let made = ask(mlflow, "POST", "model-versions/create", &body);
    made["model_version"]["version"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
}

/// Whatever MLflow says: that a model is there already is no matter.
fn ask(mlflow: &Mlflow, method: &str, path: &str, body: &Value) -> Value {
    let method = method.parse().expect("method");
    let url = format!("{}/api/2.0/mlflow/{path}", mlflow.url);
    let response = reqwest::blocking::Client::new().request(method, url).json(body).send().expect("MLflow");
    response.json().expect("JSON")
}

fn names(world: &World, condition: &str) -> Vec<String> {
    let found = world.json(&["artifact", "search", condition]);
    let mut names: Vec<_> =
        found.as_array().expect("list").iter().map(|one| one["name"].as_str().expect("name").to_owned()).collect();
    // A tool answers in an order of its own.
    names.sort();
    names
}

#[test]
fn models_of_a_tool_are_found_fetched_and_opened_here_and_follow_what_happens_there() {
    let mlflow = Mlflow::start();
    let world = World::with_mlflow(Some(&mlflow));
    world.fuseml(&["project", "create", "ml"]).good();
    world.fuseml(&["project", "set", "ml"]).good();
    registered(&mlflow, "Wine Quality");
    registered(&mlflow, "churn");

    let said = world.fuseml(&["store", "sync", "mlflow"]).good();
    insta::assert_snapshot!("synced", world.steady(&format!("{}{}", said.stderr(), said.stdout())));
    assert_eq!(names(&world, "label.team = red and kind = model"), ["churn", "wine-quality"]);
    let again = world.json(&["store", "sync", "mlflow"]);
    assert_eq!((&again["last"]["registered"], &again["last"]["changed"]), (&json!(0), &json!(0)));

    // An alias is a tag, and both move.
    let alias = |version: &str| json!({"name": "churn", "alias": "champion", "version": version});
    ask(&mlflow, "POST", "registered-models/alias", &alias("1"));
    let version = registered(&mlflow, "churn");
    world.fuseml(&["store", "sync", "mlflow"]).good();
    let first = world.json(&["artifact", "show", "model/churn@champion"])["id"].clone();
    ask(&mlflow, "POST", "registered-models/alias", &alias(&version));
    world.fuseml(&["store", "sync", "mlflow"]).good();
    assert_ne!(world.json(&["artifact", "show", "model/churn@champion"])["id"], first);

    // Nobody recorded what it was, until it is used; from then on it is verified.
    let unrecorded = world.fuseml(&["artifact", "verify", "model/wine-quality"]).bad(2);
    assert!(unrecorded.stderr().contains("nobody recorded"), "{}", unrecorded.stderr());
    world.fuseml(&["artifact", "fetch", "model/wine-quality", "wine"]).good();
    assert!(fs::read_to_string(world.folder.path().join("wine/MLmodel")).expect("file").contains("python_function"));
    world.fuseml(&["artifact", "verify", "model/wine-quality"]).good();
    assert_eq!(names(&world, "flavors ~ python_function"), ["wine-quality"]);
    let history = world.fuseml(&["artifact", "history", "model/wine-quality"]).good();
    assert!(history.stdout().contains("files recorded"), "{}", history.stdout());

    let page = world.fuseml(&["artifact", "open", "model/wine-quality", "--url"]).good();
    assert_eq!(page.stdout(), format!("{}/#/models/Wine%20Quality/versions/1\n", mlflow.url));

    // What is gone there is named, and deleted here only when that is asked for.
    ask(&mlflow, "DELETE", "model-versions/delete", &json!({"name": "Wine Quality", "version": "1"}));
    let said = world.fuseml(&["store", "sync", "mlflow"]).good();
    assert!(said.stderr().contains("Wine%20Quality/1: it is gone from the tool"), "{}", said.stderr());
    assert_eq!(names(&world, "name = wine-quality").len(), 1);
    assert_eq!(world.json(&["store", "sync", "mlflow", "--prune"])["last"]["deleted"], 1);
    assert_eq!(names(&world, "name = wine-quality"), [""; 0]);

    let listed = world.fuseml(&["store", "list"]).good();
    let shown = world.fuseml(&["store", "show", "mlflow"]).good();
    insta::assert_snapshot!("listed", world.steady(&format!("{}{}", listed.stdout(), shown.stdout())));
    let built_in = world.fuseml(&["store", "show", "oci"]).good().stdout();
    assert!(built_in.contains("runnable, model, dataset") && built_in.contains("built in"), "{built_in}");
    world.fuseml(&["store", "show", "none"]).bad(3);
    let refused = world.fuseml(&["store", "gc", "mlflow", "--dry-run"]).bad(2);
    assert!(refused.stderr().contains("removes nothing by itself"), "{}", refused.stderr());
}
