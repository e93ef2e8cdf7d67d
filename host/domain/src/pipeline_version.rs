//! Versions of a pipeline: what is changed of it takes the place of what it was, which is kept and can come back.

use crate::{
    Action, Attributes, Binding, Connected, Error, InstanceChoice, Name, Pipeline, Result, Selector, Starts, Step,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Who made a version of a pipeline, when, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    pub at: Timestamp,
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is to be changed of a pipeline; what is not said stays.
#[derive(Debug, Clone, Default)]
pub struct PipelineChange {
    /// The template that it moves to.
    pub template: Option<Connected>,
    /// Selectors and values by input.
    pub inputs: BTreeMap<String, String>,
    pub parameters: BTreeMap<Name, Attributes>,
    /// Parameters, by step, that are what the runnable says again.
    pub unset: BTreeMap<Name, BTreeSet<String>>,
    pub starts: Option<Starts>,
    /// For jobs that go nowhere yet.
    pub agent: Option<InstanceChoice>,
    /// By step; `None` for one that goes nowhere any more.
    pub agents: BTreeMap<Name, Option<InstanceChoice>>,
}

impl Pipeline {
    /// The next version of it. What it says of inputs, steps and jobs that a new template has as well stays with them.
    ///
    /// # Errors
    /// As [`Pipeline::new`], [`Pipeline::starting`] and [`Pipeline::at`] have them.
    pub fn changed_by(&self, change: PipelineChange, edited: Edited) -> Result<Self> {
        let connected = change.template.unwrap_or_else(|| Connected {
            template: self.template.clone(),
            provider: self.provider.clone(),
            connections: self.connections.clone(),
            open: self.open.clone(),
            makes: self.makes.clone(),
        });
        let template = &connected.template;
        let kept = self.inputs.iter().filter(|(name, _)| template.inputs.contains_key(*name));
        let mut inputs: BTreeMap<_, _> = kept.map(|(name, binding)| (name.to_string(), binding.to_string())).collect();
        inputs.extend(change.inputs);
        for (step, unset) in &change.unset {
            let given = self.parameters.get(step);
            if let Some(unknown) = unset.iter().find(|name| given.is_none_or(|given| !given.contains_key(*name))) {
                let message = format!("{} gives no parameter `{step}.{unknown}` that could be taken back", self.name);
                return Err(Error::invalid("unknown-parameter", message));
            }
        }
        let mut parameters = BTreeMap::new();
        for (name, given) in &self.parameters {
            let Some(step) = template.step(name) else { continue };
            let mut kept = given.clone();
            // What the new template sweeps is no single value.
            kept.retain(|name, _| step.sweep.as_ref().is_none_or(|sweep| !sweep.each.contains_key(name)));
            kept.retain(|parameter, _| change.unset.get(name).is_none_or(|unset| !unset.contains(parameter)));
            parameters.insert(name.clone(), kept);
        }
        parameters.retain(|_, kept| !kept.is_empty());
        for (step, given) in change.parameters {
            parameters.entry(step).or_default().extend(given);
        }
        let is_job = |step: &&Step| matches!(step.action, Action::Run(_));
        let mut agents = BTreeMap::new();
        for step in template.steps.iter().filter(is_job) {
            let before = self.template.step(&step.name).and_then(|step| step.agent.as_ref());
            agents.extend(before.filter(|_| step.agent.is_none()).map(|agent| (step.name.clone(), agent.clone())));
        }
        let mut connected = connected;
        let mut here = BTreeSet::new();
        for (step, agent) in change.agents {
            if connected.template.step(&step).is_none() {
                let message = format!("the template {} has no step `{step}`", connected.template.name);
                return Err(Error::invalid("agent", message));
            }
            match agent {
                Some(agent) => drop(agents.insert(step, agent)),
                None => {
                    agents.remove(&step);
                    let of_it = connected.template.steps.iter_mut().filter(|it| it.name == step);
                    of_it.for_each(|step| step.agent = None);
                    here.insert(step);
                }
            }
        }
        let mut starts = change.starts.unwrap_or_else(|| self.starts.clone());
        let has = |input: &Name| connected.template.inputs.contains_key(input);
        starts.watch.retain(|input, watched| has(input) || self.starts.watch.get(input) != Some(watched));
        if let Some(events) = &mut starts.events {
            let before = self.starts.events.as_ref().map(|events| &events.values);
            events
                .values
                .retain(|input, field| has(input) || before.and_then(|before| before.get(input)) != Some(field));
        }
        let (project, name) = (self.project.clone(), self.name.clone());
        let next = Self::new(project, name, connected, &inputs, parameters, self.created)?.starting(starts)?.at_but(
            change.agent.as_ref(),
            &agents,
            &here,
        )?;
        Ok(Self { version: self.version + 1, edited: Some(edited), freezes: self.freezes.clone(), ..next })
    }

    /// The next version of it, which is as an earlier one was.
    pub fn as_it_was(&self, before: &Self, edited: Edited) -> Self {
        Self {
            version: self.version + 1,
            edited: Some(edited),
            freezes: self.freezes.clone(),
            created: self.created,
            ..before.clone()
        }
    }

    /// Whether nothing is another than in an earlier version.
    pub fn is_as(&self, before: &Self) -> bool {
        fn said(of: &Pipeline) -> impl PartialEq {
            (&of.template, &of.provider, &of.inputs, &of.parameters, &of.starts)
        }
        said(self) == said(before)
    }

    /// What is not as it was in an earlier version, a line each.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let (old, new) = (&before.template, &self.template);
        if old.name != new.name {
            found.push(format!("the template was {}, is {}", old.name, new.name));
        }
        if before.provider != self.provider {
            let nobody = || "no extension that is known".to_owned();
            let shown = |of: &Self| of.provider.as_ref().map_or_else(nobody, ToString::to_string);
            found.push(format!("the template came from {}, comes from {}", shown(before), shown(self)));
        }
        let names: BTreeSet<_> = old.steps.iter().chain(&new.steps).map(|step| &step.name).collect();
        for name in names {
            match (old.step(name), new.step(name)) {
                (None, Some(_)) => found.push(format!("the step {name} is new")),
                (Some(_), None) => found.push(format!("the step {name} is gone")),
                (old, new) if old != new => found.push(format!("the step {name} is another")),
                _ => {}
            }
        }
        if (&old.inputs, &old.description) != (&new.inputs, &new.description) {
            found.push("what the template says of itself and its inputs is another".to_owned());
        }
        if old.outputs != new.outputs {
            found.push("what it gives is another".to_owned());
        }
        let mut note = |what: String, before: Option<String>, now: Option<String>| {
            if before != now {
                let shown = |value: Option<String>| value.unwrap_or_else(|| "not given".to_owned());
                found.push(format!("{what} was {}, is {}", shown(before), shown(now)));
            }
        };
        for input in before.inputs.keys().chain(self.inputs.keys()).collect::<BTreeSet<_>>() {
            let text = |of: &Self| of.inputs.get(input).map(ToString::to_string);
            note(format!("the input `{input}`"), text(before), text(self));
        }
        let given = |of: &Self| -> BTreeMap<String, String> {
            let of_step = |(step, all): (&Name, &Attributes)| {
                let name = |(name, value): (&String, &String)| (format!("{step}.{name}"), value.clone());
                all.iter().map(name).collect::<Vec<_>>()
            };
            of.parameters.iter().flat_map(of_step).collect()
        };
        let (old, new) = (given(before), given(self));
        for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            note(format!("the parameter `{name}`"), old.get(name).cloned(), new.get(name).cloned());
        }
        if before.starts != self.starts {
            found.push("when it starts is another".to_owned());
        }
        found
    }
}

impl std::fmt::Display for Binding {
    /// As a person writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Selector(selector) => <Selector as std::fmt::Display>::fmt(selector, f),
            Self::Value(value) => f.write_str(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Template;

    fn template(steps: &str) -> Template {
        let text = format!(
            "{{schema_version: 1, name: t, description: d, inputs: {{code: {{kind: codeset}}, depth: {{type: integer, default: '1'}}}}, steps: {{{steps}}}}}"
        );
        Template::parse(&text, "t").expect("template")
    }

    const TRAIN: &str = "train: {run: {kind: trainer}, inputs: {code: '${inputs.code}'}}";

    fn pipeline() -> Pipeline {
        let inputs = [("code".to_owned(), "code://p/app".to_owned())].into();
        let parameters = [("train".parse().expect("name"), Attributes::from([("alpha".to_owned(), "0.5".to_owned())]))];
        let (project, name) = ("p".parse().expect("name"), "train".parse().expect("name"));
        let steps = format!("{TRAIN}, report: {{run: {{kind: reporter}}, after: [train]}}");
        Pipeline::new(project, name, template(&steps), &inputs, parameters.into(), Timestamp::UNIX_EPOCH)
            .expect("pipeline")
            .at(Some(&"ray-jobs".parse().expect("name")), &BTreeMap::new())
            .expect("agents")
    }

    fn edited() -> Edited {
        Edited { at: Timestamp::UNIX_EPOCH, by: "ada".to_owned(), reason: None }
    }

    #[test]
    fn what_is_not_said_stays_with_what_the_new_template_has_as_well() {
        let before = pipeline();
        let moved = PipelineChange {
            template: Some(template(&format!("{TRAIN}, audit: {{run: {{kind: auditor}}, after: [train]}}")).into()),
            inputs: [("depth".to_owned(), "3".to_owned())].into(),
            ..PipelineChange::default()
        };

        let after = before.changed_by(moved, edited()).expect("next");

        let train = after.template.step(&"train".parse().expect("name")).expect("train");
        assert_eq!(
            train.agent,
            Some("ray-jobs".parse().expect("agent")),
            "a job does not come back to the server unseen"
        );
        let expected = ["the step audit is new", "the step report is gone", "the input `depth` was not given, is 3"];
        assert_eq!((after.version, after.differences(&before)), (2, expected.map(ToOwned::to_owned).to_vec()));
        assert_eq!(after.parameters, before.parameters);

        let back = after.as_it_was(&before, edited());
        assert_eq!((back.version, back.differences(&before)), (3, Vec::new()));
    }

    #[test]
    fn what_was_said_can_be_taken_back_and_goes_with_what_it_was_said_of() {
        let name = |text: &str| text.parse::<Name>().expect(text);
        let watch = [(name("code"), vec!["*.py".to_owned()])].into();
        let before = pipeline().starting(Starts { watch, ..Starts::default() }).expect("starts");
        let back = PipelineChange {
            unset: [(name("train"), ["alpha".to_owned()].into())].into(),
            agents: [(name("train"), None)].into(),
            agent: Some("other".parse().expect("agent")),
            ..PipelineChange::default()
        };
        let after = before.changed_by(back, edited()).expect("next");
        assert!(after.parameters.is_empty());
        let agent =
            |step: &str| after.template.step(&name(step)).and_then(|step| step.agent.as_ref()).map(ToString::to_string);
        assert_eq!((agent("train"), agent("report").as_deref()), (None, Some("ray-jobs")));

        let text = "{schema_version: 1, name: t, description: d, inputs: {src: {kind: codeset}}, steps: {train: \
            {run: {kind: trainer}, inputs: {code: '${inputs.src}'}, each: {alpha: [0.1, 0.2]}}}}";
        let swept = PipelineChange {
            template: Some(Template::parse(text, "t").expect("template").into()),
            inputs: [("src".to_owned(), "code://*".to_owned())].into(),
            // With the watches as they were, as who only names a schedule sends them.
            starts: Some(Starts { schedule: Some("0 3 * * *".parse().expect("schedule")), ..before.starts.clone() }),
            ..PipelineChange::default()
        };
        let after = before.changed_by(swept, edited()).expect("next");
        assert!(after.parameters.is_empty() && after.starts.watch.is_empty() && after.starts.schedule.is_some());
    }

    #[test]
    fn a_change_that_cannot_be_leaves_the_reason() {
        let wrong = |inputs: &[(&str, &str)]| PipelineChange {
            inputs: inputs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
            ..PipelineChange::default()
        };
        for (change, said) in [
            (wrong(&[("code", "model://*")]), "takes a codeset"),
            (wrong(&[("depth", "deep")]), "deep"),
            (wrong(&[("breadth", "1")]), "has no input `breadth`"),
        ] {
            let error = pipeline().changed_by(change, edited()).expect_err(said);
            assert!(error.message.contains(said), "{error}");
        }
    }
}
