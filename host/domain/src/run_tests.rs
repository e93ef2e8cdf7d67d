use super::*;
use crate::Template;
use StepState as S;
use std::time::Duration;

const TEMPLATE: &str = "
schema_version: 1
name: diamond
description: two steps beside each other between two others
inputs: {code: {kind: codeset}}
steps:
  first: {run: {kind: any}, inputs: {code: '${inputs.code}'}}
  left: {run: {kind: any}, inputs: {in: '${steps.first.out}'}}
  right: {run: {kind: any}, inputs: {in: '${steps.first.out}'}}
  last: {run: {kind: any}, inputs: {a: '${steps.left.out}', b: '${steps.right.out}'}}
outputs: {result: {kind: model, from: '${steps.last.out}'}}
";

fn diamond() -> Run {
    run_of(TEMPLATE)
}

pub(crate) fn run_of(text: &str) -> Run {
    let template = Template::parse(text, "template.yaml").expect("template");
    let inputs = [("code".to_owned(), "code://*".to_owned())].into();
    let name: Name = "p".parse().expect("name");
    let pipeline =
        Pipeline::new(name.clone(), name, template, &inputs, BTreeMap::new(), Timestamp::UNIX_EPOCH).expect("pipeline");
    let cause = Cause { reason: "test".into(), artifact: None, root: None, chain: Vec::new() };
    Run::new(&pipeline, IndexMap::new(), cause, Timestamp::UNIX_EPOCH).expect("run")
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect(text)
}

pub(crate) fn event(run: &mut Run, step: &str, event: StepEvent) {
    let version = run.step(&name(step)).expect("step").version;
    run.apply(&name(step), version, event, Timestamp::UNIX_EPOCH).expect("transition");
}

pub(crate) fn fail(run: &mut Run, step: &str) {
    event(run, step, StepEvent::Failed { message: "exited with code 1".into(), may_pass: true });
}

pub(crate) fn succeed(run: &mut Run, step: &str) {
    event(run, step, StepEvent::Staged { workload: step.into(), runnable: None, note: None, reuse: None });
    event(run, step, StepEvent::Submitted);
    event(run, step, StepEvent::Ended);
    let outputs = [("out".to_owned(), Value::Text(format!("from {step}")))].into();
    event(run, step, StepEvent::Succeeded { outputs, note: None });
}

pub(crate) fn states(run: &Run) -> Vec<StepState> {
    run.steps.iter().map(|step| step.state).collect()
}

#[test]
fn a_run_goes_through_its_steps_to_its_outputs() {
    let mut run = diamond();
    assert_eq!(states(&run), [S::Ready, S::Waiting, S::Waiting, S::Waiting]);
    succeed(&mut run, "first");
    assert_eq!(states(&run), [S::Succeeded, S::Ready, S::Ready, S::Waiting]);
    succeed(&mut run, "left");
    assert_eq!(states(&run), [S::Succeeded, S::Succeeded, S::Ready, S::Waiting]);
    succeed(&mut run, "right");
    succeed(&mut run, "last");
    assert_eq!(run.state, RunState::Succeeded);
    assert_eq!(run.outputs[0], Value::Text("from last".into()));
}

#[test]
fn what_needs_a_failed_step_is_skipped_and_what_does_not_goes_on() {
    let mut run = diamond();
    succeed(&mut run, "first");
    fail(&mut run, "left");
    assert_eq!(states(&run), [S::Succeeded, S::Failed, S::Ready, S::Skipped]);
    assert_eq!(run.state, RunState::Running);
    succeed(&mut run, "right");
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.steps[3].note.as_deref(), Some("step left failed"));
}

#[test]
fn only_transitions_of_the_table_happen_and_others_change_nothing() {
    let address: Address = "runnable://p/r/1".parse().expect("address");
    let reuse = crate::ReuseVerdict::Off { reason: String::new() };
    let events = [
        StepEvent::Staged { workload: "w".into(), runnable: None, note: None, reuse: None },
        StepEvent::Reused { runnable: address, outputs: BTreeMap::new(), reuse },
        StepEvent::ApprovalAsked { message: String::new() },
        StepEvent::Submitted,
        StepEvent::Ended,
        StepEvent::Succeeded { outputs: BTreeMap::new(), note: None },
        StepEvent::Failed { message: String::new(), may_pass: false },
        StepEvent::Skipped { reason: String::new() },
        StepEvent::Cancelled,
    ];
    let (failed, skipped, cancelled) = (Some(S::Failed), Some(S::Skipped), Some(S::Cancelled));
    let (done, asked) = (Some(S::Succeeded), Some(S::AwaitingApproval));
    let table = [
        (S::Waiting, [None, None, None, None, None, None, None, None, cancelled]),
        (S::Ready, [Some(S::Staging), done, asked, None, None, done, failed, skipped, cancelled]),
        (S::AwaitingApproval, [None, None, None, None, None, done, failed, None, cancelled]),
        (S::Staging, [None, None, None, Some(S::Running), None, None, failed, skipped, cancelled]),
        (S::Running, [None, None, None, None, Some(S::Collecting), None, failed, skipped, cancelled]),
        (S::Collecting, [None, None, None, None, None, done, failed, skipped, None]),
        (S::Succeeded, [None; 9]),
        (S::Failed, [None; 9]),
        (S::Cancelled, [None; 9]),
        (S::Skipped, [None; 9]),
    ];
    for (state, results) in table {
        for (event, expected) in events.iter().zip(results) {
            let mut run = diamond();
            run.steps[0].state = state;
            let before = run.clone();
            let applied = run.apply(&name("first"), 0, event.clone(), Timestamp::UNIX_EPOCH);
            match expected {
                Some(next) => assert_eq!(run.steps[0].state, next, "{state} {event:?}"),
                None => {
                    assert!(applied.is_err(), "{state} {event:?}");
                    assert_eq!(run, before, "{state} {event:?}");
                }
            }
        }
    }
}

#[test]
fn a_step_that_may_pass_is_tried_again_after_longer_and_longer_pauses() {
    let text = TEMPLATE.replace("first: {", "first: {retry: {attempts: 3, delay: 10s, factor: 3}, ");
    let mut run = run_of(&text);
    let mut pauses = Vec::new();
    for attempt in 1..=2 {
        fail(&mut run, "first");
        assert_eq!((run.steps[0].state, run.steps[0].attempt), (S::Ready, attempt + 1));
        let due = run.next_due(Timestamp::UNIX_EPOCH).expect("due");
        pauses.push(due.duration_since(Timestamp::UNIX_EPOCH).as_secs());
        assert_eq!(run.active(Timestamp::UNIX_EPOCH).count(), 0, "not before it is due");
        assert_eq!(run.active(due).count(), 1);
    }
    assert_eq!(pauses, [10, 30]);
    fail(&mut run, "first");
    assert_eq!(run.state, RunState::Failed);
    let earlier: Vec<_> = run.steps[0].earlier.iter().map(|it| (it.number, it.state, it.note.as_deref())).collect();
    assert_eq!(earlier, [(1, S::Failed, Some("exited with code 1")), (2, S::Failed, Some("exited with code 1"))]);

    let mut run = run_of(&text);
    event(&mut run, "first", StepEvent::Failed { message: "no such input".into(), may_pass: false });
    assert_eq!(run.state, RunState::Failed, "what is wrong stays wrong");
    let retry = run.template.steps[0].retry.expect("retry");
    assert_eq!(retry.pause(60), Duration::from_secs(24 * 60 * 60));
}

#[test]
fn steps_for_failures_and_for_any_end_run_when_they_should() {
    let text = TEMPLATE.replace(
        "outputs:",
        "  alarm: {run: {kind: any}, runs: on-failure}\n  tidy: {run: {kind: any}, runs: always}\n\
         \x20 later: {run: {kind: any}, runs: on-failure, after: [right]}\noutputs:",
    );
    let last = |run: &Run| states(run)[4..].to_vec();
    let mut run = run_of(&text);
    for step in ["first", "left", "right"] {
        succeed(&mut run, step);
    }
    assert_eq!(last(&run), [S::Waiting, S::Waiting, S::Skipped]);
    succeed(&mut run, "last");
    assert_eq!(last(&run), [S::Skipped, S::Ready, S::Skipped]);
    succeed(&mut run, "tidy");
    assert_eq!(run.state, RunState::Succeeded);

    let mut run = run_of(&text);
    fail(&mut run, "first");
    assert_eq!(last(&run), [S::Ready, S::Ready, S::Ready], "`right` was skipped because `first` failed");
    for step in ["alarm", "tidy", "later"] {
        succeed(&mut run, step);
    }
    assert_eq!(run.state, RunState::Failed, "whoever was told, it failed");
}
