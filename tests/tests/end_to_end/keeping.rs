//! Artifacts that come into the catalog without a job: fetched, registered, copied into another project (S128).

use fuseml_tests::{Group, World, free_port, until};
use std::{fs, process::Command};

const PREPARE: &str = "
schema_version: 1
name: prepare
kind: prepare
command: [sh, -c, 'mkdir out; head -n 2 rows/* > out/rows.csv']
inputs: {rows: {kind: dataset, path: rows}}
outputs: {few: {kind: dataset, path: out}}
";
const TRAIN: &str = "
schema_version: 1
name: train
kind: train
command: [sh, -c, 'mkdir model; cp data/* model/']
inputs: {data: {kind: dataset, path: data}}
outputs: {model: {kind: model, path: model}}
";
const RELEASE: &str = "
schema_version: 1
name: release
description: From the archive to production
inputs: {year: {type: integer}}
steps:
  rows:
    fetch: {endpoint: archive, path: 'rows/${inputs.year}.csv', kind: dataset, name: 'rows-${inputs.year}', labels: {from: archive}}
  prepare: {run: {kind: prepare}, inputs: {rows: '${steps.rows.artifact}'}, anonymous: true}
  train: {run: {kind: train}, inputs: {data: '${steps.prepare.few}'}}
  keep:
    register: {artifact: '${steps.prepare.few}', name: 'few-${inputs.year}', labels: {year: '${inputs.year}'}, tags: [golden]}
    after: [train]
  mark:
    register: {artifact: '${steps.train.model}', labels: {stage: candidate}, tags: ['y${inputs.year}']}
    after: [keep]
  promote:
    copy: {artifact: '${steps.train.model}', project: production, name: wine, tags: [live]}
    after: [mark]
outputs:
  model: {kind: model, from: '${steps.promote.artifact}'}
";
const CHECKED: &str = "
schema_version: 1
name: checked
description: d
steps:
  rows: {fetch: {endpoint: archive, path: rows/2026.csv, kind: dataset, name: rows, sha256: SHA}}
  train: {run: {kind: train}}
";
const ARRIVED: &str = "
schema_version: 1
name: release
description: Called as the one that it came from
inputs: {model: {kind: model}}
steps: {look: {run: {kind: look}, inputs: {model: '${inputs.model}'}}}
";
const LOOK: &str = "
schema_version: 1
name: look
kind: look
command: [sh, -c, 'cat model/*']
inputs: {model: {kind: model, path: model}}
";

struct Shop {
    world: World,
    _archive: Group,
}

impl Shop {
    /// Two projects, and an archive that is served over HTTP.
    fn new() -> Self {
        let (world, port) = (World::new(), free_port());
        for project in ["shop", "production"] {
            world.fuseml(&["project", "create", project]).good();
        }
        world.fuseml(&["project", "set", "shop"]).good();
        let folder = world.folder.path().to_owned();
        fs::create_dir_all(folder.join("archive/rows")).expect("folder");
        fs::write(folder.join("archive/rows/2026.csv"), "a,1\nb,2\nc,3\n").expect("rows");
        let mut serve = Command::new("python3");
        serve.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]);
        serve.current_dir(folder.join("archive"));
        let archive = Group::start(&mut serve, &folder.join("archive.log"));
        let url = format!("http://127.0.0.1:{port}/");
        until("the archive answers", || reqwest::blocking::get(&url).is_ok());
        world.fuseml(&["endpoint", "add", "archive", &url]).good();
        let shop = Self { world, _archive: archive };
        for (file, text) in [("prepare.yaml", PREPARE), ("train.yaml", TRAIN)] {
            shop.write(file, text);
            shop.world.fuseml(&["runnable", "register", file]).good();
        }
        shop
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.world.folder.path().join(file), text).expect("file");
    }

    fn add(&self, text: &str, more: &[&str]) {
        self.write("template.yaml", text);
        let name = text.lines().find_map(|line| line.strip_prefix("name: ")).expect("name");
        self.world.fuseml(&[&["pipeline", "add", "template.yaml", "--name", name], more].concat()).good();
    }
}

#[test]
fn what_is_fetched_is_trained_on_registered_and_copied_to_where_it_starts_something_else() {
    let shop = Shop::new();
    let world = &shop.world;
    shop.write("look.yaml", LOOK);
    world.fuseml(&["--project", "production", "runnable", "register", "look.yaml"]).good();
    shop.add(ARRIVED, &["--input", "model=model://production/wine@live", "--project", "production"]);
    shop.add(RELEASE, &["--input", "year=2026"]);
    let planned = world.fuseml(&["pipeline", "plan", "release"]).good();
    insta::assert_snapshot!("planned", world.steady(&format!("{}{}", planned.stderr(), planned.stdout())));
    let shown = world.fuseml(&["template", "show", "template.yaml"]).good().stdout();
    assert!(shown.contains("copies ${steps.train.model} to production as wine"), "{shown}");

    let run = world.fuseml(&["run", "start", "release", "--wait"]).good();
    insta::assert_snapshot!("kept", world.steady(&run.stderr()));

    let datasets = world.fuseml(&["dataset", "list"]).good().stdout();
    assert!(datasets.contains("rows-2026") && datasets.contains("few-2026"), "{datasets}");
    let few = world.json(&["artifact", "show", "data://shop/few-2026@golden"]);
    assert_eq!((few["labels"]["year"].as_str(), few["store"]["kind"].as_str()), (Some("2026"), Some("built-in")));
    world.fuseml(&["artifact", "verify", "data://shop/few-2026"]).good();
    let lineage = world.fuseml(&["lineage", "data://shop/few-2026"]).good().stdout();
    assert!(lineage.contains("data://shop/rows-2026") && lineage.contains("runnable://shop/prepare/"), "{lineage}");
    let model = world.json(&["run", "show", "release/1"])["steps"][2]["outputs"]["model"]["artifact"].clone();
    let model = world.json(&["artifact", "show", model.as_str().expect("address")]);
    assert_eq!((model["labels"]["stage"].as_str(), model["tags"][0].as_str()), (Some("candidate"), Some("y2026")));
    let history = world.fuseml(&["artifact", "history", model["address"].as_str().expect("address")]).good().stdout();
    assert!(history.contains("release/1, step mark"), "{history}");

    // In production it is an artifact like others: it started what listens there, although that has the same name.
    let there = ["--project", "production"];
    until("the pipeline of production ends", || {
        world.json(&[&there[..], &["run", "list"]].concat())[0]["state"] == "succeeded"
    });
    let log = world.fuseml(&[&there[..], &["run", "logs", "release/1"]].concat()).good().stdout();
    assert_eq!(log, "a,1\nb,2\n");
    let copy = world.json(&[&there[..], &["artifact", "show", "model://production/wine@live"]].concat());
    assert_eq!((&copy["origin"]["run"], &copy["origin"]["project"]), (&"release/1".into(), &"shop".into()));
    let verified = world.fuseml(&["artifact", "verify", copy["address"].as_str().expect("address")]).good();
    assert!(verified.stderr().contains("release/1"), "{}", verified.stderr());
    let caused = world.json(&[&there[..], &["run", "show", "release/1"]].concat())["cause"]["reason"].to_string();
    assert!(caused.contains("was made by release/1 of shop"), "{caused}");
    let lineage = world.fuseml(&["lineage", copy["address"].as_str().expect("address")]).good().stdout();
    assert!(lineage.contains("model://shop/"), "it says where it came from: {lineage}");

    // Whoever waits is shown what follows there, too.
    shop.write(
        "look-at.yaml",
        &LOOK.replace("look", "look-at").replace("kind: model, path: model", "kind: dataset, path: model"),
    );
    world.fuseml(&[&there[..], &["runnable", "register", "look-at.yaml"]].concat()).good();
    let look = "{schema_version: 1, name: looking, description: d, inputs: {rows: {kind: dataset}},
        steps: {look: {run: {kind: look-at}, inputs: {model: '${inputs.rows}'}}}}";
    shop.write("looking.yaml", look);
    let add = ["pipeline", "add", "looking.yaml", "--name", "looking", "--input", "rows=data://*"];
    world.fuseml(&[&there[..], &add].concat()).good();
    shop.write(
        "handing.yaml",
        "{schema_version: 1, name: handing, description: d, inputs: {rows: {kind: dataset}},
          steps: {hand: {copy: {artifact: '${inputs.rows}', project: production}}}}",
    );
    world.fuseml(&["pipeline", "add", "handing.yaml", "--name", "handing", "--input", "rows=data://shop/table"]).good();
    shop.write("table.csv", "x,1\n");
    let pushed = world.fuseml(&["dataset", "push", "table.csv", "--wait"]).good().stderr();
    insta::assert_snapshot!("handed", world.steady(&pushed));

    // Done again it is the same.
    world.fuseml(&["run", "start", "release", "--wait"]).good();
    let models = world.json(&[&there[..], &["artifact", "list", "--kind", "model"]].concat());
    assert_eq!(models.as_array().map(Vec::len), Some(1), "{models}");
}

#[test]
fn what_cannot_be_kept_says_why_and_leaves_nothing() {
    let shop = Shop::new();
    let world = &shop.world;
    shop.add(&CHECKED.replace("SHA", &"0".repeat(64)), &[]);
    let failed = world.fuseml(&["run", "start", "checked", "--wait"]).bad(7).stderr();
    assert!(failed.contains("what came from archive is sha256:"), "{failed}");
    let said = failed.split("is sha256:").nth(1).and_then(|rest| rest.split(',').next()).expect("digest").to_owned();
    shop.write("right.yaml", &CHECKED.replace("SHA", &said).replace("name: checked", "name: right"));
    world.fuseml(&["pipeline", "add", "right.yaml", "--name", "right"]).good();
    world.fuseml(&["run", "start", "right", "--wait"]).good();
    let all = || world.json(&["artifact", "list"]).as_array().map(Vec::len);
    assert_eq!(all(), Some(4), "two runnables, a dataset and the model that was made of it without anybody saying so");

    for (name, step, says) in [
        ("missing", "fetch: {endpoint: archive, path: rows/1999.csv, kind: dataset, name: rows}", "answered 404"),
        ("up", "fetch: {endpoint: archive, path: ../secret, kind: dataset, name: rows}", "does not lead below"),
        ("nowhere", "fetch: {endpoint: nobody, kind: dataset, name: rows}", "nobody"),
        (
            "nameless",
            "fetch: {endpoint: archive, path: rows/2026.csv, kind: dataset, name: 'A${steps.rows.artifact}'}",
            "is not a name",
        ),
        ("mars", "copy: {artifact: '${steps.rows.artifact}', project: mars}", "there is no project mars"),
        ("tag", "register: {artifact: '${steps.rows.artifact}', tags: ['${steps.rows.artifact}']}", "is not a name"),
        ("renamed", "register: {artifact: '${steps.rows.artifact}', name: other}", "is registered already, as rows"),
    ] {
        let rows = "rows: {fetch: {endpoint: archive, path: rows/2026.csv, kind: dataset, name: rows}}";
        let text = format!("schema_version: 1\nname: {name}\ndescription: d\nsteps:\n  {rows}\n  it: {{{step}}}\n");
        shop.add(&text, &[]);
        let failed = world.fuseml(&["run", "start", name, "--wait"]).bad(7).stderr();
        assert!(failed.contains(says), "{name}: {failed}");
    }
    assert_eq!(all(), Some(4));
    for (step, says) in [
        ("fetch: {endpoint: archive, kind: codeset, name: rows}", "not fetched as a file"),
        ("copy: {artifact: '${inputs.year}', project: production}", "is a value"),
        ("register: {artifact: '${steps.rows.artifact}', labels: {'a=b': x}}", "`a=b` is no name of a label"),
        ("register: {artifact: '${steps.rows.artifact}', tags: ['A B']}", "is not a name"),
        ("fetch: {endpoint: archive, kind: dataset, name: rows, sha256: abc}", "abc"),
        ("register: {artifact: '${steps.it.artifact}'}", "waits for itself"),
        ("wait: {artifact: '${steps.it.artifact}', where: 'tag = live'}", "waits for itself"),
        ("register: {artifact: '${steps.rows.model}'}", "what is kept is the output `artifact`"),
    ] {
        let rows = "rows: {fetch: {endpoint: archive, kind: dataset, name: rows}}";
        let text = format!(
            "schema_version: 1\nname: t\ndescription: d\ninputs: {{year: {{type: integer}}}}\nsteps:\n  {rows}\n  it: {{{step}}}\n"
        );
        shop.write("wrong.yaml", &text);
        let refused = world.fuseml(&["template", "check", "wrong.yaml"]).bad(2).stderr();
        assert!(refused.contains(says), "{refused}");
    }
}
