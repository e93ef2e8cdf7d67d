//! The builder as the host calls it, on the SDK's fake host.

use crate::MlflowBuilder;
use fuseml_extension::builder::{BuildPlan, Codeset, Previous, ValueType};
use fuseml_extension::fake::Fake;
use fuseml_extension::{Builder, ErrorKind, Result};

const MLPROJECT: &str = r#"name: wine
conda_env: conda.yaml
entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.50}
      l1_ratio: {type: float, default: 1e-1}
      epochs: {type: int, default: 3}
      data: path
    command: "python train.py {alpha} {l1_ratio} {epochs} {data} '{{}}'"
"#;
const CONDA: &str = r#"name: wine
channels: [conda-forge]
dependencies:
  - python=3.10
  - scikit-learn=1.5
  - pip
  - pip:
      - mlflow>=2.3
      - pandas[parquet] >= 2, <3  # tables
      - -r more.txt
"#;

fn plan(files: &[(&str, &str)], changed: &[&str], previous: Option<&str>) -> Result<BuildPlan> {
    let fake = Fake::install();
    for (path, text) in files {
        fake.file(path, text);
    }
    let codeset = Codeset {
        address: "code://p/wine/1".to_owned(),
        name: "wine".to_owned(),
        changed_files: changed.iter().map(|file| (*file).to_owned()).collect(),
    };
    let previous = previous.map(|digest| Previous { environment_digest: digest.to_owned(), runnables: Vec::new() });
    MlflowBuilder::new()?.plan(codeset, previous)
}

#[test]
fn detects_by_the_project_file() {
    let fake = Fake::install();
    let detect = || MlflowBuilder.detect().unwrap();
    fake.file("sub/MLproject", "");
    assert_eq!((detect().confidence, detect().reason.contains("no `MLproject`")), (0, true));
    fake.file("MLproject", "");
    assert_eq!(detect().confidence, 100);
}

#[test]
fn plans_trainer_and_predictor_in_one_environment() {
    let files =
        [("MLproject", MLPROJECT), ("conda.yaml", CONDA), ("more.txt", "requests==2.32.0 \\\n ; os_name=='posix'\n")];
    let plan = plan(&files, &[], None).unwrap();
    assert_eq!((plan.rebuild, plan.reason.as_str()), (true, "first build"));

    let [environment] = plan.environments.as_slice() else { panic!("{:?}", plan.environments) };
    assert_eq!(environment.python.as_deref(), Some("3.10"));
    assert_eq!(
        environment.requirements,
        [
            "mlflow>=2.3",
            "mlflow>=3.1,<4",
            "mlserver>=1.7,<2",
            "mlserver-mlflow>=1.7,<2",
            "pandas[parquet]>=2,<3",
            "requests==2.32.0; os_name=='posix'",
            "scikit-learn==1.5.*",
        ]
    );
    assert!(
        environment.dockerfile.starts_with("# Made by FuseML's MLflow builder.\nFROM python:3.10-slim\nRUN [\"pip\"")
    );
    assert!(environment.dockerfile.contains("USER 1000"));
    assert!(environment.digest.starts_with("sha256:") && environment.digest.len() == 71);

    let [trainer, predictor] = plan.runnables.as_slice() else { panic!("{:?}", plan.runnables) };
    assert_eq!((trainer.name.as_str(), predictor.name.as_str()), ("wine-trainer", "wine-predictor"));
    assert!(trainer.environment == environment.name && predictor.environment == environment.name);
    let parameters: Vec<_> = trainer
        .parameters
        .iter()
        .map(|p| (p.name.as_str(), p.value_type, p.default.as_deref(), p.target.as_str()))
        .collect();
    assert_eq!(
        parameters,
        [
            ("alpha", ValueType::Number, Some("0.50"), "-Palpha={}"),
            ("l1_ratio", ValueType::Number, Some("1e-1"), "-Pl1_ratio={}"),
            ("epochs", ValueType::Integer, Some("3"), "-Pepochs={}"),
            ("data", ValueType::Text, None, "-Pdata={}"),
        ]
    );
    assert_eq!(trainer.command.last().map(String::as_str), Some("wine"));
    assert!(trainer.scripts[0].1.contains("argparse") && predictor.scripts[0].0 == "predict.py");
}

#[test]
fn reads_each_form_of_environment() {
    let bare = "entry_points: {main: {command: python train.py}}\n";
    let named = format!("python_env: env/py.yaml\n{bare}");
    let py = "python: 3.12\nbuild_dependencies: [pip==24.0, setuptools]\ndependencies:\n  - -r ../r.txt\n";
    let own = ["mlflow>=3.1,<4", "mlserver>=1.7,<2", "mlserver-mlflow>=1.7,<2"];
    type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str, &'a [&'a str]);
    let cases: [Case; 5] = [
        ("nothing", vec![("MLproject", bare)], "3.11", &[]),
        ("conda", vec![("MLproject", bare), ("conda.yaml", "dependencies: [python>=3.12, numpy]")], "3.12", &["numpy"]),
        (
            "python_env",
            vec![("MLproject", &named), ("env/py.yaml", py), ("r.txt", "xgboost\n")],
            "3.12",
            &["setuptools", "xgboost"],
        ),
        (
            "requirements",
            vec![("MLproject", bare), ("requirements.txt", "# c\n\nNumPy ==2.0\nNumPy==2.0\n")],
            "3.11",
            &["NumPy==2.0"],
        ),
        (
            "usual python_env before conda",
            vec![("MLproject", bare), ("python_env.yaml", "dependencies: [a]"), ("conda.yaml", "dependencies: [b]")],
            "3.11",
            &["a"],
        ),
    ];
    for (name, files, python, wanted) in cases {
        let plan = plan(&files, &[], None).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let environment = &plan.environments[0];
        let theirs: Vec<&str> =
            environment.requirements.iter().map(String::as_str).filter(|r| !own.contains(r)).collect();
        assert_eq!((environment.python.as_deref(), theirs.as_slice()), (Some(python), wanted), "{name}");
    }
}

#[test]
fn refuses_with_the_place_and_a_way_out() {
    use ErrorKind::{Invalid, Unsupported};
    let main = |rest: &str| format!("entry_points:\n  main:\n    {rest}\n");
    let ok = main("command: python train.py");
    let with = |head: &str| format!("{head}\n{ok}");
    let conda = |line: &str| format!("dependencies:\n  - numpy\n  - {line}\n");
    type Case = (Vec<(&'static str, String)>, ErrorKind, &'static str, &'static str);
    let cases: Vec<Case> = vec![
        (vec![], Invalid, "no-mlproject", "there is no `MLproject`"),
        (vec![("MLproject", "name: [\n".into())], Invalid, "yaml", "`MLproject` line"),
        (vec![("MLproject", "name: x\n".into())], Invalid, "no-entry-point", "add `entry_points:"),
        (
            vec![("MLproject", "entry_points: {a: {command: x}, b: {command: y}}".into())],
            Invalid,
            "no-main-entry-point",
            "`a`, `b`",
        ),
        (vec![("MLproject", main("parameters: {a: float}"))], Invalid, "no-command", "entry point `main`"),
        (
            vec![("MLproject", main("command: python t.py {alpha}"))],
            Invalid,
            "undeclared-parameter",
            "line 3: the command of `main` uses `{alpha}`",
        ),
        (vec![("MLproject", main("command: python t.py }"))], Invalid, "command-brace", "lone `}`"),
        (
            vec![("MLproject", main("command: x\n    parameters:\n      a: {type: float, default: big}"))],
            Invalid,
            "parameter-default",
            "line 5: the default of the parameter `a` must be a number, not `big`",
        ),
        (vec![("MLproject", main("command: x\n    parameters: {a b: float}"))], Invalid, "parameter-name", "`a b`"),
        (vec![("MLproject", with("docker_env: {image: x}"))], Unsupported, "docker-env", "`MLproject` line 1"),
        (vec![("MLproject", with("conda_env: a\npython_env: b"))], Invalid, "two-environments", "keep the one"),
        (vec![("MLproject", with("conda_env: gone.yaml"))], Invalid, "no-such-file", "it names `gone.yaml`"),
        (vec![("MLproject", with("conda_env: ../c.yaml"))], Invalid, "path-outside", "outside the codeset"),
        (
            vec![("MLproject", ok.clone()), ("conda.yaml", conda("numpy=1.2=py_0"))],
            Unsupported,
            "conda-spec",
            "`conda.yaml` line 3",
        ),
        (
            vec![("MLproject", ok.clone()), ("conda.yaml", conda("cudatoolkit"))],
            Unsupported,
            "conda-package",
            "remove the line",
        ),
        (
            vec![("MLproject", ok.clone()), ("conda.yaml", conda("python=3.7"))],
            Unsupported,
            "python-version",
            "3.10, 3.11",
        ),
        (
            vec![("MLproject", ok.clone()), ("conda.yaml", conda("{npm: [x]}"))],
            Invalid,
            "conda-section",
            "`conda.yaml` line 3",
        ),
        (
            vec![
                ("MLproject", ok.clone()),
                ("conda.yaml", conda("pip: [mlflow==2.9]").replace("pip: [mlflow==2.9]", "{pip: [mlflow==2.9]}")),
            ],
            Unsupported,
            "mlflow-version",
            "write `mlflow>=3`",
        ),
        (
            vec![("MLproject", ok.clone()), ("requirements.txt", "a\n-e .\n".into())],
            Unsupported,
            "pip-option",
            "`requirements.txt` line 2: `-e`",
        ),
        (
            vec![("MLproject", ok.clone()), ("requirements.txt", "--index-url https://x\n".into())],
            Unsupported,
            "pip-option",
            "remove the line",
        ),
        (
            vec![("MLproject", ok.clone()), ("requirements.txt", "-r gone.txt".into())],
            Invalid,
            "no-such-file",
            "includes `gone.txt`",
        ),
        (
            vec![("MLproject", ok.clone()), ("requirements.txt", "./wheel.whl".into())],
            Unsupported,
            "requirement-path",
            "is a path",
        ),
        (
            vec![("MLproject", ok.clone()), ("requirements.txt", "git+https://x/y".into())],
            Invalid,
            "requirement",
            "name @ url",
        ),
        (
            vec![("MLproject", ok.clone()), ("requirements.txt", "numpy 1.2".into())],
            Invalid,
            "requirement",
            "`name` followed by",
        ),
        (vec![("MLproject", ok), ("requirements.txt", "$(rm)".into())], Invalid, "requirement", "name of a package"),
    ];
    for (files, kind, code, says) in cases {
        let borrowed: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let error = plan(&borrowed, &[], None).expect_err(code);
        assert_eq!((error.kind, error.code.as_str()), (kind, code), "{}", error.message);
        assert!(error.message.contains(says), "{code}: {}", error.message);
    }
}

#[test]
fn rebuilds_only_when_due_and_says_why() {
    let files = [("MLproject", MLPROJECT), ("conda.yaml", CONDA), ("more.txt", "")];
    let digest = plan(&files, &[], None).unwrap().environments[0].digest.clone();
    for (changed, digest, rebuild, reason) in [
        (vec![], digest.as_str(), false, "nothing changed"),
        (vec!["train.py"], &digest, false, "only train.py changed"),
        (vec!["a", "b", "c", "d"], &digest, false, "only a, b and 2 more files changed"),
        (vec!["conda.yaml", "train.py"], &digest, true, "conda.yaml changed"),
        (vec!["MLproject", "more.txt"], &digest, true, "MLproject and more.txt changed"),
        (vec!["requirements.txt"], &digest, false, "only requirements.txt changed"),
        (vec!["train.py"], "sha256:00", true, "the mlflow extension's own requirements changed"),
        (vec!["python_env.yaml"], "sha256:00", true, "python_env.yaml changed"),
    ] {
        let plan = plan(&files, &changed, Some(digest)).unwrap();
        assert_eq!((plan.rebuild, plan.reason.as_str()), (rebuild, reason));
    }
}
