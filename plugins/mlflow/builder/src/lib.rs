//! The MLflow builder: an MLflow project in, a trainer and a predictor that share one environment out.
//!
//! Promises: a plan depends on nothing but the files that it names as deciding, the codeset's name and this
//! component; every refusal names the file, the line where there is one, and what to write instead. It reads
//! only `MLproject` and the environment files it refers to, and never runs anything.

mod conda;
mod environment;
mod project;
mod python_env;
mod rebuild;
mod requirements;
mod runnables;
#[cfg(test)]
mod tests;
mod version;
mod yaml;

use fuseml_extension::builder::{BuildPlan, Codeset, Match, Previous};
use fuseml_extension::{Builder, Result, export_builder, files};

/// The file that makes a codeset an MLflow project.
pub(crate) const PROJECT_FILE: &str = "MLproject";

/// Made anew for each call; keeps nothing.
#[derive(Debug)]
pub struct MlflowBuilder;

impl Builder for MlflowBuilder {
    fn new() -> Result<Self> {
        Ok(Self)
    }

    fn detect(&self) -> Result<Match> {
        if files::exists(PROJECT_FILE)? {
            return Ok(Match::certain(format!("`{PROJECT_FILE}` is at the top of the codeset")));
        }
        Ok(Match::no(format!("there is no `{PROJECT_FILE}` at the top of the codeset")))
    }

    fn plan(&self, codeset: Codeset, previous: Option<Previous>) -> Result<BuildPlan> {
        let project = project::read()?;
        let entry_point = project.main_entry_point()?;
        let declared = environment::declared(&project)?;
        let environment = environment::describe(&declared);
        let (rebuild, reason) =
            rebuild::decide(&codeset.changed_files, &declared.files, &environment.digest, previous.as_ref());
        let runnables = runnables::describe(&codeset.name, entry_point, &environment.name)?;
        Ok(BuildPlan { rebuild, reason, environments: vec![environment], runnables })
    }
}

export_builder!(MlflowBuilder);
