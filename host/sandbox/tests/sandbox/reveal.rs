//! A secret is read only where the manifest names it and an admin granted that, and it is on no tape.

use crate::common::{SECRET, STORE_0_2, World, entry, guest, limits, rights, world};
use fuseml_domain::{Capability, ErrorKind, Rights, port::ArtifactStore};
use fuseml_sandbox::InstanceContext;
use std::sync::Arc;

/// `get(id)` reads the secret that the id names and answers it as an error's code, the worst that it can do.
fn teller() -> Vec<u8> {
    let get = "(call $reveal (local.get 0) (local.get 1) (i32.const 32768))
        (if (i32.eqz (i32.load8_u (i32.const 32768))) (then
          (i32.store (i32.const 32784) (i32.load (i32.const 32780)))
          (i32.store (i32.const 32780) (i32.load (i32.const 32776)))
          (i32.store8 (i32.const 32768) (i32.const 1))
          (i32.store8 (i32.const 32776) (i32.const 6))
          (i32.store (i32.const 32788) (i32.const 40960)) (i32.store (i32.const 32792) (i32.const 4))
          (i64.store (i32.const 32800) (i64.const 0)) (i64.store (i32.const 32816) (i64.const 0))))
        (i32.const 32768)";
    guest::store_0_2(&[("get", get)], r#"(data (i32.const 40960) "told")"#)
}

async fn store(world: &World, rights: Rights, record: bool) -> Arc<dyn ArtifactStore> {
    let loaded = world.sandbox.load(&teller(), &entry(STORE_0_2, &Capability::ALL)).await.expect("loads");
    let context = Arc::into_inner(world.instance("tool", rights)).unwrap();
    loaded.artifact_store(Arc::new(InstanceContext { record, ..context })).expect("a store")
}

fn may_read(secret: &str) -> Rights {
    Rights { revealed: [secret.to_owned()].into(), ..rights(&[]) }
}

#[tokio::test]
async fn a_secret_that_the_manifest_names_is_read_and_the_receipt_says_so() {
    let world = world(limits());
    let error = store(&world, may_read("token"), false).await.get("token").await.expect_err("it tells by an error");
    assert_eq!(error.code, SECRET, "{error}");
    assert_eq!(world.receipts()[0].secrets, ["token"]);
}

#[tokio::test]
async fn another_secret_an_unset_one_and_an_ungranted_one_are_denied() {
    let world = world(limits());
    let refused = |rights: Rights, name: &'static str| {
        let world = &world;
        async move { store(world, rights, false).await.get(name).await.expect_err("refused") }
    };
    let other = refused(may_read("token"), "password").await;
    assert_eq!((other.kind, other.code.as_str()), (ErrorKind::Denied, "secret-unknown"));
    let unset = refused(may_read("unset"), "unset").await;
    assert_eq!((unset.kind, unset.code.as_str()), (ErrorKind::Denied, "secret-unset"));
    let mut ungranted = may_read("token");
    ungranted.capabilities.remove(&Capability::Reveal);
    let ungranted = refused(ungranted, "token").await;
    assert_eq!((ungranted.kind, ungranted.code.as_str()), (ErrorKind::Denied, "not-granted"));
    assert!(world.receipts().iter().all(|receipt| receipt.secrets.is_empty()));
    let refusals: Vec<_> = world.receipts().iter().flat_map(|receipt| receipt.refusals.clone()).collect();
    assert_eq!(refusals.len(), 2, "the unset one was granted: {refusals:?}");
}

#[tokio::test]
async fn a_call_that_read_a_secret_leaves_no_tape() {
    let world = world(limits());
    let recorded = store(&world, may_read("token"), true).await;
    recorded.get("token").await.expect_err("it tells by an error");
    recorded.health().await.expect("well");
    let tapes: Vec<_> = world.receipts().iter().map(|receipt| receipt.tape.is_some()).collect();
    assert_eq!(tapes, [false, true]);
}

#[tokio::test]
async fn events_are_those_of_the_instances_project_and_not_too_many() {
    let world = world(limits());
    let health = "(call $events (i64.const 7) (i32.const 100000) (i32.const 32000)) (i32.const 32768)";
    let component = guest::store_0_2(&[("health", health)], "");
    let loaded = world.sandbox.load(&component, &entry(STORE_0_2, &Capability::ALL)).await.expect("loads");
    for project in [None, Some("wine".parse().unwrap())] {
        let context = Arc::into_inner(world.instance("tool", rights(&[]))).unwrap();
        let instance = Arc::new(InstanceContext { project, ..context });
        loaded.artifact_store(instance).expect("a store").health().await.expect("well");
    }
    let asked = world.sinks.asked_events.lock().unwrap().clone();
    assert_eq!(asked, [(None, 7, 1000), (Some("wine".parse().unwrap()), 7, 1000)]);
}
