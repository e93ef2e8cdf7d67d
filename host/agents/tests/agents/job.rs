//! Jobs: how they end, what they leave, what they see.

use crate::common::{LONG, World, config, eventually, job, lives};
use fuseml_agents::ProcessAgent;
use fuseml_domain::{Contents, ErrorKind, Location, Phase, Workload, WorkloadInput, port::RuntimeAgent};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, time::Duration};

#[tokio::test]
async fn a_job_ends_with_its_exit_code_and_log() {
    let world = World::new();
    let status = world.run(&job("good", "echo to the log; echo and this >&2")).await;
    assert_eq!((status.phase, status.exit_code, status.message), (Phase::Succeeded, Some(0), None));
    assert!(status.started.unwrap() <= status.ended.unwrap());
    let chunk = world.agent.logs("good", 0).await.unwrap();
    assert_eq!((chunk.text.as_str(), chunk.ended), ("to the log\nand this\n", true));

    let status = world.run(&job("bad", "exit 3")).await;
    assert_eq!((status.phase, status.exit_code), (Phase::Failed, Some(3)));
    assert_eq!(status.message.unwrap(), "exited with code 3");

    let status = world.run(&job("killed", "kill -SEGV $$")).await;
    assert_eq!((status.phase, status.exit_code), (Phase::Failed, None));
    assert_eq!(status.message.unwrap(), "was killed by SIGSEGV");

    let status = world.run(&Workload { command: vec!["no-such-program".to_owned()], ..job("none", "") }).await;
    assert_eq!((status.phase, status.exit_code), (Phase::Failed, Some(127)));
    assert!(status.message.unwrap().starts_with("the command `no-such-program` could not be started: No such file"));
}

#[tokio::test]
async fn of_a_job_that_was_tidied_its_log_and_its_end_are_left() {
    let world = World::new();
    assert!(world.agent.tidy("unknown").await.unwrap(), "nothing is left of it");
    world.agent.submit(&job("waits", "sleep 1000")).await.unwrap();
    assert!(!world.agent.tidy("waits").await.unwrap(), "it has not ended");
    assert!(world.folder("waits").join("work").exists());
    world.agent.cancel("waits").await.unwrap();

    world.run(&job("done", "echo a line; echo much >file")).await;
    assert!(world.agent.tidy("done").await.unwrap());
    assert!(world.agent.tidy("done").await.unwrap(), "as often as anybody asks");
    for folder in ["work", "home", "tmp"] {
        assert!(!world.folder("done").join(folder).exists(), "{folder}");
    }
    assert_eq!(world.log("done").await, "a line\n");
    assert_eq!(world.agent.status("done").await.unwrap().phase, Phase::Succeeded);
}

#[tokio::test]
async fn inputs_and_files_are_in_the_working_directory() {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("data.csv"), "1,2\n").unwrap();
    let contents =
        Contents { location: Location::new("file", source.path().to_str().unwrap()), tree: None, files: Vec::new() };
    let workload = Workload {
        files: vec![("bin/go".to_owned(), "#!/bin/sh\ncat inputs/data/data.csv\n".to_owned())],
        inputs: vec![WorkloadInput {
            name: "data".to_owned(),
            path: "inputs/data".to_owned(),
            is_file: false,
            contents,
        }],
        command: vec!["./bin/go".to_owned()],
        ..job("staged", "")
    };
    assert_eq!(world.run(&workload).await.phase, Phase::Succeeded);
    assert_eq!(world.log("staged").await, "1,2\n");

    let mut without = Workload { key: "unstaged".to_owned(), ..workload };
    without.inputs[0].contents.location.uri.push_str("-gone");
    let error = world.agent.submit(&without).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.starts_with("input data: "), "{error}");
    assert_eq!(world.agent.status("unstaged").await.unwrap().phase, Phase::Lost);
    assert_eq!(fs::read_dir(world.root.path().join("aside")).unwrap().count(), 0);
}

#[tokio::test]
async fn files_cannot_be_written_elsewhere() {
    let world = World::new();
    for path in ["../out", "/tmp/out", "a/../../out"] {
        let workload = Workload { files: vec![(path.to_owned(), String::new())], ..job("climber", "true") };
        assert_eq!(world.agent.submit(&workload).await.unwrap_err().code, "path");
    }
    for key in ["", ".", "..", "a/b", "A", "a..b", &"k".repeat(121)] {
        assert_eq!(world.agent.submit(&job(key, "true")).await.unwrap_err().code, "workload-key");
    }
}

#[tokio::test]
async fn a_job_sees_nothing_of_the_server() {
    let world = World::new();
    let workload = Workload {
        variables: [("ALPHA".to_owned(), "0.5".to_owned())].into(),
        command: vec!["env".to_owned()],
        ..job("environment", "")
    };
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "the server's environment holds something");
    assert_eq!(world.run(&workload).await.phase, Phase::Succeeded);
    let log = world.log("environment").await;
    let mut names: Vec<_> = log.lines().map(|line| line.split('=').next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["ALPHA", "FUSEML_WORKLOAD", "HOME", "LANG", "PATH", "PYTHONPATH", "PYTHONUNBUFFERED", "TMPDIR"]);
    assert!(log.contains("PATH=/usr/local/bin:/usr/bin:/bin\n"));
}

#[tokio::test]
async fn the_time_limit_ends_a_job() {
    let world = World::new();
    let workload = Workload { timeout: Some(Duration::from_millis(300)), ..job("slow", "echo $$ >pid; sleep 1000") };
    let status = world.run(&workload).await;
    assert_eq!(status.phase, Phase::Failed);
    assert_eq!(status.message.unwrap(), "stopped after its time limit of 0.3 s");
    assert!(!lives(world.number("slow", "pid").await));
}

#[tokio::test]
async fn all_processes_of_a_job_together_have_the_memory_that_is_said() {
    let world = World::new();
    let resources = fuseml_domain::Resources { memory_bytes: Some(96 << 20), ..Default::default() };
    let hold = |mebibytes: u32| format!("python3 -c 'import time; held = bytearray({mebibytes} << 20); time.sleep(2)'");
    let modest = Workload { resources: resources.clone(), ..job("modest", &hold(20)) };
    assert_eq!(world.run(&modest).await.phase, Phase::Succeeded);

    let script = format!("echo $$ >pid; {0} & {0} & {0} & wait; sleep 1000", hold(60));
    let greedy = Workload { resources, ..job("greedy", &script) };
    let status = world.run(&greedy).await;
    assert_eq!(status.phase, Phase::Failed);
    assert_eq!(status.message.unwrap(), "killed: it used more than it may (memory 96 MiB)");
    assert!(!lives(world.number("greedy", "pid").await));
}

#[tokio::test]
async fn a_job_that_fills_the_disk_is_ended_at_the_storage_that_is_said() {
    let world = World::new();
    let resources = fuseml_domain::Resources { storage_bytes: Some(8 << 20), ..Default::default() };
    let script = "echo $$ >pid; while :; do head -c 1048576 /dev/zero >>filled; sleep 0.05; done";
    let status = world.run(&Workload { resources: resources.clone(), ..job("filling", script) }).await;
    assert_eq!(status.message.unwrap(), "killed: it used more than it may (storage 8 MiB)");
    assert!(!lives(world.number("filling", "pid").await));
    let modest = Workload { resources, ..job("modest", "head -c 1048576 /dev/zero >filled; sleep 1.5") };
    assert_eq!(world.run(&modest).await.phase, Phase::Succeeded);
}

#[tokio::test]
async fn a_job_that_starts_processes_without_end_is_ended_with_all_of_them() {
    let world = World::new();
    let status = world.run(&job("runaway", "echo $$ >pid; while :; do sleep 1000 & done")).await;
    assert_eq!(status.message.unwrap(), "killed: it had more than 4096 processes at one time");
    assert!(!lives(world.number("runaway", "pid").await));
}

#[tokio::test]
async fn what_a_job_leaves_beside_its_outputs_is_found_with_its_kind() {
    let world = World::new();
    let script = "mkdir -p .fuseml/artifacts/dataset/rows .fuseml/artifacts/model/baseline
        echo 1 >.fuseml/artifacts/dataset/rows/n; echo m >.fuseml/artifacts/model/baseline/m
        echo '{\"metrics\": {\"accuracy\": 0.5}}' >.fuseml/artifacts/model/baseline.json";
    let workload = job("beside", script);
    assert_eq!(world.run(&workload).await.phase, Phase::Succeeded);
    let left = world.agent.outputs(&workload).await.unwrap();
    let shown: Vec<_> =
        left.iter().map(|it| (it.name.as_str(), it.beside, it.report.metrics.get("accuracy"))).collect();
    let (dataset, model) = (fuseml_domain::Kind::Dataset, fuseml_domain::Kind::Model);
    assert_eq!(shown, [("rows", Some(dataset), None), ("baseline", Some(model), Some(&0.5))]);

    for (key, script, code) in [
        ("named", "mkdir -p '.fuseml/artifacts/model/No Name'; echo >'.fuseml/artifacts/model/No Name/m'", "name"),
        ("empty", "mkdir -p .fuseml/artifacts/model/none", "output-missing"),
        ("outside", "mkdir -p .fuseml/artifacts; ln -s /etc .fuseml/artifacts/model", "output-link"),
        ("linked", "mkdir -p .fuseml/artifacts/model; ln -s /etc .fuseml/artifacts/model/etc", "output-link"),
        ("twice", "mkdir -p .fuseml/artifacts/model/a .fuseml/artifacts/dataset/a", "output-name"),
    ] {
        let workload = job(key, script);
        assert_eq!(world.run(&workload).await.phase, Phase::Succeeded, "{key}");
        assert_eq!(world.agent.outputs(&workload).await.unwrap_err().code, code, "{key}");
    }
}

#[tokio::test]
async fn a_supervisor_is_there_though_the_launcher_was_killed() {
    let world = World::new();
    assert_eq!(world.run(&job("before", "true")).await.phase, Phase::Succeeded);
    let forks_of = |parent: i32| {
        let own = format!("PPid:\t{parent}\n");
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let is_fork = |path: &std::path::Path| {
            let command = fs::read_to_string(path.join("cmdline")).unwrap_or_default();
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            command.trim_end_matches('\0').ends_with("fuseml-process-supervisor") && status.contains(&own)
        };
        let found = entries.map(|entry| entry.path()).filter(|path| is_fork(path));
        found.filter_map(|path| path.file_name()?.to_str()?.parse::<i32>().ok()).collect::<Vec<_>>()
    };
    let launchers = || forks_of(i32::try_from(std::process::id()).unwrap());
    let [launcher] = launchers().try_into().unwrap();
    // The one that waits for the next folder is not missed either.
    eventually(|| forks_of(launcher).len() == 1).await;
    let waiting = forks_of(launcher)[0];
    kill(Pid::from_raw(waiting), Signal::SIGKILL).unwrap();
    assert_eq!(world.run(&job("between", "true")).await.phase, Phase::Succeeded);
    assert_eq!(launchers(), [launcher]);
    let held = job("held", "while [ ! -e go ]; do sleep 0.02; done");
    world.agent.submit(&held).await.unwrap();
    kill(Pid::from_raw(launcher), Signal::SIGKILL).unwrap();
    eventually(|| !lives(launcher)).await;
    // One supervisor was there already, waiting; the next needs another launcher.
    for key in ["after", "later"] {
        assert_eq!(world.run(&job(key, "true")).await.phase, Phase::Succeeded);
    }
    let [another] = launchers().try_into().unwrap();
    assert_ne!(another, launcher);
    fs::write(world.folder("held").join("work/go"), "").unwrap();
    assert_eq!(world.agent.wait("held", LONG).await.unwrap().phase, Phase::Succeeded);
}

#[tokio::test]
async fn cancelling_ends_daemons_and_the_stubborn() {
    let world = World::new();
    let agent = ProcessAgent::new(fuseml_agents::ProcessAgentConfig {
        grace: Duration::from_millis(200),
        ..config(world.root.path())
    });
    let agent = agent.unwrap();
    let script = "trap '' TERM
        setsid sh -c 'trap \"\" TERM; (sleep 1000 & echo $! >daemon; wait) &' &
        sleep 0.1; echo $$ >main; while :; do sleep 1000; done";
    agent.submit(&job("stubborn", script)).await.unwrap();
    let processes = [world.number("stubborn", "main").await, world.number("stubborn", "daemon").await];
    assert!(processes.iter().all(|pid| lives(*pid)));
    assert_eq!(agent.running().await.unwrap(), ["stubborn"]);
    assert_eq!(agent.delete("stubborn").await.unwrap_err().code, "workload-running");

    agent.cancel("stubborn").await.unwrap();
    assert!(!processes.iter().any(|pid| lives(*pid)));
    assert_eq!(agent.status("stubborn").await.unwrap().phase, Phase::Cancelled);
    assert!(agent.running().await.unwrap().is_empty());

    agent.cancel("stubborn").await.unwrap();
    agent.cancel("unknown").await.unwrap();
    agent.delete("stubborn").await.unwrap();
    assert!(!world.folder("stubborn").exists());
    assert_eq!(agent.status("stubborn").await.unwrap().phase, Phase::Lost);
    agent.delete("stubborn").await.unwrap();
}

#[tokio::test]
async fn a_daemon_does_not_outlive_its_job() {
    let world = World::new();
    let status = world.run(&job("daemon", "setsid sh -c 'sleep 1000 & echo $! >pid' & wait")).await;
    assert_eq!(status.phase, Phase::Succeeded);
    assert!(!lives(world.number("daemon", "pid").await));
}

#[tokio::test]
async fn submitted_often_it_runs_once() {
    let world = World::new();
    let workload = job("once", "echo run >>count; sleep 0.2");
    let all = (0..8).map(|_| world.agent.submit(&workload));
    for result in futures_of(all).await {
        result.unwrap();
    }
    // A server that was killed may have started any number of supervisors.
    for _ in 0..3 {
        let program = env!("CARGO_BIN_EXE_fuseml-process-supervisor");
        assert!(std::process::Command::new(program).arg(world.folder("once")).status().unwrap().success());
    }
    assert_eq!(world.run(&workload).await.phase, Phase::Succeeded);
    world.agent.submit(&workload).await.unwrap();
    assert_eq!(fs::read_to_string(world.folder("once").join("work/count")).unwrap(), "run\n");
}

async fn futures_of<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut results = Vec::new();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(result) => {
                results.push(result);
                false
            }
            std::task::Poll::Pending => true,
        });
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    results
}

#[tokio::test]
async fn what_was_submitted_but_not_started_is_started() {
    let mut world = World::new();
    world.run(&job("model", "true")).await;
    // As a server leaves it that is killed between the two.
    fs::create_dir_all(world.folder("half").join("work")).unwrap();
    let spec = fs::read_to_string(world.folder("model").join("spec.json")).unwrap();
    fs::write(world.folder("half").join("spec.json"), spec).unwrap();
    world.restart();
    assert_eq!(world.agent.status("half").await.unwrap().phase, Phase::Pending);
    assert_eq!(world.agent.running().await.unwrap(), ["half"]);
    assert_eq!(world.agent.wait("half", LONG).await.unwrap().phase, Phase::Succeeded);

    fs::create_dir_all(world.folder("dropped").join("work")).unwrap();
    fs::copy(world.folder("model").join("spec.json"), world.folder("dropped").join("spec.json")).unwrap();
    world.agent.cancel("dropped").await.unwrap();
    world.agent.submit(&job("dropped", "true")).await.unwrap();
    assert_eq!(world.agent.status("dropped").await.unwrap().phase, Phase::Cancelled);
}

#[tokio::test]
async fn a_new_agent_takes_running_jobs_up() {
    let mut world = World::new();
    world.agent.submit(&job("long", "echo started; while [ ! -e go ]; do sleep 0.02; done; exit 4")).await.unwrap();
    world.restart();
    let status = world.agent.wait("long", Duration::from_millis(50)).await.unwrap();
    assert_eq!(status.phase, Phase::Running);
    assert!(!world.agent.logs("long", 0).await.unwrap().ended);
    fs::write(world.folder("long").join("work/go"), "").unwrap();
    let status = world.agent.wait("long", LONG).await.unwrap();
    assert_eq!((status.phase, status.exit_code), (Phase::Failed, Some(4)));
    assert_eq!(world.log("long").await, "started\n[fuseml] exited with code 4\n");
}

#[tokio::test]
async fn a_job_whose_supervisor_is_killed_is_lost() {
    let world = World::new();
    let script = "setsid sh -c 'sleep 1000 & echo $! >daemon; wait' & echo $$ >main; wait";
    world.agent.submit(&job("orphan", script)).await.unwrap();
    let main = world.number("orphan", "main").await;
    let daemon = world.number("orphan", "daemon").await;
    kill(Pid::from_raw(world.supervisor("orphan")), Signal::SIGKILL).unwrap();
    eventually(|| !lives(main)).await;
    let status = world.agent.wait("orphan", LONG).await.unwrap();
    assert_eq!(status.phase, Phase::Lost);
    assert_eq!(status.message.unwrap(), "its supervisor was killed, and the workload with it");
    assert!(!lives(daemon));
    assert_eq!(world.run(&job("orphan", "true")).await.phase, Phase::Lost);
}

#[tokio::test]
async fn a_job_that_the_system_stops_was_not_cancelled() {
    let world = World::new();
    world.agent.submit(&job("shutdown", "sleep 1000")).await.unwrap();
    kill(Pid::from_raw(world.supervisor("shutdown")), Signal::SIGTERM).unwrap();
    assert_eq!(world.agent.wait("shutdown", LONG).await.unwrap().phase, Phase::Lost);
}
