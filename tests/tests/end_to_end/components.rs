//! Runnables that are WebAssembly components: programs in the server's sandbox, without image or process (S20–S22, S113).

use fuseml_tests::{World, tool, until};
use std::{fs, process::Command};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/runnables/csv-check");

fn lab() -> World {
    let world = World::new();
    world.fuseml(&["project", "create", "lab"]).good();
    world.fuseml(&["project", "set", "lab"]).good();
    world
}

/// A component that counts to this and ends; a billion takes a second or so.
fn counting(to: u64) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $m (func (export "run") (result i32) (local $i i64)
                (loop $on (local.set $i (i64.add (local.get $i) (i64.const 1)))
                    (br_if $on (i64.lt_u (local.get $i) (i64.const {to}))))
                (i32.const 0)))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $program (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $program)))"#
    );
    wat::parse_str(text).expect("component")
}

/// Registers it, and a pipeline of one step that runs it.
fn register(world: &World, name: &str, component: &[u8], timeout: &str) {
    let folder = world.folder.path();
    fs::write(folder.join("program.wasm"), component).expect("component");
    let text = format!("schema_version: 1\nname: {name}\nkind: {name}\ncomponent: program.wasm\n");
    fs::write(folder.join("runnable.yaml"), text).expect("description");
    world.fuseml(&["runnable", "register", "runnable.yaml"]).good();
    let text = format!(
        "schema_version: 1\nname: {name}\ndescription: d\nsteps: {{it: {{run: {{kind: {name}}}, timeout: {timeout}}}}}\n"
    );
    fs::write(folder.join("pipeline.yaml"), text).expect("template");
    world.fuseml(&["pipeline", "add", "pipeline.yaml", "--name", name]).good();
}

fn dataset(world: &World, table: &str) {
    let folder = world.folder.path().join("flowers");
    fs::create_dir_all(&folder).expect("folder");
    fs::write(folder.join("flowers.csv"), table).expect("table");
    world.fuseml(&["dataset", "push", "flowers"]).good();
}

fn state(world: &World) -> String {
    world.json(&["run", "list"])[0]["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn every_dataset_is_checked_by_a_program_that_was_built_where_it_was_registered() {
    let world = lab();
    let said = world.fuseml(&["runnable", "register", &format!("{EXAMPLE}/runnable.yaml")]).good();
    assert!(said.stderr().contains("Built ") && said.stderr().contains("Registered runnable://lab/csv-check/"));
    let list = world.fuseml(&["runnable", "list"]).good().stdout();
    assert!(list.contains("validator") && list.contains("component "), "{list}");
    let add = ["pipeline", "add", &format!("{EXAMPLE}/pipeline.yaml"), "--name", "checks"];
    let everything = world.fuseml(&[&add[..], &["--input", "data=data://lab/*"]].concat()).bad(2).stderr();
    assert!(everything.contains("checks would start for ever"), "{everything}");
    world.fuseml(&[&add[..], &["--input", "data=data://lab/flowers"]].concat()).good();

    dataset(&world, "length,width\n1,2\n3,4\n");
    until("the first run ends", || state(&world) == "succeeded");
    insta::assert_snapshot!("checked", world.steady(&world.fuseml(&["run", "explain", "checks/1"]).good().stdout()));
    let checked = &world.json(&["artifact", "list", "--name", "flowers-checked"])[0];
    assert_eq!((&checked["metrics"]["rows"], &checked["attributes"]["rows"]), (&2.0.into(), &"2".into()), "{checked}");

    dataset(&world, "length,width\n1,2,3\n");
    until("the second run ends", || state(&world) == "failed");
    let log = world.fuseml(&["run", "logs", "checks/2"]).good().stdout();
    assert!(log.contains("line: 2, byte: 13): found record with 3 fields"), "{log}");
    insta::assert_snapshot!("refused", world.steady(&world.fuseml(&["run", "show", "checks/2"]).good().stdout()));

    // What was checked before is not checked again.
    world.fuseml(&["run", "rerun", "checks/1", "--wait"]).good();
    let said = world.fuseml(&["run", "explain", "checks/3"]).good().stdout();
    assert!(said.contains("reused from checks/1, step check"), "{said}");
}

#[test]
fn a_component_outlives_its_server_by_being_run_again() {
    let mut world = lab();
    register(&world, "count", &counting(4_000_000_000), "5m");
    world.fuseml(&["run", "start", "count"]).good();
    until("it runs", || world.json(&["run", "show", "count/1"])["steps"][0]["state"] == "running");
    world.kill();
    world.start();
    until("the run ends", || state(&world) != "running");
    let run = world.json(&["run", "show", "count/1"]);
    assert_eq!((&run["state"], &run["steps"][0]["attempt"]), (&"succeeded".into(), &1.into()), "{run}");
}

#[test]
fn a_program_that_never_ends_is_stopped_by_its_limit_or_by_a_person() {
    let world = lab();
    register(&world, "endless", &counting(u64::MAX), "1s");
    let said = world.fuseml(&["run", "start", "endless", "--wait"]).bad(7).stderr();
    assert!(said.contains("stopped after its time limit of 1s"), "{said}");
    register(&world, "patient", &counting(u64::MAX), "1h");
    world.fuseml(&["run", "start", "patient"]).good();
    until("it runs", || world.json(&["run", "show", "patient/1"])["steps"][0]["state"] == "running");
    world.fuseml(&["run", "cancel", "patient/1"]).good();
    until("it is cancelled", || world.json(&["run", "show", "patient/1"])["state"] == "cancelled");
}

#[test]
fn what_is_no_program_is_refused_when_it_is_registered() {
    let world = lab();
    let folder = world.folder.path();
    let description = "schema_version: 1\nname: odd\nkind: odd\ncomponent: odd.wasm\n";
    fs::write(folder.join("odd.yaml"), description).expect("description");
    let module = r#"(module (import "env" "f" (func)) (memory (export "memory") 1) (func (export "_start")))"#;
    for (bytes, why) in [
        (b"#!/bin/sh".to_vec(), "broken"),
        (wat::parse_str("(component)").expect("component"), "it is no program"),
        (wat::parse_str(module).expect("module"), "no program for WASI"),
    ] {
        fs::write(folder.join("odd.wasm"), bytes).expect("bytes");
        let said = world.fuseml(&["runnable", "register", "odd.yaml"]).bad(2).stderr();
        assert!(said.contains(why) && said.contains("odd.wasm"), "{said}");
    }
    fs::write(folder.join("odd.yaml"), description.replace("odd.wasm", "../odd.wasm")).expect("description");
    world.fuseml(&["runnable", "register", "odd.yaml"]).bad(2);
}

#[test]
fn a_component_that_wkg_pushes_is_a_runnable() {
    let world = lab();
    let file = world.folder.path().join("count.wasm");
    fs::write(&file, counting(1)).expect("component");
    let url = world.url();
    let host = url.trim_start_matches("http://");
    let mut wkg = Command::new(tool("FUSEML_TEST_WKG"));
    wkg.args(["oci", "push", &format!("{host}/lab/runnable/count:v1")]).arg(&file);
    let output = wkg.args(["--insecure", host, "-u", "ada", "-p", &world.token()]).output().expect("wkg");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let runnable = world.json(&["runnable", "show", "count@v1"]);
    assert_eq!(runnable["runnable"]["kind"], "task", "{runnable}");
    let text = "schema_version: 1\nname: once\ndescription: d\nsteps: {it: {run: 'runnable://lab/count@v1'}}\n";
    fs::write(world.folder.path().join("once.yaml"), text).expect("template");
    world.fuseml(&["pipeline", "add", "once.yaml", "--name", "once"]).good();
    world.fuseml(&["run", "start", "once", "--wait"]).good();
}
