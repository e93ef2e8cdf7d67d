//! Jobs on the engine of an extension: a real Ray cluster (S73, S115).

use fuseml_tests::{Ray, World, tool, until};
use reqwest::Method;
use std::fs;

const APPROVAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pipelines/approval");
const EXTENSION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/extensions/rust-ray-jobs");

/// One template, wherever its job runs.
const TRAINING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pipelines/approval/training.yaml");
/// Says that it began, and goes on for longer than anybody waits.
const ENDLESS: &str = "
schema_version: 1
name: endless
kind: endless
command: [sh, -c, 'echo begun; sleep 600']
";
/// Long enough for a server to be killed meanwhile.
const PATIENT: &str = "
schema_version: 1
name: patient
kind: patient
command: [python3, patient.py]
scripts: {patient.py: patient.py}
outputs: {out: {kind: dataset, path: out}}
";

const SCRIPT: &str = "
import fuseml, time
print('begun', flush=True)
time.sleep(5)
(fuseml.output() / 'said').write_text('done')
fuseml.log_metric('waited', 5)
";

/// A project with the example's code and trainer, and a cluster under the name `ray-jobs`.
fn shop(ray: &Ray) -> World {
    shop_in(World::new(), ray, &[])
}

fn shop_in(world: World, ray: &Ray, more: &[&str]) -> World {
    world.fuseml(&["extension", "build", EXTENSION, "--out", "ray-jobs"]).good();
    let endpoint = format!("endpoint={}", ray.url);
    let install = ["extension", "install", "ray-jobs", "--grant", "all", "--set", &endpoint];
    world.fuseml(&[&install[..], more].concat()).good();
    world.fuseml(&["project", "create", "shop"]).good();
    world.fuseml(&["project", "set", "shop"]).good();
    world.fuseml(&["runnable", "register", &format!("{APPROVAL}/trainer.yaml")]).good();
    world
}

fn write(world: &World, file: &str, text: &str) {
    fs::write(world.folder.path().join(file), text).expect("file");
}

/// A pipeline of one step on the cluster.
fn on_ray(world: &World, name: &str, runnable: &str) {
    write(world, "runnable.yaml", runnable);
    world.fuseml(&["runnable", "register", "runnable.yaml"]).good();
    let text = format!(
        "schema_version: 1\nname: {name}\ndescription: d\nsteps: {{it: {{run: {{kind: {name}}}, agent: ray-jobs}}}}\n"
    );
    write(world, "pipeline.yaml", &text);
    world.fuseml(&["pipeline", "add", "pipeline.yaml", "--name", name]).good();
}

/// What the cluster says of its jobs.
fn jobs(ray: &Ray) -> Vec<String> {
    let jobs =
        reqwest::blocking::get(format!("{}/api/jobs/", ray.url)).and_then(|answer| answer.json::<serde_json::Value>());
    let jobs = jobs.expect("jobs");
    jobs.as_array().expect("list").iter().map(|job| job["status"].as_str().expect("status").to_owned()).collect()
}

#[test]
fn one_template_gives_the_same_as_processes_and_on_a_cluster() {
    let ray = Ray::start();
    let world = shop(&ray);
    let add = |name: &str, more: &[&str]| {
        let arguments = ["pipeline", "add", TRAINING, "--name", name, "--input", "code=code://*"];
        world.fuseml(&[&arguments[..], more].concat())
    };
    assert!(add("wrong", &["--agent", "nobody"]).bad(3).stderr().contains("nobody"));
    assert!(add("wrong", &["--agent", "serve=ray-jobs"]).bad(2).stderr().contains("it has train"));
    add("here", &[]).good();
    world.code("app", &[("train.py", "print('a model')\n")]);
    world.fuseml(&["codeset", "push", "app", "--wait"]).good();
    add("there", &["--agent", "ray-jobs"]).good();

    // What a process made is what the cluster would make.
    world.fuseml(&["run", "start", "there", "--wait"]).good();
    let reused = world.fuseml(&["run", "explain", "there/1"]).good().stdout();
    assert!(reused.contains("reused from here/1, step train") && jobs(&ray).is_empty(), "{reused}");
    world.fuseml(&["run", "rerun", "there/1", "--reuse", "off", "--wait"]).good();
    until("what ended is removed from the cluster", || jobs(&ray).is_empty());
    let model = |run: &str| world.json(&["run", "show", run])["outputs"]["model"]["artifact"].clone();
    assert_eq!(model("here/1"), model("there/2"));
    let log = world.fuseml(&["run", "logs", "there/2"]).good().stdout();
    assert!(log.contains("training with alpha 0.5"), "{log}");

    let failed = world.fuseml(&["run", "start", "there", "--param", "train.alpha=0", "--wait"]).bad(7).stderr();
    assert!(failed.contains("exited with code 1"), "{failed}");
    let log = world.fuseml(&["run", "logs", "there/3"]).good().stdout();
    assert!(log.contains("alpha must not be 0"), "{log}");

    // What a job needs is the cluster's to judge, not this machine's.
    let text = fs::read_to_string(TRAINING).expect("template");
    let needy = text.replace("{kind: trainer}}", "{kind: trainer}, resources: {cpu: 64, requires: gpu=a100}}");
    assert_ne!(needy, text);
    write(&world, "needy.yaml", &needy);
    let needy = ["pipeline", "add", "needy.yaml", "--name", "needy", "--input", "code=code://*", "--agent", "ray-jobs"];
    world.fuseml(&needy).good();
    let failed = world.fuseml(&["run", "start", "needy", "--reuse", "off", "--wait"]).bad(7).stderr();
    assert!(failed.contains("ray-jobs cannot run it: nothing says that the cluster has `gpu=a100`"), "{failed}");
}

#[test]
fn a_job_on_a_cluster_ends_when_its_run_does_and_goes_on_when_the_server_dies() {
    let ray = Ray::start();
    let mut world = shop(&ray);
    on_ray(&world, "endless", ENDLESS);
    write(&world, "patient.py", SCRIPT);
    on_ray(&world, "patient", PATIENT);
    let says_begun = |world: &World, run: &str| world.fuseml(&["run", "logs", run]).good().stdout().contains("begun");

    world.fuseml(&["run", "start", "endless"]).good();
    until("it has begun", || says_begun(&world, "endless/1"));
    let (work, token) = its_token_opens_nothing_else(&world);
    world.fuseml(&["run", "cancel", "endless/1"]).good();
    until("it is cancelled", || world.json(&["run", "show", "endless/1"])["state"] == "cancelled");
    until("nothing of it is left", || jobs(&ray).is_empty());
    assert_eq!(ask(&world, Method::GET, &work, &token), 403, "it has ended");

    world.fuseml(&["run", "start", "patient"]).good();
    until("it has begun", || says_begun(&world, "patient/1"));
    let url = world.url();
    world.kill();
    world.start_again(&url);
    until("the run ends", || world.json(&["run", "show", "patient/1"])["state"] != "running");
    let run = world.json(&["run", "show", "patient/1"]);
    assert_eq!((&run["state"], &run["steps"][0]["attempt"]), (&"succeeded".into(), &1.into()), "{run}");
    let out = run["steps"][0]["outputs"]["out"]["artifact"].as_str().expect("out");
    assert_eq!(world.json(&["artifact", "show", out])["metrics"]["waited"], 5.0);
    let begun = world.fuseml(&["run", "logs", "patient/1"]).good().stdout().matches("begun").count();
    assert_eq!(begun, 1, "it was submitted once");
}

fn ask(world: &World, method: Method, path: &str, token: &str) -> u16 {
    let request = reqwest::blocking::Client::new().request(method, format!("{}{path}", world.url()));
    request.bearer_auth(token).body("{}").send().expect("answer").status().as_u16()
}

/// Tries what the only workload's token opens; answers its work and the token.
fn its_token_opens_nothing_else(world: &World) -> (String, String) {
    let folder = fs::read_dir(world.data().join("agents/engines/workloads")).expect("folder");
    let folder = folder.flatten().next().expect("a workload").path();
    let key = folder.file_name().and_then(|name| name.to_str()).expect("key").to_owned();
    let spec: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("spec.json")).expect("spec")).expect("JSON");
    let token = spec["token"].as_str().expect("token").to_owned();

    let get = |path: &str, token: &str| ask(world, Method::GET, path, token);
    let work = format!("/work/{key}");
    assert_eq!(get(&work, &token), 200);
    assert_eq!(get(&work, "guess"), 403);
    assert_eq!(get("/work/other.it", &token), 403);
    assert_eq!(get("/api/v1/projects", &token), 401);
    for path in ["/files/elsewhere", "/files/..%2fspec.json", "/files//etc/passwd"] {
        assert!(matches!(ask(world, Method::PUT, &format!("{work}{path}"), &token), 400 | 403 | 404 | 422), "{path}");
    }
    assert_eq!(get(&format!("{work}/inputs/code/x"), &token), 404);
    (work, token)
}

const WHERE: &str = "
schema_version: 1
name: where
kind: where
command: [sh, -c, 'mkdir out; if env | grep -q ^RAY_; then echo cluster; else echo server; fi > out/place']
outputs: {out: {kind: dataset, path: out}}
parameters: {n: {type: integer, default: 0}}
";
const SEGMENTS: &str = "
schema_version: 1
name: segments
description: Prepared in the office, trained in the laboratory
steps:
  prepare: {run: {kind: where}, parameters: {n: '1'}, zone: office}
  train: {run: {kind: where}, parameters: {n: '2'}, zone: lab, after: [prepare]}
";

#[test]
fn segments_of_a_pipeline_go_to_the_zones_that_they_name() {
    let ray = Ray::start();
    let world = shop_in(World::in_zone("office"), &ray, &["--zone", "lab"]);
    // A tool in the same zone that runs nothing is no choice.
    let mlflow = tool("FUSEML_TEST_EXTENSION").display().to_string();
    world.fuseml(&["extension", "install", &mlflow, "--grant", "all", "--zone", "lab"]).good();
    write(&world, "where.yaml", WHERE);
    world.fuseml(&["runnable", "register", "where.yaml"]).good();
    write(&world, "segments.yaml", SEGMENTS);

    world.fuseml(&["pipeline", "add", "segments.yaml", "--name", "segments"]).good();
    world.fuseml(&["run", "start", "segments", "--wait"]).good();

    let run = world.json(&["run", "show", "segments/1"]);
    let place = |step: usize| {
        let address = run["steps"][step]["outputs"]["out"]["artifact"].as_str().expect("address").to_owned();
        let to = world.folder.path().join(format!("place-{step}"));
        world.fuseml(&["dataset", "pull", &address, to.to_str().expect("path")]).good();
        fs::read_to_string(to.join("place")).expect("place").trim().to_owned()
    };
    assert_eq!([place(0), place(1)], ["server", "cluster"]);

    // Where nothing is, and where it is not said which of two.
    write(&world, "nowhere.yaml", &SEGMENTS.replace("zone: lab", "zone: mars"));
    let refused = world.fuseml(&["pipeline", "add", "nowhere.yaml", "--name", "nowhere"]).bad(3).stderr();
    assert!(refused.contains("has zone mars"), "{refused}");
    let endpoint = format!("endpoint={}", ray.url);
    let another =
        ["extension", "add-instance", "ray-jobs", "other", "--grant", "all", "--zone", "lab", "--set", &endpoint];
    world.fuseml(&another).good();
    let refused = world.fuseml(&["pipeline", "add", "segments.yaml", "--name", "both"]).bad(5).stderr();
    assert!(refused.contains("zone lab fits other and ray-jobs"), "{refused}");
    let refused = world.fuseml(&["run", "start", "segments"]).bad(5).stderr();
    assert!(refused.contains("step train: zone lab fits"), "{refused}");
    world.fuseml(&["pipeline", "update", "segments", "--agent", "train=other"]).good();
    world.fuseml(&["run", "start", "segments", "--wait"]).good();
}
