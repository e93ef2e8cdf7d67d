//! What a step makes for later steps of its run alone: nobody registers it, and it is gone after (S76–S78).

use fuseml_tests::{World, until};
use std::{fs, process::Command};

const PREPARE: &str = "
schema_version: 1
name: prepare
kind: prepare
command: [sh, -c, 'echo prepared >> $COUNT; mkdir out; grep -v secret rows/rows.csv > out/rows.csv']
inputs: {rows: {kind: dataset, path: rows}}
outputs: {clean: {kind: dataset, path: out}}
parameters: {count: {type: text, default: /dev/null}}
";
const TRAIN: &str = "
schema_version: 1
name: train
kind: train
command: [sh, -c, 'test $FAIL = 0 || exit 3; mkdir model; wc -l < data/rows.csv > model/lines; ls -la data']
inputs: {data: {kind: dataset, path: data}}
outputs: {model: {kind: model, path: model}}
parameters: {fail: {type: integer, default: 0}}
";
const TEMPLATE: &str = "
schema_version: 1
name: training
description: Trains on what is fit to be seen
inputs: {rows: {kind: dataset}}
steps:
  prepare: {run: {kind: prepare}, inputs: {rows: '${inputs.rows}'}, anonymous: true}
  train:
    run: {kind: train}
    inputs: {data: '${steps.prepare.clean}'}
    when: {artifact: '${steps.prepare.clean}', where: 'kind = dataset'}
outputs: {model: {kind: model, from: '${steps.train.model}'}}
";

struct Shop {
    world: World,
}

impl Shop {
    fn new() -> Self {
        let world = World::new();
        world.fuseml(&["project", "create", "shop"]).good();
        world.fuseml(&["project", "set", "shop"]).good();
        let shop = Self { world };
        for (file, text) in [("prepare.yaml", PREPARE), ("train.yaml", TRAIN)] {
            shop.write(file, text);
            shop.world.fuseml(&["runnable", "register", file]).good();
        }
        shop.write("training.yaml", TEMPLATE);
        let count = format!("prepare.count={}", shop.world.folder.path().join("count").display());
        let add =
            ["pipeline", "add", "training.yaml", "--name", "training", "--input", "rows=data://*", "--param", &count];
        shop.world.fuseml(&add).good();
        shop
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.world.folder.path().join(file);
        fs::create_dir_all(path.parent().expect("folder")).expect("folder");
        fs::write(path, text).expect("file");
    }

    fn push(&self, rows: &str) {
        self.write("rows/rows.csv", rows);
        self.world.fuseml(&["dataset", "push", "rows", "--wait"]).good();
    }

    fn prepared(&self) -> usize {
        fs::read_to_string(self.world.folder.path().join("count")).unwrap_or_default().lines().count()
    }

    /// Files of that name below what the server works with.
    fn left(&self) -> usize {
        let agents = self.world.data().join("agents");
        let found = Command::new("find").arg(agents).args(["-name", "rows.csv"]).output().expect("find").stdout;
        String::from_utf8(found).expect("text").lines().count()
    }
}

#[test]
fn an_anonymous_result_is_for_its_run_alone_and_gone_after() {
    let shop = Shop::new();
    shop.push("a,1\nsecret,2\nb,3\n");

    let run = shop.world.json(&["run", "show", "training/1"]);
    assert_eq!(run["state"], "succeeded", "{run}");
    let shown = shop.world.fuseml(&["run", "show", "training/1"]).good().stdout();
    assert!(shown.contains("data://shop/anonymous/"), "{shown}");
    let datasets = shop.world.json(&["artifact", "list", "--kind", "dataset"]);
    assert_eq!(datasets.as_array().map(Vec::len), Some(1), "only what was pushed: {datasets}");
    // What came of it is called after it, and its lineage names what led to what lay in between.
    let model = run["outputs"]["model"]["artifact"].as_str().expect("model").to_owned();
    assert_eq!(shop.world.json(&["artifact", "show", &model])["name"], "rows-clean");
    let lineage = shop.world.fuseml(&["lineage", &model]).good().stdout();
    assert!(!lineage.contains("anonymous"), "{lineage}");
    assert!(lineage.contains("data://shop/rows/") && lineage.contains("runnable://shop/prepare/"), "{lineage}");
    until("nothing of it is left", || shop.left() == 0);

    // The same rows in another order of things that are left out: made again, and what follows is the same job.
    shop.push("a,1\nsecret,9\nb,3\n");
    assert_eq!(shop.prepared(), 2, "what is gone is made again");
    let explained = shop.world.fuseml(&["run", "explain", "training/2"]).good().stdout();
    assert!(explained.contains("reused from training/1, step train"), "{explained}");
    assert!(explained.contains("what it makes is anonymous"), "{explained}");
}

#[test]
fn a_run_that_failed_makes_again_what_is_gone_when_it_goes_on() {
    let shop = Shop::new();
    shop.world.fuseml(&["pipeline", "update", "training", "--param", "train.fail=1"]).good();
    shop.write("rows/rows.csv", "a,1\n");
    shop.world.fuseml(&["dataset", "push", "rows", "--wait"]).bad(7);
    assert_eq!((shop.world.json(&["run", "list"])[0]["state"].as_str(), shop.prepared()), (Some("failed"), 1));
    until("nothing of it is left", || shop.left() == 0);

    shop.world.fuseml(&["run", "swap", "training/1", "train", "--param", "fail=0"]).good();
    shop.world.fuseml(&["run", "retry", "training/1", "--wait"]).good();
    assert_eq!(shop.prepared(), 2);
}

#[test]
fn a_run_that_waits_keeps_what_it_has_and_a_killed_server_leaves_nothing_for_ever() {
    let mut shop = Shop::new();
    let asking = TEMPLATE.replace("name: training", "name: asking").replace(
        "  train:\n",
        "  ask: {approve: {message: 'Is ${steps.prepare.clean} enough?'}}\n  train:\n    after: [ask]\n",
    );
    shop.write("asking.yaml", &asking);
    let count = format!("prepare.count={}", shop.world.folder.path().join("count").display());
    let add =
        ["pipeline", "add", "asking.yaml", "--name", "asking", "--input", "rows=data://shop/other", "--param", &count];
    shop.world.fuseml(&add).good();
    shop.write("other/rows.csv", "a,1\n");
    shop.world.fuseml(&["dataset", "push", "other"]).good();
    let state = |shop: &Shop| shop.world.json(&["run", "show", "asking/1"])["steps"][1]["state"].clone();
    until("it asks", || state(&shop) == "awaiting-approval");

    // Whatever nothing names is collected, and the server is another.
    shop.world.fuseml(&["store", "gc", "--older-than", "0s"]).good();
    shop.world.kill();
    shop.world.start();
    assert!(shop.left() > 0, "it lies there still");
    shop.world.fuseml(&["run", "approve", "asking/1", "--wait"]).good();
    assert_eq!(shop.prepared(), 2, "once for each of the two pipelines that took it");

    // Killed at the end of a run, before it was cleared away.
    shop.world.fuseml(&["run", "start", "asking"]).good();
    until("it asks", || shop.world.json(&["run", "show", "asking/2"])["steps"][1]["state"] == "awaiting-approval");
    shop.world.fuseml(&["run", "reject", "asking/2"]).good();
    shop.world.kill();
    shop.world.start();
    until("nothing of it is left", || shop.left() == 0);
}

#[test]
fn what_outlasts_a_run_cannot_be_anonymous() {
    let shop = Shop::new();
    for (what, with, says) in [
        ("run: {kind: train}", "serve: {kind: train}", "gone when the run has ended"),
        ("anonymous: true}", "anonymous: true, each: {count: [a, b]}}", "nobody chooses among what is `anonymous`"),
    ] {
        let text = TEMPLATE.replace("{kind: model, from", "{from");
        let wrong = text.replace(what, with);
        assert_ne!(wrong, text);
        shop.write("wrong.yaml", &wrong);
        let refused = shop.world.fuseml(&["template", "check", "wrong.yaml"]).bad(2).stderr();
        assert!(refused.contains(says), "{refused}");
    }
    // What a part gives is for the steps of others; a pipeline of it alone would give nothing.
    let part = TEMPLATE.replace("{kind: model, from: '${steps.train.model}'}", "{from: '${steps.prepare.clean}'}");
    shop.write("part.yaml", &part);
    let checked = shop.world.fuseml(&["template", "check", "part.yaml"]).good().stderr();
    assert!(checked.contains("It can only be a part of another template"), "{checked}");
    let add = ["pipeline", "add", "part.yaml", "--name", "part", "--input", "rows=data://*"];
    assert!(shop.world.fuseml(&add).bad(2).stderr().contains("gone when the run has ended"));
    shop.write(
        "whole.yaml",
        "{schema_version: 1, name: whole, description: d, inputs: {rows: {kind: dataset}}, steps: {
            made: {template: part.yaml, inputs: {rows: '${inputs.rows}'}},
            again: {run: {kind: train}, inputs: {data: '${steps.made.model}'}}}}",
    );
    shop.world.fuseml(&["template", "check", "whole.yaml"]).good();
}
