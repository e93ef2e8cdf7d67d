//! Build steps: a builder plans, the agent makes the environment, the runnables are registered (S46–S53).

use crate::{
    Engine, Ports,
    driver::{Driver, Outcome, key_of},
    location,
};
use fuseml_domain::{
    Action, Address, Attributes, BuildPlan, Descriptor, Environment, Error, ErrorKind, Image, ImageBuild,
    InstanceChoice, Kind, Name, Origin, Reference, Result, Run, Runnable, Series, StepEvent, StepRun, Value, Workload,
    WorkloadInput, WorkloadKind, WorkloadOutput,
    port::{Build, CodesetToBuild, Participation, PreviousBuild, Role},
};
use jiff::Timestamp;
use std::{collections::BTreeMap, time::Duration};

/// Resolving and installing packages may take this long.
const ENVIRONMENT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

pub(crate) struct Planned {
    pub(crate) plan: BuildPlan,
    codeset: Descriptor,
    /// The image that the environment is, made for an earlier version of the codeset.
    image: Option<Image>,
}

impl Planned {
    /// What the step gives, where this is the image that they run in.
    fn runnables(&self, image: Option<&Image>) -> impl Iterator<Item = Runnable> {
        self.plan.runnables.iter().map(move |runnable| match image {
            Some(image) => Runnable { environment: None, image: Some(image.clone()), ..runnable.clone() },
            None => runnable.clone(),
        })
    }

    /// The same as far as it is known before.
    pub(crate) fn foreseen(&self) -> impl Iterator<Item = Runnable> {
        self.runnables(self.image.as_ref())
    }

    /// The series of the first runnable: a new image is pushed there, and each other takes it from there.
    fn series(&self, project: &Name) -> Result<Series> {
        let first =
            self.plan.runnables.first().ok_or_else(|| {
                Error::invalid("build-plan", "an environment that is an image has at least one runnable")
            })?;
        Ok(Series::new(project, Kind::Runnable, &first.name))
    }

    /// The image, if it is there still.
    async fn kept(&self, ports: &Ports, project: &Name) -> Result<Option<Image>> {
        let Some(image) = &self.image else { return Ok(None) };
        match ports.contents.keep_image(&self.series(project)?, image).await {
            Ok(image) => Ok(Some(image)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

pub(crate) async fn stage(driver: &Driver, run: &Run, step: &StepRun) -> Result<Outcome> {
    let planned = plan_of(driver, run, step).await?;
    let environment = environment(&planned.plan)?;
    let verb = if planned.plan.rebuild { "environment built" } else { "environment reused" };
    let note = format!("{verb}: {} ({})", planned.plan.reason, &environment.digest.hex()[..12]);
    Ok(StepEvent::Staged { workload: key_of(run, step), runnable: None, note: Some(note), reuse: None }.into())
}

/// Makes sure that the environment is on the agent: a moment's work when it already is, and nothing for an image that
/// the store has.
pub(crate) async fn submit(driver: &Driver, run: &Run, step: &StepRun) -> Result<Outcome> {
    let planned = plan_of(driver, run, step).await?;
    if planned.kept(&driver.ports, &run.project).await?.is_some() {
        let submitted = (StepEvent::Submitted, Timestamp::now());
        return Ok(Outcome { earlier: vec![submitted], ..StepEvent::Ended.into() });
    }
    let workload = workload(&driver.ports, run, step, &planned).await?;
    driver.ports.agent.submit(&workload).await?;
    Ok(StepEvent::Submitted.into())
}

async fn workload(ports: &Ports, run: &Run, step: &StepRun, planned: &Planned) -> Result<Workload> {
    let environment = environment(&planned.plan)?;
    let mut workload = Workload {
        agent: None,
        image: None,
        component: None,
        builds: None,
        key: key_of(run, step),
        kind: WorkloadKind::Environment,
        environment: Some(environment.clone()),
        command: Vec::new(),
        variables: Attributes::new(),
        files: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        readiness_path: None,
        timeout: Some(ENVIRONMENT_TIMEOUT),
        resources: Default::default(),
        labels: crate::work::labels(run, step),
    };
    if environment.is_image() {
        let text = |text: &str| text.to_owned();
        let repository = planned.series(&run.project)?.repository();
        workload.builds = Some(ImageBuild { repository, dockerfile: environment.dockerfile.clone() });
        let contents = location::locate(ports, &planned.codeset).await?;
        let (name, path) = (text(ImageBuild::CONTEXT), text(ImageBuild::CONTEXT));
        workload.inputs.push(WorkloadInput { name, path, is_file: false, contents });
        let (name, path) = (text(ImageBuild::IMAGE), text(ImageBuild::IMAGE));
        workload.outputs.push(WorkloadOutput { name, path, report: Some(text(ImageBuild::REPORT)) });
    }
    Ok(workload)
}

/// The image that the step made, or found; `None` for an environment that is none.
async fn image(ports: &Ports, run: &Run, step: &StepRun, planned: &Planned) -> Result<Option<Image>> {
    if !environment(&planned.plan)?.is_image() {
        return Ok(None);
    }
    if let Some(kept) = planned.kept(ports, &run.project).await? {
        return Ok(Some(kept));
    }
    let left = ports.agent.outputs(&workload(ports, run, step, planned).await?).await?;
    let location = left.into_iter().find_map(|output| output.report.location);
    let missing = || Error::internal("image", "nobody said where the image is that was built");
    location.ok_or_else(missing)?.parse().map(Some)
}

pub(crate) async fn collect(driver: &Driver, run: &Run, step: &StepRun) -> Result<Outcome> {
    let ports = &driver.ports;
    let planned = plan_of(driver, run, step).await?;
    let image = image(ports, run, step, &planned).await?;
    let mut artifacts = Vec::new();
    let mut outputs = BTreeMap::new();
    for mut runnable in planned.runnables(image.as_ref()) {
        if let Some(image) = &mut runnable.image {
            let series = Series::new(&run.project, Kind::Runnable, &runnable.name);
            *image = ports.contents.keep_image(&series, image).await?;
        }
        let (kind, origin) =
            (runnable.kind.clone(), Origin::Run { run: run.label(), step: step.name.clone(), project: None });
        let mut artifact = runnable.describe(&run.project, origin, Timestamp::now())?;
        artifact.attributes.insert("codeset".to_owned(), planned.codeset.name.to_string());
        outputs.insert(kind.clone(), Value::Artifact(artifact.address.clone()));
        artifacts.push((kind, artifact));
    }
    let part = |slot: &str, role, artifact: &Address| Participation {
        step: step.name.clone(),
        slot: slot.to_owned(),
        role,
        artifact: artifact.clone(),
    };
    let mut lineage = vec![part("codeset", Role::Used, &planned.codeset.address)];
    lineage.extend(artifacts.iter().map(|(kind, made)| part(kind, Role::Made, &made.address)));
    let artifacts: Vec<_> = artifacts.into_iter().map(|(_, made)| made).collect();
    let build = Build {
        codeset: planned.codeset.address.clone(),
        environment_digest: environment(&planned.plan)?.digest.clone(),
        image,
        runnables: artifacts.iter().map(|made| (made.name.to_string(), made.address.clone())).collect(),
    };
    Ok(Outcome::succeeded(outputs, None, move |change| {
        change.artifacts.clone_from(&artifacts);
        change.lineage.clone_from(&lineage);
        change.build = Some(build.clone());
    }))
}

async fn plan_of(driver: &Driver, run: &Run, step: &StepRun) -> Result<Planned> {
    let Some(Action::Build { instance, codeset }) = run.template.step(&step.name).map(|step| &step.action) else {
        return Err(Error::internal("step", format!("{} is no build step", step.name)));
    };
    plan(&driver.ports, run, instance, codeset).await
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
    let image = last.as_ref().and_then(|build| Some((build.environment_digest.clone(), build.image.clone()?)));
    let previous =
        last.map(|build| PreviousBuild { environment_digest: build.environment_digest, runnables: build.runnables });
    let mut plan = builder.plan(&question, previous.as_ref()).await?;
    for runnable in &mut plan.runnables {
        runnable.instance = Some(instance.clone());
        runnable.check()?;
    }
    let image = image.filter(|(of, _)| environment(&plan).is_ok_and(|now| now.digest == *of)).map(|(_, image)| image);
    Ok(Planned { plan, codeset, image })
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
        other => Err(Error::invalid("type", format!("{reference} is `{}`, not a registered codeset", other.shown()))),
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
