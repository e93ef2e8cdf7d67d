//! What people tell runs, with the engine whole in memory: it holds wherever the server dies.

use crate::memory::{Crash, Disk, Jobs, MemoryAgent, codeset, let_it_work, name, pipeline, server};
use fuseml_domain::{Name, ReuseVerdict, Run, RunCommand, RunState, StepState, Swap, Value};
use fuseml_engine::Engine;
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

const TRAINING: &str = "
schema_version: 1
name: training
description: d
inputs: {code: {kind: codeset}}
steps:
  build: {build: any, codeset: '${inputs.code}'}
  train: {run: '${steps.build.trainer}', inputs: {code: '${inputs.code}'}}
  ask: {approve: {message: 'To production?', by: [ada]}, after: [train]}
  serve: {serve: '${steps.build.predictor}', inputs: {model: '${steps.train.model}'}, after: [ask]}
outputs: {model: {kind: model, from: '${steps.train.model}'}}
";

async fn pushed(text: &str) -> (Arc<Disk>, Arc<MemoryAgent>, Arc<Engine>) {
    let (disk, agent) = (Arc::new(Disk::default()), Arc::new(MemoryAgent::default()));
    disk.add(pipeline(text, "code", "code://*"));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    disk.register(codeset("c1"));
    engine.wake();
    let_it_work(&disk).await;
    (disk, agent, engine)
}

async fn tell(engine: &Arc<Engine>, run: &Run, command: RunCommand) -> Run {
    engine.command(run.id, command, "ada", None).await.expect("command")
}

fn states(run: &Run) -> Vec<StepState> {
    run.steps.iter().map(|step| step.state).collect()
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_the_person_it_asks_and_for_nobody_else() {
    use StepState as S;
    let (disk, agent, engine) = pushed(TRAINING).await;
    let run = disk.runs().remove(0);
    assert_eq!(states(&run), [S::Succeeded, S::Succeeded, S::AwaitingApproval, S::Waiting]);
    assert!(run.waits_for(Timestamp::now()).is_some());

    let denied = engine.command(run.id, RunCommand::Approve { step: None }, "eve", None).await;
    assert_eq!(denied.expect_err("denied").code, "approval");
    tell(&engine, &run, RunCommand::Approve { step: None }).await;
    let_it_work(&disk).await;
    assert_eq!(disk.runs()[0].state, RunState::Succeeded);
    assert_eq!((agent.begun().len(), disk.services().len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_is_done_again_with_what_was_swapped_and_what_went_well_is_not() {
    let disk = Arc::new(Disk::default());
    let agent = Arc::new(MemoryAgent::failing(".train"));
    disk.add(pipeline(TRAINING, "code", "code://*"));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    disk.register(codeset("c1"));
    engine.wake();
    let_it_work(&disk).await;
    let run = disk.runs().remove(0);
    assert_eq!(run.state, RunState::Failed);

    let unknown = Swap { runnable: Some("runnable://p/x/1".parse().expect("address")), ..Swap::default() };
    let unknown = RunCommand::Swap { step: name("train"), swap: unknown };
    engine.command(run.id, unknown, "ada", None).await.expect_err("there is no such runnable");
    let trainer = run.steps[1].runnable.clone();
    assert!(trainer.is_some());
    tell(&engine, &run, RunCommand::Swap { step: name("train"), swap: Swap { runnable: trainer, ..Swap::default() } })
        .await;
    tell(&engine, &run, RunCommand::Resume).await;
    let_it_work(&disk).await;

    let run = disk.runs().remove(0);
    assert_eq!((run.steps[1].attempt, run.steps[1].state), (2, StepState::Succeeded));
    let tries: Vec<_> = agent.begun().iter().filter_map(|key| key.split_once('.').map(|it| it.1.to_owned())).collect();
    assert_eq!(tries, ["build", "train", "train.2-2"]);
    let said: Vec<_> = run.interventions.iter().map(|it| it.by.as_str()).collect();
    assert_eq!(said, ["ada", "ada"]);
}

/// In real time, for so are pauses.
#[tokio::test]
async fn a_step_that_fails_is_tried_again_after_its_pause_while_others_go_on() {
    let text = TRAINING
        .replace("inputs: {code: '${inputs.code}'}}\n  ask", "inputs: {code: '${inputs.code}'}, retry: {attempts: 2, delay: 1s}}\n  other: {run: '${steps.build.trainer}', inputs: {code: '${inputs.code}'}}\n  ask");
    let disk = Arc::new(Disk::default());
    let agent = Arc::new(MemoryAgent::failing(".train"));
    disk.add(pipeline(&text, "code", "code://*"));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    disk.register(codeset("c1"));
    engine.wake();
    let waits = async || {
        while disk.runs().first().is_none_or(|run| run.waits_for(Timestamp::now()).is_none()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waits()).await.expect("it asks in the end");
    let run = disk.runs().remove(0);
    let train = run.step(&name("train")).expect("train");
    assert_eq!((train.state, train.attempt, train.earlier.len()), (StepState::Succeeded, 2, 1));
    assert!(train.started.expect("started") >= train.not_before.expect("due"));
}

#[tokio::test(start_paused = true)]
async fn the_same_job_is_done_once_and_its_result_taken_after_that() {
    let text = TRAINING.replace("  ask: {approve: {message: 'To production?', by: [ada]}, after: [train]}\n", "");
    let (disk, agent, engine) = pushed(&text.replace(", after: [ask]", "")).await;
    let first = disk.runs().remove(0);
    let again = async |reuse| {
        let mut run = engine.plan_rerun(&disk.runs()[0], "again".to_owned()).await.expect("run");
        run.reuse = reuse;
        let started = engine.start_run(run).await.expect("run");
        let_it_work(&disk).await;
        disk.runs().into_iter().find(|run| run.id == started.id).expect("run")
    };

    let second = again(None).await;
    assert_eq!(second.state, RunState::Succeeded);
    assert_eq!(second.steps[1].reuse, Some(ReuseVerdict::Hit { run: "training/1".to_owned(), step: name("train") }));
    assert_eq!(second.outputs, first.outputs);
    assert!(!agent.begun().iter().any(|key| *key == format!("{}.train", second.id)));

    let third = again(Some(fuseml_domain::Reuse::Off)).await;
    assert!(agent.begun().contains(&format!("{}.train", third.id)));
    let fourth = again(None).await;
    let from = |run: &Run| match &run.steps[1].reuse {
        Some(ReuseVerdict::Hit { run, .. }) => run.clone(),
        other => format!("{other:?}"),
    };
    assert_eq!(from(&fourth), "training/3", "the last one counts");

    // What was made is gone: it is made again, and the reason is said.
    let Value::Artifact(model) = &fourth.outputs[&name("model")] else { panic!("{:?}", fourth.outputs) };
    disk.forget(model);
    let fifth = again(None).await;
    let Some(ReuseVerdict::Miss { reasons }) = &fifth.steps[1].reuse else { panic!("{:?}", fifth.steps[1].reuse) };
    assert!(reasons[0].contains("was deleted; training/3 had made it"), "{reasons:?}");

    // Other code is another job, and what differs is said.
    disk.register(codeset("c2"));
    engine.wake();
    let_it_work(&disk).await;
    let sixth = disk.runs().into_iter().find(|run| run.number == 6).expect("run");
    let Some(ReuseVerdict::Miss { reasons }) = &sixth.steps[1].reuse else { panic!("{:?}", sixth.steps[1].reuse) };
    assert_eq!(*reasons, ["the input `code` was code://p/app/c1, is code://p/app/c2 (in training/5)"]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ends_at_once_is_one_transaction_and_one_that_does_not_is_seen_to_run() {
    let done = async |components, slow, failing: Option<&'static str>| {
        let mut agent = MemoryAgent::with(Jobs { components, slow });
        agent.failing = failing;
        let (disk, agent) = (Arc::new(Disk::default()), Arc::new(agent));
        disk.add(pipeline(TRAINING, "code", "code://*"));
        let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
        disk.register(codeset("c1"));
        engine.wake();
        let_it_work(&disk).await;
        (disk.writes(), disk.runs().remove(0).steps[1].clone())
    };
    let writes = async |components, slow| done(components, slow, None).await.0;
    let slow_process = writes(false, true).await;
    assert_eq!(slow_process - writes(false, false).await, 2, "submitted and ended are saved with what came of it");
    assert_eq!(slow_process - writes(true, false).await, 3, "and of a component that it was staged, too");
    assert_eq!(slow_process - writes(true, true).await, 1);

    let (_, train) = done(true, false, None).await;
    assert_eq!(train.state, StepState::Succeeded);
    assert!(train.workload.is_some() && train.runnable.is_some() && train.reuse.is_some(), "{train:?}");
    let (_, train) = done(true, false, Some(".train")).await;
    assert_eq!((train.state, train.note.as_deref()), (StepState::Failed, Some("exited with code 1")));
    assert!(train.workload.is_some(), "its log can be read");
}

#[tokio::test(start_paused = true)]
async fn a_plan_says_what_runs_and_what_is_there_and_does_nothing() {
    use fuseml_domain::Prospect as P;
    let (disk, agent, engine) = pushed(TRAINING).await;
    tell(&engine, &disk.runs()[0], RunCommand::Approve { step: None }).await;
    let_it_work(&disk).await;
    let (writes, begun) = (disk.writes(), agent.begun());
    let plan = async |given: BTreeMap<Name, _>| {
        let pipeline = pipeline(TRAINING, "code", "code://*");
        engine.plan(&pipeline, given, None).await.expect("plan")
    };
    let prospects = |plan: &fuseml_domain::Plan| plan.steps.iter().map(|step| step.prospect).collect::<Vec<_>>();

    let same = plan(BTreeMap::new()).await;
    assert_eq!(prospects(&same), [P::Reused, P::Reused, P::Asks, P::Runs]);
    assert_eq!(same.steps[1].why, ["reused from training/1, step train"]);
    let other = codeset("c2");
    disk.register(other.clone());
    let new = plan([(name("code"), other)].into()).await;
    assert_eq!(prospects(&new), [P::Reused, P::Runs, P::Asks, P::Runs]);
    assert_eq!(new.steps[3].why, ["${steps.train.model} would be made anew"]);
    assert!(new.steps[1].seconds.is_some());
    assert_eq!((disk.writes(), agent.begun()), (writes, begun));
}

/// Every command at every write, with a server that dies there, before, or a little later.
#[tokio::test(start_paused = true)]
async fn whatever_people_say_wherever_the_server_dies_no_step_is_lost_or_begun_twice() {
    for jobs in Jobs::ALL {
        every_command_at_every_write(jobs, None).await;
    }
}

/// The same where training fails the first time.
#[tokio::test(start_paused = true)]
async fn whatever_people_say_of_a_run_that_fails_it_goes_on_where_it_did() {
    for jobs in Jobs::ALL {
        every_command_at_every_write(jobs, Some(".train")).await;
    }
}

fn agent(jobs: Jobs, failing: Option<&'static str>) -> Arc<MemoryAgent> {
    Arc::new(MemoryAgent::with(jobs).but(|agent| agent.failing = failing))
}

async fn every_command_at_every_write(jobs: Jobs, failing: Option<&'static str>) {
    let writes = {
        let (disk, agent) = (Arc::new(Disk::default()), agent(jobs, failing));
        disk.add(pipeline(TRAINING, "code", "code://*"));
        disk.register(codeset("c1"));
        server(&disk, &agent, Crash::Never).await.expect("engine");
        let_it_work(&disk).await;
        disk.writes()
    };
    let train = || Some(name("train"));
    let parameters = [("none".to_owned(), "1".to_owned())].into();
    let commands = [
        RunCommand::Pause,
        RunCommand::Resume,
        RunCommand::Cancel,
        RunCommand::Retry { step: train() },
        RunCommand::Retry { step: Some(name("build")) },
        RunCommand::Approve { step: None },
        RunCommand::Reject { step: None },
        RunCommand::Step { step: None },
        RunCommand::Swap { step: name("train"), swap: Swap { runnable: None, parameters } },
    ];
    for command in commands {
        for told in 0..=writes {
            for dies in [told, told + 1, told + 2] {
                for crash in [Crash::Before(dies), Crash::After(dies)] {
                    one_life_and_another((jobs, failing), &command, told, crash).await;
                }
            }
        }
    }
}

async fn one_life_and_another(
    (jobs, failing): (Jobs, Option<&'static str>),
    command: &RunCommand,
    told_at: usize,
    crash: Crash,
) {
    let (disk, agent) = (Arc::new(Disk::default()), agent(jobs, failing));
    disk.add(pipeline(TRAINING, "code", "code://*"));
    disk.register(codeset("c1"));
    if let Some(first) = server(&disk, &agent, crash).await {
        for _ in 0..50 {
            if disk.writes() >= told_at {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if let Some(run) = disk.runs().first() {
            // A dead server answers nobody.
            let _ =
                tokio::time::timeout(Duration::from_secs(1), first.command(run.id, command.clone(), "ada", None)).await;
        }
        let_it_work(&disk).await;
        first.stop();
        // Until it is gone: two servers at once are another story.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = server(&disk, &agent, Crash::Never).await.expect("engine");
    let_it_work(&disk).await;
    for _ in 0..6 {
        let run = disk.runs().remove(0);
        let next = match run.state {
            RunState::Succeeded => break,
            _ if run.steps.iter().any(|step| step.state == StepState::AwaitingApproval) => {
                RunCommand::Approve { step: None }
            }
            // The parameter that was swapped in does not exist: no runnable would take it.
            _ if run.steps[1].swap.is_some() => return,
            _ => RunCommand::Resume,
        };
        let told = second.command(run.id, next, "ada", None).await;
        told.unwrap_or_else(|error| panic!("{command:?} at {told_at}, {crash:?}: {error}: {:?}", states(&run)));
        let_it_work(&disk).await;
    }
    let run = disk.runs().remove(0);
    let at = format!("{jobs:?} {failing:?}, {command:?} at {told_at}, {crash:?}");
    assert_eq!(run.state, RunState::Succeeded, "{at}: {:?}", run.steps);
    let begun = agent.begun();
    assert_eq!(begun.iter().collect::<BTreeSet<_>>().len(), begun.len(), "{at}: {begun:?}");
    let tries = |step: &str| begun.iter().filter(|key| key.split('.').nth(1) == Some(step)).count();
    for step in ["build", "train", "serve"] {
        let attempts = run.step(&name(step)).expect("step").attempt as usize;
        assert!((1..=attempts).contains(&tries(step)), "{at}: {step} {attempts} {begun:?}");
    }
    assert_eq!(disk.services().len(), 1, "{at}");
}
