//! Servers beside each other on one catalog: whoever dies, and whoever only seems dead, the others go on and nothing
//! is begun twice.

use crate::memory::{Crash, Disk, Jobs, MemoryAgent, codeset, let_it_work, name, pipeline, server_beside};
use fuseml_domain::{Concurrency, Kind, RunCommand, RunState, Starts, StepState};
use fuseml_engine::Engine;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const TRAINING: &str = "
schema_version: 1
name: training
description: d
inputs: {code: {kind: codeset}}
steps:
  build: {build: any, codeset: '${inputs.code}'}
  train: {run: '${steps.build.trainer}', inputs: {code: '${inputs.code}'}}
  serve: {serve: '${steps.build.predictor}', inputs: {model: '${steps.train.model}'}}
";

const ASKING: &str = "
schema_version: 1
name: asking
description: d
inputs: {code: {kind: codeset}}
steps:
  ask: {approve: {message: 'Well?'}}
";

const WAITING: &str = "
schema_version: 1
name: waiting
description: d
inputs: {code: {kind: codeset}}
steps:
  wait: {wait: {artifact: 'model://*'}}
";

fn disk(template: &str) -> Disk {
    let disk = Disk::default();
    disk.add(pipeline(template, "code", "code://*"));
    disk
}

fn check(disk: &Disk, agent: &MemoryAgent, at: &str) {
    let states: Vec<_> = disk.runs().iter().map(|run| (run.label(), run.state)).collect();
    assert_eq!(states, [("training/1".into(), RunState::Succeeded)], "{at}: {:?}", disk.runs());
    let begun = agent.begun();
    assert_eq!(begun.len(), begun.iter().collect::<BTreeSet<_>>().len(), "{at}: {begun:?}");
    assert_eq!(begun.len(), 3, "{at}: {begun:?}");
    assert_eq!(disk.artifacts(Kind::Model).len(), 1, "{at}");
    assert_eq!(disk.services().len(), 1, "{at}");
}

async fn two_servers(disk: &Arc<Disk>, agent: &Arc<MemoryAgent>) -> (Arc<Engine>, Arc<Engine>) {
    let first = server_beside(disk, agent, Crash::Never).await.expect("engine");
    (first, server_beside(disk, agent, Crash::Never).await.expect("engine"))
}

/// A push to one of two servers.
async fn pushed(disk: Disk, jobs: Jobs, crash: Crash) -> (Arc<Disk>, Arc<MemoryAgent>) {
    let (disk, agent) = (Arc::new(disk), Arc::new(MemoryAgent::with(jobs)));
    let first = server_beside(&disk, &agent, crash).await;
    let second = server_beside(&disk, &agent, Crash::Never).await;
    disk.register(codeset("c1"));
    first.iter().for_each(|first| first.wake());
    let_it_work(&disk).await;
    drop(second);
    (disk, agent)
}

#[tokio::test(start_paused = true)]
async fn wherever_one_of_two_servers_dies_the_other_ends_its_work_and_nothing_is_begun_twice() {
    for jobs in Jobs::ALL {
        let writes = pushed(disk(TRAINING), jobs, Crash::Never).await.0.writes();
        for at in 0..writes + 1 {
            for crash in [Crash::Before(at), Crash::After(at)] {
                let (disk, agent) = pushed(disk(TRAINING), jobs, crash).await;
                check(&disk, &agent, &format!("{jobs:?}, {crash:?}"));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_overslept_its_lease_saves_nothing_of_what_another_took_over() {
    for jobs in Jobs::ALL {
        let writes = pushed(disk(TRAINING), jobs, Crash::Never).await.0.writes();
        let mut lost = 0;
        for at in 0..writes + 1 {
            let mut disk = disk(TRAINING);
            disk.overslept = Some(at);
            let (disk, agent) = pushed(disk, jobs, Crash::Never).await;
            // It wakes up when the other is done.
            tokio::time::sleep(Duration::from_millis(20)).await;
            check(&disk, &agent, &format!("{jobs:?}, overslept at {at}"));
            lost += disk.lost();
        }
        assert!(lost > 0, "{jobs:?}: one of them tried");
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_server_is_told_reaches_the_one_that_drives_the_run_heard_or_not() {
    let told = [
        (RunCommand::Approve { step: None }, RunState::Succeeded, StepState::Succeeded),
        (RunCommand::Cancel, RunState::Cancelled, StepState::Cancelled),
    ];
    for (deaf, (command, ends, step_ends)) in
        [false, true].into_iter().flat_map(|deaf| told.clone().map(|it| (deaf, it)))
    {
        let mut disk = disk(ASKING);
        disk.deaf = deaf;
        let (disk, agent) = (Arc::new(disk), Arc::new(MemoryAgent::default()));
        let (first, second) = two_servers(&disk, &agent).await;
        disk.register(codeset("c1"));
        first.wake();
        let_it_work(&disk).await;
        // Whoever came later is known by then.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let run = disk.runs().remove(0);
        assert_eq!(run.steps[0].state, StepState::AwaitingApproval);

        second.command(run.id, command, "ada", None).await.expect("told");

        let_it_work(&disk).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let_it_work(&disk).await;
        let run = disk.runs().remove(0);
        assert_eq!((run.state, run.steps[0].state), (ends, step_ends), "deaf: {deaf}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_arrives_at_one_server_ends_what_waits_at_another() {
    let (disk, agent) = (Arc::new(disk(WAITING)), Arc::new(MemoryAgent::default()));
    let (first, second) = two_servers(&disk, &agent).await;
    disk.register(codeset("c1"));
    first.wake();
    let_it_work(&disk).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(disk.runs()[0].steps[0].state, StepState::AwaitingEvent);

    let mut model = codeset("m1");
    model.address = "model://p/m/m1".parse().expect("address");
    disk.register(model);
    second.arrived(&name("p")).await;

    let before = tokio::time::Instant::now();
    let_it_work(&disk).await;
    assert_eq!(disk.runs()[0].state, RunState::Succeeded);
    assert!(before.elapsed() < Duration::from_secs(1), "it was told, and did not look by chance");
}

/// Runs that follow each other on two servers, of which the one with the first dies at this write or after it.
async fn queued(crash: Crash) -> (Arc<Disk>, bool) {
    let (disk, agent) = (Arc::new(Disk::default()), Arc::new(MemoryAgent::default()));
    let starts = Starts { concurrency: Concurrency::Queue, ..Starts::default() };
    disk.add(pipeline(ASKING, "code", "code://*").starting(starts).expect("pipeline"));
    let first = server_beside(&disk, &agent, crash).await.expect("engine");
    disk.register(codeset("c1"));
    first.wake();
    let_it_work(&disk).await;
    let second = server_beside(&disk, &agent, Crash::Never).await.expect("engine");
    disk.register(codeset("c2"));
    second.wake();
    let_it_work(&disk).await;
    let (first_run, second_run) = (disk.runs()[0].clone(), disk.runs()[1].clone());
    assert_eq!((first_run.state, second_run.state), (RunState::Running, RunState::Queued));
    let approve = RunCommand::Approve { step: None };
    let told = first.command(first_run.id, approve.clone(), "ada", None);
    let was_told = matches!(tokio::time::timeout(Duration::from_secs(1), told).await, Ok(Ok(_)));
    let_it_work(&disk).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    let_it_work(&disk).await;
    (disk, was_told)
}

#[tokio::test(start_paused = true)]
async fn a_queued_run_begins_wherever_the_server_of_the_one_before_it_dies() {
    let (disk, _) = queued(Crash::Never).await;
    let writes = disk.writes();
    assert_eq!(disk.runs()[1].steps[0].state, StepState::AwaitingApproval);
    for at in 4..writes {
        for crash in [Crash::Before(at), Crash::After(at)] {
            let (disk, was_told) = queued(crash).await;
            let runs = disk.runs();
            match runs[0].state {
                RunState::Succeeded => {
                    assert_eq!(runs[1].steps[0].state, StepState::AwaitingApproval, "{crash:?}: {:?}", runs[1]);
                }
                state => assert!(!was_told && state == RunState::Running, "{crash:?}: {state}"),
            }
        }
    }
}

const KEEPING: &str = "
schema_version: 1
name: keeping
description: d
inputs: {code: {kind: codeset}}
steps:
  build: {build: any, codeset: '${inputs.code}'}
  train: {run: '${steps.build.trainer}', inputs: {code: '${inputs.code}'}, anonymous: true}
  keep: {register: {artifact: '${steps.train.model}', name: kept, labels: {stage: new}, tags: [live]}}
outputs: {model: {kind: model, from: '${steps.keep.artifact}'}}
";

#[tokio::test(start_paused = true)]
async fn what_is_anonymous_is_kept_once_and_cleared_away_wherever_a_server_dies() {
    let writes = pushed(disk(KEEPING), Jobs::default(), Crash::Never).await.0.writes();
    for at in 0..writes + 1 {
        for crash in [Crash::Before(at), Crash::After(at)] {
            let (disk, agent) = pushed(disk(KEEPING), Jobs::default(), crash).await;
            // Who died after the end of the run is followed by another's look.
            tokio::time::sleep(Duration::from_millis(30)).await;
            let run = disk.runs().remove(0);
            assert_eq!(run.state, RunState::Succeeded, "{crash:?}: {:?}", run.steps);
            let models = disk.artifacts(Kind::Model);
            assert_eq!(models.len(), 1, "{crash:?}: {models:?}");
            assert_eq!((&*models[0].name, models[0].labels["stage"].as_str()), ("kept", "new"), "{crash:?}");
            let begun = agent.begun();
            assert_eq!(begun.len(), 2, "{crash:?}: {begun:?}");
            let train = begun.iter().find(|key| key.ends_with(".train")).expect("train");
            assert!(agent.tidied().contains(train), "{crash:?}: {:?}", agent.tidied());
        }
    }
}
