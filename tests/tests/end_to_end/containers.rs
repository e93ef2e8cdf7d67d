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

const DOCKERFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/extensions/rust-dockerfile");
const BUILT: &str = "
schema_version: 1
name: built
description: Builds an image and trains in it
inputs: {code: {kind: codeset}}
steps:
  build: {build: dockerfile, codeset: '${inputs.code}'}
  train: {run: '${steps.build.trainer}'}
outputs: {model: {kind: model, from: '${steps.train.model}'}}
";
const RUNNABLES: &str = r#"[
    {"name": "trainer", "kind": "trainer", "command": ["sh", "/train.sh"],
     "outputs": {"model": {"kind": "model", "path": "model"}},
     "parameters": {"alpha": {"type": "number", "default": "0.5"}}},
    {"name": "checker", "kind": "checker", "command": ["sh", "-c", "echo checked"]}]"#;
const TRAIN: &str = "mkdir -p model\necho \"alpha $ALPHA\" > model/alpha\necho trained with $ALPHA\n";

#[test]
fn code_with_a_dockerfile_becomes_an_image_that_is_kept_and_made_again_only_when_it_would_be_another() {
    let podman = Podman::new();
    let world = shop(&podman);
    world.fuseml(&["extension", "build", DOCKERFILE, "--out", "dockerfile"]).good();
    world.fuseml(&["extension", "install", "dockerfile", "--grant", "all"]).good();
    write(&world, "built.yaml", BUILT);
    world.fuseml(&["pipeline", "add", "built.yaml", "--name", "built", "--input", "code=code://*"]).good();
    let dockerfile = "FROM scratch\nCOPY root /\nCOPY train.sh /train.sh\n";
    world.code("app", &[("Dockerfile", dockerfile), ("runnables.json", RUNNABLES), ("train.sh", TRAIN)]);
    Podman::programs(&world.folder.path().join("app/root"));
    let push = || world.fuseml(&["codeset", "push", "app", "--wait"]).good();
    push();
    assert_eq!(world.fuseml(&["run", "logs", "built/1", "--step", "train"]).good().stdout(), "trained with 0.5\n");
    let image = |run: &str| {
        let run = world.json(&["run", "show", run]);
        let runnable = run["steps"][1]["runnable"].as_str().expect("runnable").to_owned();
        let shown = world.json(&["artifact", "show", &runnable]);
        shown["runnable"]["image"].as_str().unwrap_or_else(|| panic!("{shown}")).to_owned()
    };
    let first = image("built/1");
    assert!(first.starts_with("shop/runnable/trainer@sha256:"), "{first}");
    // Each runnable has it in its own repository, and the push itself registered nothing.
    let of = |name: &str| world.json(&["artifact", "search", &format!("kind = runnable and name = {name}")]);
    let (trainers, checkers) = (of("trainer"), of("checker"));
    assert_eq!(trainers.as_array().map(Vec::len), Some(1), "{trainers}");
    let checker = checkers[0]["runnable"]["image"].as_str().expect("image");
    assert_eq!(checker.replace("checker", "trainer"), first);

    // Another description of the same image: nothing is built.
    let tagged = podman.images().len();
    world.code("app", &[("runnables.json", &RUNNABLES.replace("0.5", "0.7"))]);
    push();
    let explained = world.fuseml(&["run", "explain", "built/2"]).good().stdout();
    assert!(explained.contains("environment reused: no file of the image changed"), "{explained}");
    assert_eq!((image("built/2"), podman.images().len()), (first.clone(), tagged));
    assert_eq!(world.fuseml(&["run", "logs", "built/2", "--step", "build"]).good().stdout(), "");

    // What the registry keeps is enough, also after what nothing names is collected.
    world.fuseml(&["store", "gc", "--older-than", "0s"]).good();
    podman.forget_images();
    world.fuseml(&["run", "rerun", "built/2", "--reuse", "off", "--wait"]).good();
    assert_eq!(world.fuseml(&["run", "logs", "built/3", "--step", "train"]).good().stdout(), "trained with 0.7\n");

    // Another file, another image; one that cannot be built says why.
    world.code("app", &[("train.sh", &TRAIN.replace("trained", "trained anew"))]);
    push();
    assert_ne!(image("built/4"), first);
    world.code("app", &[("Dockerfile", "FROM scratch\nCOPY nothing /\n")]);
    let failed = world.fuseml(&["codeset", "push", "app", "--wait"]).bad(7).stderr();
    assert!(failed.contains("the image could not be built: podman exited with code"), "{failed}");
    assert!(failed.contains("nothing"), "{failed}");
    assert_eq!(podman.containers(), [""; 0]);
}
