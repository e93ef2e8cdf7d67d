//! `python_env.yaml`: MLflow's own form of an environment.

use crate::requirements::Requirements;
use crate::version;
use crate::yaml;
use fuseml_extension::Result;

/// The Python version, if it names one, and what it wants installed.
pub(crate) fn read(file: &str, text: &str, requirements: &mut Requirements) -> Result<Option<String>> {
    let env = yaml::parse(file, text)?;
    requirements.files.push(file.to_owned());
    requirements.add_list(env.list("build_dependencies")?)?;
    requirements.add_list(env.list("dependencies")?)?;
    env.get("python").map(|python| version::choose(python.text("`python`")?, &python.place)).transpose()
}
