//! An instance's budget lowers what a call may use and never raises it; other instances keep theirs.

use crate::common::{STORE, entry, guest, limits, rights, world};
use fuseml_domain::{Budget, Capability, port::ArtifactStore};
use fuseml_sandbox::{InstanceContext, Limits};
use std::{sync::Arc, time::Duration};

/// `health` asks for 40 MiB, `get` spins, `locate` waits for ever.
fn greedy() -> Vec<u8> {
    let health = "(drop (memory.grow (i32.const 640))) (i32.const 32768)";
    let locate = "(call $state-get (i32.const 40960) (i32.const 7) (i32.const 32768)) (i32.const 32768)";
    let bodies = [("health", health), ("get", "(loop $spin (br $spin)) (i32.const 32768)"), ("locate", locate)];
    guest::store(&bodies, r#"(data (i32.const 40960) "forever")"#)
}

async fn store(world: &crate::common::World, budget: &[(&str, &str)]) -> Arc<dyn ArtifactStore> {
    let loaded = world.sandbox.load(&greedy(), &entry(STORE, &Capability::ALL)).await.expect("loads");
    let mut given = Budget::default();
    for (name, value) in budget {
        given.set(name, value).expect(name);
    }
    let context = Arc::into_inner(world.instance("tool", rights(&[]))).unwrap();
    loaded.artifact_store(Arc::new(InstanceContext { budget: given, ..context })).expect("a store")
}

#[tokio::test]
async fn a_budget_stops_what_the_server_would_allow() {
    let world = world(limits());

    let within = store(&world, &[]).await;
    within.health().await.expect("40 MiB are within the server's limit");

    let error = store(&world, &[("memory-bytes", "33554432")]).await.health().await.expect_err("over");
    assert_eq!(error.code, "memory-limit", "{error}");
    assert!(error.message.contains("32 MiB"), "{error}");

    let error = store(&world, &[("cpu-ms", "30")]).await.get("x").await.expect_err("over");
    assert_eq!(error.code, "cpu-limit", "{error}");
    assert!(error.message.contains("30ms"), "{error}");

    let error = store(&world, &[("wall-ms", "50")]).await.locate("x").await.expect_err("over");
    assert_eq!(error.code, "wall-limit", "{error}");
    assert!(error.message.contains("50ms"), "{error}");
    within.health().await.expect("another instance goes on");
}

#[tokio::test]
async fn a_budget_never_raises_a_limit() {
    let world = world(Limits { memory: 16 << 20, ..limits() });

    let error = store(&world, &[("memory-bytes", "1073741824")]).await.health().await.expect_err("over");

    assert_eq!(error.code, "memory-limit", "{error}");
    assert!(error.message.contains("16 MiB"), "{error}");
}

#[tokio::test]
async fn a_busy_instance_keeps_nobody_else_waiting() {
    let world = world(Limits { queue: Duration::from_millis(100), ..limits() });
    let (one, other) = (store(&world, &[("concurrent-calls", "1")]).await, store(&world, &[]).await);
    let waiting = tokio::spawn({
        let one = one.clone();
        async move { one.locate("x").await }
    });
    while world.sandbox.busy() == 0 {
        tokio::task::yield_now().await;
    }

    let error = one.health().await.expect_err("its only turn is taken");

    assert_eq!(error.code, "busy", "{error}");
    other.health().await.expect("the other instance has turns of its own");
    waiting.abort();
}
