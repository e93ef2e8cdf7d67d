//! What happens elsewhere, and what is said there: it holds wherever the server dies (S72, S128, S130).

use crate::memory::{Crash, Disk, MemoryAgent, codeset, let_it_work, name, pipeline, server};
use fuseml_domain::{
    CallContent, Event, EventStart, InputValue, Kind, Method, Run, RunCommand, RunState, Starts, StepState, Value,
};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::{sync::Arc, time::Duration};

const RELEASE: &str = "
schema_version: 1
name: release
description: d
inputs: {code: {kind: codeset}}
steps:
  build: {build: any, codeset: '${inputs.code}'}
  train: {run: '${steps.build.trainer}', inputs: {code: '${inputs.code}'}}
  labelled: {wait: {event: com.example.labelled, where: {data.ok: true, subject: '${inputs.code}'}}}
  open:
    call: {endpoint: tickets, method: PUT, path: 'tickets/${steps.labelled.rows}', body: {model: '${steps.train.model}'}}
  tell: {notify: {endpoint: chat, message: 'Ticket ${steps.open.ticket} is open'}, after: [open]}
";

fn labelled(id: &str, subject: &str, data: Json) -> Event {
    Event {
        id: id.to_owned(),
        source: "https://labels.example".to_owned(),
        event_type: "com.example.labelled".to_owned(),
        subject: Some(subject.to_owned()),
        time: None,
        data,
    }
}

fn state(run: &Run, step: &str) -> StepState {
    run.step(&name(step)).expect(step).state
}

#[tokio::test(start_paused = true)]
async fn a_step_goes_on_with_the_event_that_it_waits_for_and_with_no_other() {
    let (disk, agent) = (Arc::new(Disk::default()), Arc::new(MemoryAgent::default()));
    disk.add(pipeline(RELEASE, "code", "code://*"));
    disk.receive(labelled("0", "code://p/app/c1", json!({"ok": true, "rows": 7})));
    tokio::time::sleep(Duration::from_millis(5)).await;
    std::thread::sleep(Duration::from_millis(5));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    disk.register(codeset("c1"));
    engine.wake();
    let_it_work(&disk).await;

    let run = disk.runs().remove(0);
    assert_eq!((state(&run, "train"), state(&run, "labelled")), (StepState::Succeeded, StepState::AwaitingEvent));
    assert!(run.waits_for(Timestamp::now()).is_some(), "nothing moves by itself");
    assert_eq!(
        run.step(&name("labelled")).and_then(|step| step.note.as_deref()),
        Some("waits for the event com.example.labelled whose data.ok is true and subject is code://p/app/c1")
    );
    for (id, subject, ok) in [("1", "code://p/app/c2", true), ("2", "code://p/app/c1", false)] {
        disk.receive(labelled(id, subject, json!({"ok": ok, "rows": 1})));
        engine.wake();
        let_it_work(&disk).await;
        assert_eq!(state(&disk.runs()[0], "labelled"), StepState::AwaitingEvent, "{id}");
    }
    disk.receive(labelled("3", "code://p/app/c1", json!({"ok": true, "rows": 12, "list": []})));
    engine.wake();
    let_it_work(&disk).await;

    let run = disk.runs().remove(0);
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.steps);
    let outputs = &run.step(&name("labelled")).expect("step").outputs;
    assert_eq!(outputs.get("rows"), Some(&Value::Text("12".to_owned())));
    let model = disk.artifacts(Kind::Model).remove(0).address;
    let calls = disk.endpoints.calls();
    assert_eq!((&*calls[0].endpoint, calls[0].key.clone()), ("tickets", format!("{}.open", run.id)));
    let (path, body) = (Some("tickets/12".to_owned()), Some(json!({"model": model.to_string()})));
    assert_eq!(calls[0].content, CallContent::Request { method: Method::Put, path, body });
    let CallContent::Notice(notice) = &calls[1].content else { panic!("{calls:?}") };
    assert_eq!(notice.message, format!("Ticket {}.open is open", run.id));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_once_wherever_the_server_dies_and_calls_repeat_their_key() {
    for at in 0..24 {
        for crash in [Crash::Before(at), Crash::After(at)] {
            let (disk, agent) = (Arc::new(Disk::default()), Arc::new(MemoryAgent::default()));
            disk.add(pipeline(RELEASE, "code", "code://*"));
            disk.register(codeset("c1"));
            let first = server(&disk, &agent, crash).await;
            let_it_work(&disk).await;
            // In the middle of it, or while nobody is there.
            disk.receive(labelled("1", "code://p/app/c1", json!({"ok": true, "rows": 12})));
            if let Some(first) = first {
                first.wake();
                let_it_work(&disk).await;
                first.stop();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let second = server(&disk, &agent, Crash::Never).await.expect("engine");
            let_it_work(&disk).await;
            // A run that only the second server began did not hear of what came before.
            disk.receive(labelled("2", "code://p/app/c1", json!({"ok": true, "rows": 12})));
            second.wake();
            let_it_work(&disk).await;

            let run = disk.runs().remove(0);
            assert_eq!(run.state, RunState::Succeeded, "{crash:?}: {:?}", run.steps);
            assert_eq!(disk.runs().len(), 1, "{crash:?}");
            let (open, tell) = (format!("{}.open", run.id), format!("{}.tell", run.id));
            let keys: Vec<_> = disk.endpoints.calls().into_iter().map(|call| call.key).collect();
            assert!(keys.contains(&open) && keys.contains(&tell), "{crash:?}: {keys:?}");
            assert!(keys.iter().all(|key| [&open, &tell].contains(&key)) && keys.len() <= 3, "{crash:?}: {keys:?}");
        }
    }
}

const REVIEWED: &str = "
schema_version: 1
name: reviewed
description: d
inputs: {code: {kind: codeset}}
steps:
  build: {build: any, codeset: '${inputs.code}'}
  train: {run: '${steps.build.trainer}', inputs: {code: '${inputs.code}'}}
  labelled: {wait: {event: com.example.labelled, where: {subject: '${steps.train.model}'}}}
";

#[tokio::test(start_paused = true)]
async fn a_step_that_waits_waits_anew_when_what_it_follows_is_done_again() {
    let (disk, agent) = (Arc::new(Disk::default()), Arc::new(MemoryAgent::default()));
    disk.add(pipeline(REVIEWED, "code", "code://*"));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    disk.register(codeset("c1"));
    engine.wake();
    let_it_work(&disk).await;
    let run = disk.runs().remove(0);
    assert_eq!(state(&run, "labelled"), StepState::AwaitingEvent);

    let again = RunCommand::Retry { step: Some(name("train")) };
    engine.command(run.id, again, "ada", None).await.expect("again");
    let_it_work(&disk).await;
    let run = disk.runs().remove(0);
    let (train, waits) = (run.step(&name("train")).expect("train"), run.step(&name("labelled")).expect("labelled"));
    assert_eq!((train.state, train.attempt), (StepState::Succeeded, 2));
    assert_eq!((waits.state, waits.attempt), (StepState::AwaitingEvent, 2));

    let Some(Value::Artifact(model)) = train.outputs.get("model") else { panic!("{train:?}") };
    disk.receive(labelled("1", &model.to_string(), json!({})));
    engine.wake();
    let_it_work(&disk).await;
    assert_eq!(disk.runs()[0].state, RunState::Succeeded, "{:?}", disk.runs()[0].steps);
}

const PROMOTE: &str = "
schema_version: 1
name: promote
description: d
inputs: {code: {kind: codeset}}
steps:
  other: {wait: {artifact: 'model://*', new: true}}
  good: {wait: {artifact: '${steps.other.artifact}', where: 'label.approved = yes'}, timeout: 1s}
";

#[tokio::test]
async fn a_step_waits_for_a_new_artifact_and_then_for_what_it_becomes_as_long_as_it_may() {
    let (disk, agent) = (Arc::new(Disk::default()), Arc::new(MemoryAgent::default()));
    disk.add(pipeline(PROMOTE, "code", "code://*"));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    let model = |id: &str| {
        let address = format!("model://p/wine/{id}").parse().expect("address");
        fuseml_domain::Descriptor { address, name: name("wine"), id: name(id), ..codeset(id) }
    };
    disk.register(model("m1"));
    std::thread::sleep(Duration::from_millis(5));
    disk.register(codeset("c1"));
    engine.wake();
    let_it_work(&disk).await;
    assert_eq!(state(&disk.runs()[0], "other"), StepState::AwaitingEvent, "m1 was there before");

    disk.register(model("m2"));
    engine.wake();
    let until = async || {
        while !disk.runs()[0].state.ended() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), until()).await.expect("it gives up");
    let run = disk.runs().remove(0);
    let other = run.step(&name("other")).expect("other");
    assert_eq!(other.outputs.get("artifact").map(Value::shown).as_deref(), Some("model://p/wine/m2"));
    assert_eq!(run.state, RunState::Failed);
    let note = run.step(&name("good")).and_then(|step| step.note.clone()).unwrap_or_default();
    assert_eq!(
        note,
        "nothing came within its time limit: it waited for model://p/wine/m2 to be what was asked for: label.approved = yes"
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_starts_the_pipelines_that_listen_to_it_with_the_values_that_it_brings() {
    const TUNE: &str = "{schema_version: 1, name: tune, description: d, \
        inputs: {code: {kind: codeset}, alpha: {type: number, default: '1'}}, \
        steps: {build: {build: any, codeset: '${inputs.code}'}, \
                train: {run: '${steps.build.trainer}', inputs: {code: '${inputs.code}'}, \
                        parameters: {alpha: '${inputs.alpha}'}}}}";
    let (disk, agent) = (Arc::new(Disk::default()), Arc::new(MemoryAgent::default()));
    let events = EventStart {
        types: vec!["com.example.*".parse().expect("type")],
        values: [(name("alpha"), "data.alpha".to_owned())].into(),
    };
    let starts = Starts { events: Some(events), ..Starts::default() };
    disk.add(pipeline(TUNE, "code", "code://*").starting(starts).expect("starts"));
    let engine = server(&disk, &agent, Crash::Never).await.expect("engine");
    let send = async |id: &str, data: Json| {
        disk.receive(labelled(id, "x", data));
        engine.wake();
        let_it_work(&disk).await;
    };
    send("0", json!({"alpha": 0.5})).await;
    disk.register(codeset("c1"));
    engine.wake();
    let_it_work(&disk).await;
    for (id, data) in [("1", json!({"alpha": 0.5})), ("2", json!({})), ("3", json!({"alpha": "much"}))] {
        send(id, data).await;
    }

    let runs = disk.runs();
    assert_eq!(runs.len(), 2, "one by the push, one by the event that brought a number");
    assert_eq!(runs[1].cause.reason, "the event com.example.labelled came from https://labels.example about x");
    let alpha = InputValue { value: Value::Text("0.5".to_owned()), is_default: false };
    assert_eq!(runs[1].inputs.get(&name("alpha")), Some(&alpha));
    let reasons: Vec<_> = disk.unstarted().into_iter().map(|(_, reason)| reason).collect();
    assert!(reasons[0].contains("nothing that code://* selects"), "{reasons:?}");
    assert_eq!(reasons[1], "the event has no `data.alpha` for the input `alpha`");
    assert!(reasons[2].contains("`much`"), "{reasons:?}");
}
