//! The engine whole, in memory: what it does once, it does once, wherever the server dies.

use crate::memory::{self, Crash, Disk, Jobs, MemoryAgent, codeset, let_it_work, pipeline, push_and_take_over, server};
use fuseml_domain::{Concurrency, Kind, RunCommand, RunState, Starts, StepState};
use fuseml_engine::Engine;
use std::{sync::Arc, time::Duration};

const TRAINING: &str = "
schema_version: 1
name: training
description: d
inputs: {code: {kind: codeset}}
steps:
  build: {build: any, codeset: '${inputs.code}'}
  train: {run: '${steps.build.trainer}', inputs: {code: '${inputs.code}'}}
outputs: {model: {kind: model, from: '${steps.train.model}'}}
";
const SERVING: &str = "
schema_version: 1
name: serving
description: d
inputs: {model: {kind: model}}
steps: {serve: {serve: {kind: predictor}, inputs: {model: '${inputs.model}'}}}
outputs: {url: {from: '${steps.serve.url}'}}
";

fn disk() -> Arc<Disk> {
    let disk = Arc::new(Disk::default());
    disk.add(pipeline(TRAINING, "code", "code://*"));
    disk.add(pipeline(SERVING, "model", "model://*"));
    disk
}

#[tokio::test(start_paused = true)]
async fn a_push_trains_and_the_model_is_served() {
    let (disk, agent) = (disk(), Arc::new(MemoryAgent::default()));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    disk.register(codeset("c1"));
    engine.wake();
    let_it_work(&disk).await;

    let runs = disk.runs();
    assert_eq!(
        runs.iter().map(|run| (run.label(), run.state)).collect::<Vec<_>>(),
        [("training/1".into(), RunState::Succeeded), ("serving/1".into(), RunState::Succeeded)]
    );
    assert_eq!(runs[1].cause.root, Some(codeset("c1").address), "the chain goes back to the push");
    assert_eq!(disk.services().len(), 1);
    assert_eq!(agent.begun().len(), 3, "environment, training, service");
    let tidied: Vec<_> = agent.tidied().iter().filter_map(|key| key.split('.').nth(1).map(str::to_owned)).collect();
    assert_eq!(tidied.len(), 2, "{tidied:?}");
    assert!(!tidied.contains(&"serve".to_owned()), "a service goes on");
}

#[tokio::test(start_paused = true)]
async fn wherever_the_server_dies_the_next_one_ends_the_work_and_nothing_is_begun_twice() {
    for jobs in Jobs::ALL {
        one_death_and_the_next(jobs).await;
    }
}

async fn one_death_and_the_next(jobs: Jobs) {
    let writes = {
        let (disk, agent) = (disk(), Arc::new(MemoryAgent::with(jobs)));
        let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
        disk.register(codeset("c1"));
        engine.wake();
        let_it_work(&disk).await;
        disk.writes()
    };
    assert!(writes > 10, "there is something to interrupt");
    for at in 0..writes {
        for crash in [Crash::Before(at), Crash::After(at)] {
            let (disk, agent) = (disk(), Arc::new(MemoryAgent::with(jobs)));
            let _second = push_and_take_over(&disk, &agent, crash).await;

            let states: Vec<_> = disk.runs().iter().map(|run| (run.label(), run.state)).collect();
            assert_eq!(
                states,
                [("training/1".into(), RunState::Succeeded), ("serving/1".into(), RunState::Succeeded)],
                "{jobs:?}, {crash:?}"
            );
            assert_eq!(agent.begun().len(), 3, "{crash:?}: {:?}", agent.begun());
            assert_eq!(disk.artifacts(Kind::Model).len(), 1, "{crash:?}");
            assert_eq!(disk.services().len(), 1, "{crash:?}");
            // Who died after the end of a step is followed by another's look.
            tokio::time::sleep(memory::BEAT).await;
            let_it_work(&disk).await;
            let mut left = agent.begun();
            left.retain(|key| !key.ends_with(".serve") && !agent.tidied().contains(key));
            assert!(left.is_empty(), "{jobs:?}, {crash:?}: {left:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_ends_its_run_and_starts_nothing_else() {
    let disk = disk();
    let agent = Arc::new(MemoryAgent::failing(".train"));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    disk.register(codeset("c1"));
    engine.wake();
    let_it_work(&disk).await;

    let runs = disk.runs();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].state, RunState::Failed);
    assert_eq!(runs[0].steps[1].state, StepState::Failed);
    assert_eq!(runs[0].steps[1].note.as_deref(), Some("exited with code 1"));
}

#[tokio::test(start_paused = true)]
async fn what_a_built_runnable_takes_is_found_once_it_is_built() {
    let alone = TRAINING.replace("steps.build.trainer}', inputs: {code: '${inputs.code}'}}", "steps.build.trainer}'}");
    let served = alone.replace("outputs:", "  serve: {serve: '${steps.build.predictor}', after: [train]}\noutputs:");
    let twice =
        served.replace("  serve:", "  again: {run: '${steps.build.trainer}', parameters: {alpha: 1}}\n  serve:");
    let unclear = twice.replace("after: [train]", "after: [train, again]");
    for (template, ends) in [(served, RunState::Succeeded), (unclear, RunState::Failed)] {
        let (disk, agent) = (Arc::new(Disk::default()), Arc::new(MemoryAgent::default()));
        disk.add(pipeline(&template, "code", "code://*"));
        let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
        disk.register(codeset("c1"));
        engine.wake();
        let_it_work(&disk).await;

        let run = disk.runs().remove(0);
        assert_eq!(run.state, ends, "{:?}", run.steps);
        if ends == RunState::Succeeded {
            assert_eq!(disk.services().len(), 1);
            continue;
        }
        let serve = run.steps.iter().next_back().expect("serve");
        let why = serve.note.clone().expect("why");
        assert!(why.contains("`app-predictor` needs the input `model`, a model, and model://p/"), "{why}");
        assert!(why.contains("of what comes before serve fits: say it in `inputs`"), "{why}");
    }
}

/// In real time, for so are pauses.
#[tokio::test]
async fn a_workload_that_its_agent_lost_is_another_only_where_the_template_tries_again() {
    let again = TRAINING.replace(
        "inputs: {code: '${inputs.code}'}}\noutputs",
        "inputs: {code: '${inputs.code}'}, retry: {attempts: 2, delay: 1s}}\noutputs",
    );
    for (template, ends, begun) in [(TRAINING, RunState::Failed, 2), (&*again, RunState::Succeeded, 3)] {
        let disk = Arc::new(Disk::default());
        let agent = Arc::new(MemoryAgent::default().but(|agent| agent.losing = Some(".train")));
        disk.add(pipeline(template, "code", "code://*"));
        let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
        disk.register(codeset("c1"));
        engine.wake();
        let ended = async || {
            while disk.runs().first().is_none_or(|run| !run.state.ended()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ended()).await.expect("it ends");

        let run = disk.runs().remove(0);
        assert_eq!((run.state, agent.begun().len()), (ends, begun), "{:?}", run.steps);
        let lost = "the agent no longer knows the workload";
        let train = &run.steps[1];
        let note = train.earlier.first().map_or(&train.note, |earlier| &earlier.note);
        assert_eq!(note.as_deref(), Some(lost));
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_answers_late_is_asked_again_and_given_nothing_twice() {
    let (disk, agent) = (disk(), Arc::new(MemoryAgent::default().but(|agent| agent.silent = 3.into())));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    disk.register(codeset("c1"));
    engine.wake();
    let_it_work(&disk).await;

    assert_eq!(run_states(&disk), [RunState::Succeeded, RunState::Succeeded]);
    assert_eq!(agent.begun().len(), 3, "environment, training, service");
}

#[tokio::test(start_paused = true)]
async fn a_newer_model_takes_the_service_over_and_the_old_workload_ends() {
    use fuseml_domain::port::RuntimeAgent as _;
    let (disk, agent) = (disk(), Arc::new(MemoryAgent::default()));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    for commit in ["c1", "c2"] {
        disk.register(codeset(commit));
        engine.wake();
        let_it_work(&disk).await;
    }
    // The old workload is ended beside the run.
    tokio::time::sleep(Duration::from_millis(10)).await;

    let services = disk.services();
    assert_eq!(services.len(), 1);
    assert_eq!(services[0].run, 2);
    assert_eq!(agent.running().await.expect("running"), [services[0].workload.key.clone()]);
    let served: Vec<_> = agent.begun().into_iter().filter(|key| key.ends_with(".serve")).collect();
    let tidied: Vec<_> = served.iter().filter(|key| agent.tidied().contains(*key)).collect();
    assert_eq!((served.len(), tidied), (2, vec![&served[0]]), "what the old one served from is removed");
    let second = disk.runs().into_iter().find(|run| run.label() == "training/2").expect("run");
    assert!(second.steps[0].note.as_deref().is_some_and(|note| note.starts_with("environment reused: because")));
}

/// Pushes follow each other while the first run asks a person.
async fn pushes(concurrency: Concurrency) -> (Arc<Disk>, Arc<Engine>) {
    const ASKING: &str = "
schema_version: 1
name: asking
description: d
inputs: {code: {kind: codeset}}
steps: {ask: {approve: {message: 'Well?'}, when: {value: '${inputs.code}', in: ['code://p/app/c1', 'code://p/app/c2']}}}
";
    let (disk, agent) = (Arc::new(Disk::default()), Arc::new(MemoryAgent::default()));
    let starts = Starts { concurrency, ..Starts::default() };
    disk.add(pipeline(ASKING, "code", "code://*").starting(starts).expect("pipeline"));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    for commit in ["c1", "c2"] {
        disk.register(codeset(commit));
        engine.wake();
        let_it_work(&disk).await;
    }
    (disk, engine)
}

fn run_states(disk: &Disk) -> Vec<RunState> {
    disk.runs().iter().map(|run| run.state).collect()
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_a_start_while_an_earlier_run_is_open_is_the_pipelines_choice() {
    use RunState as R;
    let (disk, _engine) = pushes(Concurrency::Parallel).await;
    assert_eq!(run_states(&disk), [R::Running, R::Running]);
    let (disk, _engine) = pushes(Concurrency::Replace).await;
    assert_eq!(run_states(&disk), [R::Cancelled, R::Running]);
    let (disk, _engine) = pushes(Concurrency::Skip).await;
    assert_eq!(run_states(&disk), [R::Running]);
    assert_eq!(disk.unstarted(), [("asking".to_owned(), "asking/1 is running still".to_owned())]);

    let (disk, engine) = pushes(Concurrency::Queue).await;
    assert_eq!(run_states(&disk), [R::Running, R::Queued]);
    let approve = async |run: usize| {
        let id = disk.runs()[run].id;
        engine.command(id, RunCommand::Approve { step: None }, "ada", None).await.expect("approved");
        let_it_work(&disk).await;
    };
    approve(0).await;
    assert_eq!(run_states(&disk), [R::Succeeded, R::Running]);
    // A server that starts anew finds what waits, and what it waits for.
    disk.register(codeset("c3"));
    engine.wake();
    let_it_work(&disk).await;
    assert_eq!(run_states(&disk)[2], R::Queued);
    engine.stop();
    let second = server(&disk, &Arc::new(MemoryAgent::default()), Crash::Never).await.expect("engine");
    assert_eq!(run_states(&disk)[2], R::Queued);
    let id = disk.runs()[1].id;
    second.command(id, RunCommand::Cancel, "ada", None).await.expect("cancelled");
    let_it_work(&disk).await;
    assert_eq!(run_states(&disk), [R::Succeeded, R::Cancelled, R::Succeeded]);
}

#[tokio::test(start_paused = true)]
async fn a_codeset_starts_what_watches_the_files_that_changed() {
    let (disk, agent) = (Arc::new(Disk::default()), Arc::new(MemoryAgent::default()));
    // Every change is of train.py, in memory.
    for (name, glob) in [("trains", "*.py"), ("documents", "docs/**")] {
        let starts = Starts { watch: [(memory::name("code"), vec![glob.to_owned()])].into(), ..Starts::default() };
        let mut watching = pipeline(TRAINING, "code", "code://*").starting(starts).expect("pipeline");
        watching.name = memory::name(name);
        disk.add(watching);
    }
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    for commit in ["c1", "c2"] {
        disk.register(codeset(commit));
        engine.wake();
        let_it_work(&disk).await;
    }
    let labels: Vec<_> = disk.runs().iter().map(|run| run.label()).collect();
    assert_eq!(labels, ["trains/1", "documents/1", "trains/2"]);
    let reason = "no file that it watches (docs/**) changed since code://p/app/c1".to_owned();
    assert_eq!(disk.unstarted(), [("documents".to_owned(), reason)]);
}
