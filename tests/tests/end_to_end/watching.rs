//! What a person sees while a run goes on (S127).

use fuseml_tests::{World, until};
use std::{fs, process::Stdio};

/// Says that it began, and goes on when it is let.
fn patient(world: &World) {
    let go = world.folder.path().join("go");
    let wait = format!("while [ ! -e {} ]; do sleep 0.05; done", go.display());
    let runnable = format!(
        "schema_version: 1\nname: patient\nkind: patient\ncommand: [sh, -c, 'echo begun; {wait}; echo done']\n"
    );
    let template = "{schema_version: 1, name: patient, description: d, steps: {
        first: {run: {kind: patient}}, second: {run: {kind: patient}, after: [first]}}}";
    world.fuseml(&["project", "create", "shop"]).good();
    world.fuseml(&["project", "set", "shop"]).good();
    for (file, text) in [("runnable.yaml", runnable.as_str()), ("patient.yaml", template)] {
        fs::write(world.folder.path().join(file), text).expect("file");
    }
    world.fuseml(&["runnable", "register", "runnable.yaml"]).good();
    world.fuseml(&["pipeline", "add", "patient.yaml", "--name", "patient"]).good();
    world.fuseml(&["run", "start", "patient"]).good();
}

fn let_go(world: &World) {
    fs::write(world.folder.path().join("go"), "").expect("go");
}

#[test]
fn a_log_that_is_followed_comes_while_it_is_written_and_ends_with_the_run() {
    let world = World::new();
    patient(&world);
    let said = world.folder.path().join("said");
    let out = fs::File::create(&said).expect("file");
    let mut following = world.command(&["run", "logs", "patient/1", "--follow"]);
    let mut following = following.stdout(out).stderr(Stdio::null()).spawn().expect("fuseml");
    let text = || fs::read_to_string(&said).expect("what was said");

    until("the beginning is shown", || text() == "begun\n");
    let_go(&world);

    assert!(following.wait().expect("status").success());
    assert_eq!(text(), "begun\ndone\nbegun\ndone\n");
}

#[test]
fn a_run_that_is_watched_in_a_terminal_moves_there_and_leaves_plain_lines() {
    let world = World::new();
    patient(&world);

    let screen = world.on_screen(&["run", "watch", "patient/1"]);

    until("the step moves", || screen.shows().contains("patient/1 first running"));
    let_go(&world);
    let (shown, code) = screen.ended();
    assert_eq!(code, Some(0));
    let lines: Vec<_> = shown.lines().map(str::trim_end).collect();
    insta::assert_snapshot!("watched", world.steady(&lines.join("\n")));
}
