//! What starts a pipeline since somebody tagged or labelled it, and how what it takes reaches its jobs (S7, S25-S29, S32).

use fuseml_tests::World;
use std::fs;

const SERVE: &str = "
schema_version: 1
name: NAME
description: d
inputs: {model: {kind: model}}
steps: {look: {run: {kind: look}}}
";
const LOOK: &str = "
schema_version: 1
name: look
kind: look
command: [sh, -c, 'cat model/*']
inputs: {model: {kind: model}}
";

fn shop() -> World {
    let world = World::new();
    world.fuseml(&["project", "create", "shop"]).good();
    world.fuseml(&["project", "set", "shop"]).good();
    world
}

fn write(world: &World, file: &str, text: &str) {
    fs::write(world.folder.path().join(file), text).expect("file");
}

fn register(world: &World, text: &str) {
    write(world, "runnable.yaml", text);
    world.fuseml(&["runnable", "register", "runnable.yaml"]).good();
}

fn push(world: &World, kind: &str, name: &str, text: &str, more: &[&str]) {
    let folder = world.folder.path().join(name);
    fs::create_dir_all(&folder).expect("folder");
    fs::write(folder.join("it"), text).expect("file");
    world.fuseml(&[&[kind, "push", name, "--wait"], more].concat()).good();
}

fn runs(world: &World) -> Vec<String> {
    let runs = world.json(&["run", "list"]);
    let run = |run: &serde_json::Value| {
        format!("{}/{} {}", run["pipeline"].as_str().expect("pipeline"), run["number"], run["cause"]["reason"])
    };
    let mut runs: Vec<_> = runs.as_array().expect("runs").iter().map(run).collect();
    runs.sort();
    runs
}

#[test]
fn a_pipeline_starts_once_for_what_comes_to_match_by_its_tag_or_label() {
    let world = shop();
    register(&world, LOOK);
    for (name, selector) in [
        ("any", "model://*"),
        ("production", "model://*@production"),
        ("staged", "model://* where label.stage = 'approved'"),
    ] {
        write(&world, "template.yaml", &SERVE.replace("NAME", name));
        world
            .fuseml(&["pipeline", "add", "template.yaml", "--name", name, "--input", &format!("model={selector}")])
            .good();
    }
    push(&world, "model", "wine", "1", &[]);
    assert_eq!(runs(&world).len(), 1, "nothing but what takes any model: {:?}", runs(&world));

    let tagged = world.fuseml(&["artifact", "tag", "model/wine", "production", "--wait"]).good();
    insta::assert_snapshot!("tagged", world.steady(&tagged.stderr()));
    world.fuseml(&["artifact", "label", "model/wine", "stage=approved", "team=blue", "--wait"]).good();
    world.fuseml(&["artifact", "label", "model/wine", "team=red", "--wait"]).good();
    world.fuseml(&["artifact", "tag", "model/wine", "production", "--wait"]).good();
    let started = runs(&world);
    assert_eq!(started.len(), 3, "{started:?}");
    assert!(started[1].starts_with("production/1 ") && started[1].contains("was tagged production by"), "{started:?}");
    assert!(started[2].starts_with("staged/1 ") && started[2].contains("was labelled stage=approved"), "{started:?}");

    // A tag that comes with the push is there when it starts something; the next version of the model takes it over.
    push(&world, "model", "wine", "2", &["--tag", "production"]);
    let started = runs(&world);
    assert_eq!(started.iter().filter(|run| run.starts_with("production/")).count(), 2, "{started:?}");
    assert_eq!(started.iter().filter(|run| run.starts_with("any/")).count(), 2, "{started:?}");

    world.fuseml(&["pipeline", "freeze", "production", "--reason", "holidays"]).good();
    push(&world, "model", "wine", "3", &["--tag", "production"]);
    let shown = world.fuseml(&["artifact", "show", "model/wine"]).good().stdout();
    let row = shown.lines().find(|line| line.starts_with("not started production")).unwrap_or_default();
    assert!(row.ends_with("it is frozen: holidays"), "{shown}");

    let elsewhere = ["pipeline", "add", "template.yaml", "--name", "other", "--input", "model=model://elsewhere/*"];
    let refused = world.fuseml(&elsewhere).bad(2);
    assert!(refused.stderr().contains("a pipeline of shop is started by what shop has"), "{}", refused.stderr());
}

const TURN: &str = "
schema_version: 1
name: NAME
description: d
inputs: {model: {kind: model}}
steps: {turn: {register: {artifact: '${inputs.model}', labels: {turn: THEIRS}}}}
";

#[test]
fn pipelines_that_label_what_the_other_listens_to_do_not_go_round() {
    let world = shop();
    for (name, theirs) in [("ours", "theirs"), ("theirs", "ours")] {
        write(&world, "template.yaml", &TURN.replace("NAME", name).replace("THEIRS", theirs));
        let selector = format!("model=model://* where label.turn = '{name}'");
        world.fuseml(&["pipeline", "add", "template.yaml", "--name", name, "--input", &selector]).good();
    }
    push(&world, "model", "wine", "1", &["--label", "turn=ours"]);

    let started = runs(&world);
    assert_eq!(started.len(), 2, "{started:?}");
    let shown = world.fuseml(&["artifact", "show", "model/wine"]).good().stdout();
    let row = shown.lines().find(|line| line.starts_with("not started ours")).unwrap_or_default();
    assert!(row.ends_with("it would start itself"), "{shown}");
}

const SAYS: &str = "
schema_version: 1
name: TEAM-says
kind: says
command: [sh, -c, 'cat rows.csv; echo \"$OUTSIDE $TARGET $ALPHA\"; mkdir out; cp rows.csv out/']
inputs:
  rows: {kind: dataset, as: file, path: rows.csv}
  outside: {kind: dataset, as: location}
outputs: {rows: {kind: dataset, path: out, provides: {format: FORMAT}}}
parameters:
  target: {type: text}
  alpha: {type: number, minimum: 0, maximum: 1, default: 0.5}
labels: {team: TEAM}
";
const TAKES: &str = "
schema_version: 1
name: takes
description: d
inputs:
  rows: {kind: dataset}
  outside: {kind: dataset}
  bucket: {type: text, enum: [blue, red], default: blue}
steps:
  it:
    run: {kind: says, labels: {team: blue}}
    inputs: {rows: '${inputs.rows}', outside: '${inputs.outside}'}
    parameters: {target: 's3://${inputs.bucket}/${inputs.rows.attributes.team}/$${x}', alpha: 0.25}
outputs: {rows: {kind: dataset, from: '${steps.it.rows}'}}
";

#[test]
fn inputs_come_as_a_file_or_a_location_and_parameters_with_references_within_their_range() {
    let world = shop();
    push(&world, "dataset", "rows", "n\n1\n", &["--attribute", "team=goldfinch"]);
    let outside = ["artifact", "register", "dataset", "lake", "s3://lake/rows"];
    world.fuseml(&outside).good();
    register(&world, &SAYS.replace("TEAM", "blue").replace("FORMAT", "csv"));
    // Newer, but of another team.
    register(&world, &SAYS.replace("TEAM", "red").replace("FORMAT", "csv"));
    write(&world, "template.yaml", TAKES);
    let add = ["pipeline", "add", "template.yaml", "--name", "takes"];
    let inputs = ["--input", "rows=data://shop/rows", "--input", "outside=data://shop/lake"];
    world.fuseml(&[&add[..], &inputs].concat()).good();

    world.fuseml(&["run", "start", "takes", "--wait"]).good();
    let said = world.fuseml(&["run", "logs", "takes/1"]).good().stdout();
    assert_eq!(said, "n\n1\ns3://lake/rows s3://blue/goldfinch/${x} 0.25\n");

    for (more, why) in [
        (["--input", "bucket=green"], "the parameter `bucket` takes text: blue or red, not `green`"),
        (["--param", "it.alpha=2"], "the parameter `alpha` takes a number from 0 to 1, not `2`"),
    ] {
        let refused = world.fuseml(&[&["run", "start", "takes", "--wait"][..], &more].concat());
        assert!(refused.stderr().contains(why), "{}", refused.stderr());
    }

    // What is not what was promised goes no further.
    register(&world, &SAYS.replace("TEAM", "blue").replace("FORMAT", "parquet"));
    let failed = world.fuseml(&["run", "start", "takes", "--wait"]).bad(7);
    let why = "the output `rows` should have format parquet, as `blue-says` promises, but what was made has format csv";
    assert!(failed.stderr().contains(why), "{}", failed.stderr());
}
