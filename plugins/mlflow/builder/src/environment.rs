//! The one environment that trainer and predictor share (S50): found in the project, completed with what the
//! wrappers need, written as a Dockerfile and as a list for agents without containers.

use crate::project::Project;
use crate::requirements::{Requirements, beside, name_of};
use crate::yaml::Node;
use crate::{PROJECT_FILE, conda, python_env, version};
use fuseml_extension::builder::Environment;
use fuseml_extension::{Result, files};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// What `train.py` and `predict.py` need beside the project's own packages.
const OWN_REQUIREMENTS: [&str; 3] = ["mlflow>=3.1,<4", "mlserver>=1.7,<2", "mlserver-mlflow>=1.7,<2"];

const NAME: &str = "mlflow";
const PYTHON_ENV: &str = "python_env.yaml";
const CONDA_ENV: &str = "conda.yaml";
const REQUIREMENTS: &str = "requirements.txt";

/// Files that would decide if they were there: one that disappears changes the environment too.
pub(crate) const DEFAULT_FILES: [&str; 3] = [PYTHON_ENV, CONDA_ENV, REQUIREMENTS];

/// What the project asks for.
#[derive(Debug)]
pub(crate) struct Declared {
    pub python: String,
    pub requirements: Vec<String>,
    /// Every file that decided, `MLproject` first.
    pub files: Vec<String>,
}

type Reader = fn(&str, &str, &mut Requirements) -> Result<Option<String>>;

/// Reads the environment in MLflow's own order: what `MLproject` names, then the files of the usual names.
pub(crate) fn declared(project: &Project) -> Result<Declared> {
    if let Some(docker) = project.0.get("docker_env") {
        let message = "`docker_env` brings an image of its own, which has no place for FuseML's trainer and predictor; \
                       describe the packages in a `conda_env` or `python_env` file instead";
        return Err(docker.place.unsupported("docker-env", message));
    }
    if let (Some(_), Some(second)) = (project.0.get("python_env"), project.0.get("conda_env")) {
        let message = "both `python_env` and `conda_env` are given; keep the one that is meant";
        return Err(second.place.invalid("two-environments", message));
    }
    let mut requirements = Requirements::default();
    let python = read(project, &mut requirements)?;
    let mut files = vec![PROJECT_FILE.to_owned()];
    files.append(&mut requirements.files);
    Ok(Declared { python: python.unwrap_or_else(version::default), requirements: requirements.list, files })
}

fn read(project: &Project, requirements: &mut Requirements) -> Result<Option<String>> {
    let forms: [(&str, &str, Reader); 2] =
        [("python_env", PYTHON_ENV, python_env::read), ("conda_env", CONDA_ENV, conda::read)];
    for (key, _, reader) in forms {
        if let Some(named) = project.0.get(key) {
            let (file, text) = read_named(named, named.text(&format!("`{key}`"))?)?;
            return reader(&file, &text, requirements);
        }
    }
    for (_, usual, reader) in forms {
        if let Some(text) = files::read_text_if_there(usual)? {
            return reader(usual, &text, requirements);
        }
    }
    if let Some(text) = files::read_text_if_there(REQUIREMENTS)? {
        requirements.add_file(REQUIREMENTS, &text)?;
    }
    Ok(None)
}

fn read_named(named: &Node, path: &str) -> Result<(String, String)> {
    let place = &named.place;
    let Some(file) = beside(PROJECT_FILE, path) else {
        let message = format!("`{path}` lies outside the codeset; name a file that is in it");
        return Err(place.invalid("path-outside", message));
    };
    match files::read_text_if_there(&file)? {
        Some(text) => Ok((file, text)),
        None => Err(place.invalid(
            "no-such-file",
            format!("it names `{file}`, which is not in the codeset; add the file or correct the name"),
        )),
    }
}

/// The environment in every form that an agent may want, and its digest.
pub(crate) fn describe(declared: &Declared) -> Environment {
    let own = OWN_REQUIREMENTS.iter().map(|own| (*own).to_owned());
    let mut requirements: Vec<String> = declared.requirements.iter().cloned().chain(own).collect();
    // Order carries no meaning for pip; sorted, a mere reordering stays the same environment.
    requirements.sort_by_cached_key(|requirement| (name_of(requirement), requirement.clone()));
    requirements.dedup();
    let dockerfile = dockerfile(&declared.python, &requirements);
    let digest = digest(&declared.python, &requirements, &dockerfile);
    Environment { name: NAME.to_owned(), dockerfile, python: Some(declared.python.clone()), requirements, digest }
}

fn dockerfile(python: &str, requirements: &[String]) -> String {
    let mut text = format!("# Made by FuseML's MLflow builder.\nFROM python:{python}-slim\n");
    // A list instead of a shell line: nothing in a requirement can be read as shell.
    text.push_str("RUN [\"pip\", \"install\", \"--no-cache-dir\"");
    for requirement in requirements {
        let _ = write!(text, ", \\\n    {}", serde_json::Value::from(requirement.as_str()));
    }
    text.push_str("]\nRUN useradd --create-home --uid 1000 fuseml\nUSER 1000\nWORKDIR /home/fuseml\n");
    text
}

/// Of everything that decides. The Dockerfile is in it, so that no change of this builder to what it makes can
/// forget to count.
fn digest(python: &str, requirements: &[String], dockerfile: &str) -> String {
    let canonical = format!("python {python}\n{}\n\n{dockerfile}", requirements.join("\n"));
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(canonical.as_bytes()) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
