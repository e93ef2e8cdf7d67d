//! Environments, made by the real uv from the real package index.

use crate::common::{World, job};
use fuseml_domain::{Digest, Environment, Phase, Workload, WorkloadKind, port::RuntimeAgent};
use std::fs;

fn environment(requirements: &[&str]) -> Environment {
    Environment {
        name: "tiny".to_owned(),
        dockerfile: String::new(),
        python: None,
        requirements: requirements.iter().map(|line| (*line).to_owned()).collect(),
        digest: Digest::of(requirements.join("\n").as_bytes()),
    }
}

fn making(key: &str, environment: &Environment) -> Workload {
    Workload {
        kind: WorkloadKind::Environment,
        environment: Some(environment.clone()),
        command: Vec::new(),
        ..job(key, "")
    }
}

#[tokio::test]
async fn an_environment_is_made_once_and_used() {
    let world = World::new();
    let tiny = environment(&["six==1.17.0"]);
    let code = "import six, sys; print(six.__version__, sys.prefix)";
    let user = Workload {
        environment: Some(tiny.clone()),
        command: ["python", "-c", code].map(str::to_owned).into(),
        ..job("user", "")
    };

    // Two at once: one makes it, the other waits and finds it.
    world.agent.submit(&making("first", &tiny)).await.expect("uv on the PATH or named by FUSEML_UV");
    world.agent.submit(&making("second", &tiny)).await.unwrap();
    let mut logs = String::new();
    for key in ["first", "second"] {
        let status = world.run(&making(key, &tiny)).await;
        logs += &world.log(key).await;
        assert_eq!(status.phase, Phase::Succeeded, "{logs}");
    }
    assert_eq!(logs.matches(&format!("environment {} is here", tiny.digest)).count(), 1, "{logs}");
    assert_eq!(logs.matches(&format!("environment {} is already here", tiny.digest)).count(), 1, "{logs}");

    assert_eq!(world.run(&user).await.phase, Phase::Succeeded);
    let place = fs::canonicalize(world.root.path()).unwrap().join("environments").join(tiny.digest.hex());
    assert_eq!(world.log("user").await, format!("1.17.0 {}\n", place.display()));
    let locked = fs::read_to_string(place.join("requirements.txt")).unwrap();
    assert!(locked.starts_with("six==1.17.0 \\\n    --hash=sha256:"), "{locked}");
    let compiled = fs::read_dir(place.join("lib")).unwrap().flatten().next().unwrap();
    assert!(compiled.path().join("site-packages/__pycache__").is_dir());
}

#[tokio::test]
async fn what_cannot_be_resolved_fails_with_the_reason() {
    let world = World::new();
    let impossible = environment(&["six==0.0.0.1"]);
    let status = world.run(&making("impossible", &impossible)).await;
    assert_eq!((status.phase, status.exit_code), (Phase::Failed, Some(1)));
    let log = world.log("impossible").await;
    assert!(log.contains("no version of six==0.0.0.1"), "{log}");
    assert!(!world.root.path().join("environments").join(impossible.digest.hex()).exists());
}

#[tokio::test]
async fn a_job_makes_the_environment_that_nobody_built_before_it() {
    let world = World::new();
    let tiny = environment(&["six==1.17.0"]);
    let code = "import os, six, sys; print(six.__version__, os.listdir('.'))";
    let job_with = |key: &str, environment: &Environment| Workload {
        environment: Some(environment.clone()),
        command: ["python", "-c", code].map(str::to_owned).into(),
        ..job(key, "")
    };

    assert_eq!(world.run(&job_with("one", &tiny)).await.phase, Phase::Succeeded);
    let log = world.log("one").await;
    assert!(log.contains(&format!("environment {} is here", tiny.digest)) && log.ends_with("1.17.0 []\n"), "{log}");
    assert_eq!(world.run(&job_with("two", &tiny)).await.phase, Phase::Succeeded);
    assert_eq!(world.log("two").await, "1.17.0 []\n");

    let impossible = environment(&["six==0.0.0.1"]);
    let failed = world.run(&job_with("three", &impossible)).await;
    let message = failed.message.expect("message");
    assert!(failed.phase == Phase::Failed && message.contains("the environment could not be made"), "{message}");
}
