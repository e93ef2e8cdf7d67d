//! Runs as people steer them: approve, pause, step, resume, retry, swap, rerun, plan, explain (S8, S27, S64, S69–S74).

use fuseml_tests::{World, until};
use std::{fs, path::Path};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pipelines/approval");

/// A project with the example's runnables and pipeline, and its code.
fn shop() -> World {
    let world = World::new();
    world.fuseml(&["project", "create", "shop"]).good();
    world.fuseml(&["project", "set", "shop"]).good();
    for runnable in ["trainer", "publisher", "alarm"] {
        world.fuseml(&["runnable", "register", &format!("{EXAMPLE}/{runnable}.yaml")]).good();
    }
    let template = format!("{EXAMPLE}/train-and-publish.yaml");
    world.fuseml(&["pipeline", "add", &template, "--name", "publish", "--input", "code=code://*"]).good();
    world.code("app", &[("train.py", "print('a model')\n"), ("README.md", "An app.\n")]);
    world
}

fn push(world: &World, code: i32) -> String {
    let said = world.fuseml(&["codeset", "push", "app", "--wait"]);
    let said = if code == 0 { said.good() } else { said.bad(code) };
    world.steady(&said.stderr())
}

fn explained(world: &World, run: &str) -> String {
    world.steady(&world.fuseml(&["run", "explain", run]).good().stdout())
}

#[test]
fn a_model_is_published_once_the_right_person_says_so_and_made_once_from_the_same_code() {
    let world = shop();
    insta::assert_snapshot!("asked", push(&world, 8));
    let list = world.fuseml(&["run", "list"]).good().stdout();
    assert!(list.contains("awaiting-approval"), "{list}");

    let denied = world.fuseml_with(&[("USER", "mallory")], &["run", "approve", "publish/1"]).bad(4);
    assert!(denied.stderr().contains("ada and grace may answer"), "{}", denied.stderr());
    let approved =
        world.fuseml(&["run", "approve", "publish/1", "--reason", "better than the last one", "--wait"]).good();
    insta::assert_snapshot!("approved", world.steady(&approved.stderr()));
    world.fuseml(&["run", "approve", "publish/1"]).bad(5);

    // Files that the trainer does not watch do not make another model.
    world.code("app", &[("README.md", "An app that says more.\n")]);
    push(&world, 8);
    insta::assert_snapshot!("reused", explained(&world, "publish/2"));
    world.fuseml(&["run", "reject", "publish/2", "--reason", "seen before", "--wait"]).bad(7);
    insta::assert_snapshot!("rejected", explained(&world, "publish/2"));

    let plan = |arguments: &[&str]| {
        let said = world.fuseml(&[&["pipeline", "plan", "publish"], arguments].concat()).good();
        world.steady(&format!("{}{}", said.stderr(), said.stdout()))
    };
    insta::assert_snapshot!("planned", plan(&[]));
    insta::assert_snapshot!("planned_with_another_parameter", plan(&["--param", "train.alpha=0.7"]));
    world.fuseml(&["pipeline", "plan", "publish", "--param", "review.x=1"]).good();
    world.fuseml(&["pipeline", "plan", "publish", "--param", "other.x=1"]).bad(2);
    assert_eq!(world.json(&["run", "list"]).as_array().map(Vec::len), Some(2), "planning starts nothing");

    let lineage = world.fuseml(&["lineage", "model/app"]).good().stdout();
    assert!(lineage.contains("(reused)"), "{lineage}");
}

#[test]
fn a_run_that_failed_goes_on_from_there_with_what_was_swapped() {
    let world = shop();
    push(&world, 8);
    let start = ["run", "start", "publish", "--param", "train.alpha=0", "--wait"];
    insta::assert_snapshot!("failed", world.steady(&world.fuseml(&start).bad(7).stderr()));
    world.fuseml(&["run", "swap", "publish/2", "train", "--runnable", "runnable/none"]).bad(3);
    let swap = ["run", "swap", "publish/2", "train", "--param", "alpha=0.2", "--reason", "0 was a slip"];
    world.fuseml(&swap).good();
    let resumed = world.fuseml(&["run", "resume", "publish/2", "--wait"]).good();
    let said = resumed.stderr();
    assert!(said.contains("publish/2 train, try 3 succeeded") && said.contains("publish/2 succeeded"), "{said}");
    insta::assert_snapshot!("explained", explained(&world, "publish/2"));
}

#[test]
fn a_runnable_that_is_swapped_in_is_what_runs_and_the_lineage_says_which_it_was() {
    let world = shop();
    push(&world, 8);
    let other = "schema_version: 1\nname: careful-trainer\nkind: careful-trainer\n\
        command: [sh, -c, 'mkdir model; echo careful >model/alpha; echo \"{\\\"metrics\\\": {\\\"accuracy\\\": 0.9}}\" >report.json']\n\
        inputs: {code: {kind: codeset}}\noutputs: {model: {kind: model, path: model, report: report.json}}\n";
    fs::write(world.folder.path().join("other.yaml"), other).expect("file");
    world.fuseml(&["runnable", "register", "other.yaml"]).good();

    world.fuseml(&["run", "start", "publish", "--paused"]).good();
    let swap =
        ["run", "swap", "publish/2", "train", "--runnable", "runnable/careful-trainer", "--reason", "to compare"];
    world.fuseml(&swap).good();
    world.fuseml(&["run", "resume", "publish/2", "--wait"]).bad(8);
    world.fuseml(&["run", "approve", "publish/2", "--wait"]).good();

    assert!(world.fuseml(&["run", "logs", "publish/2"]).good().stdout().contains("with alpha careful"));
    let model = world.json(&["run", "show", "publish/2"])["outputs"]["model"]["artifact"].clone();
    let lineage = world.fuseml(&["lineage", model.as_str().expect("model")]).good().stdout();
    assert!(
        lineage.contains("runnable://shop/careful-trainer/") && !lineage.contains("runnable://shop/trainer/"),
        "{lineage}"
    );
    let explained = explained(&world, "publish/2");
    assert!(explained.contains("to compare"), "{explained}");
}

#[test]
fn a_paused_run_waits_for_days_and_over_a_killed_server_and_goes_on_step_by_step() {
    let mut world = shop();
    push(&world, 8);
    world.fuseml(&["run", "start", "publish", "--paused"]).good();
    let paused = world.fuseml(&["run", "watch", "publish/2"]).bad(8);
    assert!(paused.stderr().contains("publish/2 is paused"), "{}", paused.stderr());
    world.kill();
    world.start();

    world.fuseml(&["run", "step", "publish/2", "--wait"]).bad(8);
    insta::assert_snapshot!("stepped", world.steady(&world.fuseml(&["run", "show", "publish/2"]).good().stdout()));
    let graph = world.fuseml(&["run", "graph", "publish/2"]).good().stdout();
    insta::assert_snapshot!("graph", graph);
    world.fuseml(&["run", "resume", "publish/2", "--wait"]).bad(8);
    world.fuseml(&["run", "approve", "publish/2", "review", "--wait"]).good();
    world.fuseml(&["run", "pause", "publish/2"]).bad(5);

    // What went well is done again on demand, and what follows from it.
    world.fuseml(&["run", "retry", "publish/2", "publish", "--wait"]).good();
    let run = world.json(&["run", "show", "publish/2"]);
    let attempts: Vec<_> = run["steps"].as_array().expect("steps").iter().map(|step| &step["attempt"]).collect();
    assert_eq!(attempts, [1, 1, 2, 1]);
}

#[test]
fn a_result_whose_bytes_are_gone_or_others_is_made_again_and_that_is_said() {
    let world = shop();
    push(&world, 8);
    let blobs = world.data().join("contents");
    let alpha = files(&blobs).into_iter().find(|path| fs::read(path).is_ok_and(|bytes| bytes == b"0.5\n"));
    let alpha = alpha.expect("the model's file");
    fs::remove_file(&alpha).expect("removed");
    world.fuseml(&["run", "rerun", "publish/1", "--wait"]).bad(8);
    let explained = explained(&world, "publish/2");
    assert!(explained.contains("is not whole: alpha is missing or damaged; publish/1 had made it"), "{explained}");
    world.fuseml(&["artifact", "verify", "model/app"]).good();

    // As many bytes, but others.
    fs::remove_file(&alpha).and_then(|()| fs::write(&alpha, "0.7\n")).expect("damaged");
    world.fuseml(&["run", "rerun", "publish/1", "--wait"]).bad(8);
    assert!(self::explained(&world, "publish/3").contains("alpha is missing or damaged; publish/2 had made it"));
    world.fuseml(&["artifact", "verify", "model/app"]).good();

    world.fuseml(&["run", "rerun", "publish/1", "--reuse", "off", "--wait"]).bad(8);
    assert!(self::explained(&world, "publish/4").contains("no earlier result was looked for: reuse is off"));
    world.fuseml(&["run", "rerun", "publish/1", "--reuse", "refresh", "--wait"]).bad(8);
    assert!(self::explained(&world, "publish/5").contains("no earlier result was looked for: the result is refreshed"));
    world.fuseml(&["run", "rerun", "publish/1", "--wait"]).bad(8);
    assert!(self::explained(&world, "publish/6").contains("reused from publish/5"));
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_pipeline_starts_for_what_it_watches_by_the_clock_and_one_after_the_other() {
    let world = shop();
    let template = format!("{EXAMPLE}/train-and-publish.yaml");
    let add = |name: &str, more: &[&str]| {
        let arguments = ["pipeline", "add", &template, "--name", name, "--input", "code=code://*"];
        world.fuseml(&[&arguments[..], more].concat())
    };
    world.fuseml(&["pipeline", "remove", "publish"]).good();
    add("watching", &["--watch", "code=*.py", "--watch", "code=conf/**", "--concurrency", "skip"]).good();
    add("queued", &["--concurrency", "queue"]).good();
    let refused: String = [
        ["--schedule", "0 3 * * * Europe/Berlyn"],
        ["--schedule", "0 0 31 2 *"],
        ["--watch", "code=["],
        ["--watch", "data=*.csv"],
        ["--concurrency", "sometimes"],
    ]
    .iter()
    .map(|more| add("wrong", more).bad(2).stderr())
    .collect();
    insta::assert_snapshot!("starts_refused", refused);

    push(&world, 8);
    world.code("app", &[("README.md", "An app that says more.\n")]);
    let said = push(&world, 8);
    assert!(said.contains("watching was not started: no file that it watches (*.py, conf/**) changed since"), "{said}");
    world.code("app", &[("train.py", "print('another model')\n")]);
    let said = push(&world, 8);
    assert!(said.contains("watching was not started: watching/1 is running still"), "{said}");

    let state = |run: &str| world.json(&["run", "show", run])["state"].as_str().expect("state").to_owned();
    assert_eq!([state("queued/1"), state("queued/2"), state("queued/3")], ["running", "queued", "queued"]);
    world.fuseml(&["run", "cancel", "queued/2"]).good();
    world.fuseml(&["run", "reject", "queued/1", "--wait"]).bad(7);
    until("the next in the queue has begun", || state("queued/3") != "queued");

    // Only now, so that the clock changes nothing before.
    let clock = add("nightly", &["--schedule", "* * * * * Europe/Berlin", "--concurrency", "replace"]).good();
    assert!(clock.stderr().contains("Europe/Berlin"), "{}", clock.stderr());
    let list = world.fuseml(&["pipeline", "list"]).good();
    insta::assert_snapshot!("starts", format!("{}{}", list.stderr(), list.stdout()));
    until("the clock started a run", || {
        let runs = world.json(&["run", "list", "--pipeline", "nightly"]);
        let of_clock = |run: &serde_json::Value| {
            run["cause"]["reason"].as_str().is_some_and(|reason| reason.starts_with("it was due at"))
        };
        runs.as_array().is_some_and(|runs| runs.iter().any(of_clock))
    });
}

#[test]
fn a_sweep_trains_with_each_value_and_only_its_best_model_goes_on() {
    let world = shop();
    world.fuseml(&["pipeline", "remove", "publish"]).good();
    let tune = format!("{EXAMPLE}/tune.yaml");
    world.fuseml(&["pipeline", "add", &tune, "--name", "tune", "--input", "code=code://*"]).good();
    fs::write(world.folder.path().join("listen.yaml"), LISTENING).expect("template");
    world.fuseml(&["pipeline", "add", "listen.yaml", "--name", "listen", "--input", "model=model://*"]).good();

    push(&world, 0);
    let shown = world.fuseml(&["run", "show", "tune/1"]).good();
    insta::assert_snapshot!("tuned", world.steady(&shown.stdout()));
    let best = world.json(&["run", "show", "tune/1"])["outputs"]["model"].clone();
    let heard = world.json(&["run", "list", "--pipeline", "listen"]);
    assert_eq!(heard.as_array().map(Vec::len), Some(1), "the others start nothing: {heard}");
    assert_eq!(heard[0]["inputs"]["model"]["artifact"], best["artifact"]);
    let newest = world.json(&["artifact", "show", "model/app"]);
    assert_eq!(newest["metrics"]["accuracy"], 0.9, "nor is any of them the newest");
    assert_eq!(world.json(&["artifact", "list", "--kind", "model"]).as_array().map(Vec::len), Some(3));

    // Only what was not tried before is trained.
    let plan = world.fuseml(&["pipeline", "plan", "tune", "--input", "alphas=0.9,0.95"]).good().stdout();
    assert!(plan.contains("choose") && plan.contains("what has the highest accuracy once train-2 ended"), "{plan}");
    let alphas = ["run", "start", "tune", "--input", "alphas=0.9,0.95", "--wait"];
    world.fuseml(&alphas).good();
    insta::assert_snapshot!("tuned_again", explained(&world, "tune/2"));
    let varied = ["run", "start", "tune", "--param", "train.alpha=0.3"];
    assert!(world.fuseml(&varied).bad(2).stderr().contains("`alpha` of train is varied by `each`"));
    let twice = world.fuseml(&["run", "start", "tune", "--input", "alphas=1,1"]).bad(2);
    assert!(twice.stderr().contains("`alpha` has `1` twice"), "{}", twice.stderr());
    let shown = world.fuseml(&["template", "show", &tune]).good();
    insta::assert_snapshot!("tuning", format!("{}{}", shown.stderr(), shown.stdout()));
}

#[test]
fn a_model_that_is_not_better_and_data_of_the_same_schema_start_nothing() {
    let world = shop();
    world.fuseml(&["pipeline", "remove", "publish"]).good();
    fs::write(world.folder.path().join("listen.yaml"), LISTENING).expect("template");
    let add = |watch: &str| {
        let arguments = ["pipeline", "add", "listen.yaml", "--name", "listen", "--input", "model=model://*"];
        world.fuseml(&[&arguments[..], &["--watch", watch]].concat())
    };
    let refused = add("model=accuracy grows by much").bad(2).stderr();
    assert!(refused.contains("`accuracy grows by much` is nothing to watch"), "{refused}");
    add("model=accuracy rises by 0.1").good();
    let train = format!("{EXAMPLE}/tune.yaml");
    world.fuseml(&["pipeline", "add", &train, "--name", "tune", "--input", "code=code://*"]).good();
    push(&world, 0);
    let tune = |alphas: &str| {
        let alphas = format!("alphas={alphas}");
        world.fuseml(&["run", "start", "tune", "--input", &alphas, "--wait"]).good();
    };
    let heard = || world.json(&["run", "list", "--pipeline", "listen"]).as_array().map(Vec::len);
    assert_eq!(heard(), Some(1), "0.9 is the first");
    tune("0.95");
    tune("0.99");
    assert_eq!(heard(), Some(1), "0.95 and 0.99 are not 0.1 better");
    tune("1.0");
    assert_eq!(heard(), Some(2), "1.0 is, and it is compared with what it ran with last");
    let list = world.fuseml(&["pipeline", "list"]).good().stdout();
    assert!(list.contains("model changed in accuracy rises by 0.1"), "{list}");
}

const LISTENING: &str = "
schema_version: 1
name: listening
description: Publishes every new model
inputs: {model: {kind: model}}
steps: {publish: {run: {kind: publisher}, inputs: {model: '${inputs.model}'}}}
";

#[test]
fn a_template_that_cannot_work_says_where_and_why() {
    let world = World::without_server();
    let good = fs::read_to_string(format!("{EXAMPLE}/train-and-publish.yaml")).expect("template");
    let mut said = String::new();
    for (from, to) in [
        ("retry: {attempts: 2", "retry: {attempts: 1"),
        ("retry: {attempts: 2", "retry: {tries: 2"),
        ("    after: [train]\n    when", "    after: [publish]\n    when"),
        ("accuracy > 0.3", "accuracy > "),
        ("${steps.train.model}', where", "${steps.train.model}', in"),
        ("runs: on-failure", "runs: on-failure\n    inputs: {model: '${steps.train.model}'}"),
        ("after: [review]", "after: [reviews]"),
        ("approve: {message", "inputs: {x: '${inputs.code}'}\n    approve: {message"),
        ("run: {kind: alarm}", "run: {kind: alarm}\n    reuse: never"),
    ] {
        let text = good.replace(from, to);
        assert_ne!(text, good, "{from}");
        fs::write(world.folder.path().join("t.yaml"), text).expect("template");
        said += &world.fuseml(&["template", "check", "t.yaml"]).bad(2).stderr();
    }
    insta::assert_snapshot!("unsound", said);
    fs::write(world.folder.path().join("t.yaml"), good).expect("template");
    world.fuseml(&["template", "check", "t.yaml"]).good();
    let explain = |place: &[&str]| {
        let said = world.fuseml(&[&["template", "explain"], place].concat()).good();
        format!("{}{}", said.stderr(), said.stdout())
    };
    insta::assert_snapshot!(
        "template_explained",
        explain(&[]) + &explain(&["steps.wait"]) + &explain(&["steps.reuse"])
    );
    let unknown = world.fuseml(&["template", "explain", "steps.wait.what"]).bad(3).stderr();
    assert!(unknown.contains("`steps.wait` has no field `what`; there is artifact, event, new, where"), "{unknown}");
    let shown = world.fuseml(&["template", "show", "t.yaml"]).good();
    insta::assert_snapshot!("template", format!("{}{}", shown.stderr(), shown.stdout()));
}

#[test]
fn what_a_push_would_start_is_said_before_it_and_nothing_of_it_stays() {
    let world = shop();
    let example = |name: &str| format!("{EXAMPLE}/{name}.yaml");
    let dry_run = || {
        let said = world.fuseml(&["codeset", "push", "app", "--dry-run"]).good();
        world.steady(&format!("{}{}", said.stderr(), said.stdout()))
    };
    let announce = "{schema_version: 1, name: announce, description: d, inputs: {model: {kind: model}},
        steps: {publish: {run: {kind: publisher}, inputs: {model: '${inputs.model}'}}}}";
    fs::write(world.folder.path().join("announce.yaml"), announce).expect("written");
    world.fuseml(&["pipeline", "add", "announce.yaml", "--name", "announce", "--input", "model=model://*"]).good();
    insta::assert_snapshot!("dry_run_of_new_code", dry_run());
    assert_eq!(world.json(&["codeset", "list"]), serde_json::json!([]), "it is not there");
    world.fuseml(&["codeset", "show", "app"]).bad(3);

    push(&world, 8);
    world.fuseml(&["run", "approve", "publish/1", "--wait"]).good();
    let unchanged = dry_run();
    assert!(unchanged.contains("Nothing changed since the last push."), "{unchanged}");
    world.code("app", &[("README.md", "An app that says more.\n")]);
    insta::assert_snapshot!("dry_run_of_what_is_not_watched", dry_run());
    world.code("app", &[("train.py", "print('another model')\n")]);
    insta::assert_snapshot!("dry_run_of_changed_code", dry_run());
    let plan = world.json(&["codeset", "push", "app", "--dry-run"]);
    assert_eq!(plan["plans"][0]["steps"][0]["prospect"], "runs", "{plan}");

    let watching = ["--name", "docs", "--input", "code=code://*", "--watch", "code=docs/**"];
    world.fuseml(&[&["pipeline", "add", &example("train-and-publish")][..], &watching].concat()).good();
    push(&world, 8);
    world.code("app", &[("train.py", "print('a third model')\n")]);
    // Both pipelines trained at once: of which of them the last result is, is chance.
    insta::assert_snapshot!("dry_run_with_what_would_not_start", dry_run().replace("(in publish/1)", "(in publish/2)"));
    assert_eq!(world.json(&["run", "list"]).as_array().map(Vec::len), Some(5), "dry runs started nothing");
}

#[test]
fn a_pipeline_that_comes_back_counts_on() {
    let world = shop();
    push(&world, 8);
    world.fuseml(&["run", "cancel", "publish/1"]).good();
    world.fuseml(&["pipeline", "remove", "publish"]).good();
    let template = format!("{EXAMPLE}/train-and-publish.yaml");
    world.fuseml(&["pipeline", "add", &template, "--name", "publish", "--input", "code=code://*"]).good();

    world.code("app", &[("train.py", "print('another model')\n")]);
    assert!(push(&world, 8).contains("publish/2"));
}

#[test]
fn a_pipeline_moves_to_another_template_says_what_it_was_and_comes_back() {
    let world = shop();
    push(&world, 8);
    world.fuseml(&["run", "reject", "publish/1", "--wait"]).bad(7);
    let file = world.folder.path().join("next.yaml");
    let template = fs::read_to_string(format!("{EXAMPLE}/train-and-publish.yaml")).expect("template");
    let shorter = template.replace("by: [ada, grace]", "by: [alan]");
    assert_ne!(shorter, template);
    fs::write(&file, shorter).expect("written");

    let moved = |arguments: &[&str]| {
        let said = world.fuseml(&[&["pipeline", "update", "publish"], arguments].concat()).good();
        world.steady(&said.stderr())
    };
    insta::assert_snapshot!(
        "moved",
        moved(&["--template", "next.yaml", "--param", "train.alpha=0.7", "--reason", "alan knows better"])
    );
    assert!(moved(&["--param", "train.alpha=0.7"]).contains("it stays version 2"));
    moved(&["--schedule", "0 3 * * *", "--concurrency", "queue"]);
    // Who began with an older version changes nothing.
    let place = format!("{}/api/v1/projects/shop/pipelines/publish", world.url());
    let stale = serde_json::json!({"of_version": 1, "parameters": {"train": {"alpha": "9"}}, "by": "grace"});
    let (status, problem) = world.http(reqwest::Method::PATCH, &place, Some(stale));
    assert_eq!((status, &problem["title"]), (409, &"stale-pipeline".into()), "{problem}");

    // The same inputs as it was then, and as it is now.
    world.fuseml(&["run", "rerun", "publish/1", "--wait"]).bad(8);
    assert_eq!(
        world.json(&["run", "show", "publish/2"])["template"]["steps"][1]["by"],
        serde_json::json!(["ada", "grace"])
    );
    world.fuseml(&["run", "cancel", "publish/2"]).good();
    world.fuseml(&["run", "rerun", "publish/1", "--current", "--wait"]).bad(8);
    let current = world.json(&["run", "show", "publish/3"]);
    assert_eq!(
        (&current["version"], &current["parameters"]["train"]["alpha"]),
        (&3.into(), &"0.7".into()),
        "{current}"
    );
    world.fuseml_with(&[("USER", "alan")], &["run", "approve", "publish/3", "--wait"]).good();

    insta::assert_snapshot!("moved_back", moved(&["--as-version", "1"]));
    insta::assert_snapshot!(
        "history",
        world.steady(&world.fuseml(&["pipeline", "history", "publish"]).good().stdout())
    );
    world.fuseml(&["pipeline", "update", "publish", "--as-version", "9"]).bad(3);
    world.fuseml(&["pipeline", "update", "publish", "--input", "code=model://*"]).bad(2);
}

#[test]
fn a_template_is_a_part_of_another_and_its_steps_run_in_its_place() {
    let world = shop();
    world.fuseml(&["pipeline", "remove", "publish"]).good();
    let write = |name: &str, text: &str| fs::write(world.folder.path().join(name), text).expect("written");
    let part = fs::read_to_string(format!("{EXAMPLE}/training.yaml")).expect("template");
    fs::create_dir(world.folder.path().join("parts")).expect("folder");
    write("parts/training.yaml", &part);
    let whole = "{schema_version: 1, name: release, description: Trains and publishes, inputs: {src: {kind: codeset}},
        steps: {
          make: {template: parts/training.yaml, inputs: {code: '${inputs.src}'}, parameters: {train.alpha: '0.7'}},
          publish: {run: {kind: publisher}, inputs: {model: '${steps.make.model}'}}},
        outputs: {model: {kind: model, from: '${steps.make.model}'}}}";
    write("release.yaml", whole);
    world.fuseml(&["template", "check", "release.yaml"]).good();

    world.fuseml(&["pipeline", "add", "release.yaml", "--name", "release", "--input", "src=code://*"]).good();
    let shown = world.fuseml(&["pipeline", "show", "release"]).good().stdout();
    insta::assert_snapshot!("parts", world.steady(&shown));
    let said = world.steady(&push(&world, 0));
    assert!(said.contains("make-train") && said.contains("publish"), "{said}");

    // What the part does not give, and a part that is not there, are refused before anything is added.
    write("wrong.yaml", &whole.replace("steps.make.model}'}}}", "steps.make.url}'}}}"));
    let wrong = world.fuseml(&["pipeline", "add", "wrong.yaml", "--name", "wrong", "--input", "src=code://*"]).bad(2);
    assert!(wrong.stderr().contains("make gives model"), "{}", wrong.stderr());
    write("gone.yaml", &whole.replace("parts/training.yaml", "nothing-installed"));
    world.fuseml(&["pipeline", "add", "gone.yaml", "--name", "gone", "--input", "src=code://*"]).bad(3);
    assert_eq!(world.json(&["pipeline", "list"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn whoever_follows_a_run_is_told_of_each_move_and_misses_nothing_that_was_before() {
    let world = shop();
    push(&world, 8);
    let path = format!("{}/api/v1/projects/shop/runs/publish/1/events", world.url());
    let follow = |known: Option<&str>| {
        let client = reqwest::blocking::Client::builder().timeout(None).build().expect("client");
        let request = client.get(&path).bearer_auth(world.token());
        let request = known.into_iter().fold(request, |request, known| request.header("Last-Event-ID", known));
        let answer = request.send().expect("answer");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        answer
    };
    // It asks a person: what is now is told at once, and the rest once somebody answers.
    let told = std::thread::spawn({
        let answer = follow(None);
        move || answer.text().expect("events")
    });
    world.fuseml(&["run", "approve", "publish/1"]).good();
    let told = told.join().expect("told");
    let of = |name: &str| -> Vec<String> {
        told.lines().filter_map(|line| line.strip_prefix(name)).map(|it| it.trim().to_owned()).collect()
    };
    let states: Vec<serde_json::Value> = of("data:").iter().map(|it| serde_json::from_str(it).expect("JSON")).collect();
    let revisions: Vec<u64> = of("id:").iter().map(|id| id.parse().expect("number")).collect();
    assert!(states.len() >= 2 && revisions.is_sorted(), "{told}");
    assert_eq!(states[0]["steps"][1]["state"], "awaiting-approval");
    assert_eq!(states.last().map(|run| run["state"].clone()), Some("succeeded".into()));

    // Whoever comes back after its end is told how it ended, and no more.
    let last = revisions.last().expect("revision").to_string();
    let again = follow(Some(&last)).text().expect("events");
    assert_eq!(again.matches("event: run").count(), 1, "{again}");
    let unknown =
        reqwest::blocking::Client::new().get(path.replace("publish/1", "publish/9")).bearer_auth(world.token());
    assert_eq!(unknown.send().expect("answer").status(), 404);
}

#[test]
fn the_last_of_several_pushes_counts_and_a_pipeline_starts_by_itself_only_so_often() {
    let world = shop();
    let template = format!("{EXAMPLE}/training.yaml");
    let add = |name: &str, more: &[&str]| {
        let arguments = ["pipeline", "add", &template, "--name", name, "--input", "code=code://*"];
        world.fuseml(&[&arguments[..], more].concat())
    };
    world.fuseml(&["pipeline", "remove", "publish"]).good();
    add("last", &["--debounce", "20s"]).good();
    add("rare", &["--at-most", "1/24h"]).good();
    insta::assert_snapshot!("held_back", world.fuseml(&["pipeline", "list"]).good().stdout());
    add("wrong", &["--at-most", "many"]).bad(2);

    for text in ["one", "two", "three"] {
        world.code("app", &[("train.py", text)]);
        world.fuseml(&["codeset", "push", "app"]).good();
    }
    // Another codeset is none of their like.
    world.code("other", &[("train.py", "other")]);
    let other = world.fuseml(&["codeset", "push", "other"]).good();
    assert!(other.stderr().contains("code://shop/other"), "{}", other.stderr());
    let runs = || world.json(&["run", "list"]).as_array().expect("runs").clone();
    until("all have ended", || {
        let runs = runs();
        runs.len() == 5 && runs.iter().all(|run| ["succeeded", "cancelled"].contains(&run["state"].as_str().unwrap()))
    });
    let ended = |pipeline: &str| -> Vec<String> {
        let mut of = runs().into_iter().filter(|run| run["pipeline"] == pipeline).collect::<Vec<_>>();
        of.sort_by_key(|run| run["number"].as_u64());
        of.iter().map(|run| run["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ended("last"), ["cancelled", "cancelled", "succeeded", "succeeded"]);
    assert_eq!(ended("rare"), ["succeeded"]);
    let why = explained(&world, "last/1");
    assert!(why.contains("overtaken: code://shop/app/[code] was pushed to main"), "{why}");

    world.code("app", &[("train.py", "four")]);
    world.fuseml(&["pipeline", "update", "last", "--debounce", "none"]).good();
    let said = world.fuseml(&["codeset", "push", "app", "--wait"]).good().stderr();
    assert!(said.contains("rare was not started: it may start 1 time within 24h, and did."), "{said}");
    // Whoever starts it by hand is not counted.
    world.fuseml(&["run", "start", "rare", "--wait"]).good();
}
