//! The two runnables of an MLflow project: wrappers around `mlflow run` and MLServer.

use crate::project::{EntryPoint, Parameter};
use fuseml_extension::builder::{self, Delivery, InputSlot, OutputSlot, Runnable, Service};
use fuseml_extension::{Attributes, Result};

const TRAIN: &str = include_str!("../../runnables/train.py");
const PREDICT: &str = include_str!("../../runnables/predict.py");

/// Trainer and predictor of a codeset, both in the named environment.
pub(crate) fn describe(codeset: &str, entry_point: EntryPoint, environment: &str) -> Result<Vec<Runnable>> {
    Ok(vec![trainer(codeset, entry_point, environment), predictor(codeset, environment)])
}

fn trainer(codeset: &str, entry_point: EntryPoint, environment: &str) -> Runnable {
    let command = [
        "python",
        "train.py",
        "--project",
        "inputs/mlflow_code",
        "--entry-point",
        &entry_point.name,
        "--model",
        "outputs/model",
        "--report",
        "outputs/model.json",
        "--experiment",
        codeset,
    ];
    Runnable {
        name: format!("{codeset}-trainer"),
        kind: "trainer".to_owned(),
        environment: environment.to_owned(),
        command: words(&command),
        scripts: pairs(&[("train.py", TRAIN)]),
        variables: pairs(&[
            ("MLFLOW_TRACKING_URI", "${settings.endpoint}"),
            ("MLFLOW_DISABLE_TELEMETRY", "true"),
            ("PYTHONUNBUFFERED", "1"),
        ]),
        inputs: vec![InputSlot {
            name: "mlflow_code".to_owned(),
            description: Some("the MLflow project to train with".to_owned()),
            kind: "codeset".to_owned(),
            requires: Vec::new(),
            optional: false,
            path: "inputs/mlflow_code".to_owned(),
            change_filter: words(&["**"]),
        }],
        outputs: vec![OutputSlot {
            name: "model".to_owned(),
            description: Some("the last model that the run logged".to_owned()),
            kind: "model".to_owned(),
            provides: pairs(&[("format", "mlflow")]),
            path: "outputs/model".to_owned(),
            report: Some("outputs/model.json".to_owned()),
        }],
        parameters: entry_point.parameters.into_iter().map(parameter).collect(),
        service: None,
        resources: Vec::new(),
        labels: Vec::new(),
    }
}

/// One argument a parameter: `-Palpha=0.1`.
fn parameter(parameter: Parameter) -> builder::Parameter {
    builder::Parameter {
        target: format!("-P{}={{}}", parameter.name),
        name: parameter.name,
        description: parameter.note.map(str::to_owned),
        value_type: parameter.value_type,
        default: parameter.default,
        delivery: Delivery::Argument,
    }
}

fn predictor(codeset: &str, environment: &str) -> Runnable {
    Runnable {
        name: format!("{codeset}-predictor"),
        kind: "predictor".to_owned(),
        environment: environment.to_owned(),
        command: words(&["python", "predict.py", "--model", "inputs/model", "--name", "model"]),
        scripts: pairs(&[("predict.py", PREDICT)]),
        variables: pairs(&[("MLFLOW_DISABLE_TELEMETRY", "true"), ("PYTHONUNBUFFERED", "1")]),
        inputs: vec![InputSlot {
            name: "model".to_owned(),
            description: Some("the MLflow model to serve".to_owned()),
            kind: "model".to_owned(),
            requires: pairs(&[("format", "mlflow")]),
            optional: false,
            path: "inputs/model".to_owned(),
            change_filter: Vec::new(),
        }],
        outputs: Vec::new(),
        parameters: Vec::new(),
        service: Some(Service {
            readiness_path: "/v2/models/model/ready".to_owned(),
            predict_path: "/v2/models/model/infer".to_owned(),
        }),
        resources: Vec::new(),
        labels: Vec::new(),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
