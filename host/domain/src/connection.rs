//! Inputs that a template leaves out, connected by type where one thing fits (S9, S26).

use crate::{
    Action, Attributes, Converter, Error, Fit, Form, InputSlot, Keep, KeepSource, Kind, Name, Provider, Reference,
    Result, Runnable, Runs, Step, Template, chain, form::Demand, runnable::list_or_none,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An input of a step that nobody wrote down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    pub step: Name,
    pub input: String,
    pub from: Reference,
}

/// Which runnables a step may run, newest first; none where that is not known before it does.
pub type Candidates = BTreeMap<Name, Vec<Runnable>>;

/// A template whose steps take what they need.
#[derive(Debug, Clone)]
pub struct Connected {
    pub template: Template,
    /// Whose template it is, if it is an installed one.
    pub provider: Option<Provider>,
    pub connections: Vec<Connection>,
    /// Steps whose runnable is not registered yet: what they leave out is found when a run is made.
    pub open: Vec<Name>,
    /// What the steps make, as far as that is known.
    pub makes: Vec<Made>,
}

/// An output of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub step: Name,
    pub output: String,
    pub kind: Kind,
}

impl From<Template> for Connected {
    /// One that leaves nothing out.
    fn from(template: Template) -> Self {
        Self { template, provider: None, connections: Vec::new(), open: Vec::new(), makes: Vec::new() }
    }
}

impl Template {
    /// Fills the inputs that steps leave out, each from an input of the template or an output of a step above, and
    /// refuses connections that are known not to fit and cannot be converted.
    ///
    /// # Errors
    /// `invalid` with the candidates where nothing fits or several do.
    pub fn connected(&self, candidates: &Candidates, converters: &[Converter]) -> Result<Connected> {
        // Of several runnables another may run than the one that is connected here: it is no ground to refuse anything.
        let (mut known, mut certain) = (BTreeMap::new(), BTreeMap::new());
        let mut connected = Connected::from(self.clone());
        for index in 0..self.steps.len() {
            let step = &self.steps[index];
            let Some(candidates) = candidates.get(&step.name) else { continue };
            if candidates.is_empty() {
                connected.open.push(step.name.clone());
            }
            let mut refusal = None;
            for runnable in candidates {
                match connected.template.fill(step, runnable, (&known, &certain), converters) {
                    Ok(found) => {
                        connected.add(index, found);
                        let made = runnable.outputs.iter().map(|(output, slot)| Made {
                            step: step.name.clone(),
                            output: output.clone(),
                            kind: slot.kind,
                        });
                        connected.makes.extend(made);
                        known.insert(step.name.clone(), runnable.clone());
                        if candidates.len() == 1 {
                            certain.insert(step.name.clone(), runnable.clone());
                        }
                        refusal = None;
                        break;
                    }
                    Err(error) => drop(refusal.get_or_insert(error)),
                }
            }
            if let Some(error) = refusal {
                return Err(error.context(format!("step {}", step.name)));
            }
        }
        Ok(connected)
    }

    /// What a step has to take so that it can run this.
    fn fill(
        &self,
        step: &Step,
        runnable: &Runnable,
        (known, certain): (&BTreeMap<Name, Runnable>, &BTreeMap<Name, Runnable>),
        converters: &[Converter],
    ) -> Result<Vec<(String, Reference)>> {
        let Some(work) = step.work() else { return Ok(Vec::new()) };
        if let Some(unknown) = work.inputs.keys().find(|name| !runnable.inputs.contains_key(*name)) {
            let names: Vec<_> = runnable.inputs.keys().map(String::as_str).collect();
            let message = format!("`{}` has no input `{unknown}`; it has {}", runnable.name, list_or_none(&names));
            return Err(Error::invalid("unknown-input", message));
        }
        let mut found = Vec::new();
        for (name, slot) in &runnable.inputs {
            match work.inputs.get(name) {
                Some(reference) => self.check_connection(runnable, (name, slot), reference, certain, converters)?,
                None if slot.optional => {}
                None => found.push((name.clone(), self.find(step, runnable, (name, slot), known, converters)?)),
            }
        }
        Ok(found)
    }

    /// Refuses a written connection of which it is known that it cannot work.
    fn check_connection(
        &self,
        runnable: &Runnable,
        (name, slot): (&String, &InputSlot),
        reference: &Reference,
        known: &BTreeMap<Name, Runnable>,
        converters: &[Converter],
    ) -> Result<()> {
        if let Reference::Output { step, output } = reference
            && let Some(giver) = known.get(step)
            && !giver.outputs.contains_key(output)
        {
            let names: Vec<_> = giver.outputs.keys().map(String::as_str).collect();
            let message =
                format!("{reference}: `{}` gives no `{output}`; it gives {}", giver.name, list_or_none(&names));
            return Err(Error::invalid("reference", message));
        }
        let Some(form) = self.form_of(reference, known, &BTreeMap::new()) else { return Ok(()) };
        match form.fit(slot) == Fit::No && chain(&form, slot, converters).is_none() {
            true => {
                let (needs, runnable) = (Demand(slot), &runnable.name);
                let message = format!("the input `{name}` of `{runnable}` takes {needs}, and {reference} is {form}");
                Err(Error::invalid("type", message))
            }
            false => Ok(()),
        }
    }

    /// The one source of an input: what fits surely counts more than what may fit, and that more than what can be converted.
    fn find(
        &self,
        step: &Step,
        runnable: &Runnable,
        (name, slot): (&String, &InputSlot),
        known: &BTreeMap<Name, Runnable>,
        converters: &[Converter],
    ) -> Result<Reference> {
        let sources = self.sources(step, known);
        let of = |fit: Fit| sources.iter().filter(move |(_, form)| form.fit(slot) == fit);
        let convertible = || of(Fit::No).filter(|(_, form)| chain(form, slot, converters).is_some());
        let mut fitting: Vec<_> = of(Fit::Surely).collect();
        if fitting.is_empty() {
            fitting = of(Fit::Maybe).collect();
        }
        if fitting.is_empty() {
            fitting = convertible().collect();
        }
        let needs = format!("`{}` needs the input `{name}`, {}", runnable.name, Demand(slot));
        let shown = |sources: &mut dyn Iterator<Item = &(Reference, Form)>| {
            let all: Vec<_> = sources.map(|(reference, form)| format!("{reference} ({form})")).collect();
            list_or_none(&all.iter().map(String::as_str).collect::<Vec<_>>())
        };
        match fitting.as_slice() {
            [(reference, _)] => Ok(reference.clone()),
            [] => {
                // What is of another kind is farther away, and named only where there is nothing nearer.
                let same_kind: Vec<_> = sources.iter().filter(|(_, form)| form.kind == slot.kind).collect();
                let nearest = if same_kind.is_empty() { sources.iter().collect() } else { same_kind };
                let message =
                    format!("{needs}; nothing above gives that: there is {}", shown(&mut nearest.into_iter()));
                Err(Error::invalid("unconnected", message))
            }
            several => {
                let message =
                    format!("{needs}; it could be {}: say which under `inputs`", shown(&mut several.iter().copied()));
                Err(Error::invalid("ambiguous", message))
            }
        }
    }

    /// What a step could take: the template's artifacts, and what steps above it make.
    fn sources(&self, step: &Step, known: &BTreeMap<Name, Runnable>) -> Vec<(Reference, Form)> {
        let inputs = self.inputs.iter().filter_map(|(name, input)| {
            Some((Reference::Input { name: name.clone() }, Form::promised(input.kind?, &input.requires)))
        });
        let above = self.steps.iter().take_while(|above| above.name != step.name);
        let kept = above.clone().filter(|_| step.runs == Runs::OnSuccess).filter_map(|above| match &above.action {
            Action::Keep { keep: Keep { source: KeepSource::Endpoint { kind, .. }, .. }, .. } => {
                let reference = Reference::Output { step: above.name.clone(), output: "artifact".to_owned() };
                Some((reference, Form::promised(*kind, &Attributes::new())))
            }
            _ => None,
        });
        let gives = |above: &&Step| {
            let gives_several = above.sweep.as_ref().is_some_and(|sweep| sweep.best.is_none());
            // A service outlives what is anonymous.
            let is_lost = above.anonymous && matches!(step.action, Action::Serve(_));
            matches!(above.action, Action::Run(_)) && above.runs == Runs::OnSuccess && !gives_several && !is_lost
        };
        let outputs = above.filter(|_| step.runs == Runs::OnSuccess).filter(gives).flat_map(|above| {
            let slots = known.get(&above.name).into_iter().flat_map(|runnable| &runnable.outputs);
            slots.map(|(output, slot)| {
                let reference = Reference::Output { step: above.name.clone(), output: output.clone() };
                (reference, Form::promised(slot.kind, &slot.provides))
            })
        });
        inputs.chain(outputs).chain(kept).collect()
    }
}

impl Connected {
    fn add(&mut self, index: usize, found: Vec<(String, Reference)>) {
        let step = &mut self.template.steps[index];
        let name = step.name.clone();
        if let Action::Run(work) | Action::Serve(work) = &mut step.action {
            for (input, from) in found {
                work.inputs.insert(input.clone(), from.clone());
                self.connections.push(Connection { step: name.clone(), input, from });
            }
        }
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
