use super::*;
use fuseml_extension::agent::Resources;
use fuseml_extension::{Credential, ErrorKind, Location, fake::Fake};

const CLUSTER: &str = "http://ray.example:8265";

/// A cluster that answers a job's status with this, and everything else with an empty object.
fn cluster(status: u16, job: &'static str) -> (Fake, RayJobs) {
    let fake = Fake::install();
    fake.setting("endpoint", CLUSTER);
    fake.http(move |request| match (request.method.as_str(), request.url.strip_prefix(CLUSTER)) {
        ("GET", Some("/api/jobs/k1")) => Ok(Fake::json(status, job)),
        ("GET", Some("/api/jobs/k1/logs")) => Ok(Fake::json(200, r#"{"logs": "one\ntwo\nthr"}"#)),
        _ => Ok(Fake::json(200, "{}")),
    });
    (fake, RayJobs::new().expect("settings"))
}

fn workload() -> Workload {
    let credential = Credential { kind: "none".to_owned(), secret: None, parameters: Vec::new() };
    let (scheme, uri) = ("none".to_owned(), String::new());
    Workload {
        key: "k1".to_owned(),
        kind: WorkloadKind::Job,
        image: Location { scheme, uri, credential, digest: None, size_bytes: None, expires: None },
        command: vec!["echo".to_owned(), "it's".to_owned()],
        environment: vec![("A".to_owned(), "1".to_owned())],
        secret_environment: Vec::new(),
        files: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        port: None,
        readiness_path: None,
        resources: Resources {
            cpu_millis: Some(500),
            memory_bytes: None,
            storage_bytes: None,
            gpus: None,
            requires: Vec::new(),
        },
        timeout_ms: None,
        labels: Vec::new(),
    }
}

#[test]
fn a_workload_becomes_a_job_of_its_key() {
    let (fake, ray) = cluster(404, "{}");
    assert_eq!(ray.submit(workload()).expect("submitted"), "k1");
    let sent: Value = serde_json::from_slice(fake.requests()[1].body.as_deref().expect("a body")).expect("JSON");
    assert_eq!(sent["submission_id"], "k1");
    assert_eq!(sent["entrypoint"], r"'echo' 'it'\''s'");
    assert_eq!(sent["runtime_env"]["env_vars"]["A"], "1");
    assert_eq!(sent["entrypoint_num_cpus"], 0.5);
}

#[test]
fn a_key_that_is_there_is_not_submitted_again() {
    let (fake, ray) = cluster(200, r#"{"status": "RUNNING"}"#);
    assert_eq!(ray.submit(workload()).expect("submitted"), "k1");
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn states_are_phases() {
    for (job, phase) in [
        (r#"{"status": "PENDING"}"#, Phase::Pending),
        (r#"{"status": "SUCCEEDED", "driver_exit_code": 0}"#, Phase::Succeeded),
        (r#"{"status": "STOPPED"}"#, Phase::Cancelled),
        (r#"{"status": "FAILED", "message": "boom"}"#, Phase::Failed),
    ] {
        assert_eq!(cluster(200, job).1.status("k1".to_owned()).expect("status").phase, phase, "{job}");
    }
    let missing = cluster(404, "{}").1.status("k1".to_owned()).expect_err("missing");
    assert_eq!(missing.kind, ErrorKind::NotFound);
}

#[test]
fn a_log_goes_on_at_its_cursor_and_waits_for_whole_lines() {
    let (_fake, ray) = cluster(200, r#"{"status": "RUNNING"}"#);
    let chunk = ray.logs("k1".to_owned(), Some("1".to_owned())).expect("log");
    assert_eq!((chunk.lines, chunk.cursor.as_deref(), chunk.ended), (vec!["two".to_owned()], Some("2"), false));
    let (_fake, ray) = cluster(200, r#"{"status": "SUCCEEDED"}"#);
    let chunk = ray.logs("k1".to_owned(), Some("2".to_owned())).expect("log");
    assert_eq!((chunk.lines, chunk.ended), (vec!["thr".to_owned()], true));
}

#[test]
fn what_ray_cannot_is_complained_of_and_odd_ids_are_refused() {
    let (fake, ray) = cluster(200, "{}");
    let mut service = workload();
    service.kind = WorkloadKind::Service;
    service.image.scheme = "oci".to_owned();
    assert_eq!(ray.check(service).expect("complaints").len(), 2);
    assert_eq!(ray.status("../version".to_owned()).expect_err("odd").kind, ErrorKind::Invalid);
    assert!(fake.requests().is_empty());
}
