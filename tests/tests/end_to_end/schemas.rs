//! The published schemas of templates and runnables: what editors check is what is read.

use fuseml_tests::World;
use serde_json::Value;
use std::{fs, path::Path};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What the program prints, which is what the repository publishes.
fn published(what: &str) -> Value {
    let printed = World::without_server().fuseml(&[what, "schema"]).good().stdout();
    let path = format!("{ROOT}/docs/schemas/{what}.json");
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(printed, published, "write what `fuseml {what} schema` prints to {path}");
    serde_json::from_str(&printed).expect("JSON")
}

fn fits(schema: &Value, text: &str) -> bool {
    let file: Value = serde_saphyr::from_str(text).expect("YAML");
    jsonschema::validator_for(schema).expect("a schema").is_valid(&file)
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).expect(path)
}

#[test]
fn every_template_of_ours_fits_the_published_schema_and_broken_ones_do_not() {
    let schema = published("template");
    for path in [
        "examples/pipelines/approval/train-and-publish.yaml",
        "examples/pipelines/approval/training.yaml",
        "examples/pipelines/approval/tune.yaml",
        "examples/runnables/csv-check/pipeline.yaml",
        "plugins/mlflow/templates/mlflow-end-to-end.yaml",
        "plugins/mlflow/templates/mlflow-serving.yaml",
        "plugins/mlflow/templates/mlflow-training.yaml",
    ] {
        assert!(fits(&schema, &read(path)), "{path}");
    }
    let text = read("examples/pipelines/approval/train-and-publish.yaml");
    let swept = "run: {kind: trainer}\n    each: {alpha: [0.1, '0.5'], fast: [true]}\n    best: {highest: accuracy}";
    assert!(fits(&schema, &text.replace("run: {kind: trainer}", swept)));
    for (from, to) in [
        ("name: train-and-publish", "name: Train"),
        ("kind: codeset", "kind: banana"),
        ("delay: 1s", "delay: soon"),
        ("attempts: 2", "attempts: 1"),
        ("after: [train]", "behind: [train]"),
        ("run: {kind: publisher}", "run: {kind: publisher}\n    serve: {kind: publisher}"),
        ("run: {kind: trainer}", "run: {kind: trainer}\n    each: {alpha: {from: 1}}"),
        ("run: {kind: trainer}", "run: {kind: trainer}\n    best: accuracy"),
        ("'${inputs.code}'", "inputs.code"),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(!fits(&schema, &text.replacen(from, to, 1)), "{to}");
    }
}

#[test]
fn every_runnable_of_ours_fits_the_published_schema_and_broken_ones_do_not() {
    let schema = published("runnable");
    let approval = ["trainer", "publisher", "alarm"].map(|name| format!("examples/pipelines/approval/{name}.yaml"));
    for path in approval.iter().map(String::as_str).chain(["examples/runnables/csv-check/runnable.yaml"]) {
        assert!(fits(&schema, &read(path)), "{path}");
    }
    let text = read("examples/pipelines/approval/trainer.yaml");
    for (from, to) in [("kind: codeset", "kind: banana"), ("type: number", "type: float"), ("watch:", "watches:")] {
        assert!(text.contains(from), "{from}");
        assert!(!fits(&schema, &text.replacen(from, to, 1)), "{to}");
    }
}
