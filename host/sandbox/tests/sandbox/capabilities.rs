//! What is granted works, what is not is refused and recorded; answers are checked before anyone uses them.

use crate::common::{codeset, guest, limits, rights, world};
use fuseml_domain::{ErrorKind, Rights, StoreCondition, StoreQuery};
use fuseml_sandbox::Outcome;

/// `health` sets the key `key` to `value!`, `get` answers the host's error of reading a key that is too long.
fn keeper() -> Vec<u8> {
    let health = "(call $state-set (i32.const 40960) (i32.const 3) (i32.const 40963) (i32.const 6) (i32.const 32768))
        (i32.const 32768)";
    let get = "(call $state-get (i32.const 40960) (i32.const 300) (i32.const 32768)) (i32.const 32768)";
    guest::store(&[("health", health), ("get", get)], r#"(data (i32.const 40960) "keyvalue!")"#)
}

#[tokio::test]
async fn state_belongs_to_the_instance() {
    let world = world(limits());
    let store = world.store(&keeper(), rights(&[])).await;

    store.health().await.expect("sets");

    let state = world.sinks.state.lock().unwrap().clone();
    assert_eq!(state, [(("tool".parse().unwrap(), "key".to_owned()), b"value!".to_vec())].into());
    let error = store.get("x").await.expect_err("too long");
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Invalid, "state-key"), "{error}");
}

#[tokio::test]
async fn what_is_not_granted_is_refused_and_recorded() {
    let world = world(limits());
    let store = world.store(&keeper(), Rights::default()).await;

    let error = store.health().await.expect_err("not granted");

    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Denied, "not-granted"), "{error}");
    assert!(world.sinks.state.lock().unwrap().is_empty());
    let receipt = &world.receipts()[0];
    assert_eq!(receipt.refusals[0].what, "state");
    assert_eq!(receipt.outcome, Outcome::Error("not-granted".to_owned()));
    assert!(receipt.peak_memory >= 128 << 10);
    assert!(!receipt.cpu.is_zero() && !receipt.wall.is_zero());
}

#[tokio::test]
async fn plans_and_locations_that_nobody_could_use_are_refused() {
    let world = world(limits());
    // One environment whose digest is empty.
    let plan = "(i32.store offset=20 (i32.const 32768) (i32.const 98304))
        (i32.store offset=24 (i32.const 32768) (i32.const 1)) (i32.const 32768)";
    let builder = world.builder(&guest::builder(&[("plan", plan)], "")).await;
    let error = builder.plan(&codeset(), None).await.expect_err("no digest");
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Internal, "bad-answer"), "{error}");
    assert!(error.message.contains("`plan`") && error.message.contains("is not a digest"), "{error}");

    // `contents.files`, one file whose path is `../../etc/passwd`.
    let locate = "(i32.store offset=96 (i32.const 32768) (i32.const 65536))
        (i32.store offset=100 (i32.const 32768) (i32.const 1))
        (i32.store (i32.const 65536) (i32.const 40960)) (i32.store (i32.const 65540) (i32.const 16))
        (i32.const 32768)";
    let items = r#"(data (i32.const 40960) "../../etc/passwd")"#;
    let store = world.store(&guest::store(&[("locate", locate)], items), rights(&[])).await;
    let error = store.locate("model/1").await.expect_err("escapes");
    assert_eq!(error.code, "bad-answer", "{error}");

    let query = StoreQuery { kind: "model".to_owned(), conditions: vec![StoreCondition::equal("name", "m")] };
    assert!(store.search(&query, None, 10).await.expect("empty").artifacts.is_empty());
}

#[tokio::test]
async fn a_component_is_only_what_its_world_says() {
    let world = world(limits());
    let loaded = world
        .sandbox
        .load(&keeper(), &crate::common::entry(crate::common::STORE, &fuseml_domain::Capability::ALL))
        .await;

    let error = loaded.unwrap().builder(world.instance("tool", rights(&[]))).err().unwrap();

    assert_eq!(error.code, "world", "{error}");
}

#[tokio::test]
async fn what_runs_read_only_changes_no_state() {
    let world = world(limits());
    let store = world.store(&keeper(), Rights { read_only: true, ..rights(&[]) }).await;

    let error = store.health().await.expect_err("sets state");

    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Denied, "read-only"), "{error}");
    assert!(world.sinks.state.lock().unwrap().is_empty());
    assert_eq!(world.receipts()[0].refusals[0].what, "state, read-only");
}
