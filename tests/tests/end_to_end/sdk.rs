//! The Python package for training code: importable in every job, a project for editors, and the same code without FuseML
//! (S44, S57, S60).

use fuseml_tests::{World, tool};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Says everything that can be said, and what it was told.
const TRAIN: &str = r#"
import fuseml

alpha = fuseml.parameter("alpha", 0.5)
rows = (fuseml.input("data") / "rows.csv").read_text().count("\n")
print(fuseml.current().run, alpha, fuseml.parameters(), rows)
(fuseml.output("model") / "alpha").write_text(str(alpha))
fuseml.log_metric("accuracy", alpha)
fuseml.log_metrics({"rows": rows}, output="model")
fuseml.log_parameter("seed", 7)
fuseml.set_attribute("framework", "none")
validation = fuseml.dataset("validation")
(validation.path / "rows.csv").write_text("n\n3\n")
validation.set_attribute("split", "last")
baseline = fuseml.model("baseline")
(baseline.path / "alpha").write_text("none")
baseline.log_metric("accuracy", 0.01)
for wrong in (
    lambda: fuseml.input("code"),
    lambda: fuseml.output("weights"),
    lambda: fuseml.parameter("name", 1),
    lambda: fuseml.log_metric("loss", float("nan")),
    lambda: fuseml.log_metric("loss", "low"),
    lambda: fuseml.dataset("../rows"),
    lambda: fuseml.model("model"),
):
    try:
        wrong()
    except fuseml.StepError as error:
        print(error)
"#;

/// What libraries say anyway.
const AUTOLOG: &str = r#"
import fuseml
fuseml.autolog()
import mlflow
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

x, y = load_diabetes(return_X_y=True)
model = make_pipeline(StandardScaler(), ElasticNet(alpha=fuseml.parameter("alpha", 0.5))).fit(x, y)
model.score(x, y)
with mlflow.start_run():
    mlflow.log_metrics({"rmse": 1.5})
    mlflow.log_param("epochs", 3)
    mlflow.MlflowClient().log_metric(mlflow.active_run().info.run_id, key="mae", value=0.5)
(fuseml.output() / "model.txt").write_text("a model")
"#;

fn runnable(name: &str, python: &Path, inputs: &str) -> String {
    format!(
        "schema_version: 1\nname: {name}\nkind: {name}\ncommand: ['{}', {name}.py]\nscripts: {{{name}.py: {name}.py}}\n\
         variables: {{MLFLOW_TRACKING_URI: 'sqlite:///mlflow.db'}}\n\
         inputs: {{{inputs}}}\noutputs: {{model: {{kind: model, path: out}}}}\n\
         parameters: {{alpha: {{type: number, default: 0.1}}, name: {{type: text, default: wine}}}}\n",
        python.display()
    )
}

fn write(world: &World, file: &str, text: &str) {
    fs::write(world.folder.path().join(file), text).expect("file");
}

/// Registers it, and starts a pipeline of it once; answers the model.
fn trained(world: &World, name: &str, script: &str, runnable: &str, input: &str) -> serde_json::Value {
    write(world, &format!("{name}.py"), script);
    write(world, &format!("{name}.yaml"), runnable);
    world.fuseml(&["runnable", "register", &format!("{name}.yaml")]).good();
    let template = format!(
        "schema_version: 1\nname: {name}\ndescription: d\ninputs: {{{input}}}\nsteps: {{it: {{run: {{kind: {name}}}}}}}\n\
         outputs: {{model: {{kind: model, from: '${{steps.it.model}}'}}}}\n"
    );
    write(world, "template.yaml", &template);
    let add = ["pipeline", "add", "template.yaml", "--name", name];
    let inputs = if input.is_empty() { &[][..] } else { &["--input", "data=data://shop/rows"] };
    world.fuseml(&[&add[..], inputs].concat()).good();
    world.fuseml(&["run", "start", name, "--wait"]).good();
    let run = world.json(&["run", "show", &format!("{name}/1")]);
    let model = run["outputs"]["model"]["artifact"].as_str().expect("model").to_owned();
    world.json(&["artifact", "show", &model])
}

#[test]
fn training_code_says_more_of_what_it_makes_and_is_told_when_it_asks_for_what_is_not_there() {
    let world = World::new();
    world.fuseml(&["project", "create", "shop"]).good();
    world.fuseml(&["project", "set", "shop"]).good();
    fs::create_dir(world.folder.path().join("rows")).expect("folder");
    write(&world, "rows/rows.csv", "n\n1\n2\n");
    world.fuseml(&["dataset", "push", "rows"]).good();

    let python =
        runnable("train", Path::new("/usr/bin/env"), "data: {kind: dataset}").replace("env', ", "env', python3, ");
    let model = trained(&world, "train", TRAIN, &python, "data: {kind: dataset}");
    assert_eq!((&model["metrics"]["accuracy"], &model["metrics"]["rows"]), (&0.1.into(), &3.0.into()), "{model}");
    assert_eq!(
        (&model["attributes"]["framework"], &model["attributes"]["parameter.seed"]),
        (&"none".into(), &"7".into())
    );
    // What it made beside its output, which its description does not know.
    let beside = |address: &str| world.json(&["artifact", "show", address]);
    let (validation, baseline) = (beside("data://shop/rows-validation"), beside("model://shop/rows-baseline"));
    assert_eq!(validation["attributes"]["split"], "last", "{validation}");
    assert_eq!(baseline["metrics"]["accuracy"], 0.01, "{baseline}");
    insta::assert_snapshot!("beside", world.steady(&world.fuseml(&["run", "show", "train/1"]).good().stdout()));
    let fetched = world.folder.path().join("fetched");
    world.fuseml(&["artifact", "fetch", "data://shop/rows-validation", &fetched.display().to_string()]).good();
    assert_eq!(fs::read_to_string(fetched.join("rows.csv")).expect("rows"), "n\n3\n");
    let again = world.fuseml(&["run", "start", "train", "--wait"]).good();
    assert!(again.stderr().contains("reused from train/1"), "{}", again.stderr());
    let made = world.json(&["run", "show", "train/2"]);
    assert_eq!(made["steps"][0]["outputs"]["validation"]["artifact"], validation["address"], "{made}");
    insta::assert_snapshot!("said", world.fuseml(&["run", "logs", "train/1"]).good().stdout());

    // The same code by hand.
    let folder = world.folder.path().join("by-hand");
    fs::create_dir_all(folder.join("data")).expect("folder");
    fs::copy(world.folder.path().join("rows/rows.csv"), folder.join("data/rows.csv")).expect("copied");
    let script = world.folder.path().join("train.py");
    let project = world.folder.path().join("sdk");
    world.fuseml(&["runnable", "sdk", &project.display().to_string()]).good();
    let mut by_hand = Command::new("python3");
    let said =
        by_hand.arg(script).current_dir(&folder).env("PYTHONPATH", project.join("src")).output().expect("python");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let report = fs::read_to_string(folder.join(".fuseml/model.json")).expect("report");
    assert!(report.contains("\"accuracy\": 0.5"), "{report}");

    // What is written is a project that builds a wheel for any Python.
    let mut build = Command::new(tool("FUSEML_UV"));
    build.args(["build", "--quiet", "--wheel", "--out-dir"]).arg(world.folder.path().join("dist")).arg(&project);
    let said = build.output().expect("uv");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(world.folder.path().join("dist/fuseml-0.1.0-py3-none-any.whl").exists());
}

#[test]
fn what_sklearn_and_mlflow_are_told_is_said_of_the_model_without_another_line() {
    let world = World::new();
    world.fuseml(&["project", "create", "shop"]).good();
    world.fuseml(&["project", "set", "shop"]).good();
    let python: PathBuf = tool("FUSEML_TEST_MLFLOW").with_file_name("python");
    let model = trained(&world, "auto", AUTOLOG, &runnable("auto", &python, ""), "");
    assert_eq!(
        (&model["metrics"]["rmse"], &model["metrics"]["mae"], &model["attributes"]["framework"]),
        (&1.5.into(), &0.5.into(), &"sklearn".into()),
        "{model}"
    );
    assert!(model["metrics"]["score"].as_f64().is_some_and(|score| score > 0.3), "{model}");
    assert_eq!(
        (&model["attributes"]["estimator"], &model["attributes"]["parameter.epochs"]),
        (&"Pipeline".into(), &"3".into())
    );
}
