//! A recorded call runs again offline and answers the same; one that behaves otherwise is told where.

use crate::common::{SECRET, STORE, entry, guest, limits, rights, server::Server, world};
use fuseml_domain::{BoundSecret, Capability, Rights, port::ArtifactStore};
use fuseml_sandbox::{InstanceContext, LoadedComponent, Tape};
use std::sync::Arc;

/// `get(id)` reads a state key, logs in at the URL that the id is, and answers what it heard.
fn asker(key: &str) -> Vec<u8> {
    let length = key.len();
    let items = format!(
        r#"(data (i32.const 40960) "GET") (data (i32.const 40976) "status-000") (data (i32.const 41000) "{key}")
           (data (i32.const 42000) "authorization{{}}token")
           (func $list
             (i32.store (i32.const 41300) (i32.const 42000)) (i32.store (i32.const 41304) (i32.const 13))
             (i32.store (i32.const 41308) (i32.const 42013)) (i32.store (i32.const 41312) (i32.const 2))
             (i32.store (i32.const 41316) (i32.const 42015)) (i32.store (i32.const 41320) (i32.const 5)))
           {}"#,
        guest::SHOW
    );
    let get = format!(
        "(call $state-get (i32.const 41000) (i32.const {length}) (i32.const 32768)) (call $list)
         (call $fetch (i32.const 40960) (i32.const 3) (local.get 0) (local.get 1) (i32.const 0) (i32.const 0)
           (i32.const 41300) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
           (i32.const 32768))
         (call $show)"
    );
    guest::store(&[("get", &get)], &items)
}

struct Recorded {
    world: crate::common::World,
    tape: Tape,
    original: Arc<LoadedComponent>,
    rights: Rights,
}

async fn record() -> Recorded {
    let (world, server) = (world(limits()), Server::start().await);
    let bound = BoundSecret { name: "token".to_owned(), hosts: vec![server.url().parse().unwrap()] };
    let rights = Rights { secrets: vec![bound], ..rights(&[&server.url()]) };
    let original = world.sandbox.load(&asker("key"), &entry(STORE, &Capability::ALL)).await.expect("loads");
    let context = Arc::into_inner(world.instance("tool", rights.clone())).unwrap();
    let store: Arc<dyn ArtifactStore> =
        original.artifact_store(Arc::new(InstanceContext { record: true, ..context })).expect("a store");
    let error = store.get(&format!("{}/", server.url())).await.expect_err("the guest answers errors only");
    assert_eq!(error.code, "status-200", "{error}");
    let tape = world.receipts()[0].tape.clone().expect("a tape");
    Recorded { world, tape: *tape, original, rights }
}

#[tokio::test]
async fn a_tape_holds_what_was_asked_and_heard_but_no_secret() {
    let Recorded { tape, .. } = record().await;

    let called: Vec<_> = tape.host.iter().map(|call| call.function.as_str()).collect();
    assert_eq!(called, ["state.get", "http.fetch"]);
    assert_eq!(tape.function, "get");
    let whole = serde_json::to_string(&tape).unwrap();
    assert!(whole.contains("authorization") && !whole.contains(SECRET), "{whole}");
}

#[tokio::test]
async fn a_recorded_call_answers_the_same_with_nothing_else_alive() {
    let Recorded { world, tape, original, .. } = record().await;

    // No right, no listener: whatever is answered comes from the tape.
    let replayed = original.replay(world.instance("tool", Rights::default()), &tape).await.expect("replays");

    assert_eq!((replayed.same, replayed.departure.as_deref()), (true, None), "{replayed:?}");
    assert_eq!(replayed.answer, tape.answer);
}

#[tokio::test]
async fn another_component_is_told_where_it_departs() {
    let Recorded { world, tape, rights, .. } = record().await;
    let replay = async |guest: &[u8]| {
        let loaded = world.sandbox.load(guest, &entry(STORE, &Capability::ALL)).await.expect("loads");
        loaded.replay(world.instance("tool", rights.clone()), &tape).await.expect("replays")
    };

    let other_key = replay(&asker("other")).await;
    assert!(!other_key.same);
    let departure = other_key.departure.expect("a departure");
    assert!(departure.contains(r#"state.get["other"]"#) && departure.contains(r#"state.get["key"]"#), "{departure}");

    let lazy = replay(&guest::store(&[], "")).await;
    assert!(lazy.departure.expect("a departure").contains("it ends, where the tape goes on with state.get"));
}

#[tokio::test]
async fn a_tape_of_another_world_is_refused() {
    let Recorded { world, tape, .. } = record().await;
    let builder = guest::builder(&[], "");
    let loaded = world.sandbox.load(&builder, &entry(crate::common::BUILDER, &Capability::ALL)).await.expect("loads");

    let refused = loaded.replay(world.instance("tool", rights(&[])), &tape).await.expect_err("no such function");

    assert_eq!(refused.code, "tape", "{refused}");
}
