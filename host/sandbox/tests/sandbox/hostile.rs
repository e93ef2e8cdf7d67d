//! Hostile guests: each costs its caller an error that names the limit, and nobody else anything.

use crate::common::{codeset, guest, limits, rights, world};
use fuseml_domain::{Error, ErrorKind};
use fuseml_sandbox::{BreakerLimits, Limits, Outcome};
use std::time::Duration;

const SPIN: &str = "(loop $l (br $l)) (unreachable)";

/// `detect` of a hostile builder fails so; a good builder beside it answers as ever.
async fn detect_fails(bodies: &[(&str, &str)], items: &str) -> Error {
    let world = world(limits());
    let (hostile, good) =
        (world.builder(&guest::builder(bodies, items)).await, world.builder(&guest::builder(&[], "")).await);

    let error = hostile.detect(&codeset()).await.expect_err("stopped");

    assert_eq!(good.detect(&codeset()).await, Ok((0, String::new())), "the neighbour");
    let receipt = &world.receipts()[0];
    assert_eq!(receipt.outcome, Outcome::Stopped(error.code.clone()));
    assert_eq!(receipt.function, "detect");
    for word in ["hostile 0.1.0", "component `part`", "instance `tool`", "`detect`"] {
        assert!(error.message.contains(word), "`{word}` is not in: {error}");
    }
    error
}

#[tokio::test]
async fn every_limit_is_named() {
    let recurse = ("detect", "(call $deep (i32.const 0))");
    let deep = "(func $deep (param i32) (result i32)
        (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))";
    let grow = "(loop $l (drop (memory.grow (i32.const 256))) (br $l)) (unreachable)";
    let table = "(loop $l (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $l)) (unreachable)";
    let long = "(drop (memory.grow (i32.const 1024)))
        (i32.store (i32.const 32780) (i32.const 0)) (i32.store (i32.const 32784) (i32.const 60000000))
        (i32.const 32768)";
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, ErrorKind);
    let cases: [Case<'_>; 8] = [
        ("cpu-limit", &[("detect", SPIN)], "", ErrorKind::Unavailable),
        ("cpu-limit", &[], "(func $start (loop $l (br $l))) (start $start)", ErrorKind::Unavailable),
        ("memory-limit", &[("detect", grow)], "", ErrorKind::Internal),
        ("table-limit", &[("detect", table)], "(table $t 1 funcref)", ErrorKind::Internal),
        ("stack-limit", &[recurse], deep, ErrorKind::Internal),
        ("data-limit", &[("detect", long)], "", ErrorKind::Internal),
        ("trap", &[("detect", "unreachable")], "", ErrorKind::Internal),
        ("trap", &[("detect", "(i32.const 0xfffffff0)")], "", ErrorKind::Internal),
    ];
    for (code, bodies, items, kind) in cases {
        let error = detect_fails(bodies, items).await;
        assert_eq!((error.code.as_str(), error.kind), (code, kind), "{bodies:?}: {error}");
    }
}

#[tokio::test]
async fn arguments_reach_a_spinning_allocator_only_until_its_budget_ends() {
    let world = world(limits());
    let store = world.store(&guest::store(&[("realloc", SPIN)], ""), rights(&[])).await;

    let error = store.get("model/1").await.expect_err("stopped");

    assert_eq!(error.code, "cpu-limit", "{error}");
}

#[tokio::test]
async fn a_huge_list_is_refused_before_it_is_built() {
    // 3 million files of 40 bytes each lie in the guest; the host would need several times that.
    let locate = "(drop (memory.grow (i32.const 2048)))
        (i32.store offset=96 (i32.const 32768) (i32.const 65536))
        (i32.store offset=100 (i32.const 32768) (i32.const 3000000))
        (i32.const 32768)";
    let world = world(limits());
    let store = world.store(&guest::store(&[("locate", locate)], ""), rights(&[])).await;

    let error = store.locate("model/1").await.expect_err("stopped");

    assert_eq!(error.code, "data-limit", "{error}");
}

#[tokio::test]
async fn a_log_flood_is_cut_with_one_line_that_says_so() {
    let flood = "(local $i i32)
        (loop $l
          (call $log (i32.const 1) (i32.const 65536) (i32.const 20) (i32.const 0) (i32.const 0))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5000))))
        (i32.const 32768)";
    let world = world(Limits { log_lines: 100, cpu: Duration::from_secs(5), ..limits() });
    let items = r#"(data (i32.const 65536) "forged\n2026 entry\1b[2J")"#;
    let builder = world.builder(&guest::builder(&[("detect", flood)], items)).await;

    builder.detect(&codeset()).await.expect("answers");

    let lines = world.sinks.lines.lock().unwrap().clone();
    assert_eq!(lines.len(), 101);
    assert_eq!(lines[0].message, "forged 2026 entry [2");
    assert!(lines[100].message.starts_with("log-limit: 100 lines"), "{}", lines[100].message);
    assert!(world.receipts()[0].refusals[0].what.starts_with("log-limit"));
}

#[tokio::test]
async fn an_endless_log_flood_ends_with_the_cpu_budget() {
    let flood = "(loop $l
          (call $log (i32.const 1) (i32.const 65536) (i32.const 60000) (i32.const 0) (i32.const 0)) (br $l))
        (unreachable)";
    let error = detect_fails(&[("detect", flood)], "").await;

    assert_eq!(error.code, "cpu-limit", "{error}");
}

#[tokio::test]
async fn waiting_and_spinning_both_end_with_the_wall_clock() {
    let wait = "(call $state-get (i32.const 65536) (i32.const 7) (i32.const 32768)) (i32.const 32768)";
    for body in [wait, SPIN] {
        let world = world(Limits { cpu: Duration::from_secs(60), wall: Duration::from_millis(200), ..limits() });
        let guest = guest::builder(&[("detect", body)], r#"(data (i32.const 65536) "forever")"#);
        let builder = world.builder(&guest).await;

        let error = builder.detect(&codeset()).await.expect_err("stopped");

        assert_eq!((error.code.as_str(), error.kind), ("wall-limit", ErrorKind::Unavailable), "{error}");
        let receipt = &world.receipts()[0];
        assert!(receipt.wall >= Duration::from_millis(200));
        assert!(body == SPIN || receipt.cpu < Duration::from_millis(100), "waiting costs nothing: {:?}", receipt.cpu);
    }
}

#[tokio::test]
async fn components_too_large_for_any_call_are_not_loaded() {
    let memories = "(memory 1)".repeat(9);
    let tables = "(table 1 funcref)".repeat(65);
    let cases = [
        ("memories", memories.as_str()),
        ("memory", "(memory 5000)"),
        ("tables", &tables),
        ("table", "(table 200000 funcref)"),
    ];
    let world = world(limits());
    for (what, items) in cases {
        let guest = guest::builder(&[], items);
        let loaded = world.sandbox.load(&guest, &crate::common::entry(crate::common::BUILDER, &[])).await;
        let error = loaded.err().expect(what);
        assert_eq!(error.code, "component-too-large", "{error}");
        assert!(error.message.starts_with("part.wasm needs more than a call may have"), "{error}");
        assert!(error.message.contains(what), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_turns_wait_for_theirs() {
    let world = world(Limits { concurrent_calls: 4, concurrent_calls_of_component: 2, ..limits() });
    let short = "(local $i i32) (loop $l
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))
        (i32.const 32768)";
    let builder = world.builder(&guest::builder(&[("detect", short)], "")).await;

    let calls = (0..64).map(|_| {
        let builder = builder.clone();
        tokio::spawn(async move { builder.detect(&codeset()).await })
    });

    for call in futures::future::join_all(calls).await {
        assert!(call.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_call_without_a_turn_is_told_so() {
    let world = world(Limits {
        concurrent_calls_of_component: 1,
        queue: Duration::from_millis(50),
        cpu: Duration::from_secs(60),
        ..limits()
    });
    let builder = world.builder(&guest::builder(&[("detect", SPIN)], "")).await;
    let codeset = codeset();
    let mut spinning = builder.detect(&codeset);
    assert!(futures::poll!(&mut spinning).is_pending());

    let error = builder.plan(&codeset, None).await.expect_err("no turn");

    assert_eq!((error.code.as_str(), error.kind), ("busy", ErrorKind::Unavailable), "{error}");
}

#[tokio::test]
async fn a_call_leaves_nothing_behind() {
    let once = "(if (global.get $called) (then (unreachable))) (global.set $called (i32.const 1)) (i32.const 32768)";
    let world = world(limits());
    let guest =
        guest::builder(&[("detect", once), ("plan", "unreachable")], "(global $called (mut i32) (i32.const 0))");
    let builder = world.builder(&guest).await;

    assert!(builder.detect(&codeset()).await.is_ok());
    assert_eq!(builder.plan(&codeset(), None).await.expect_err("traps").code, "trap");
    assert!(builder.detect(&codeset()).await.is_ok());
}

#[tokio::test]
async fn components_that_trap_again_and_again_rest() {
    let breaker = BreakerLimits { failures: 3, window: Duration::from_secs(60), rest: Duration::from_millis(300) };
    let world = world(Limits { breaker, ..limits() });
    let guest = guest::builder(&[("detect", "unreachable")], "");
    let (builder, other) = (world.builder(&guest).await, world.builder(&guest).await);
    for _ in 0..3 {
        assert_eq!(builder.detect(&codeset()).await.expect_err("traps").code, "trap");
    }

    let error = builder.detect(&codeset()).await.expect_err("rests");

    assert_eq!((error.code.as_str(), error.kind), ("degraded", ErrorKind::Unavailable), "{error}");
    assert_eq!(other.detect(&codeset()).await.expect_err("traps").code, "trap", "another instance is tried");
    tokio::time::sleep(breaker.rest).await;
    assert_eq!(builder.detect(&codeset()).await.expect_err("traps").code, "trap", "after the rest");
}

#[tokio::test]
async fn whoever_stops_waiting_stops_the_call() {
    let world = world(Limits { cpu: Duration::from_secs(60), wall: Duration::from_secs(60), ..limits() });
    let builder = world.builder(&guest::builder(&[("detect", SPIN)], "")).await;

    let given_up = tokio::time::timeout(Duration::from_millis(50), builder.detect(&codeset())).await;

    assert!(given_up.is_err());
    while world.receipts().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.receipts()[0].outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_spinning_guest_starves_neither_its_caller_nor_its_neighbours() {
    let world = world(Limits { cpu: Duration::from_millis(500), ..limits() });
    let spinning = world.builder(&guest::builder(&[("detect", SPIN)], "")).await;
    let good = world.builder(&guest::builder(&[], "")).await;
    let codeset = codeset();
    let mut stopped = spinning.detect(&codeset);
    let mut answered = 0;

    // All on this one thread: a guest that kept it would let nobody else answer.
    while futures::poll!(&mut stopped).is_pending() {
        good.detect(&codeset).await.expect("answers");
        answered += 1;
        tokio::task::yield_now().await;
    }

    assert!(answered > 10, "{answered}");
}

#[tokio::test]
async fn the_guests_own_words_are_marked_as_its_own() {
    // kind 2 (denied), code "Wrong Key!", message with an escape.
    let items = r#"(data (i32.const 32768) "\01\00\00\00\00\00\00\00\02\00\00\00\00\90\00\00\0a\00\00\00\10\90\00\00\0d\00\00\00")
        (data (i32.const 0x9000) "Wrong Key!") (data (i32.const 0x9010) "ask\1b[31m admin")"#;
    let world = world(limits());
    let store = world.store(&guest::store(&[], items), rights(&[])).await;

    let error = store.health().await.expect_err("its own error");

    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Denied, "rongey"));
    assert_eq!(error.message, "hostile 0.1.0 (component `part` of the instance `tool`) says: ask [31m admi");
    assert_eq!(world.receipts()[0].outcome, Outcome::Error("rongey".to_owned()));
}
