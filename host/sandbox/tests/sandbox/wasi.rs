//! WASI is there for runtimes that cannot do without it, and gives nothing away.

use crate::common::{STORE, entry, guest, limits, rights, world};
use fuseml_domain::Rights;
use fuseml_sandbox::{LogLevel, LogLine};

/// Each function that has nothing to give must say so; whatever differs ends in a trap.
const ASKS_FOR_EVERYTHING: &str = "
    (call $environment (i32.const 32000))
    (if (i32.load (i32.const 32004)) (then (unreachable)))
    (call $arguments (i32.const 32000))
    (if (i32.load (i32.const 32004)) (then (unreachable)))
    (call $directories (i32.const 32000))
    (if (i32.load (i32.const 32004)) (then (unreachable)))
    (call $tcp-socket (i32.const 0) (i32.const 32000))
    (if (i32.ne (i32.load8_u (i32.const 32000)) (i32.const 1)) (then (unreachable)))
    (if (i32.ne (i32.load8_u (i32.const 32004)) (i32.const 1)) (then (unreachable)))
    (i32.const 32768)";

const PRINTS: &str = r"
    (call $write (call $stdout) (i32.const 40960) (i32.const 11) (i32.const 32000))
    (call $write (call $stderr) (i32.const 40971) (i32.const 7) (i32.const 32000))
    (i32.const 32768)";

#[tokio::test]
async fn no_variables_arguments_folders_or_sockets_are_there() {
    let world = world(limits());
    let store = world.store(&guest::store_with_wasi(&[("health", ASKS_FOR_EVERYTHING)], ""), Rights::default()).await;

    store.health().await.expect("everything was empty or denied");
}

#[tokio::test]
async fn random_bytes_are_real() {
    let world = world(limits());
    let random = "(if (i64.eq (call $random-u64) (call $random-u64)) (then (unreachable))) (i32.const 32768)";
    let store = world.store(&guest::store_with_wasi(&[("health", random)], ""), Rights::default()).await;

    store.health().await.expect("two random numbers differ");
}

#[tokio::test]
async fn what_is_printed_becomes_log_lines_of_its_stream() {
    let world = world(limits());
    let items = r#"(data (i32.const 40960) "one\ntwo \1b[2Joh dear")"#;
    let store = world.store(&guest::store_with_wasi(&[("health", PRINTS)], items), rights(&[])).await;

    store.health().await.expect("prints");

    let line = |message: &str, stream: &str| LogLine {
        level: LogLevel::Info,
        message: message.to_owned(),
        fields: vec![("stream".to_owned(), stream.to_owned())],
    };
    let lines = world.sinks.lines.lock().unwrap().clone();
    assert_eq!(lines, [line("one", "stdout"), line("two  [2", "stdout"), line("Joh dea", "stderr")]);
}

#[tokio::test]
async fn printing_counts_against_the_share_of_log_lines() {
    let flood = "(local $i i32)
        (loop $l
          (call $write (call $stdout) (i32.const 40960) (i32.const 11) (i32.const 32000))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 200))))
        (i32.const 32768)";
    let world = world(fuseml_sandbox::Limits { log_lines: 50, ..limits() });
    let items = r#"(data (i32.const 40960) "one\ntwo and\n")"#;
    let store = world.store(&guest::store_with_wasi(&[("health", flood)], items), rights(&[])).await;

    store.health().await.expect("prints");

    let lines = world.sinks.lines.lock().unwrap().clone();
    assert_eq!(lines.len(), 51);
    assert!(lines[50].message.starts_with("log-limit: 50 lines"), "{}", lines[50].message);
}

#[tokio::test]
async fn leaving_the_process_ends_the_call_alone() {
    let world = world(limits());
    let leaves = "(call $exit (i32.const 1)) (i32.const 32768)";
    let store = world.store(&guest::store_with_wasi(&[("health", leaves)], ""), rights(&[])).await;

    let error = store.health().await.expect_err("ended");

    assert_eq!(error.code, "exit", "{error}");
    assert!(error.message.contains("exited with status 1 in `health`"), "{error}");
}

#[tokio::test]
async fn wasi_http_is_refused_with_the_way_that_is_open() {
    let world = world(limits());
    let guest = guest::store_with_wasi(&[("health", "(call $wasi-http ) (i32.const 32768)")], "");

    let error = world.sandbox.inspect(&guest, &entry(STORE, &[])).expect_err("refused");

    assert_eq!(error.code, "import-unknown", "{error}");
    assert!(error.message.contains("send requests through `fuseml:http/http@0.1.0`"), "{error}");
}

#[tokio::test]
async fn inspection_of_wasi_guests_still_compares_the_rest_with_the_world() {
    let world = world(limits());
    let guest = guest::store_with_wasi(&[("health", ASKS_FOR_EVERYTHING)], "");
    world.sandbox.inspect(&guest, &entry(STORE, &[])).expect("fits");

    let text = r#"(component
        (import "wasi:cli/environment@0.2.3" (instance (export "get-arguments" (func (result (list string))))))
        (core module $m (func (export "f") (result i32) (i32.const 1)))
        (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))
        (instance $store (export "describe" (func $f)))
        (export "fuseml:artifact-store/store@0.1.0" (instance $store)))"#;
    let error = world.sandbox.inspect(&wat::parse_str(text).unwrap(), &entry(STORE, &[])).expect_err("refused");
    assert_eq!(error.code, "world-mismatch", "{error}");
}
