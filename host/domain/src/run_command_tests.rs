use super::*;
use crate::run::tests::{event, fail, name, run_of, states, succeed};
use crate::{StepEvent, Value};
use StepState as S;
use proptest::prelude::*;
use std::collections::BTreeMap;

const CHAIN: &str = "
schema_version: 1
name: chain
description: a step after the other, and a question
inputs: {code: {kind: codeset}}
steps:
  train: {run: {kind: any}, inputs: {code: '${inputs.code}'}}
  ask: {approve: {message: 'To production?', by: [ada, eve]}, after: [train]}
  serve: {serve: {kind: any}, inputs: {model: '${steps.train.out}'}, after: [ask]}
  alarm: {run: {kind: any}, runs: on-failure}
outputs: {url: {from: '${steps.serve.url}'}}
";

fn command(run: &mut Run, command: RunCommand) -> Result<()> {
    run.command(command, "ada", None, Timestamp::UNIX_EPOCH)
}

fn refused(run: &Run, command: RunCommand, why: &str) {
    let mut tried = run.clone();
    let error = tried.command(command.clone(), "ada", None, Timestamp::UNIX_EPOCH).expect_err(why);
    assert!(error.message.contains(why), "{command:?}: {error}");
    assert_eq!(tried, *run, "what is refused changes nothing");
}

fn active(run: &Run) -> Vec<&str> {
    run.active(Timestamp::UNIX_EPOCH).map(|step| &*step.name).collect()
}

fn ask(run: &mut Run) {
    event(run, "ask", StepEvent::ApprovalAsked { message: "To production?".into() });
}

#[test]
fn a_paused_run_begins_nothing_and_goes_step_by_step() {
    let mut run = run_of(CHAIN);
    refused(&run, RunCommand::Resume, "it is running; there is nothing to resume");
    refused(&run, RunCommand::Step { step: None }, "only a paused one goes step by step");
    command(&mut run, RunCommand::Pause).expect("pause");
    assert_eq!((run.state, active(&run)), (RunState::Paused, vec![]));
    refused(&run, RunCommand::Pause, "it is paused");

    command(&mut run, RunCommand::Step { step: None }).expect("step");
    assert_eq!(active(&run), ["train"]);
    refused(&run, RunCommand::Step { step: None }, "no step is held: train is ready");
    succeed(&mut run, "train");
    assert_eq!((run.state, active(&run)), (RunState::Paused, vec![]), "what follows is held again");
    refused(&run, RunCommand::Step { step: Some(name("serve")) }, "the step serve is waiting and not held");
    refused(&run, RunCommand::Step { step: Some(name("x")) }, "it has train, ask, serve and alarm");

    command(&mut run, RunCommand::Resume).expect("resume");
    assert_eq!((run.state, active(&run)), (RunState::Running, vec!["ask"]));
    let told: Vec<_> = run.interventions.iter().map(|it| (&*it.by, it.command.clone())).collect();
    let step = RunCommand::Step { step: Some(name("train")) };
    assert_eq!(told, [("ada", RunCommand::Pause), ("ada", step), ("ada", RunCommand::Resume)]);
}

#[test]
fn who_is_asked_decides_and_nobody_else() {
    let mut run = run_of(CHAIN);
    refused(&run, RunCommand::Approve { step: None }, "no step asks for approval");
    succeed(&mut run, "train");
    ask(&mut run);
    assert_eq!(active(&run), [""; 0], "nothing happens until somebody answers");
    let before = run.clone();
    let error = run.command(RunCommand::Approve { step: None }, "mallory", None, Timestamp::UNIX_EPOCH);
    assert_eq!(error.expect_err("denied").kind, crate::ErrorKind::Denied);
    assert_eq!(run, before);

    let reason = Some("0.02 better".to_owned());
    run.command(RunCommand::Approve { step: None }, "eve", reason, Timestamp::UNIX_EPOCH).expect("approved");
    assert_eq!(run.steps[1].note.as_deref(), Some("approved by eve: 0.02 better"));
    assert_eq!(active(&run), ["serve"]);

    let mut run = before;
    command(&mut run, RunCommand::Reject { step: Some(name("ask")) }).expect("rejected");
    assert_eq!(states(&run), [S::Succeeded, S::Failed, S::Skipped, S::Ready]);
    succeed(&mut run, "alarm");
    assert_eq!(run.state, RunState::Failed);
    command(&mut run, RunCommand::Resume).expect("resume");
    assert_eq!(states(&run), [S::Succeeded, S::Ready, S::Waiting, S::Waiting], "it asks again, and nothing is alarmed");
}

#[test]
fn a_failed_run_resumes_where_it_failed_with_what_was_swapped() {
    let mut run = run_of(CHAIN);
    let swap =
        |parameter: &str| Swap { runnable: None, parameters: [("alpha".to_owned(), parameter.to_owned())].into() };
    let swapped = |parameter| RunCommand::Swap { step: name("train"), swap: swap(parameter) };
    refused(&run, swapped("1"), "pause it first");
    refused(&run, RunCommand::Retry { step: None }, "none of its steps failed");
    refused(&run, RunCommand::Retry { step: Some(name("train")) }, "it has not ended");
    fail(&mut run, "train");
    succeed(&mut run, "alarm");
    assert_eq!(run.state, RunState::Failed);
    refused(&run, RunCommand::Pause, "only a running one can be paused");
    refused(&run, RunCommand::Cancel, "it is failed already");
    refused(&run, RunCommand::Swap { step: name("ask"), swap: swap("1") }, "the step ask runs no runnable");
    refused(&run, RunCommand::Swap { step: name("train"), swap: Swap::default() }, "name the runnable");

    command(&mut run, swapped("1")).expect("swap");
    command(&mut run, RunCommand::Resume).expect("resume");
    assert_eq!((run.state, run.ended, run.round, run.steps[0].attempt), (RunState::Running, None, 2, 2));
    assert_eq!(run.steps[0].swap, Some(swap("1")));
    assert_eq!(states(&run), [S::Ready, S::Waiting, S::Waiting, S::Waiting]);
    succeed(&mut run, "train");
    ask(&mut run);
    command(&mut run, RunCommand::Approve { step: None }).expect("approve");
    refused(&run, swapped("2"), "pause it first");
    event(&mut run, "serve", StepEvent::Staged { workload: "w".into(), runnable: None, note: None, reuse: None });
    event(&mut run, "serve", StepEvent::Submitted);
    event(&mut run, "serve", StepEvent::Ended);
    let outputs: BTreeMap<_, _> = [("url".to_owned(), Value::Text("http://x".into()))].into();
    event(&mut run, "serve", StepEvent::Succeeded { outputs, note: None });
    assert_eq!((run.state, run.outputs.len()), (RunState::Succeeded, 1));

    // A step that went well is done again on demand, and all that follows from it.
    command(&mut run, RunCommand::Retry { step: Some(name("ask")) }).expect("again");
    assert_eq!(states(&run), [S::Succeeded, S::Ready, S::Waiting, S::Waiting]);
    assert_eq!(run.outputs.len(), 0);
}

#[test]
fn what_waits_to_begin_waits_again_for_what_is_done_again() {
    let mut run = run_of(CHAIN);
    let again = || RunCommand::Retry { step: Some(name("train")) };
    command(&mut run, RunCommand::Pause).expect("pause");
    succeed(&mut run, "train");
    assert_eq!(states(&run), [S::Succeeded, S::Ready, S::Waiting, S::Waiting]);
    command(&mut run, again()).expect("again");
    assert_eq!(states(&run), [S::Ready, S::Waiting, S::Waiting, S::Waiting]);

    command(&mut run, RunCommand::Resume).expect("resume");
    succeed(&mut run, "train");
    ask(&mut run);
    command(&mut run, again()).expect("again");
    assert_eq!(states(&run), [S::Ready, S::Waiting, S::Waiting, S::Waiting], "what was asked was about another result");
}

#[test]
fn nothing_is_done_again_while_its_result_is_at_work() {
    let mut run = run_of(CHAIN);
    succeed(&mut run, "train");
    ask(&mut run);
    command(&mut run, RunCommand::Approve { step: None }).expect("approve");
    let again = || RunCommand::Retry { step: Some(name("train")) };
    event(&mut run, "serve", StepEvent::Staged { workload: "w".into(), runnable: None, note: None, reuse: None });
    refused(&run, again(), "the step serve is staging with what train made; wait for it, or cancel the run");
    event(&mut run, "serve", StepEvent::Submitted);
    refused(&run, again(), "the step serve is running with what train made");
    fail(&mut run, "serve");
    command(&mut run, again()).expect("again");
    assert_eq!(states(&run)[..2], [S::Ready, S::Waiting]);
}

#[test]
fn an_event_that_was_worked_out_before_a_swap_is_refused() {
    let mut run = run_of(CHAIN);
    let version = run.steps[0].version;
    command(&mut run, RunCommand::Pause).expect("pause");
    let parameters = [("alpha".to_owned(), "1".to_owned())].into();
    let swap = RunCommand::Swap { step: name("train"), swap: Swap { runnable: None, parameters } };
    command(&mut run, swap).expect("swap");
    let staged = StepEvent::Staged { workload: "w".into(), runnable: None, note: None, reuse: None };
    let stale = run.apply(&name("train"), version, staged, Timestamp::UNIX_EPOCH).expect_err("stale");
    assert_eq!(stale.code, "stale-step");
}

fn any_command() -> impl Strategy<Value = RunCommand> {
    let step = || prop::option::of(prop::sample::select(vec!["train", "ask", "serve", "alarm", "x"]).prop_map(name));
    prop_oneof![
        Just(RunCommand::Pause),
        Just(RunCommand::Resume),
        Just(RunCommand::Cancel),
        step().prop_map(|step| RunCommand::Step { step }),
        step().prop_map(|step| RunCommand::Retry { step }),
        step().prop_map(|step| RunCommand::Approve { step }),
        step().prop_map(|step| RunCommand::Reject { step }),
        step().prop_map(|step| RunCommand::Swap {
            step: step.unwrap_or_else(|| name("train")),
            swap: Swap { runnable: None, parameters: [("a".to_owned(), "1".to_owned())].into() },
        }),
    ]
}

/// What a driver would do next with its first active step; `bad` lets it fail.
fn drive(run: &mut Run, bad: bool) -> bool {
    let Some(step) = run.active(Timestamp::MAX).next().cloned() else { return false };
    let is_question = matches!(run.template.step(&step.name).map(|step| &step.action), Some(Action::Approve(_)));
    let failed = || StepEvent::Failed { message: "no".into(), may_pass: true };
    let next = match step.state {
        _ if run.cancel_requested && step.state != S::Collecting => StepEvent::Cancelled,
        S::Ready if is_question => StepEvent::ApprovalAsked { message: String::new() },
        S::Ready => {
            StepEvent::Staged { workload: format!("{}", step.attempt), runnable: None, note: None, reuse: None }
        }
        S::Running | S::Collecting if bad => failed(),
        S::Staging => StepEvent::Submitted,
        S::Running => StepEvent::Ended,
        _ => StepEvent::Succeeded { outputs: BTreeMap::new(), note: None },
    };
    run.apply(&step.name, step.version, next, Timestamp::UNIX_EPOCH).expect("what is active can be acted on");
    true
}

proptest! {
    /// Whatever people say whenever, a run is never stuck, never half ended, and counts every change.
    #[test]
    fn whatever_is_commanded_a_run_holds_together(
        moves in prop::collection::vec((any_command(), any::<bool>(), 0_usize..4), 0..40),
    ) {
        let mut run = run_of(CHAIN);
        let mut keys = std::collections::BTreeSet::new();
        for (told, bad, driven) in moves {
            for _ in 0..driven {
                drive(&mut run, bad);
                let staged = run.steps.iter().filter(|step| step.state == S::Staging);
                keys.extend(staged.map(|step| (step.name.clone(), step.attempt)));
            }
            let before = run.clone();
            match command(&mut run, told) {
                Ok(()) => prop_assert_eq!(run.revision, before.revision + 1),
                Err(_) => prop_assert_eq!(&run, &before),
            }
            let all_ended = run.steps.iter().all(|step| step.state.ended());
            prop_assert_eq!(run.state.ended(), all_ended);
            prop_assert_eq!(run.ended.is_some(), all_ended);
            for step in &run.steps {
                prop_assert_eq!(step.ended.is_some(), step.state.ended(), "{}", step.name);
                prop_assert!(step.earlier.iter().all(|earlier| earlier.number < step.attempt));
            }
        }
        // Left alone, it ends or waits for a person.
        while drive(&mut run, false) {}
        let waits = run.steps.iter().any(|step| step.state == S::AwaitingApproval);
        prop_assert!(run.state.ended() || run.state == RunState::Paused || waits, "{:?}", states(&run));
    }
}
