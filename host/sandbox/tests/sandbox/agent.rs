//! Runtime-agent components: what they are asked reaches them, what they answer is checked.

use crate::common::{AGENT, entry, guest, limits, rights, world};
use fuseml_domain::{
    Attributes, Capability, EngineInput, EngineWorkload, ErrorKind, Location, Phase, Resources, WorkloadKind,
    port::EngineAgent,
};
use std::sync::Arc;

async fn agent(world: &crate::common::World, bodies: &[(&str, &str)], items: &str) -> Arc<dyn EngineAgent> {
    let guest = guest::agent(bodies, items);
    let loaded = world.sandbox.load(&guest, &entry(AGENT, &Capability::ALL)).await.expect("loads");
    loaded.runtime_agent(world.instance("engine", rights(&[]))).expect("an agent")
}

fn workload(kind: WorkloadKind) -> EngineWorkload {
    EngineWorkload {
        key: "run-7-train".to_owned(),
        kind,
        image: Location::new("oci", "registry.example/train@sha256:00"),
        command: vec!["python".to_owned(), "train.py".to_owned()],
        variables: Attributes::from([("ALPHA".to_owned(), "0.1".to_owned())]),
        secret_variables: Attributes::new(),
        files: Vec::new(),
        inputs: vec![EngineInput {
            name: "data".to_owned(),
            path: "data".to_owned(),
            contents: Location::new("s3", "s3://bucket/data"),
        }],
        outputs: Vec::new(),
        port: None,
        readiness_path: None,
        resources: Resources { cpu_millis: Some(500), ..Resources::default() },
        timeout: None,
        labels: Attributes::new(),
    }
}

#[tokio::test]
async fn a_submitted_workload_reaches_the_engine_under_its_key() {
    let world = world(limits());
    // The id is the workload's key, which is the record's first field.
    let echo = "(i32.store (i32.const 32776) (i32.load (local.get 0)))
        (i32.store (i32.const 32780) (i32.load offset=4 (local.get 0)))
        (i32.const 32768)";
    let agent = agent(&world, &[("submit", echo)], "").await;

    assert_eq!(agent.submit(&workload(WorkloadKind::Job)).await, Ok("run-7-train".to_owned()));
    assert_eq!(agent.check(&workload(WorkloadKind::Service)).await, Ok(Vec::new()));
    assert_eq!(world.receipts()[0].function, "submit");
}

#[tokio::test]
async fn environments_are_not_handed_to_components() {
    let world = world(limits());
    let agent = agent(&world, &[], "").await;

    let error = agent.submit(&workload(WorkloadKind::Environment)).await.expect_err("no such kind");

    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unsupported, "workload-kind"), "{error}");
    assert!(world.receipts().is_empty(), "nothing was called");
}

#[tokio::test]
async fn statuses_and_logs_come_back_in_the_hosts_words() {
    let world = world(limits());
    // phase 4 (failed), exit code 3, ended 1000 ms after 1970.
    let status = "(i32.store8 (i32.const 32776) (i32.const 4))
        (i32.store8 (i32.const 32792) (i32.const 1)) (i32.store (i32.const 32796) (i32.const 3))
        (i32.store8 (i32.const 32816) (i32.const 1)) (i64.store (i32.const 32824) (i64.const 1000))
        (i32.const 32768)";
    let agent = agent(&world, &[("status", status)], "").await;

    let status = agent.status("job-1").await.expect("a status");

    assert_eq!((status.status.phase, status.status.exit_code), (Phase::Failed, Some(3)));
    assert_eq!(status.status.ended.map(|time| time.as_millisecond()), Some(1000));
    let log = agent.logs("job-1", Some("7")).await.expect("a log");
    assert!(log.lines.is_empty() && log.cursor.is_none() && !log.ended);
    assert!(agent.describe().await.expect("info").kinds.is_empty());
    agent.health().await.expect("healthy");
    agent.cancel("job-1").await.expect("cancelled");
    agent.delete("job-1").await.expect("deleted");
}

#[tokio::test]
async fn answers_that_nobody_could_use_are_refused() {
    let world = world(limits());
    let never = "(i32.store8 (i32.const 32816) (i32.const 1)) (i64.store (i32.const 32824) (i64.const -1))
        (i32.const 32768)";
    let agent = agent(&world, &[("status", never)], "").await;

    for error in [
        agent.submit(&workload(WorkloadKind::Job)).await.expect_err("an empty id"),
        agent.status("job-1").await.expect_err("no point in time"),
    ] {
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Internal, "bad-answer"), "{error}");
    }
}
