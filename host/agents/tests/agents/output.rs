//! Outputs: what a job left is found, what it did not leave is named, what leads elsewhere is refused.

use crate::common::{World, job};
use fuseml_domain::{Phase, Workload, WorkloadOutput, port::RuntimeAgent};

fn with_output(key: &str, script: &str) -> Workload {
    let output = WorkloadOutput {
        name: "model".to_owned(),
        path: "outputs/model".to_owned(),
        report: Some("outputs/model.json".to_owned()),
    };
    Workload { outputs: vec![output], ..job(key, script) }
}

#[tokio::test]
async fn an_output_comes_with_its_report() {
    let world = World::new();
    let workload = with_output(
        "good",
        r#"mkdir outputs/model; echo weights >outputs/model/data; ln -s data outputs/model/latest
           echo '{"metrics": {"rmse": 0.5}, "parameters": {"alpha": "0.1"}}' >outputs/model.json"#,
    );
    assert_eq!(world.run(&workload).await.phase, Phase::Succeeded);
    let outputs = world.agent.outputs(&workload).await.unwrap();
    let [model] = &outputs[..] else { panic!("one output") };
    assert_eq!(model.name, "model");
    assert_eq!(std::fs::read_to_string(model.path.join("data")).unwrap(), "weights\n");
    assert_eq!(model.report.metrics["rmse"], 0.5);
    assert_eq!(model.report.parameters["alpha"], "0.1");
}

#[tokio::test]
async fn outputs_that_are_none() {
    let world = World::new();
    let cases = [
        ("nothing", "true", "output-missing", "the step ended well but left no output `model` at outputs/model"),
        ("empty", "mkdir outputs/model", "output-missing", "left an empty directory as output `model`"),
        ("file", "echo >outputs/model", "output-missing", "left a file, not a directory, as output `model`"),
        ("away", "ln -s /etc outputs/model", "output-link", "`outputs/model` leads out of the working directory"),
        ("link", "mkdir outputs/model; ln -s /etc/passwd outputs/model/p", "output-link", "the symbolic link `p`"),
        (
            "report",
            "mkdir outputs/model; touch outputs/model/a; echo no >outputs/model.json",
            "output-report",
            "not valid",
        ),
        (
            "large",
            "mkdir outputs/model; touch outputs/model/a; head -c 1100000 /dev/zero >outputs/model.json",
            "output-report",
            "larger than 1 MiB",
        ),
    ];
    for (key, script, code, message) in cases {
        let workload = with_output(key, script);
        assert_eq!(world.run(&workload).await.phase, Phase::Succeeded, "{key}");
        let error = world.agent.outputs(&workload).await.unwrap_err();
        assert_eq!(error.code, code, "{key}: {error}");
        assert!(error.message.contains(message), "{key}: {error}");
    }
}
