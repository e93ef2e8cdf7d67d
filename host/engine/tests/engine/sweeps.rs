//! Sweeps, with the engine whole in memory.

use crate::memory::{Crash, Disk, Jobs, MemoryAgent, codeset, let_it_work, name, pipeline, push_and_take_over, server};
use fuseml_domain::{Kind, Prospect, Run, RunCommand, RunState, StepState, Swap, Value};
use std::{collections::BTreeMap, sync::Arc};

const SWEEPING: &str = "
schema_version: 1
name: sweeping
description: d
inputs: {code: {kind: codeset}}
steps:
  build: {build: any, codeset: '${inputs.code}'}
  train:
    run: '${steps.build.trainer}'
    inputs: {code: '${inputs.code}'}
    each: {alpha: [0.1, 0.9, 0.5]}
    best: {highest: accuracy}
outputs: {model: {kind: model, from: '${steps.train.model}'}}
";
const SERVING: &str = "
schema_version: 1
name: serving
description: d
inputs: {model: {kind: model}}
steps: {serve: {serve: {kind: predictor}, inputs: {model: '${inputs.model}'}}}
";

fn disk() -> Arc<Disk> {
    let disk = Arc::new(Disk::default());
    disk.add(pipeline(SWEEPING, "code", "code://*"));
    disk.add(pipeline(SERVING, "model", "model://*"));
    disk
}

/// The model that a run's step made.
fn model(run: &Run, step: &str) -> Value {
    run.step(&name(step)).expect(step).outputs["model"].clone()
}

#[tokio::test(start_paused = true)]
async fn the_best_of_a_sweep_is_its_result_and_nothing_else_of_it_starts_anything_wherever_the_server_dies() {
    let writes = sweep(Crash::Never, Jobs::default()).await;
    assert!(writes > 10, "there is something to interrupt");
    for jobs in Jobs::ALL {
        for at in 0..writes {
            for crash in [Crash::Before(at), Crash::After(at)] {
                sweep(crash, jobs).await;
            }
        }
    }
}

/// A push with a server that dies and another that takes over; answers how often they wrote.
async fn sweep(crash: Crash, jobs: Jobs) -> usize {
    let (disk, agent) = (disk(), Arc::new(MemoryAgent::with(jobs)));
    let _second = push_and_take_over(&disk, &agent, crash).await;

    let runs = disk.runs();
    let states: Vec<_> = runs.iter().map(|run| (run.label(), run.state)).collect();
    let ended = RunState::Succeeded;
    assert_eq!(states, [("sweeping/1".into(), ended), ("serving/1".into(), ended)], "{jobs:?}, {crash:?}");
    assert_eq!(model(&runs[0], "train"), model(&runs[0], "train-2"), "{crash:?}");
    assert_eq!(runs[0].outputs[&name("model")], model(&runs[0], "train-2"), "{crash:?}");
    assert_eq!(runs[1].inputs[&name("model")].value, model(&runs[0], "train-2"), "{crash:?}");
    assert_eq!(disk.artifacts(Kind::Model).len(), 3, "{crash:?}");
    assert_eq!(agent.begun().len(), 5, "environment, three trainings, service; {crash:?}: {:?}", agent.begun());
    disk.writes()
}

#[tokio::test(start_paused = true)]
async fn a_run_says_which_was_the_best_and_a_plan_of_the_same_knows_it_before() {
    let (disk, agent) = (disk(), Arc::new(MemoryAgent::default()));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    disk.register(codeset("c1"));
    engine.wake();
    let_it_work(&disk).await;
    let run = disk.runs().remove(0);
    let why = "train-2 (alpha=0.9) has the highest accuracy, 0.9; the others have 0.1 to 0.5";
    assert_eq!(run.step(&name("train")).expect("train").note.as_deref(), Some(why));

    let sweeping = pipeline(SWEEPING, "code", "code://*");
    let plan = engine.plan(&sweeping, BTreeMap::new(), None).await.expect("plan");
    let foreseen: Vec<_> = plan.steps.iter().map(|step| (&*step.name, step.prospect)).collect();
    assert_eq!(foreseen[1..4], ["train-1", "train-2", "train-3"].map(|it| (it, Prospect::Reused)));
    assert_eq!((foreseen[4], plan.steps[4].why.as_slice()), (("train", Prospect::Chooses), &[why.to_owned()][..]));

    let other = SWEEPING.replace("[0.1, 0.9, 0.5]", "[0.1, 0.3]");
    let plan = engine.plan(&pipeline(&other, "code", "code://*"), BTreeMap::new(), None).await;
    let plan = plan.expect("plan");
    assert_eq!(plan.steps[2].prospect, Prospect::Runs);
    assert_eq!(plan.steps[3].why, ["what has the highest accuracy once train-2 ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_of_which_one_fails_chooses_nothing_until_that_went_well() {
    let (disk, agent) = (disk(), Arc::new(MemoryAgent::failing(".train-2")));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    disk.register(codeset("c1"));
    engine.wake();
    let_it_work(&disk).await;
    assert_eq!(disk.runs().len(), 1, "nothing is served");
    let run = disk.runs().remove(0);
    let train = run.step(&name("train")).expect("train");
    assert_eq!((run.state, train.state), (RunState::Failed, StepState::Skipped));

    let swap = Swap { parameters: [("alpha".to_owned(), "0.2".to_owned())].into(), ..Swap::default() };
    let swap = RunCommand::Swap { step: name("train-2"), swap };
    engine.command(run.id, swap, "ada", None).await.expect("swapped");
    engine.command(run.id, RunCommand::Resume, "ada", None).await.expect("resumed");
    let_it_work(&disk).await;
    let runs = disk.runs();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[1].inputs[&name("model")].value, model(&runs[0], "train-3"));
}

#[tokio::test(start_paused = true)]
async fn what_a_sweep_did_not_choose_is_a_result_like_others_for_whoever_asks_for_it() {
    let (disk, agent) = (disk(), Arc::new(MemoryAgent::default()));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    disk.register(codeset("c1"));
    engine.wake();
    let_it_work(&disk).await;
    let plain = SWEEPING.replace(
        "    each: {alpha: [0.1, 0.9, 0.5]}\n    best: {highest: accuracy}\n",
        "    parameters: {alpha: '0.5'}\n",
    );
    assert_ne!(plain, SWEEPING);
    let run = engine.plan_manual(&pipeline(&plain, "code", "code://*"), BTreeMap::new(), "by hand".into()).await;
    engine.start_run(run.expect("run")).await.expect("started");
    let_it_work(&disk).await;
    let runs = disk.runs();
    let begun: Vec<_> = agent.begun().iter().filter_map(|key| key.split_once('.').map(|it| it.1.to_owned())).collect();
    assert_eq!(begun[5..], ["build", "serve"], "nothing is trained again, and another model is served");
    assert_eq!(runs.last().expect("serving").inputs[&name("model")].value, model(&runs[0], "train-3"));
}
