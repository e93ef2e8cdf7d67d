//! Pipelines that FuseML puts together: inputs connected by type, and converters where forms differ (S9, S26, S99).

use fuseml_tests::{World, until};
use std::fs;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/runnables");

/// Reads tables of one form, in the environment of the converter that makes them.
const COUNTER: &str = "
schema_version: 1
name: counter
kind: counter
environment: {requirements: ['pyarrow>=26,<27']}
command: [python, -c, 'from pyarrow import parquet; t = parquet.read_table(\"data\"); print(t.num_rows, t.column_names)']
inputs: {data: {kind: dataset, requires: {format: parquet}}}
";
const COUNTING: &str = "
schema_version: 1
name: counting
description: Says how many rows a dataset has
inputs: {data: {kind: dataset}}
steps: {count: {run: {kind: counter}}}
";

fn lab() -> World {
    let world = World::new();
    world.fuseml(&["project", "create", "lab"]).good();
    world.fuseml(&["project", "set", "lab"]).good();
    world
}

fn write(world: &World, file: &str, text: &str) {
    let path = world.folder.path().join(file);
    fs::create_dir_all(path.parent().expect("folder")).expect("folder");
    fs::write(path, text).expect("file");
}

fn state(world: &World) -> String {
    world.json(&["run", "list"])[0]["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_dataset_in_another_form_is_converted_on_its_way_and_nobody_had_to_say_so() {
    let world = lab();
    write(&world, "counter.yaml", COUNTER);
    write(&world, "counting.yaml", COUNTING);
    world.fuseml(&["runnable", "register", "counter.yaml"]).good();
    for converter in ["jsonl-to-csv", "csv-to-parquet"] {
        world.fuseml(&["runnable", "register", &format!("{EXAMPLES}/{converter}/runnable.yaml")]).good();
    }
    let add = world.fuseml(&["pipeline", "add", "counting.yaml", "--name", "counting", "--input", "data=data://lab/*"]);
    insta::assert_snapshot!("connected", add.good().stderr());
    let shown = world.fuseml(&["pipeline", "show", "counting"]).good();
    insta::assert_snapshot!("pipeline", format!("{}{}", shown.stderr(), shown.stdout()));

    write(&world, "flowers/flowers.jsonl", "{\"length\": 1, \"name\": \"a\"}\n{\"length\": 2, \"name\": \"b\"}\n");
    world.fuseml(&["dataset", "push", "flowers"]).good();
    until("the run ends", || state(&world) == "succeeded");
    let log = world.fuseml(&["run", "logs", "counting/1", "--step", "count"]).good().stdout();
    assert_eq!(log, "2 ['length', 'name']\n");
    let shown = world.fuseml(&["run", "explain", "counting/1"]).good().stdout();
    // Its digest says which version of pyarrow wrote it.
    let parquet = shown.split_once("flowers-parquet/").map(|(_, rest)| rest[..12].to_owned()).expect("converted");
    insta::assert_snapshot!("converted", world.steady(&shown.replace(&parquet, "[parquet]")));
    let plan = world.fuseml(&["pipeline", "plan", "counting"]).good();
    insta::assert_snapshot!("planned", world.steady(&plan.stdout()));
    assert_eq!(
        world.json(&["run", "list"]).as_array().map(Vec::len),
        Some(1),
        "what was made on the way starts nothing"
    );
    let lineage = world.fuseml(&["lineage", "data/flowers"]).good().stdout();
    assert!(lineage.contains("csv-to-parquet"), "{lineage}");

    // What is in that form already goes the short way.
    write(&world, "tables/t.csv", "a\n1\n");
    world.fuseml(&["dataset", "push", "tables"]).good();
    until("the second run ends", || world.json(&["run", "list"])[0]["number"] == 2 && state(&world) == "succeeded");
    let steps = world.json(&["run", "show", "counting/2"])["steps"].clone();
    let names: Vec<_> = steps.as_array().expect("steps").iter().map(|step| step["name"].clone()).collect();
    assert_eq!(names, ["csv-to-parquet", "count"]);
}

#[test]
fn a_template_that_leaves_out_what_could_be_several_things_or_nothing_is_refused_with_the_candidates() {
    let world = lab();
    write(&world, "counter.yaml", COUNTER);
    world.fuseml(&["runnable", "register", "counter.yaml"]).good();
    let mut said = String::new();
    for inputs in [
        "{a: {kind: dataset}, b: {kind: dataset}}",
        "{a: {kind: dataset, requires: {format: csv}}}",
        "{code: {kind: codeset}}",
    ] {
        write(&world, "counting.yaml", &COUNTING.replace("{data: {kind: dataset}}", inputs));
        said += &world.fuseml(&["pipeline", "add", "counting.yaml", "--name", "counting"]).bad(2).stderr();
    }
    insta::assert_snapshot!("refused", said);
    assert_eq!(world.json(&["pipeline", "list"]).as_array().map(Vec::len), Some(0));
}

/// Answers what the model is.
const PREDICTOR: &str = "
schema_version: 1
name: answerer
kind: predictor
command: [sh, -c, 'mkdir -p up && cp -r model up/ && exec python3 -m http.server --bind $HOST --directory up $PORT']
inputs: {model: {kind: model, path: model}}
service: {ready: /model/, predict: /model/alpha}
";

#[test]
fn who_says_what_they_have_and_want_gets_the_pipelines_that_lead_there() {
    const APPROVAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pipelines/approval");
    let world = lab();
    world.code("app", &[("train.py", "print('a model')\n")]);
    world.fuseml(&["codeset", "push", "app"]).good();
    let nothing = world.fuseml(&["pipeline", "create", "app", "--action", "both"]).bad(3).stderr();
    assert!(nothing.contains("nothing that is installed leads from code://lab/app/"), "{nothing}");

    world.fuseml(&["runnable", "register", &format!("{APPROVAL}/trainer.yaml")]).good();
    write(&world, "answerer.yaml", PREDICTOR);
    world.fuseml(&["runnable", "register", "answerer.yaml"]).good();
    let suggested = world.fuseml(&["pipeline", "suggest", "--from", "app", "--to", "url"]).good();
    insta::assert_snapshot!("suggested", world.steady(&format!("{}{}", suggested.stderr(), suggested.stdout())));
    world.fuseml(&["pipeline", "suggest", "--from", "app", "--to", "urls"]).bad(2);

    let created = world.fuseml(&["pipeline", "create", "app", "--action", "both"]).good();
    insta::assert_snapshot!("created", created.stderr());
    world.code("app", &[("train.py", "print('a better model')\n")]);
    world.fuseml(&["codeset", "push", "app", "--wait"]).good();
    let service = &world.json(&["service", "list"])[0];
    assert_eq!(service["pipeline"], "app-answerer", "{service}");

    // The other name is taken, so that neither pipeline is added.
    world.fuseml(&["pipeline", "remove", "app-trainer"]).good();
    world.fuseml(&["pipeline", "create", "app", "--action", "both"]).bad(5);
    assert_eq!(world.json(&["pipeline", "list"]).as_array().map(Vec::len), Some(1));
    // A second trainer would do as well: somebody has to choose.
    let other = fs::read_to_string(format!("{APPROVAL}/trainer.yaml"))
        .expect("trainer")
        .replace("name: trainer", "name: coach");
    write(&world, "coach.yaml", &other);
    write(&world, "train.sh", &fs::read_to_string(format!("{APPROVAL}/train.sh")).expect("script"));
    world.fuseml(&["runnable", "register", "coach.yaml"]).good();
    let ambiguous = world.fuseml(&["pipeline", "create", "app", "--action", "train"]).bad(2).stderr();
    assert!(ambiguous.contains("say which with --using"), "{ambiguous}");
    let create = ["pipeline", "create", "app", "--action", "train", "--using", "coach", "--param", "coach.alpha=0.7"];
    world.fuseml(&create).good();
    world.fuseml(&["run", "start", "app", "--wait"]).good();
    assert_eq!(world.json(&["artifact", "show", "model/app"])["metrics"]["accuracy"], 0.7);
}
