//! A codeset with a `job.py` becomes a trainer that runs it, with what `requirements.txt` names.

#[cfg(test)]
mod tests;

use fuseml_extension::{Builder, Error, Result, builder::*, export_builder, files};
use sha2::{Digest as _, Sha256};

const JOB: &str = "job.py";
const REQUIREMENTS: &str = "requirements.txt";
const PYTHON: &str = "3.11";

/// Plans from the codeset's files alone.
#[derive(Debug)]
pub struct JobBuilder;

impl Builder for JobBuilder {
    fn new() -> Result<Self> {
        Ok(Self)
    }

    fn detect(&self) -> Result<Match> {
        let found = files::exists(JOB)?;
        Ok(if found { Match::certain(JOB) } else { Match::no(format!("there is no {JOB}")) })
    }

    fn plan(&self, codeset: Codeset, previous: Option<Previous>) -> Result<BuildPlan> {
        if !files::exists(JOB)? {
            return Err(Error::invalid("no-job", format!("the codeset `{}` has no {JOB}", codeset.name)));
        }
        let environment = environment(&codeset.name)?;
        let rebuild = previous.is_none_or(|previous| previous.environment_digest != environment.digest);
        let reason = if rebuild { "the environment is new or changed" } else { "the environment is the same" };
        Ok(BuildPlan {
            rebuild,
            reason: reason.to_owned(),
            runnables: vec![trainer(&environment.name)],
            environments: vec![environment],
        })
    }
}

fn environment(name: &str) -> Result<Environment> {
    let text = files::read_text_if_there(REQUIREMENTS)?.unwrap_or_default();
    let wanted = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let requirements: Vec<String> = wanted.map(str::to_owned).collect();
    let install = requirements.iter().map(|requirement| format!(" '{requirement}'")).collect::<String>();
    let install = if install.is_empty() { install } else { format!("RUN pip install{install}\n") };
    let dockerfile = format!("FROM python:{PYTHON}-slim\n{install}");
    let hash = Sha256::digest(dockerfile.as_bytes());
    let digest = format!("sha256:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    Ok(Environment { name: name.to_owned(), dockerfile, python: Some(PYTHON.to_owned()), requirements, digest })
}

fn trainer(environment: &str) -> Runnable {
    Runnable {
        name: "trainer".to_owned(),
        kind: "trainer".to_owned(),
        environment: environment.to_owned(),
        command: vec!["python".to_owned(), format!("codeset/{JOB}")],
        scripts: Vec::new(),
        variables: Vec::new(),
        inputs: vec![InputSlot {
            name: "codeset".to_owned(),
            description: Some("the code itself".to_owned()),
            kind: "codeset".to_owned(),
            requires: Vec::new(),
            optional: false,
            path: "codeset".to_owned(),
            change_filter: Vec::new(),
        }],
        outputs: vec![OutputSlot {
            name: "model".to_owned(),
            description: Some("what the job leaves in the folder model".to_owned()),
            kind: "model".to_owned(),
            provides: Vec::new(),
            path: "model".to_owned(),
            report: None,
        }],
        parameters: Vec::new(),
        service: None,
        resources: Vec::new(),
        labels: Vec::new(),
    }
}

export_builder!(JobBuilder);
