//! What a pipeline would do, asked before it does it: nothing is saved, submitted or registered.

use crate::{
    Engine, Ports, build, condition,
    foresight::{Foreseen, ForeseenCodesets},
    keeping,
    layer::Layered,
    prepare,
    reuse::{self, Look},
    trigger::{self, Starter},
    waiting, work,
};
use fuseml_domain::{
    Action, Choice, Concurrency, Descriptor, ErrorKind, Interpolated, Name, Origin, Pipeline, Plan, PlannedStep,
    Prospect, PushPlan, Result, Reuse, ReuseVerdict, Run, RunState, Runs, Step, StepRun, StepState, Unstarted, Value,
    followers, port::Codesets,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc};

/// Earlier results of a step from which its time is guessed.
const HISTORY: u32 = 9;

impl Engine {
    /// What a run with these artifacts would do.
    ///
    /// # Errors
    /// When no run could begin: an input for which there is nothing, a parameter of the wrong type.
    pub async fn plan(
        &self,
        pipeline: &Pipeline,
        given: BTreeMap<Name, Descriptor>,
        reuse: Option<Reuse>,
    ) -> Result<Plan> {
        let artifacts = trigger::bind_inputs(&*self.ports.catalog, pipeline, given).await?;
        let mut run = trigger::manual(&self.ports, pipeline, &artifacts, "planned".to_owned()).await?;
        run.reuse = reuse;
        foresee_run(&self.ports, pipeline, &artifacts, run).await
    }

    /// What pushing this codeset would start, and what each of these runs would do; `unpushed` has its files.
    ///
    /// # Errors
    /// When the catalog cannot be asked. What keeps a pipeline from starting stands in the plan.
    pub async fn plan_push(&self, codeset: Descriptor, unpushed: Arc<dyn Codesets>) -> Result<PushPlan> {
        let address = codeset.address.clone();
        let codesets = self.ports.codesets.clone();
        let ports = Ports {
            codesets: Arc::new(ForeseenCodesets { codesets, unpushed, codeset: address.clone() }),
            catalog: Arc::new(Layered { catalog: self.ports.catalog.clone(), layer: Foreseen(codeset.clone()) }),
            ..self.ports.clone()
        };
        let mut foreseen = PushPlan { codeset: address, plans: Vec::new(), unstarted: Vec::new() };
        let starter = Starter::of(&ports, &codeset, None, None);
        for pipeline in ports.catalog.pipelines(codeset.project()).await? {
            let Some(input) = pipeline.started_by(&codeset) else { continue };
            if let Some(reason) = skipped(&ports, &pipeline).await? {
                foreseen.unstarted.push(Unstarted { pipeline: pipeline.name.clone(), reason });
                continue;
            }
            let plan = match starter.begin(&pipeline, input).await? {
                Ok((run, artifacts)) => foresee_run(&ports, &pipeline, &artifacts, run).await?,
                Err(reason) => {
                    foreseen.unstarted.push(Unstarted { pipeline: pipeline.name.clone(), reason });
                    continue;
                }
            };
            foreseen.plans.push(plan);
        }
        Ok(foreseen)
    }
}

/// Why a pipeline starts nothing while an earlier run of it is open.
async fn skipped(ports: &Ports, pipeline: &Pipeline) -> Result<Option<String>> {
    if pipeline.starts.concurrency != Concurrency::Skip {
        return Ok(None);
    }
    let open = ports.catalog.first_open_run(&pipeline.project, &pipeline.name).await?;
    Ok(open.map(|run| format!("{} is {} still", run.label(), run.state)))
}

async fn foresee_run(
    ports: &Ports,
    pipeline: &Pipeline,
    artifacts: &BTreeMap<Name, Descriptor>,
    mut run: Run,
) -> Result<Plan> {
    let mut steps = Vec::new();
    for step in run.template.steps.clone() {
        let (prospect, mut why) = match foresee(ports, &mut run, &step).await {
            Ok(found) => found,
            Err(error) => (Prospect::Fails, vec![error.message]),
        };
        if let Some((window, opens)) = step.window.as_ref().and_then(|it| Some((it, it.next(Timestamp::now())?)))
            && !matches!(prospect, Prospect::Reused | Prospect::Skipped | Prospect::Fails)
        {
            why.push(format!("not before {}", window.opens.shown(opens)));
        }
        let results = ports.catalog.results(&run.project, &run.pipeline, &step.name, HISTORY).await?;
        let mut times: Vec<_> = results.iter().map(|result| result.seconds).collect();
        times.sort_by(f64::total_cmp);
        let seconds = times.get(times.len() / 2).copied().filter(|_| prospect == Prospect::Runs);
        steps.push(PlannedStep { name: step.name, prospect, why, seconds });
    }
    let is_new = |name: &Name| {
        let prospect = steps.iter().find(|step| step.name == *name).map(|step| step.prospect);
        matches!(prospect, Some(Prospect::Runs | Prospect::Chooses | Prospect::Keeps | Prospect::Depends))
    };
    let then = followers(&ports.catalog.pipelines(&run.project).await?, pipeline, artifacts, is_new);
    let frozen = pipeline.frozen().next().map(|freeze| freeze.reason.clone());
    Ok(Plan { pipeline: pipeline.name.clone(), frozen, inputs: run.inputs, steps, then })
}

/// What would become of a step, given those before it; what it would make for certain is noted in the run.
async fn foresee(ports: &Ports, run: &mut Run, step: &Step) -> Result<(Prospect, Vec<String>)> {
    let needs = step.needs();
    let named = |names: Vec<&StepRun>| names.iter().map(|step| step.name.to_string()).collect::<Vec<_>>().join(", ");
    let with = |is: fn(StepState) -> bool| {
        named(run.steps.iter().filter(|it| needs.contains(&it.name) && is(it.state)).collect())
    };
    let skipped = with(|state| state == StepState::Skipped);
    // What needs nothing itself is ready rather than waiting.
    let unknown = with(|state| matches!(state, StepState::Waiting | StepState::Ready));
    match step.runs {
        Runs::OnFailure => return Ok((Prospect::Depends, vec!["runs only if a step before it fails".to_owned()])),
        Runs::OnSuccess if !skipped.is_empty() => {
            set(run, &step.name, StepState::Skipped, BTreeMap::new());
            return Ok((Prospect::Skipped, vec![format!("{skipped} would be skipped")]));
        }
        _ => {}
    }
    if let (Action::Choose(Choice { best: Some(best), .. }), false) = (&step.action, unknown.is_empty()) {
        return Ok((Prospect::Chooses, vec![format!("what has {best} once {unknown} ended")]));
    }
    // Only jobs and builds know more than that something before them runs.
    let given: Vec<_> = step.references().into_iter().filter(|it| work::resolve(run, it).is_err()).collect();
    if let Some(reference) = given.first() {
        let is_condition = step.when.as_ref().is_some_and(|when| when.reference() == Some(reference));
        let prospect = match step.action {
            _ if is_condition => Prospect::Depends,
            Action::Approve(_) => Prospect::Asks,
            Action::Wait { .. } => Prospect::Waits,
            Action::Call { .. } | Action::Notify(_) => Prospect::Calls,
            Action::Keep { .. } => Prospect::Keeps,
            _ => Prospect::Runs,
        };
        return Ok((prospect, vec![format!("{reference} would be made anew")]));
    }
    if let Some(when) = &step.when
        && let Some(reason) = condition::unmet(&*ports.catalog, run, when).await?
    {
        set(run, &step.name, StepState::Skipped, BTreeMap::new());
        return Ok((Prospect::Skipped, vec![reason]));
    }
    match &step.action {
        Action::Build { instance, codeset } => built(ports, run, step, instance, codeset).await,
        Action::Approve(approval) => {
            let by = if approval.by.is_empty() { "anybody".to_owned() } else { approval.by.join(", ") };
            let message = approval.message.filled(|reference| work::shown(run, reference))?;
            Ok((Prospect::Asks, vec![format!("{message} (asks {by})")]))
        }
        Action::Wait { wait, .. } => {
            let standing = current(run, &step.name)?;
            match waiting::look(ports, run, &standing, wait, &mut 0).await? {
                Some(met) => {
                    set(run, &step.name, StepState::Succeeded, met.outputs);
                    Ok((Prospect::Waits, vec![format!("and go on at once: {}", met.note)]))
                }
                None => Ok((Prospect::Waits, vec![format!("for {}", waiting::shown(run, wait))])),
            }
        }
        Action::Call { call, .. } => {
            let path = call.path.as_ref().map(|path| path.filled(|it| work::said(run, it))).transpose()?;
            let path = path.map(|path| format!(", {path}")).unwrap_or_default();
            Ok((Prospect::Calls, vec![format!("{} {}{path}", call.method, call.endpoint)]))
        }
        Action::Notify(notify) => {
            let message = notify.message.filled(|reference| work::shown(run, reference))?;
            Ok((Prospect::Calls, vec![format!("tells {}: {message}", notify.endpoint)]))
        }
        Action::Keep { keep, .. } => {
            let said =
                |text: &Interpolated| text.filled(|it| work::shown(run, it)).unwrap_or_else(|_| text.to_string());
            let why = keep.shown(said);
            let outputs = keeping::foreseen(ports, run, keep).await?;
            if !outputs.is_empty() {
                set(run, &step.name, StepState::Succeeded, outputs);
            }
            Ok((Prospect::Keeps, vec![why]))
        }
        Action::Choose(choice) => {
            let chosen = crate::choice::choose(ports, run, choice).await?;
            set(run, &step.name, StepState::Succeeded, chosen.outputs);
            Ok((Prospect::Chooses, vec![chosen.why]))
        }
        Action::Template(nested) => {
            let message = format!("the template {} was not taken apart", nested.template);
            Err(fuseml_domain::Error::internal("template", message))
        }
        Action::Serve(_) => {
            prepare::prepare(ports, run, &current(run, &step.name)?).await?;
            Ok((Prospect::Runs, vec!["a service is started, and replaces the one before once it is ready".to_owned()]))
        }
        Action::Run(_) => {
            let found = job(ports, run, step).await?;
            match unknown.is_empty() || found.0 != Prospect::Reused {
                true => Ok(found),
                false => Ok((Prospect::Reused, [found.1, vec![format!("once {unknown} ended")]].concat())),
            }
        }
    }
}

async fn job(ports: &Ports, run: &mut Run, step: &Step) -> Result<(Prospect, Vec<String>)> {
    let standing = current(run, &step.name)?;
    let chosen = match prepare::prepare(ports, run, &standing).await {
        // A build that was foreseen names runnables that are not registered yet.
        Err(error) if error.kind == ErrorKind::NotFound && builds(run, step) => {
            return Ok((Prospect::Runs, vec!["its runnable would be new".to_owned()]));
        }
        chosen => chosen?,
    };
    let identity = reuse::identity(ports, &chosen).await?;
    match reuse::look(ports, run, &standing, &chosen, identity.as_ref()).await? {
        Look::Found(result) => {
            let why = ReuseVerdict::Hit { run: result.run, step: result.step }.to_string();
            set(run, &step.name, StepState::Succeeded, result.outputs);
            Ok((Prospect::Reused, vec![why]))
        }
        Look::Nothing(ReuseVerdict::Miss { reasons }) => Ok((Prospect::Runs, reasons)),
        Look::Nothing(verdict) => Ok((Prospect::Runs, vec![verdict.to_string()])),
    }
}

/// Whether the step runs what a build step of the same run makes.
fn builds(run: &Run, step: &Step) -> bool {
    let is_build =
        |name: &Name| run.template.step(name).is_some_and(|step| matches!(step.action, Action::Build { .. }));
    step.needs().iter().any(is_build)
}

async fn built(
    ports: &Ports,
    run: &mut Run,
    step: &Step,
    instance: &fuseml_domain::InstanceChoice,
    codeset: &fuseml_domain::Reference,
) -> Result<(Prospect, Vec<String>)> {
    let planned = build::plan(ports, run, instance, codeset).await?;
    let mut outputs = BTreeMap::new();
    for runnable in planned.foreseen() {
        let origin = Origin::Run { run: run.label(), step: step.name.clone(), project: None };
        let kind = runnable.kind.clone();
        let artifact = runnable.describe(&run.project, origin, Timestamp::now())?;
        outputs.insert(kind, Value::Artifact(artifact.address));
    }
    set(run, &step.name, StepState::Succeeded, outputs);
    Ok(match planned.plan.rebuild {
        true => (Prospect::Runs, vec![format!("the environment is built: {}", planned.plan.reason)]),
        false => (Prospect::Reused, vec![format!("the environment is there: {}", planned.plan.reason)]),
    })
}

fn current(run: &Run, name: &Name) -> Result<StepRun> {
    run.step(name)
        .cloned()
        .ok_or_else(|| fuseml_domain::Error::internal("unknown-step", format!("the template lost its step {name}")))
}

fn set(run: &mut Run, name: &Name, state: StepState, outputs: BTreeMap<String, Value>) {
    debug_assert_eq!(run.state, RunState::Running);
    if let Some(step) = run.steps.filter_mut(|step| step.name == *name).next() {
        step.state = state;
        step.outputs = outputs;
    }
}
