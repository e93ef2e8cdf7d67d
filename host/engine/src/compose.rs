//! What a template leaves to FuseML: connections by type when a pipeline is added, converters when a run is made.

use crate::{Engine, Ports};
use fuseml_domain::{
    CONVERTER, Candidates, Connected, Converter, Descriptor, Error, ErrorKind, Form, InstanceChoice, InstanceSelector,
    Name, Pipeline, Placed, Result, RunnableChoice, Template, port::Catalog,
};
use std::{borrow::Cow, collections::BTreeMap};

impl Engine {
    /// A template whose steps take what they need of each other, as the runnables of the project stand now.
    ///
    /// # Errors
    /// `invalid` where nothing fits or several things do.
    pub async fn connect(&self, project: &Name, template: &Template) -> Result<Connected> {
        let catalog = &*self.ports.catalog;
        let candidates = candidates(catalog, project, template).await?;
        template.connected(&candidates, &converters(catalog, project).await?)
    }
}

/// The pipeline with what its steps take whose runnable was not registered when it was added.
pub(crate) async fn completed<'a>(
    ports: &Ports,
    pipeline: &'a Pipeline,
    converters: &[Converter],
) -> Result<Cow<'a, Pipeline>> {
    if pipeline.open.is_empty() {
        return Ok(Cow::Borrowed(pipeline));
    }
    let candidates = candidates(&*ports.catalog, &pipeline.project, &pipeline.template).await?;
    let Connected { template, .. } = pipeline.template.connected(&candidates, converters)?;
    Ok(Cow::Owned(Pipeline { template, ..pipeline.clone() }))
}

/// The pipeline with those of the project's converters that make of these artifacts, and of what comes of them, what its
/// steps take.
pub(crate) async fn converted<'a>(
    ports: &Ports,
    pipeline: &'a Pipeline,
    artifacts: &BTreeMap<Name, Descriptor>,
    converters: &[Converter],
) -> Result<Cow<'a, Pipeline>> {
    let catalog = &*ports.catalog;
    if converters.is_empty() {
        return Ok(Cow::Borrowed(pipeline));
    }
    let candidates = candidates(catalog, &pipeline.project, &pipeline.template).await?;
    let form = |(name, artifact): (&Name, &Descriptor)| (name.clone(), Form::of(artifact));
    let forms = artifacts.iter().map(form).collect();
    let template = pipeline.template.converted(&candidates, &forms, converters)?;
    Ok(Cow::Owned(Pipeline { template, ..pipeline.clone() }))
}

/// The template of a run with its jobs where they go now.
pub(crate) async fn placed(ports: &Ports, project: &Name, mut template: Template) -> Result<Template> {
    // Many steps go to the same.
    let mut known = Vec::<(InstanceChoice, Placed)>::new();
    for step in &mut template.steps {
        let Some(choice @ InstanceChoice::Selector(_)) = &step.agent else { continue };
        let place = match known.iter().find(|(other, _)| other == choice) {
            Some((_, place)) => place.clone(),
            None => {
                let agent = agent(ports, project, choice).await;
                let agent = agent.map_err(|error| error.context(format!("step {}", step.name)))?;
                let place = agent.map_or(Placed::Here, Placed::Engine);
                known.push((choice.clone(), place.clone()));
                place
            }
        };
        step.placed = Some(place);
    }
    Ok(template)
}

/// The instance whose engine a choice means; `None` where that is this server.
pub(crate) async fn agent(ports: &Ports, project: &Name, choice: &InstanceChoice) -> Result<Option<Name>> {
    let selector = match choice {
        // Whether it is there is said by who goes there.
        InstanceChoice::Name(name) => return Ok(Some(name.clone())),
        InstanceChoice::Selector(selector) => selector,
    };
    let here = ports.agent.machine().and_then(|machine| machine.zone);
    let is_here = here.is_some_and(|zone| *selector == InstanceSelector::in_zone(zone));
    match (is_here, ports.extensions.choose_agent(project, choice).await) {
        (false, agent) => agent.map(Some),
        (true, Err(error)) if error.kind == ErrorKind::NotFound => Ok(None),
        (true, Err(error)) => Err(error),
        (true, Ok(agent)) => {
            let message = format!("{selector} is where this server is, and where {agent} is; name one of them");
            Err(Error::conflict("ambiguous-instance", message))
        }
    }
}

/// Everything registered in the project that may be put in.
pub(crate) async fn converters(catalog: &dyn Catalog, project: &Name) -> Result<Vec<Converter>> {
    let found = catalog.runnables(project, CONVERTER).await?;
    let converter = |found: &Descriptor| Converter::of(&found.address, found.runnable.as_deref()?);
    Ok(found.iter().filter_map(converter).collect())
}

/// What the steps may run, as far as that is registered.
async fn candidates(catalog: &dyn Catalog, project: &Name, template: &Template) -> Result<Candidates> {
    let mut found = Candidates::new();
    // Many steps run the same.
    let mut of_choice = Vec::<(&RunnableChoice, Vec<_>)>::new();
    for step in &template.steps {
        let Some(choice) = step.work().map(|work| &work.runnable) else { continue };
        let runnables = match of_choice.iter().find(|(known, _)| *known == choice) {
            Some((_, runnables)) => runnables.clone(),
            None => {
                let runnables = match choice {
                    RunnableChoice::Address(address) => match catalog.runnable(address).await {
                        Ok(runnable) => vec![runnable],
                        Err(error) if error.kind == ErrorKind::NotFound => Vec::new(),
                        Err(error) => return Err(error),
                    },
                    RunnableChoice::Kind(wanted) => {
                        let all = catalog.runnables(project, &wanted.kind).await?;
                        let wanted = all.into_iter().filter(|found| wanted.is_met_by(found));
                        wanted.filter_map(|it| it.runnable).map(|it| *it).collect()
                    }
                    // Its run makes that.
                    RunnableChoice::Reference(_) => continue,
                };
                of_choice.push((choice, runnables.clone()));
                runnables
            }
        };
        found.insert(step.name.clone(), runnables);
    }
    Ok(found)
}
