//! Programs see their mounts, end as they say, and cost nobody else anything.

use crate::common::{limits, world};
use async_trait::async_trait;
use fuseml_domain::{
    Attributes, Command, Digest, Error, ErrorKind, Mount, Result,
    port::{CommandRunner as _, ComponentSource, Print},
};
use fuseml_sandbox::{Commands, Limits};
use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as COMMAND,
};

struct One(Vec<u8>);

#[async_trait]
impl ComponentSource for One {
    async fn component(&self, digest: &Digest) -> Result<Vec<u8>> {
        if Digest::of(&self.0) != *digest {
            return Err(Error::not_found("component", "there is another"));
        }
        Ok(self.0.clone())
    }
}

/// A module for WASI's first preview, as compilers still write them, made a component.
fn program(body: &str) -> Vec<u8> {
    let module = wat::parse_str(format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "sock_shutdown" (func $shutdown (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 100) "printed\n")
            (data (i32.const 200) "in.txt")
            (data (i32.const 220) "out.txt")
            (data (i32.const 240) "../secret")
            ;; A vector of one buffer at 0, of the length at 4; results go to 16 and 20.
            (func $print (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 8))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))))
            (func $to (param $fd i32) (param $name i32) (param $length i32) (param $create i32) (param $rights i64) (result i32)
                (call $open (local.get $fd) (i32.const 0) (local.get $name) (local.get $length) (local.get $create)
                    (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 20)))
            (func (export "_start") {body}))"#
    ))
    .expect("module");
    let mut encoder = wit_component::ComponentEncoder::default().module(&module).expect("module");
    encoder = encoder.adapter(ADAPTER, COMMAND).expect("adapter");
    encoder.encode().expect("component")
}

struct Ran {
    answer: Result<i32>,
    printed: String,
    folder: tempfile::TempDir,
}

async fn run_with(body: &str, timeout: Duration, limits: Limits) -> Ran {
    let bytes = program(body);
    let world = world(limits);
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name);
    for name in ["work", "data"] {
        fs::create_dir(path(name)).expect("folder");
    }
    fs::write(path("data").join("in.txt"), "numbers").expect("input");
    fs::write(path("secret"), "nobody's").expect("secret");
    let command = Command {
        component: Digest::of(&bytes),
        arguments: vec!["program".to_owned()],
        variables: Attributes::new(),
        mounts: vec![
            Mount { source: path("work"), path: "/".to_owned(), writable: true },
            Mount { source: path("data"), path: "/data".to_owned(), writable: false },
        ],
        timeout,
        memory_bytes: None,
    };
    let printed = Arc::new(Mutex::new(Vec::new()));
    let to = printed.clone();
    let commands = Commands::new(world.sandbox.clone(), Arc::new(One(bytes)));
    let print = Arc::new(move |bytes: &[u8]| to.lock().expect("lock").extend_from_slice(bytes));
    let answer = commands.run(&command, print).await;
    let printed = String::from_utf8(printed.lock().expect("lock").clone()).expect("text");
    Ran { answer, printed, folder }
}

async fn run(body: &str) -> Ran {
    run_with(body, Duration::from_secs(60), limits()).await
}

#[tokio::test]
async fn a_program_prints_and_ends_with_its_code() {
    // All that a module for the first preview can say is that it failed.
    let ran = run("(call $print) (call $exit (i32.const 3))").await;
    assert_eq!((ran.answer.expect("code"), ran.printed.as_str()), (1, "printed\n"));
    assert_eq!(run("(call $print)").await.answer.expect("code"), 0);
}

#[tokio::test]
async fn a_program_reads_its_inputs_and_writes_its_own_folder_alone() {
    // The directories are 3 and 4. What was read becomes the text of a new file.
    let copy = "(if (call $to (i32.const 4) (i32.const 200) (i32.const 6) (i32.const 0) (i64.const 2)) (then (call $exit (i32.const 90))))
        (i32.store (i32.const 0) (i32.const 300)) (i32.store (i32.const 4) (i32.const 100))
        (if (call $read (i32.load (i32.const 20)) (i32.const 0) (i32.const 1) (i32.const 16)) (then (call $exit (i32.const 91))))
        (i32.store (i32.const 4) (i32.load (i32.const 16)))
        (if (call $to (i32.const 3) (i32.const 220) (i32.const 7) (i32.const 1) (i64.const 64)) (then (call $exit (i32.const 92))))
        (if (call $write (i32.load (i32.const 20)) (i32.const 0) (i32.const 1) (i32.const 16)) (then (call $exit (i32.const 93))))";
    let ran = run(copy).await;
    assert_eq!(ran.answer.expect("code"), 0);
    assert_eq!(fs::read_to_string(ran.folder.path().join("work/out.txt")).expect("output"), "numbers");

    for (what, open) in [
        (
            "a new file among the inputs",
            "(call $to (i32.const 4) (i32.const 220) (i32.const 7) (i32.const 1) (i64.const 64))",
        ),
        (
            "an input, for writing",
            "(call $to (i32.const 4) (i32.const 200) (i32.const 6) (i32.const 0) (i64.const 64))",
        ),
        ("a file outside", "(call $to (i32.const 3) (i32.const 240) (i32.const 9) (i32.const 0) (i64.const 2))"),
        (
            "a directory that was not given",
            "(call $to (i32.const 5) (i32.const 200) (i32.const 6) (i32.const 0) (i64.const 2))",
        ),
    ] {
        let ran = run(&format!("(call $exit {open})")).await;
        assert_eq!(ran.answer.expect(what), 1, "{what}");
        let there = fs::read_to_string(ran.folder.path().join("data/in.txt")).expect("input");
        assert_eq!(there, "numbers", "{what}");
    }
}

#[tokio::test]
async fn a_hostile_program_is_stopped_and_the_limit_named() {
    let short = Duration::from_millis(300);
    for (body, timeout, code, why) in [
        ("(loop $on (br $on))", short, "time-limit", "time limit of 300ms"),
        ("(loop $on (drop (memory.grow (i32.const 256))) (br $on))", Duration::from_secs(60), "memory-limit", "memory"),
        ("(unreachable)", Duration::from_secs(60), "trap", "unreachable"),
    ] {
        let small = Limits { memory: 64 << 20, ..limits() };
        let error = run_with(body, timeout, small).await.answer.expect_err(code);
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(why) && error.message.contains("stopped"), "{error}");
    }
}

#[tokio::test]
async fn a_program_that_nobody_waits_for_is_stopped() {
    let world = world(limits());
    let bytes = program("(loop $on (br $on))");
    let command = Command {
        component: Digest::of(&bytes),
        arguments: Vec::new(),
        variables: Attributes::new(),
        mounts: Vec::new(),
        timeout: Duration::from_secs(600),
        memory_bytes: None,
    };
    let commands = Commands::new(world.sandbox.clone(), Arc::new(One(bytes)));
    let print: Print = Arc::new(|_: &[u8]| {});
    // The program holds where it prints for as long as it runs.
    let held = Arc::downgrade(&print);
    let given_up = tokio::time::timeout(Duration::from_secs(1), commands.run(&command, print)).await;
    assert!(given_up.is_err(), "it spins");
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while held.strong_count() > 0 {
        assert!(std::time::Instant::now() < until, "the program still runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_program_has_the_memory_that_is_said_and_no_more() {
    let world = world(limits());
    // A mebibyte is sixteen pages.
    let bytes = program("(if (i32.eq (memory.grow (i32.const 160)) (i32.const -1)) (then unreachable))");
    let commands = Commands::new(world.sandbox.clone(), Arc::new(One(bytes.clone())));
    let run = async |memory_bytes| {
        let command = Command {
            component: Digest::of(&bytes),
            arguments: Vec::new(),
            variables: Attributes::new(),
            mounts: Vec::new(),
            timeout: Duration::from_secs(10),
            memory_bytes,
        };
        commands.run(&command, Arc::new(|_: &[u8]| {})).await
    };
    assert_eq!(run(None).await.expect("ten mebibytes are there"), 0);
    let error = run(Some(4 << 20)).await.expect_err("too much");
    assert_eq!(error.code, "memory-limit", "{error}");
    assert_eq!(run(Some(1 << 50)).await.expect_err("nobody has that").kind, ErrorKind::Unsupported);
}

#[tokio::test]
async fn what_is_no_program_is_refused_before_it_is_compiled() {
    let world = world(limits());
    let bytes = wat::parse_str("(component)").expect("component");
    let command = Command {
        component: Digest::of(&bytes),
        arguments: Vec::new(),
        variables: Attributes::new(),
        mounts: Vec::new(),
        timeout: Duration::from_secs(1),
        memory_bytes: None,
    };
    let commands = Commands::new(world.sandbox.clone(), Arc::new(One(bytes)));
    let error = commands.run(&command, Arc::new(|_: &[u8]| {})).await.expect_err("no program");
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("it is no program"), "{error}");
}
