use super::*;

const TRAINING: &str = include_str!("../../../plugins/mlflow/templates/mlflow-training.yaml");
const SERVING: &str = include_str!("../../../plugins/mlflow/templates/mlflow-serving.yaml");
const END_TO_END: &str = include_str!("../../../plugins/mlflow/templates/mlflow-end-to-end.yaml");

#[test]
fn the_published_templates_are_sound() {
    for text in [TRAINING, SERVING, END_TO_END] {
        let template = Template::parse(text, "template.yaml").expect("template");
        let stored = serde_json::to_string(&template).expect("JSON");
        assert_eq!(serde_json::from_str::<Template>(&stored).expect("stored"), template);
    }
}

#[test]
fn steps_stand_after_those_they_need() {
    let text = END_TO_END.replace("  build:\n    build: mlflow\n    codeset: ${inputs.mlflow_code}\n", "").replace(
        "outputs:\n  model:\n    kind",
        "  build:\n    build: mlflow\n    codeset: ${inputs.mlflow_code}\noutputs:\n  model:\n    kind",
    );
    let template = Template::parse(&text, "template.yaml").expect("template");
    let names: Vec<_> = template.steps.iter().map(|step| &*step.name).collect();
    assert_eq!(names, ["build", "train", "serve"]);
}

#[test]
fn an_unsound_template_says_what_is_wrong_where() {
    let cases = [
        (
            TRAINING.replace("codeset: ${inputs.mlflow_code}", "codeset: ${inputs.code}"),
            "step build: ${inputs.code} names an input that is not declared; there are mlflow_code",
        ),
        (
            TRAINING.replace("from: ${steps.train.model}", "from: ${steps.trian.model}"),
            "output model: ${steps.trian.model} names a step that is not there; there are build and train",
        ),
        (
            TRAINING.replace("    kind: codeset\n", "    kind: model\n"),
            "step build: ${inputs.mlflow_code} is a model, but a codeset is needed here",
        ),
        (
            TRAINING.replace("run: ${steps.build.trainer}", "run: ${inputs.mlflow_code}"),
            "step train: ${inputs.mlflow_code} is a codeset, but a runnable is needed here",
        ),
        (TRAINING.replace("    kind: codeset\n", ""), "the input `mlflow_code` needs either a kind or a type"),
        (TRAINING.replace("kind: codeset", "kind: codset"), "codset"),
        (TRAINING.replace("    codeset: $", "    codset: $"), "codset"),
        (
            TRAINING.replace("    build: mlflow\n", "    build: mlflow\n    run: ${steps.train.x}\n"),
            "step build: a step is exactly one of `build`, `run`, `serve`, `approve`, `wait`, `call`, `notify`, `register`, `copy`, `fetch` and `template`",
        ),
        (
            TRAINING
                .replace("    run: ${steps.build.trainer}\n", "    run: ${steps.build.trainer}\n    timeout: soon\n"),
            "`soon` is not a length of time",
        ),
        (
            TRAINING.replace("mlflow_code: ${inputs.mlflow_code}", "mlflow_code: ${steps.train.model}"),
            "the steps train wait for each other",
        ),
        (
            SERVING.replace("from: ${steps.serve.url}", "from: ${steps.serve.address}"),
            "a serving step has only the output `url`",
        ),
        (TRAINING.replace("schema_version: 1", "schema_version: 2"), "schema_version is 2"),
        ("name: [".to_owned(), "template.yaml: "),
    ];
    for (text, why) in cases {
        let error = Template::parse(&text, "template.yaml").expect_err(why);
        assert!(error.message.contains(why), "expected: {why}\nbut was: {}", error.message);
    }
}

#[test]
fn a_build_step_names_its_instance_or_says_what_it_must_be() {
    let parse = |build: &str| {
        Template::parse(
            &format!(
                "{{schema_version: 1, name: t, description: d, inputs: {{code: {{kind: codeset}}}}, \
                 steps: {{b: {{build: {build}, codeset: '${{inputs.code}}'}}}}}}"
            ),
            "t.yaml",
        )
    };
    let shown = |template: Template| match &template.steps[0].action {
        Action::Build { instance, .. } => instance.to_string(),
        _ => String::new(),
    };
    assert_eq!(shown(parse("mlflow").expect("name")), "mlflow");
    let selector = "{product: mlflow, version: '>=0.1, <0.3', zone: eu}";
    assert_eq!(shown(parse(selector).expect("selector")), "product mlflow, version >=0.1, <0.3, zone eu");
    assert!(parse("{colour: blue}").is_err());
    assert!(parse("{version: newest}").is_err());
}

const OUTSIDE: &str = "
schema_version: 1
name: t
description: d
inputs: {code: {kind: codeset}, data: {kind: dataset}}
steps:
  labelled: {wait: {event: 'com.example.*', where: {data.ok: true, subject: '${inputs.code}'}}, timeout: 24h}
  model: {wait: {artifact: 'model://*@production', where: 'accuracy > 0.9', new: true}}
  good: {wait: {artifact: '${steps.model.artifact}', where: 'label.approved = yes'}}
  call: {call: {endpoint: crm, path: 'models/${steps.labelled.rows}', body: [{model: '${steps.good.artifact}'}]}}
  ask: {approve: {message: 'Publish ${steps.good.artifact}?'}}
  tell: {notify: {endpoint: chat, message: 'It is over: $${x}'}, runs: always, after: [ask]}
outputs: {model: {kind: model, from: '${steps.good.artifact}'}}
";

#[test]
fn steps_wait_for_what_happens_elsewhere_call_and_tell() {
    let template = Template::parse(OUTSIDE, "t.yaml").expect("template");
    let needs = |step: &str| {
        let needs = template.step(&step.parse().expect(step)).expect(step).needs();
        needs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!([needs("good"), needs("call"), needs("ask"), needs("tell")], ["model", "good labelled", "good", "ask"]);
    let stored = serde_json::to_string(&template).expect("JSON");
    assert_eq!(serde_json::from_str::<Template>(&stored).expect("stored"), template);
    let Action::Wait { wait, timeout } = &template.steps[0].action else { panic!("{template:?}") };
    assert_eq!(wait.to_string(), "the event com.example.* whose data.ok is true and subject is ${inputs.code}");
    assert_eq!(timeout.map(|timeout| timeout.as_secs()), Some(24 * 60 * 60));
}

#[test]
fn what_cannot_be_waited_for_or_called_is_refused_with_its_place() {
    let with = |from: &str, to: &str| {
        assert!(OUTSIDE.contains(from), "{from}");
        OUTSIDE.replace(from, to)
    };
    let cases = [
        (
            with("over: $${x}", "over: ${steps.call.status}"),
            "tell: it cannot take ${steps.call.status}: it runs also where",
        ),
        (with("event: 'com.example.*'", "event: 'com.*.x'"), "`com.*.x` is no type of events"),
        (with("event: 'com.example.*', ", "event: x, artifact: 'model://*', "), "say one of them"),
        (with("{data.ok: true,", "{datum.ok: true,"), "an event has no field `datum.ok`"),
        (with("where: {data.ok: true, subject: '${inputs.code}'}", "where: 'a = 1'"), "`where` of an event names"),
        (with("where: 'label.approved = yes'", "new: true"), "`new` is for a selector"),
        (with(", where: 'label.approved = yes'", ""), "say with `where` what the artifact has to become"),
        (with("where: 'accuracy > 0.9', new", "where: 'accuracy >', new"), "expected a number"),
        (with("'model://*@production'", "'models'"), "models"),
        (with("'${steps.model.artifact}', where", "'${steps.labelled.rows}', where"), "but that is a value"),
        (
            with("artifact: '${steps.model.artifact}'", "artifact: '${steps.model.data}'"),
            "has only the output `artifact`",
        ),
        (with("body: [{model: '${steps.good.artifact}'}]", "body: [{model: '${steps.bad.artifact}'}]"), "steps.bad"),
        (with("endpoint: crm,", "endpoint: crm, methods: GET,"), "methods"),
        (with("from: '${steps.good.artifact}'", "from: '${steps.ask.artifact}'"), "that step gives nothing"),
        (with("kind: model, from", "kind: dataset, from"), "is a model, but a dataset is needed"),
        (with(", timeout: 24h}", ", retry: {attempts: 2}}"), "who waits tries nothing"),
        (with(", timeout: 24h}", ", inputs: {a: '${inputs.code}'}}"), "only `run`, `serve` and `template` take inputs"),
    ];
    for (text, why) in cases {
        let error = Template::parse(&text, "t.yaml").expect_err(why);
        assert!(error.message.contains(why), "expected: {why}\nbut was: {}", error.message);
    }
}
