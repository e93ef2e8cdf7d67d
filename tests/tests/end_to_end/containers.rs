//! Runnables that are images, run by podman (S20, S32–S34, S46).

use fuseml_tests::{Podman, World, until};
use std::fs;

const APPROVAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pipelines/approval");

/// One template, wherever its job runs.
const TRAINING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pipelines/approval/training.yaml");

fn shop(podman: &Podman) -> World {
    let world = World::with_podman(podman);
    world.fuseml(&["project", "create", "shop"]).good();
    world.fuseml(&["project", "set", "shop"]).good();
    world
}

fn write(world: &World, file: &str, text: &str) {
    fs::write(world.folder.path().join(file), text).expect("file");
}

/// A pipeline of one step that runs the only runnable of a kind.
fn pipeline_of(world: &World, kind: &str) {
    let text = format!("schema_version: 1\nname: {kind}\ndescription: d\nsteps: {{it: {{run: {{kind: {kind}}}}}}}\n");
    write(world, "pipeline.yaml", &text);
    world.fuseml(&["pipeline", "add", "pipeline.yaml", "--name", kind]).good();
}

#[test]
fn an_image_makes_of_the_same_template_what_a_process_makes() {
    let podman = Podman::new();
    let world = shop(&podman);
    // What its step takes is found when there is a trainer.
    world.fuseml(&["pipeline", "add", TRAINING, "--name", "training", "--input", "code=code://*"]).good();
    world.fuseml(&["runnable", "register", &format!("{APPROVAL}/trainer.yaml")]).good();
    world.code("app", &[("train.py", "print('a model')\n")]);
    world.fuseml(&["codeset", "push", "app", "--wait"]).good();

    // The same description with its script in an image: the newest trainer is that.
    let description = fs::read_to_string(format!("{APPROVAL}/trainer.yaml")).expect("trainer");
    let description = description
        .replace("name: trainer", "name: boxed")
        .replace("[sh, train.sh]", "[sh, /train.sh]")
        .replace("scripts: {train.sh: train.sh}\n", "");
    let script = fs::read_to_string(format!("{APPROVAL}/train.sh")).expect("script");
    podman.push(&world, "shop/runnable/boxed", &description, &[("train.sh", &script)]);
    world.fuseml(&["run", "start", "training", "--wait"]).good();

    let run = world.json(&["run", "show", "training/2"]);
    let ran = run["steps"][0]["runnable"].as_str().expect("runnable");
    assert!(ran.starts_with("runnable://shop/boxed/"), "{run}");
    let first = world.json(&["run", "show", "training/1"]);
    assert_eq!(run["outputs"]["model"], first["outputs"]["model"], "the same bytes");
    let log = world.fuseml(&["run", "logs", "training/2"]).good().stdout();
    assert_eq!(log, "training with alpha 0.5\n");
    assert_eq!(podman.containers(), [""; 0]);

    let failed = world.fuseml(&["run", "start", "training", "--param", "train.alpha=0", "--wait"]).bad(7).stderr();
    assert!(failed.contains("exited with code 1"), "{failed}");
}

#[test]
fn a_container_sees_its_own_work_alone_ends_with_its_run_and_goes_on_when_the_server_dies() {
    let podman = Podman::new();
    let mut world = shop(&podman);
    let secret = world.data().join("admin-token").display().to_string();
    let look = format!(
        "{{schema_version: 1, name: look, kind: look, command: [sh, -c, 'pwd; cat {secret} || echo nothing']}}"
    );
    podman.push(&world, "shop/runnable/look", &look, &[]);
    pipeline_of(&world, "look");
    world.fuseml(&["run", "start", "look", "--wait"]).good();
    let log = world.fuseml(&["run", "logs", "look/1"]).good().stdout();
    assert!(log.contains("/fuseml\n") && log.contains("nothing\n"), "{log}");

    let endless = "{schema_version: 1, name: endless, kind: endless, command: [sh, -c, 'echo begun; sleep 600']}";
    podman.push(&world, "shop/runnable/endless", endless, &[]);
    pipeline_of(&world, "endless");
    let has_begun = |world: &World, run: &str| {
        until("it has begun", || world.fuseml(&["run", "logs", run]).good().stdout().contains("begun"));
    };
    world.fuseml(&["run", "start", "endless"]).good();
    has_begun(&world, "endless/1");
    assert_eq!(podman.containers().len(), 1);
    world.fuseml(&["run", "cancel", "endless/1"]).good();
    until("it is cancelled", || world.json(&["run", "show", "endless/1"])["state"] == "cancelled");
    assert_eq!(podman.containers(), [""; 0], "nothing is left of it");

    let patient = "{schema_version: 1, name: patient, kind: patient, command: [sh, -c, 'echo begun; sleep 3; mkdir out; echo \
                   done > out/said'], outputs: {out: {kind: dataset, path: out}}}";
    podman.push(&world, "shop/runnable/patient", patient, &[]);
    pipeline_of(&world, "patient");
    world.fuseml(&["run", "start", "patient"]).good();
    has_begun(&world, "patient/1");
    world.kill();
    world.start();
    until("the run ends", || world.json(&["run", "show", "patient/1"])["state"] != "running");
    let run = world.json(&["run", "show", "patient/1"]);
    assert_eq!((&run["state"], &run["steps"][0]["attempt"]), (&"succeeded".into(), &1.into()), "{run}");

    // An image that nobody has is said to be that.
    let missing = format!("127.0.0.1:9/team/box@sha256:{}", "0".repeat(64));
    write(&world, "missing.yaml", "{schema_version: 1, name: missing, kind: missing, command: [sh]}");
    world.fuseml(&["runnable", "register", "missing.yaml", "--image", &missing]).good();
    pipeline_of(&world, "missing");
    let said = world.fuseml(&["run", "start", "missing", "--wait"]).bad(7).stderr();
    assert!(said.contains("podman could not run it; the log says why"), "{said}");
}
