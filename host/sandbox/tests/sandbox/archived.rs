//! Components built against older versions of the contract go on working: their bytes are kept and called.

use crate::common::{STORE, STORE_0_2, entry, limits, rights, server::Server, world};
use fuseml_domain::{Attributes, BoundSecret, Capability, Digest, ErrorKind, Rights, StoreQuery};
use fuseml_sandbox::InstanceContext;
use std::sync::Arc;

/// World, digest, bytes. Lines are added when a contract is followed by another, and never changed.
const ARCHIVED: &[(&str, &str, &[u8])] = &[(
    STORE,
    "sha256:f5e526db3381179a95cb713f76ba13d2cfcb77a527c4c7c39240e15d4a2fc477",
    include_bytes!("../fixtures/guests/artifact-store-0.1.0-rust.wasm"),
)];

#[tokio::test]
async fn archived_components_are_what_they_were_and_still_answer() {
    for (contract, digest, bytes) in ARCHIVED {
        assert_eq!(Digest::of(bytes).to_string(), *digest, "the archived component was changed");
        let (world, server) = (world(limits()), Server::start().await);
        let component = entry(contract, &[Capability::Configuration, Capability::Http]);
        world.sandbox.inspect(bytes, &component).expect("it fits its world");
        let loaded = world.sandbox.load(bytes, &component).await.expect("it loads");
        let login = BoundSecret { name: "authorization".to_owned(), hosts: vec![server.url().parse().unwrap()] };
        let rights = Rights { secrets: vec![login], ..rights(&[&server.url()]) };
        let context = Arc::into_inner(world.instance("tool", rights)).unwrap();
        let settings = Attributes::from([("endpoint".to_owned(), server.url())]);
        let store = loaded.artifact_store(Arc::new(InstanceContext { settings, ..context })).expect("a store");

        let info = store.describe().await.expect("it describes itself");
        assert_eq!(info.kinds, ["model"]);
        assert!(info.operations.iter().any(|operation| operation == "register"), "{info:?}");
        let nothing = StoreQuery { kind: "dataset".to_owned(), conditions: Vec::new() };
        assert!(store.search(&nothing, None, 10).await.expect("a search").artifacts.is_empty());
        let error = store.get("no id of its").await.expect_err("refused");
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Invalid, "model-id"), "its own words arrive");
        store.health().await.expect_err("the server is no MLflow");
        assert_eq!(world.receipts().last().unwrap().hosts, [server.url()], "it asked through the policy of today");
    }
}

#[tokio::test]
async fn an_older_component_is_not_taken_for_a_newer_one() {
    let world = world(limits());
    for (_, _, bytes) in ARCHIVED {
        let error = world.sandbox.inspect(bytes, &entry(STORE_0_2, &Capability::ALL)).expect_err("refused");
        assert!(error.message.contains("implements the world fuseml:artifact-store/artifact-store@0.1.0"), "{error}");
    }
}
