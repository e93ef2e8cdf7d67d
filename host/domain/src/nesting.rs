//! Templates as steps of others: coupled steps become a part that can be used again (S9).
//!
//! A part is taken apart when a pipeline is added: its steps take the place of the step that names it, called
//! `<step>-<its own name>`, so that all that holds for steps holds for them.

use crate::{
    Action, Awaited, Error, Interpolated, Name, Reference, Result, Runs, Step, Template, TemplateInput, Values, Wait,
    When, interpolated::Replacement as Given, runnable::list_or_none, scalar::Scalar, template::fits,
};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How deep parts may lie in parts.
const DEEPEST: usize = 16;
/// Parts of one template, with theirs.
const MOST_PARTS: usize = 1_000;
/// All parts of one template together, in bytes of their documents.
const LARGEST: usize = 16 << 20;

/// A part, and what it is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nested {
    /// The name of an installed template, or a file of one's own.
    pub template: String,
    pub inputs: IndexMap<String, Reference>,
    /// Values of its inputs by name, and parameters of its steps by `<step>.<name>`: literals or references.
    pub parameters: IndexMap<String, String>,
}

impl Given {
    fn of(text: &str) -> Result<Self> {
        Ok(text.parse::<Interpolated>()?.alone())
    }

    fn reference(self, of: &Reference) -> Result<Reference> {
        match self {
            Self::Reference(reference) => Ok(reference),
            Self::Literal(literal) => {
                let message = format!("{of} is the value `{literal}`, but a reference is needed there");
                Err(Error::invalid("reference", message))
            }
            Self::Text(text) => Err(beyond_a_reference(of, &text)),
        }
    }
}

/// What has a reference and more cannot stand where one value is asked for.
fn beyond_a_reference(of: &Reference, text: &Interpolated) -> Error {
    let message = format!("{of} is the text `{text}`, but a reference or a value alone is needed there");
    Error::invalid("reference", message)
}

/// The parts that are being taken apart, from the outermost, and how many were.
#[derive(Default)]
struct Opened<'a> {
    path: Vec<&'a str>,
    count: usize,
    /// In bytes of their documents.
    size: usize,
}

impl<'a> Opened<'a> {
    /// Refuses what would not end, or only after very long: parts without steps count as well.
    fn begin(&mut self, name: &'a str) -> Result<()> {
        if self.path.contains(&name) {
            let message = format!("the template {name} contains itself, by {}", self.path.join(", "));
            return Err(Error::invalid("cycle", message));
        }
        self.path.push(name);
        self.count += 1;
        if self.path.len() > DEEPEST || self.count > MOST_PARTS {
            let message = format!("a template has at most {MOST_PARTS} parts, and parts in parts {DEEPEST} deep");
            return Err(Error::invalid("parts", message));
        }
        Ok(())
    }
}

impl Template {
    /// The templates that its steps are.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Template(nested) => Some(nested.template.as_str()),
            _ => None,
        })
    }

    /// Refuses parts that are files: of an extension's template only installed ones can be found.
    ///
    /// # Errors
    /// `invalid` for a part whose name is no template's.
    pub fn check_installed(&self) -> Result<()> {
        match self
            .parts()
            .find(|part| part.parse::<Name>().is_err() || part.ends_with(".yaml") || part.ends_with(".yml"))
        {
            None => Ok(()),
            Some(part) => {
                let message = format!(
                    "its part {part} is a file; the part of an extension's template is a template of an extension, by name"
                );
                Err(Error::invalid("template", message))
            }
        }
    }

    /// The same with the steps of its parts in their place.
    ///
    /// # Errors
    /// `invalid` for a part that is not among these, contains itself, or is given what it does not take.
    pub fn flattened(&self, parts: &BTreeMap<String, Self>) -> Result<Self> {
        self.flattened_in(parts, &mut Opened::default())
    }

    fn flattened_in<'a>(&self, parts: &'a BTreeMap<String, Self>, opened: &mut Opened<'a>) -> Result<Self> {
        if self.parts().next().is_none() {
            return Ok(self.clone());
        }
        let mut flat = Self { steps: Vec::new(), ..self.clone() };
        let mut members = Members::default();
        for step in &self.steps {
            let Action::Template(nested) = &step.action else { continue };
            let here = |error: Error| error.context(format!("step {}", step.name));
            let (name, part) = parts.get_key_value(&nested.template).ok_or_else(|| {
                here(Error::not_found("unknown-template", format!("there is no template `{}`", nested.template)))
            })?;
            opened.begin(name).map_err(here)?;
            opened.size = opened.size.saturating_add(size_of(part));
            if opened.size > LARGEST {
                return Err(here(Error::invalid("parts", format!("with its parts it has more than {LARGEST} bytes"))));
            }
            let part = part.flattened_in(parts, opened).map_err(here)?;
            opened.path.pop();
            members.add(step, part).map_err(here)?;
        }
        for step in &self.steps {
            let here = |error: Error| error.context(format!("step {}", step.name));
            if let (Action::Template(nested), Some(part)) = (&step.action, members.0.get(&step.name)) {
                Place { template: self, step, nested, part }.check().map_err(here)?;
            }
            // What stands outside means steps and parts outside, whatever the steps of parts will be called.
            let mut step = step.clone();
            step.give(&|reference| members.outside(self, reference)).map_err(here)?;
            step.after = members.after(&step);
            match (&step.action, members.0.get(&step.name)) {
                (Action::Template(nested), Some(part)) => {
                    let place = Place { template: self, step: &step, nested, part };
                    flat.require(nested, part).map_err(here)?;
                    flat.steps.extend(place.steps().map_err(here)?);
                }
                _ => flat.steps.push(step.clone()),
            }
            // A part may be large, and made of parts: what is too much is refused before it is all there.
            flat.check_count()?;
        }
        for (name, output) in &mut flat.outputs {
            let given = members.outside(self, &output.from).and_then(|given| given.reference(&output.from));
            output.from = given.map_err(|error| error.context(format!("output {name}")))?;
        }
        flat.settle()
    }

    /// What a part requires of an artifact that is an input here is required of that input.
    fn require(&mut self, nested: &Nested, part: &Self) -> Result<()> {
        for (name, input) in &part.inputs {
            let Some(Reference::Input { name: outer }) = nested.inputs.get(&**name) else { continue };
            let Some(outer) = self.inputs.get_mut(outer) else { continue };
            for (attribute, value) in &input.requires {
                let before = outer.requires.insert(attribute.clone(), value.clone());
                if let Some(before) = before.filter(|before| before != value) {
                    let message = format!("{name} needs {attribute} {value}, but {before} is required of it already");
                    return Err(Error::invalid("type", message));
                }
            }
        }
        Ok(())
    }
}

/// How large a template is, in bytes of its document.
fn size_of(template: &Template) -> usize {
    serde_json::to_vec(template).map_or(usize::MAX, |document| document.len())
}

/// The parts of a template by the step that each is.
#[derive(Default)]
struct Members(BTreeMap<Name, Template>);

impl Members {
    fn add(&mut self, step: &Step, part: Template) -> Result<()> {
        // What is called after a step has to be a name.
        part.steps.iter().try_for_each(|inner| name_in(&step.name, &inner.name).map(drop))?;
        self.0.insert(step.name.clone(), part);
        Ok(())
    }

    /// What stands for a reference of the template itself: of a part's output, what gives it, in whichever part.
    fn outside(&self, template: &Template, reference: &Reference) -> Result<Given> {
        let Reference::Output { step, output } = reference else { return Ok(Given::Reference(reference.clone())) };
        let Some(part) = self.0.get(step) else { return Ok(Given::Reference(reference.clone())) };
        let from = part.outputs.iter().find(|(name, _)| ***name == **output).map(|(_, output)| &output.from);
        let from = from.ok_or_else(|| {
            let known: Vec<_> = part.outputs.keys().map(|name| &**name).collect();
            Error::invalid("reference", format!("{reference}: {step} gives {}", list_or_none(&known)))
        })?;
        let Some(step) = template.step(step) else { return Ok(Given::Reference(reference.clone())) };
        let Action::Template(nested) = &step.action else { return Ok(Given::Reference(reference.clone())) };
        match (Place { template, step, nested, part }).given(from)? {
            // An input that is passed through: no circle, for steps that wait for each other are none.
            Given::Reference(outer) if matches!(from, Reference::Input { .. }) => self.outside(template, &outer),
            given => Ok(given),
        }
    }

    /// The steps that a step of the template comes after. What is there for failures is nothing to wait for when all goes
    /// well: it is skipped then.
    fn after(&self, step: &Step) -> Vec<Name> {
        let mut all = Vec::new();
        for name in step.after.iter().collect::<BTreeSet<_>>() {
            let Some(part) = self.0.get(name) else {
                all.push(name.clone());
                continue;
            };
            let counts = |inner: &&Step| step.runs != Runs::OnSuccess || inner.runs != Runs::OnFailure;
            all.extend(part.steps.iter().filter(counts).filter_map(|inner| name_in(name, &inner.name).ok()));
        }
        all
    }
}

/// What a step of a part is called outside.
fn name_in(step: &Name, inner: &Name) -> Result<Name> {
    format!("{step}-{inner}").parse()
}

/// A part where it stands.
struct Place<'a> {
    template: &'a Template,
    step: &'a Step,
    nested: &'a Nested,
    part: &'a Template,
}

impl Place<'_> {
    /// Refuses what the part does not take, and artifacts of another kind than it takes.
    fn check(&self) -> Result<()> {
        let Nested { template, inputs, parameters } = self.nested;
        let known: Vec<_> = self.part.inputs.keys().map(|name| &**name).collect();
        let values = parameters.keys().filter(|name| !name.contains('.'));
        if let Some(unknown) = inputs.keys().chain(values).find(|name| !known.contains(&name.as_str())) {
            let message = format!("the template {template} has no input `{unknown}`; it has {}", list_or_none(&known));
            return Err(Error::invalid("unknown-input", message));
        }
        for (name, input) in &self.part.inputs {
            let TemplateInput { kind, default, .. } = input;
            match (inputs.get(&**name), parameters.get(&**name), kind) {
                (Some(reference), _, _) => fits(reference, self.template.kind_of(reference)?, *kind)?,
                (None, Some(_), Some(kind)) => {
                    let message = format!("the input `{name}` of {template} is a {kind}: say it in `inputs`");
                    return Err(Error::invalid("type", message));
                }
                (None, Some(text), None) => {
                    if let Given::Literal(text) = Given::of(text)? {
                        input.check(name, &text)?;
                    }
                }
                (None, None, _) if default.is_none() => {
                    let message = format!("the template {template} needs the input `{name}`");
                    return Err(Error::invalid("missing-input", message));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn name(&self, inner: &Name) -> Result<Name> {
        name_in(&self.step.name, inner)
    }

    /// What a reference in the part means outside of it.
    fn given(&self, reference: &Reference) -> Result<Given> {
        match reference {
            Reference::Output { step, output } => {
                Ok(Given::Reference(Reference::Output { step: self.name(step)?, output: output.clone() }))
            }
            Reference::Input { name } => {
                if let Some(given) = self.nested.inputs.get(&**name) {
                    return Ok(Given::Reference(given.clone()));
                }
                if let Some(text) = self.nested.parameters.get(&**name) {
                    return Given::of(text);
                }
                match self.part.inputs.get(name).and_then(|input| Some(input.default.as_ref()?.0.as_str())) {
                    Some(default) if Reference::is(default) => self.given(&default.parse()?),
                    Some(default) => Ok(Given::Literal(default.to_owned())),
                    None => Err(Error::invalid("missing-input", format!("nothing is given for {reference}"))),
                }
            }
            Reference::Attribute { input, attribute } => match self.nested.inputs.get(&**input) {
                Some(Reference::Input { name }) => {
                    Ok(Given::Reference(Reference::Attribute { input: name.clone(), attribute: attribute.clone() }))
                }
                _ => {
                    let message = format!("{reference}: only attributes of the template's own inputs can be taken");
                    Err(Error::invalid("reference", message))
                }
            },
        }
    }

    /// The part's steps as they stand in the place of the one that names it.
    fn steps(&self) -> Result<Vec<Step>> {
        let mut steps = Vec::with_capacity(self.part.steps.len());
        for inner in &self.part.steps {
            let mut step = inner.clone();
            let begins = inner.needs().is_empty();
            step.give(&|reference| self.given(reference)).map_err(|error| error.context(&inner.name))?;
            step.name = self.name(&inner.name)?;
            step.after = step.after.iter().map(|name| self.name(name)).collect::<Result<_>>()?;
            step.after.extend(self.step.after.iter().cloned());
            // What begins only after others is skipped with them, unless it runs however those went; but then it can ask
            // nothing of what a step made that may have failed.
            let is_asked = |when: &&When| {
                begins && inner.runs == Runs::OnSuccess
                    || inner.runs != Runs::OnSuccess && !matches!(when.reference(), Some(Reference::Output { .. }))
            };
            if let Some(when) = self.step.when.as_ref().filter(is_asked)
                && step.when.replace(when.clone()).is_some()
            {
                let message = format!("its step {} has a `when` of its own, and can have no other", inner.name);
                return Err(Error::invalid("when", message));
            }
            if matches!(step.action, Action::Run(_)) && step.agent.is_none() {
                step.agent.clone_from(&self.step.agent);
            }
            steps.push(step);
        }
        for (name, value) in &self.nested.parameters {
            let Some((inner, parameter)) = name.split_once('.') else { continue };
            let of = inner.parse().and_then(|inner| self.name(&inner)).ok();
            let work = steps.iter_mut().find(|step| Some(&step.name) == of.as_ref()).map(|step| &mut step.action);
            let Some(Action::Run(work) | Action::Serve(work)) = work else {
                let message = format!("the template {} has no step `{inner}` with parameters", self.nested.template);
                return Err(Error::invalid("unknown-step", message));
            };
            work.parameters.insert(parameter.to_owned(), value.clone());
        }
        Ok(steps)
    }
}

impl Step {
    /// Replaces every reference by what is given for it.
    ///
    /// # Errors
    /// Those of `given`, and `invalid` for a text where only a reference can stand.
    pub(crate) fn give(&mut self, given: &impl Fn(&Reference) -> Result<Given>) -> Result<()> {
        let replace = |reference: &mut Reference| -> Result<()> {
            *reference = given(reference)?.reference(reference)?;
            Ok(())
        };
        let replace_within = |text: &mut Interpolated| -> Result<()> {
            *text = text.replaced(given)?;
            Ok(())
        };
        let replace_text = |text: &mut String| -> Result<()> {
            *text = text.parse::<Interpolated>()?.replaced(given)?.to_string();
            Ok(())
        };
        match &mut self.when {
            Some(When::Artifact { artifact, .. }) => replace(artifact)?,
            Some(When::Value { value, one_of }) => match given(value)? {
                Given::Reference(reference) => *value = reference,
                Given::Literal(said) => {
                    self.when = Some(When::Said { said, value: value.clone(), one_of: std::mem::take(one_of) });
                }
                Given::Text(text) => return Err(beyond_a_reference(value, &text)),
            },
            Some(When::Said { .. }) | None => {}
        }
        for values in self.sweep.iter_mut().flat_map(|sweep| sweep.each.values_mut()) {
            let Values::Reference(reference) = values else { continue };
            *values = match given(reference)? {
                Given::Reference(reference) => Values::Reference(reference),
                Given::Literal(list) => {
                    Values::List(list.split(',').map(|value| Scalar(value.trim().to_owned())).collect())
                }
                Given::Text(text) => return Err(beyond_a_reference(reference, &text)),
            };
        }
        match &mut self.action {
            Action::Build { codeset, .. } => replace(codeset),
            Action::Run(work) | Action::Serve(work) => {
                if let crate::RunnableChoice::Reference(reference) = &mut work.runnable {
                    replace(reference)?;
                }
                work.inputs.values_mut().try_for_each(replace)?;
                work.parameters.values_mut().try_for_each(replace_text)
            }
            Action::Template(nested) => {
                nested.inputs.values_mut().try_for_each(replace)?;
                nested.parameters.values_mut().try_for_each(replace_text)
            }
            Action::Approve(approval) => replace_within(&mut approval.message),
            Action::Wait { wait: Wait::Event(wait), .. } => wait.fields.values_mut().try_for_each(replace_within),
            Action::Wait { wait: Wait::Artifact(wait), .. } => match &mut wait.artifact {
                Awaited::Reference(reference) => replace(reference),
                Awaited::Selector(_) => Ok(()),
            },
            Action::Call { call, .. } => {
                call.path.iter_mut().try_for_each(replace_within)?;
                call.body.iter_mut().try_for_each(|body| {
                    *body = body.replaced(given)?;
                    Ok(())
                })
            }
            Action::Notify(notify) => replace_within(&mut notify.message),
            Action::Keep { keep, .. } => {
                keep.artifact_mut().into_iter().try_for_each(replace)?;
                keep.texts_mut().try_for_each(replace_within)
            }
            Action::Choose(_) => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "nesting_tests.rs"]
mod tests;
