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
            "step build: a step is exactly one of `build`, `run`, `serve`, `approve` and `template`",
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
