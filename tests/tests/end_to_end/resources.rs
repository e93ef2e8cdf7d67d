//! What jobs need of the machine, and when they may begin (S30–S31, S74).

use fuseml_tests::{World, until};
use std::fs;

/// Holds so much memory for a moment.
const GREEDY: &str = "
schema_version: 1
name: greedy
kind: greedy
command: [python3, -c, 'import time; held = bytearray(150 << 20); time.sleep(1); print(len(held))']
resources: {cpu: 0.5, memory: 64Mi}
";

fn shop() -> World {
    let world = World::new();
    world.fuseml(&["project", "create", "shop"]).good();
    world.fuseml(&["project", "set", "shop"]).good();
    fs::write(world.folder.path().join("greedy.yaml"), GREEDY).expect("file");
    world.fuseml(&["runnable", "register", "greedy.yaml"]).good();
    world
}

fn add(world: &World, name: &str, step: &str) {
    let text =
        format!("schema_version: 1\nname: {name}\ndescription: d\nsteps: {{it: {{run: {{kind: greedy}}, {step}}}}}\n");
    fs::write(world.folder.path().join("t.yaml"), text).expect("file");
    world.fuseml(&["pipeline", "add", "t.yaml", "--name", name]).good();
}

#[test]
fn a_job_has_what_it_says_it_needs_and_one_that_cannot_have_it_says_so_before_it_begins() {
    let world = shop();
    let shown = world.fuseml(&["runnable", "show", "greedy"]).good().stdout();
    assert!(shown.contains("64Mi"), "{shown}");
    add(&world, "as-said", "timeout: 1m");
    let killed = world.fuseml(&["run", "start", "as-said", "--wait"]).bad(7).stderr();
    insta::assert_snapshot!("killed", world.steady(&killed));

    add(&world, "enough", "resources: {memory: 1Gi}");
    world.fuseml(&["run", "start", "enough", "--wait"]).good();

    add(&world, "elsewhere", "resources: {gpu: 64, requires: gpu=a100}");
    let show = world.fuseml(&["pipeline", "show", "elsewhere"]).good().stdout();
    assert!(show.contains("with gpu 64, requires gpu=a100"), "{show}");
    let planned = world.fuseml(&["pipeline", "plan", "elsewhere"]).good().stdout();
    assert!(planned.contains("fail") && planned.contains("64 GPUs of"), "{planned}");
    let refused = world.fuseml(&["run", "start", "elsewhere", "--wait"]).bad(7).stderr();
    assert!(refused.contains("cannot give what it needs: 64 GPUs of") && refused.contains("gpu=a100"), "{refused}");

    let wrong = GREEDY.replace("memory: 64Mi", "memory: much");
    fs::write(world.folder.path().join("wrong.yaml"), wrong).expect("file");
    let refused = world.fuseml(&["runnable", "register", "wrong.yaml"]).bad(2).stderr();
    assert!(refused.contains("`much` is no `memory`; write 512Mi, 4Gi or 4G"), "{refused}");
}

#[test]
fn a_step_begins_in_its_window_unless_a_person_tells_it_to() {
    let world = shop();
    // Half a year ago or ahead, whenever this runs.
    let month = jiff::Zoned::now().month();
    let opens = (month + 5) % 12 + 1;
    add(&world, "nightly", &format!("resources: {{memory: 1Gi}}, window: {{opens: '0 3 1 {opens} * UTC', for: 2h}}"));
    let day = format!("-{opens:02}-01 03:00 UTC");
    let planned = world.fuseml(&["pipeline", "plan", "nightly"]).good().stdout();
    assert!(planned.contains("not before 20") && planned.contains(&day), "{planned}");

    world.fuseml(&["run", "start", "nightly"]).good();
    let shown = world.fuseml(&["run", "show", "nightly/1"]).good().stdout();
    assert!(shown.contains("ready") && shown.contains(&day), "{shown}");
    world.fuseml(&["run", "pause", "nightly/1"]).good();
    world.fuseml(&["run", "step", "nightly/1"]).good();
    until("it ran", || world.json(&["run", "show", "nightly/1"])["state"] == "succeeded");

    add(&world, "always", "resources: {memory: 1Gi}, window: {opens: '* * * * * UTC', for: 1h}, reuse: 'off'");
    world.fuseml(&["run", "start", "always", "--wait"]).good();
    let text = "schema_version: 1\nname: t\ndescription: d\nsteps: {it: {run: {kind: greedy}, window: {opens: noon, for: 2h}}}\n";
    fs::write(world.folder.path().join("t.yaml"), text).expect("file");
    let refused = world.fuseml(&["template", "check", "t.yaml"]).bad(2).stderr();
    assert!(refused.contains("step it: `noon` is no schedule"), "{refused}");
}
