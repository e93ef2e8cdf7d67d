//! Jobs of components that are over before the catalog has saved the one before, with the engine whole in memory.

use crate::memory::{self, Crash, Disk, MemoryAgent, let_it_work, model, name, pipeline, refiner, server};
use fuseml_domain::{Kind, ReuseVerdict, Run, RunCommand, RunState, StepRun, StepState, Swap, Value};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const REFINING: &str = "
schema_version: 1
name: refining
description: d
inputs: {model: {kind: model}}
steps:
  first: {run: {kind: refiner}, inputs: {model: '${inputs.model}'}}
  second: {run: {kind: refiner}, inputs: {model: '${steps.first.model}'}}
  third: {run: {kind: refiner}, inputs: {model: '${steps.second.model}'}}
  beside: {run: {kind: refiner}, inputs: {model: '${steps.second.model}'}, parameters: {alpha: 2}}
  again: {run: {kind: refiner}, inputs: {model: '${steps.second.model}'}, after: [third]}
  twin: {run: {kind: refiner}, inputs: {model: '${steps.second.model}'}}
  last: {run: {kind: refiner}, inputs: {model: '${steps.again.model}'}}
  asked: {approve: {message: m}, after: [last, beside, twin]}
  kept: {register: {artifact: '${steps.last.model}', tags: [live]}, after: [asked]}
outputs: {model: {kind: model, from: '${steps.last.model}'}}
";
/// How long a transaction takes, in which several steps are done.
const SAVING: Duration = Duration::from_millis(3);

fn disk() -> Arc<Disk> {
    let mut disk = Disk::default();
    disk.saves_take = SAVING;
    disk.add(pipeline(REFINING, "model", "model://p/base"));
    disk.register(refiner());
    disk.register(model("m1"));
    Arc::new(disk)
}

async fn refine(crash: Crash) -> (Arc<Disk>, Arc<MemoryAgent>) {
    let disk = disk();
    let agent = Arc::new(MemoryAgent::default());
    let first = server(&disk, &agent, crash).await;
    let_it_work(&disk).await;
    drop(first);
    (disk, agent)
}

#[tokio::test(start_paused = true)]
async fn quick_jobs_are_saved_together_and_none_is_lost_wherever_the_server_dies() {
    let (disk, agent) = refine(Crash::Never).await;
    assert!(disk.together() > 3, "{} transitions at the most were saved together", disk.together());
    assert_whole(&disk, &agent, "without a crash");
    let writes = disk.writes();
    for at in 0..writes {
        for crash in [Crash::Before(at), Crash::After(at)] {
            let (disk, agent) = refine(crash).await;
            let second = server(&disk, &agent, Crash::Never).await.expect("engine");
            let_it_work(&disk).await;
            assert_whole(&disk, &agent, &format!("{crash:?}"));
            let run = disk.runs().remove(0);
            second.command(run.id, RunCommand::Approve { step: None }, "ada", None).await.expect("approved");
            let_it_work(&disk).await;
            assert_eq!(disk.runs()[0].state, RunState::Succeeded, "{crash:?}");
            tokio::time::sleep(memory::BEAT).await;
            assert!(disk.pointed().contains("live"), "{crash:?}: whoever ends a run has told what it gave");
            let left: Vec<_> = agent.begun().into_iter().filter(|key| !agent.tidied().contains(key)).collect();
            assert!(left.is_empty(), "{crash:?}: {left:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_people_say_while_nothing_is_saved_yet_every_result_is_of_what_led_to_it() {
    let swap = |step: &str| {
        let parameters = [("alpha".to_owned(), "7".to_owned())].into();
        RunCommand::Swap { step: name(step), swap: Swap { runnable: None, parameters } }
    };
    let retry = |step: &str| RunCommand::Retry { step: Some(name(step)) };
    let commands = [
        RunCommand::Pause,
        RunCommand::Cancel,
        RunCommand::Approve { step: None },
        retry("first"),
        retry("second"),
        retry("third"),
        swap("second"),
        swap("third"),
        swap("last"),
    ];
    for command in commands {
        for after in 0..20 {
            for then in [None, Some(RunCommand::Resume), Some(swap("third")), Some(swap("last"))] {
                for takes in [Duration::ZERO, Duration::from_micros(900)] {
                    told((&command, then.as_ref()), takes, Duration::from_micros(500 * after)).await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_saved_although_nobody_could_say_so_does_not_happen_twice() {
    for unsure in 0..30 {
        let mut disk = disk();
        Arc::get_mut(&mut disk).expect("disk").unsure = Some(unsure);
        let agent = Arc::new(MemoryAgent::default());
        let _engine = server(&disk, &agent, Crash::Never).await.expect("engine");
        // Of a run whose start it was the next look knows.
        tokio::time::sleep(2 * memory::BEAT).await;
        let_it_work(&disk).await;
        assert_whole(&disk, &agent, &format!("unsure {unsure}"));
    }
}

/// A run that is told something after some time, and something else at once; what is open after that is approved or resumed.
async fn told((command, then): (&RunCommand, Option<&RunCommand>), takes: Duration, after: Duration) {
    let disk = disk();
    let agent = Arc::new(MemoryAgent::default().but(|agent| agent.takes = takes));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    while disk.runs().is_empty() {
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    tokio::time::sleep(after).await;
    let id = disk.runs()[0].id;
    for command in std::iter::once(command).chain(then) {
        // Some make no sense at that time.
        let _ = engine.command(id, command.clone(), "ada", None).await;
    }
    let_it_work(&disk).await;
    for _ in 0..4 {
        let run = disk.runs().remove(0);
        let next = match run.state {
            RunState::Succeeded => break,
            RunState::Running => RunCommand::Approve { step: None },
            _ => RunCommand::Resume,
        };
        let at = format!("{command:?}, {then:?} after {after:?} of {takes:?}, then {next:?}");
        let told = engine.command(id, next, "ada", None).await;
        told.unwrap_or_else(|error| panic!("{at}: {error}: {:?}", run.steps));
        let_it_work(&disk).await;
    }
    let at = format!("{command:?}, {then:?} after {after:?} of {takes:?}");
    assert_eq!(disk.runs()[0].state, RunState::Succeeded, "{at}: {:?}", disk.runs()[0].steps);
    assert_whole(&disk, &agent, &at);
}

/// Every step that made something made it of what its run says that it was given, and all of it is there.
fn assert_whole(disk: &Disk, agent: &MemoryAgent, at: &str) {
    let run = disk.runs().remove(0);
    let models = disk.artifacts(Kind::Model);
    for (step, before) in [
        ("first", None),
        ("second", Some("first")),
        ("third", Some("second")),
        ("beside", Some("second")),
        ("again", Some("second")),
        ("twin", Some("second")),
        ("last", Some("again")),
    ] {
        let step = run.step(&name(step)).expect("step");
        assert_eq!(step.state, StepState::Succeeded, "{at}: {step:?}");
        let made = models.iter().find(|model| Value::Artifact(model.address.clone()) == step.outputs["model"]);
        let made = made.unwrap_or_else(|| panic!("{at}: {step:?} is not there"));
        let reused = matches!(step.reuse, Some(ReuseVerdict::Hit { .. }));
        let Some(key) = step.workload.as_ref().filter(|_| !reused) else {
            assert!(["again", "twin", "third"].contains(&&*step.name), "{at}: {step:?}");
            continue;
        };
        let workload = agent.workload(key).expect("workload");
        assert_eq!(workload.variables["ALPHA"], alpha(step), "{at}: {step:?}");
        assert_eq!(made.metrics["accuracy"].to_string(), alpha(step), "{at}: {step:?}");
        if let Some(before) = before {
            let given = &run.step(&name(before)).expect("step").outputs["model"];
            let given = models.iter().find(|model| Value::Artifact(model.address.clone()) == *given).expect("model");
            assert_eq!(workload.inputs[0].contents.location, given.location, "{at}: {step:?}");
        }
    }
    let begun = agent.begun();
    assert_eq!(begun.iter().collect::<BTreeSet<_>>().len(), begun.len(), "{at}: {begun:?}");
    assert_in_order(&run, at);
}

fn alpha(step: &StepRun) -> &str {
    let swapped = step.swap.as_ref().and_then(|swap| swap.parameters.get("alpha"));
    swapped.map_or(if &*step.name == "beside" { "2" } else { "0" }, String::as_str)
}

/// No step ended before what it needs.
fn assert_in_order(run: &Run, at: &str) {
    for (before, after) in [("first", "second"), ("second", "third"), ("third", "again"), ("again", "last")] {
        let ended = |step: &str| run.step(&name(step)).expect("step").ended;
        assert!(ended(before) <= ended(after), "{at}: {before} and {after}");
    }
}
