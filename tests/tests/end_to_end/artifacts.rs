//! A person finds, labels, tags and traces artifacts.

use fuseml_tests::{Terminal, World};
use reqwest::Method;
use serde_json::json;

fn world() -> World {
    let world = World::new();
    for project in ["shop", "bank"] {
        world.fuseml(&["project", "create", project]).good();
    }
    world.fuseml(&["project", "set", "shop"]).good();
    world
}

fn register(world: &World, name: &str, accuracy: &str) {
    let uri = format!("s3://models/{name}/{accuracy}");
    let (metric, framework) = (format!("accuracy={accuracy}"), "framework=sklearn");
    let words = ["artifact", "register", "model", name, &uri, "--metric", &metric, "--attribute", framework];
    world.fuseml(&words).good();
}

#[test]
fn what_is_registered_is_found_by_condition_tagged_and_told_by_its_history() {
    let world = world();
    let mut terminal = Terminal { world: &world, said: String::new() };

    terminal.types(
        0,
        "artifact register model wine s3://models/wine/1 --metric accuracy=0.91 --attribute framework=sklearn --label team=red",
    );
    for accuracy in ["0.95", "0.85"] {
        register(&world, "wine", accuracy);
    }
    register(&world, "fraud", "0.99");
    terminal.says(0, &["artifact", "search", "framework = sklearn and accuracy > 0.9"]);
    terminal.says(0, &["artifact", "search", "name = wine and not has label.team"]);
    terminal.says(0, &["artifact", "search", "kind = model", "--limit", "1"]);
    terminal.says(2, &["artifact", "search", "accuracy > good"]);
    terminal.says(0, &["artifact", "search", "kind = model", "--all-projects"]);
    terminal.says(0, &["artifact", "tag", "model/fraud", "production"]);
    let best = world.json(&["artifact", "search", "accuracy = 0.95 or metric.accuracy = 0.95"]);
    let best = best[0]["address"].as_str().expect("address").to_owned();
    world.fuseml(&["artifact", "tag", "model/wine", "production", "--reason", "the newest"]).good();
    world.fuseml(&["artifact", "tag", &best, "production", "--reason", "the best"]).good();
    terminal.types(0, "artifact show model/wine@production");
    world.fuseml(&["artifact", "label", &best, "team=blue", "season=2026"]).good();
    world.fuseml(&["artifact", "unlabel", &best, "season"]).good();
    terminal.types(0, "artifact history model/wine");
    world.fuseml(&["artifact", "untag", &best, "production"]).good();
    terminal.types(3, "artifact show model/wine@production");
    terminal.types(0, "artifact list --kind model");

    insta::assert_snapshot!(terminal.steady());
}

#[test]
fn what_nobody_could_use_is_refused_and_changes_nothing() {
    let world = world();
    register(&world, "wine", "0.9");
    let mut terminal = Terminal { world: &world, said: String::new() };

    for line in [
        "artifact register model wine file:///etc/passwd",
        "artifact register codeset wine s3://b/k",
        "artifact register model wine wine.pkl",
        "artifact register model wine s3://b/k --metric accuracy=good",
        "artifact label model/wine a:b=c",
        "artifact tag model/wine not/a/tag",
        "lineage model/nothing",
    ] {
        let code = if line.contains("nothing") { 3 } else { 2 };
        terminal.types(code, line);
    }

    insta::assert_snapshot!(terminal.steady());
    assert_eq!(world.json(&["artifact", "list"]).as_array().map(Vec::len), Some(1));
    let search = |query: &str| world.http(Method::GET, &format!("{}/api/v1/artifacts?{query}", world.url()), None);
    for query in ["where=(((", "limit=x", "page_token=x", "project=nothing", "unknown=1"] {
        let (status, said) = search(query);
        assert!(matches!(status, 400 | 404 | 422), "{query}: {status} {said}");
    }
    let address = format!("{}/api/v1/artifact/labels?address=model://shop/wine", world.url());
    let labels: serde_json::Map<_, _> = (0..100).map(|number| (format!("l{number}"), json!("x"))).collect();
    let (status, said) = world.http(Method::PATCH, &address, Some(json!({"labels": labels, "by": "ada"})));
    assert_eq!((status, &said["kind"]), (422, &json!("invalid")), "{said}");
}
