use super::*;
use crate::{Attributes, Template};
use StepState as S;

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
    let template = Template::parse(TEMPLATE, "diamond.yaml").expect("template");
    let inputs = [("code".to_owned(), "code://*".to_owned())].into();
    let name: Name = "p".parse().expect("name");
    let pipeline =
        Pipeline::new(name.clone(), name, template, &inputs, BTreeMap::new(), Timestamp::UNIX_EPOCH).expect("pipeline");
    let cause = Cause { reason: "test".into(), artifact: None, root: None, chain: Vec::new() };
    Run::new(&pipeline, IndexMap::new(), cause, Timestamp::UNIX_EPOCH)
}

fn event(run: &mut Run, step: &str, event: StepEvent) {
    run.apply(&step.parse().expect("name"), event, Timestamp::UNIX_EPOCH).expect("transition");
}

fn succeed(run: &mut Run, step: &str) {
    event(run, step, StepEvent::Staged { workload: step.into(), runnable: None, note: None });
    event(run, step, StepEvent::Submitted);
    event(run, step, StepEvent::Ended);
    let outputs = [("out".to_owned(), Value::Text(format!("from {step}")))].into();
    event(run, step, StepEvent::Succeeded { outputs, note: None });
}

fn states(run: &Run) -> Vec<StepState> {
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
    event(&mut run, "left", StepEvent::Failed { message: "exited with code 1".into() });
    assert_eq!(states(&run), [S::Succeeded, S::Failed, S::Ready, S::Skipped]);
    assert_eq!(run.state, RunState::Running);
    succeed(&mut run, "right");
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.steps[3].note.as_deref(), Some("step left failed"));
}

#[test]
fn only_transitions_of_the_table_happen_and_others_change_nothing() {
    let events = || {
        [
            StepEvent::Staged { workload: "w".into(), runnable: None, note: None },
            StepEvent::Submitted,
            StepEvent::Ended,
            StepEvent::Succeeded { outputs: BTreeMap::new(), note: None },
            StepEvent::Failed { message: String::new() },
            StepEvent::Skipped { reason: String::new() },
            StepEvent::Cancelled,
        ]
    };
    let table = [
        (S::Waiting, [None, None, None, None, None, None, Some(S::Cancelled)]),
        (
            S::Ready,
            [Some(S::Staging), None, None, Some(S::Succeeded), Some(S::Failed), Some(S::Skipped), Some(S::Cancelled)],
        ),
        (S::Staging, [None, Some(S::Running), None, None, Some(S::Failed), Some(S::Skipped), Some(S::Cancelled)]),
        (S::Running, [None, None, Some(S::Collecting), None, Some(S::Failed), Some(S::Skipped), Some(S::Cancelled)]),
        (S::Collecting, [None, None, None, Some(S::Succeeded), Some(S::Failed), Some(S::Skipped), None]),
        (S::Succeeded, [None; 7]),
        (S::Failed, [None; 7]),
        (S::Cancelled, [None; 7]),
        (S::Skipped, [None; 7]),
    ];
    for (state, results) in table {
        for (event, expected) in events().into_iter().zip(results) {
            let mut run = diamond();
            run.steps[0].state = state;
            let before = run.clone();
            let applied = run.apply(&"first".parse().expect("name"), event.clone(), Timestamp::UNIX_EPOCH);
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
fn pipelines_that_would_start_each_other_are_found() {
    let parse = |name: &str, takes: &str, gives: &str| {
        let text = format!(
            "{{schema_version: 1, name: {name}, description: d, inputs: {{in: {{kind: {takes}}}}}, steps: {{s: {{run: {{kind: x}}, inputs: {{in: '${{inputs.in}}'}}}}}}, outputs: {{out: {{kind: {gives}, from: '${{steps.s.out}}'}}}}}}"
        );
        let template = Template::parse(&text, name).expect("template");
        let scheme = takes.parse::<crate::Kind>().expect("kind").scheme();
        let inputs = [("in".to_owned(), format!("{scheme}://*"))].into();
        let project: Name = "p".parse().expect("name");
        Pipeline::new(
            project,
            name.parse().expect("name"),
            template,
            &inputs,
            BTreeMap::<Name, Attributes>::new(),
            Timestamp::UNIX_EPOCH,
        )
        .expect("pipeline")
    };
    let train = parse("train", "codeset", "model");
    let convert = parse("convert", "model", "model");
    let sample = parse("sample", "model", "dataset");
    let extract = parse("extract", "dataset", "model");

    assert_eq!(crate::find_loop(&[], &train), None);
    assert_eq!(crate::find_loop(std::slice::from_ref(&train), &sample), None);
    assert_eq!(crate::find_loop(&[], &convert).expect("loop").len(), 1);
    let names: Vec<_> =
        crate::find_loop(&[train, sample], &extract).expect("loop").iter().map(ToString::to_string).collect();
    assert_eq!(names, ["extract", "sample"]);
}
