//! Build steps: a builder plans, the agent makes the environment, the runnables are registered (S46–S53).

use crate::{
    Engine, Ports,
    driver::{Driver, Outcome, key_of},
};
use fuseml_domain::{
    Action, Address, Attributes, BuildPlan, Descriptor, Environment, Error, InstanceChoice, Name, Origin, Reference,
    Result, Run, StepEvent, StepRun, Value, Workload, WorkloadKind,
    port::{Build, CodesetToBuild, Participation, PreviousBuild, Role},
};
use jiff::Timestamp;
use std::{collections::BTreeMap, time::Duration};

/// Resolving and installing packages may take this long.
const ENVIRONMENT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

pub(crate) struct Planned {
    pub(crate) plan: BuildPlan,
    codeset: Descriptor,
}

pub(crate) async fn stage(driver: &Driver, run: &Run, step: &StepRun) -> Result<Outcome> {
    let Planned { plan, .. } = plan_of(driver, run, step).await?;
    let environment = environment(&plan)?;
    let verb = if plan.rebuild { "environment built" } else { "environment reused" };
    let note = format!("{verb}: {} ({})", plan.reason, &environment.digest.hex()[..12]);
    Ok(StepEvent::Staged { workload: key_of(run, step), runnable: None, note: Some(note), reuse: None }.into())
}

/// Makes sure that the environment is on the agent: a moment's work when it already is.
pub(crate) async fn workload(driver: &Driver, run: &Run, step: &StepRun) -> Result<Workload> {
    let Planned { plan, .. } = plan_of(driver, run, step).await?;
    Ok(Workload {
        agent: None,
        image: None,
        component: None,
        key: key_of(run, step),
        kind: WorkloadKind::Environment,
        environment: Some(environment(&plan)?.clone()),
        command: Vec::new(),
        variables: Attributes::new(),
        files: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        readiness_path: None,
        timeout: Some(ENVIRONMENT_TIMEOUT),
        resources: Default::default(),
        labels: crate::work::labels(run, step),
    })
}

pub(crate) async fn collect(driver: &Driver, run: &Run, step: &StepRun) -> Result<Outcome> {
    let Planned { plan, codeset } = plan_of(driver, run, step).await?;
    let mut artifacts = Vec::new();
    let mut outputs = BTreeMap::new();
    for runnable in &plan.runnables {
        let origin = Origin::Run { run: run.label(), step: step.name.clone() };
        let mut artifact = runnable.clone().describe(&run.project, origin, Timestamp::now())?;
        artifact.attributes.insert("codeset".to_owned(), codeset.name.to_string());
        outputs.insert(runnable.kind.clone(), Value::Artifact(artifact.address.clone()));
        artifacts.push(artifact);
    }
    let part = |slot: &str, role, artifact: &Address| Participation {
        step: step.name.clone(),
        slot: slot.to_owned(),
        role,
        artifact: artifact.clone(),
    };
    let mut lineage = vec![part("codeset", Role::Used, &codeset.address)];
    lineage.extend(
        plan.runnables.iter().zip(&artifacts).map(|(runnable, made)| part(&runnable.kind, Role::Made, &made.address)),
    );
    let build = Build {
        codeset: codeset.address.clone(),
        environment_digest: environment(&plan)?.digest.clone(),
        runnables: artifacts.iter().map(|made| (made.name.to_string(), made.address.clone())).collect(),
    };
    Ok(Outcome {
        earlier: Vec::new(),
        event: StepEvent::Succeeded { outputs, note: None },
        extras: Some(Box::new(move |change| {
            change.artifacts.clone_from(&artifacts);
            change.lineage.clone_from(&lineage);
            change.build = Some(build.clone());
        })),
    })
}

async fn plan_of(driver: &Driver, run: &Run, step: &StepRun) -> Result<Planned> {
    let Some(Action::Build { instance, codeset }) = run.template.step(&step.name).map(|step| &step.action) else {
        return Err(Error::internal("step", format!("{} is no build step", step.name)));
    };
    plan(&driver.engine.ports, run, instance, codeset).await
}

/// Asks the builder.
pub(crate) async fn plan(ports: &Ports, run: &Run, instance: &InstanceChoice, codeset: &Reference) -> Result<Planned> {
    let codeset = codeset_of(ports, run, codeset).await?;
    let last = ports.catalog.last_build(&run.project, &codeset.name).await?;
    let question = question(ports, &codeset, last.as_ref()).await?;
    let instance = &ports.extensions.choose(&run.project, instance).await?;
    let builder = ports.extensions.builder(instance).await?;
    let (confidence, reason) = builder.detect(&question).await?;
    if confidence == 0 {
        return Err(Error::invalid(
            "not-for-builder",
            format!("{} is nothing that {instance} can build: {reason}", codeset.address.short()),
        ));
    }
    let previous =
        last.map(|build| PreviousBuild { environment_digest: build.environment_digest, runnables: build.runnables });
    let mut plan = builder.plan(&question, previous.as_ref()).await?;
    for runnable in &mut plan.runnables {
        runnable.instance = Some(instance.clone());
        runnable.check()?;
    }
    Ok(Planned { plan, codeset })
}

async fn question(ports: &Ports, codeset: &Descriptor, last: Option<&Build>) -> Result<CodesetToBuild> {
    let changed_files = match last {
        Some(build) => {
            let before = ports.catalog.artifact(&build.codeset).await?;
            ports.codesets.changed_files(&before, codeset).await?
        }
        None => Vec::new(),
    };
    Ok(CodesetToBuild {
        address: codeset.address.clone(),
        name: codeset.name.clone(),
        files: ports.codesets.files(codeset).await?,
        changed_files,
    })
}

impl Engine {
    /// How sure the builder that a template's choice means is that a codeset is for it, 0 to 100, and why.
    ///
    /// # Errors
    /// When there is no such builder, or it does not answer.
    pub async fn detect(
        &self,
        project: &Name,
        instance: &InstanceChoice,
        codeset: &Descriptor,
    ) -> Result<(u8, String)> {
        let extensions = &self.ports.extensions;
        let builder = extensions.builder(&extensions.choose(project, instance).await?).await?;
        builder.detect(&question(&self.ports, codeset, None).await?).await
    }
}

async fn codeset_of(ports: &Ports, run: &Run, reference: &Reference) -> Result<Descriptor> {
    match crate::work::resolve(run, reference)? {
        Value::Artifact(address) => ports.catalog.artifact(&address).await,
        Value::Text(text) => Err(Error::invalid("type", format!("{reference} is `{text}`, not a codeset"))),
    }
}

/// The process agent keeps one environment a build; a plan of several is refused rather than half built.
fn environment(plan: &BuildPlan) -> Result<&Environment> {
    match plan.environments.as_slice() {
        [one] => Ok(one),
        several => Err(Error::unsupported(
            "environments",
            format!("the builder planned {} environments; this server builds exactly one a codeset", several.len()),
        )),
    }
}
