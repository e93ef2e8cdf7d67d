//! Converters: runnables that make another form of the same thing, put in where one gives what another cannot take (S99).

use crate::{
    Action, Address, Candidates, Fit, Form, InputSlot, InstanceChoice, Name, OutputSlot, Reference, Result, Runnable,
    RunnableChoice, Runs, Step, Template, When, Work,
};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The kind of runnable that may be put in.
pub const CONVERTER: &str = "converter";

/// Converters in one chain.
const LONGEST_CHAIN: usize = 4;

/// A runnable that takes one artifact, gives one, and needs to be told nothing.
#[derive(Debug, Clone)]
pub struct Converter {
    address: Address,
    input: (String, InputSlot),
    output: (String, OutputSlot),
}

impl Converter {
    /// `None` for one that nobody could put in without being asked.
    pub fn of(address: &Address, runnable: &Runnable) -> Option<Self> {
        let mut inputs = runnable.inputs.iter().filter(|(_, slot)| !slot.optional);
        let (input, None) = (inputs.next()?, inputs.next()) else { return None };
        let mut outputs = runnable.outputs.iter();
        let (output, None) = (outputs.next()?, outputs.next()) else { return None };
        let needs_nothing = runnable.parameters.values().all(|parameter| parameter.default.is_some());
        if runnable.kind != CONVERTER || !needs_nothing || runnable.service.is_some() {
            return None;
        }
        let owned = |(name, slot): (&String, &InputSlot)| (name.clone(), slot.clone());
        Some(Self { address: address.clone(), input: owned(input), output: (output.0.clone(), output.1.clone()) })
    }

    fn gives(&self) -> Form {
        Form::promised(self.output.1.kind, &self.output.1.provides)
    }
}

/// The shortest chain from a form to what a slot demands, the first of the converters where several are as short; `None`
/// where there is none.
pub fn chain<'a>(from: &Form, slot: &InputSlot, converters: &'a [Converter]) -> Option<Vec<&'a Converter>> {
    let mut open = VecDeque::from([(from.clone(), Vec::new())]);
    let mut seen = BTreeSet::new();
    while let Some((form, path)) = open.pop_front() {
        for (at, converter) in converters.iter().enumerate() {
            if form.fit(&converter.input.1) != Fit::Surely || !seen.insert(at) {
                continue;
            }
            let longer: Vec<_> = path.iter().copied().chain([converter]).collect();
            let gives = converter.gives();
            if gives.fit(slot) == Fit::Surely {
                return Some(longer);
            }
            if longer.len() < LONGEST_CHAIN {
                open.push_back((gives, longer));
            }
        }
    }
    None
}

impl Template {
    /// The same with converters where an input's source is known not to be what the runnable of its step takes; what takes
    /// it as it is counts more than what is newer.
    ///
    /// # Errors
    /// `invalid` where the template would have too many steps.
    pub fn converted(
        &self,
        candidates: &Candidates,
        artifacts: &BTreeMap<Name, Form>,
        converters: &[Converter],
    ) -> Result<Self> {
        let mut conversion = Conversion {
            template: Self { steps: Vec::new(), ..self.clone() },
            made: Vec::new(),
            names: self.steps.iter().map(|step| step.name.clone()).collect(),
        };
        let mut known = BTreeMap::new();
        for step in &self.steps {
            let mut step = step.clone();
            let all = candidates.get(&step.name).map(Vec::as_slice).unwrap_or_default();
            let ways = all.iter().filter_map(|runnable| {
                let misfits = self.misfits(&step, runnable, &known, artifacts, converters)?;
                Some((runnable, misfits))
            });
            // The first of those that need the least.
            if let Some((runnable, misfits)) = ways.min_by_key(|(_, misfits)| misfits.len()) {
                let conditions = Conditions::of(&step);
                if let Action::Run(work) | Action::Serve(work) = &mut step.action {
                    for Misfit { input, form, chain } in misfits {
                        let Some(reference) = work.inputs.get_mut(&input) else { continue };
                        *reference = conversion.put_in(reference.clone(), &form, &chain, &conditions)?;
                    }
                }
                // Of several another may run.
                if all.len() == 1 {
                    known.insert(step.name.clone(), runnable.clone());
                }
            }
            conversion.template.steps.push(step);
        }
        conversion.template.check_count()?;
        Ok(conversion.template)
    }

    /// What a step takes that would have to be converted for this runnable; `None` where something cannot.
    fn misfits<'a>(
        &self,
        step: &Step,
        runnable: &Runnable,
        known: &BTreeMap<Name, Runnable>,
        artifacts: &BTreeMap<Name, Form>,
        converters: &'a [Converter],
    ) -> Option<Vec<Misfit<'a>>> {
        let (mut misfits, inputs) = (Vec::new(), &step.work()?.inputs);
        if runnable.inputs.iter().any(|(name, slot)| !slot.optional && !inputs.contains_key(name)) {
            return None;
        }
        for (input, reference) in inputs {
            let slot = runnable.inputs.get(input)?;
            if let Some(form) = self.form_of(reference, known, artifacts)
                && form.fit(slot) == Fit::No
            {
                let chain = chain(&form, slot, converters)?;
                misfits.push(Misfit { input: input.clone(), form, chain });
            }
        }
        Some(misfits)
    }

    /// What a reference led to before anything was converted.
    pub fn unconverted<'a>(&'a self, reference: &'a Reference) -> &'a Reference {
        let mut original = reference;
        while let Reference::Output { step, .. } = original
            && let Some(step) = self.step(step).filter(|step| step.conversion.is_some())
            && let Some(before) = step.work().and_then(|work| work.inputs.values().next())
        {
            original = before;
        }
        original
    }

    /// What a reference leads to, as far as it is known.
    pub(crate) fn form_of(
        &self,
        reference: &Reference,
        known: &BTreeMap<Name, Runnable>,
        artifacts: &BTreeMap<Name, Form>,
    ) -> Option<Form> {
        match reference {
            Reference::Input { name } => match artifacts.get(name) {
                Some(form) => Some(form.clone()),
                None => {
                    let input = self.inputs.get(name)?;
                    Some(Form::promised(input.kind?, &input.requires))
                }
            },
            Reference::Output { step, output } => {
                let slot = known.get(step)?.outputs.get(output)?;
                Some(Form::promised(slot.kind, &slot.provides))
            }
            Reference::Attribute { .. } => None,
        }
    }
}

/// An input whose source has a form that it does not take.
struct Misfit<'a> {
    input: String,
    form: Form,
    chain: Vec<&'a Converter>,
}

/// When a step runs, and where: what is converted for it is so then, and there.
#[derive(Clone, PartialEq)]
struct Conditions {
    after: Vec<Name>,
    runs: Runs,
    when: Option<When>,
    agent: Option<InstanceChoice>,
}

impl Conditions {
    fn of(step: &Step) -> Self {
        Self { after: step.after.clone(), runs: step.runs, when: step.when.clone(), agent: step.agent.clone() }
    }
}

/// A template with the converters that it has by now.
struct Conversion {
    template: Template,
    /// Of all steps.
    names: BTreeSet<Name>,
    /// What each made of what, so that two who need the same get the same.
    made: Vec<((String, Address, Conditions), Reference)>,
}

impl Conversion {
    /// Answers where the last converter's result is.
    fn put_in(
        &mut self,
        from: Reference,
        form: &Form,
        chain: &[&Converter],
        conditions: &Conditions,
    ) -> Result<Reference> {
        let (mut reference, mut form) = (from, form.clone());
        for converter in chain {
            let key = (reference.to_string(), converter.address.clone(), conditions.clone());
            let gives = converter.gives();
            reference = match self.made.iter().find(|(known, _)| *known == key) {
                Some((_, made)) => made.clone(),
                None => {
                    let name = free_name(&converter.address.name, &mut self.names)?;
                    let work = Work {
                        runnable: RunnableChoice::Address(converter.address.clone()),
                        inputs: IndexMap::from([(converter.input.0.clone(), reference.clone())]),
                        parameters: IndexMap::new(),
                        timeout: None,
                        resources: crate::Attributes::new(),
                    };
                    // What it makes of something anonymous is as anonymous.
                    let source = match &reference {
                        Reference::Output { step, .. } => self.template.step(step),
                        _ => None,
                    };
                    let anonymous = source.is_some_and(|source| source.anonymous);
                    let step = Step { anonymous, ..Step::new(name.clone(), Action::Run(work)) };
                    let why = format!("turns {reference}, {}, into {gives}", form.as_asked(&converter.input.1));
                    let Conditions { after, runs, when, agent } = conditions.clone();
                    self.template.steps.push(Step { conversion: Some(why), after, runs, when, agent, ..step });
                    let made = Reference::Output { step: name, output: converter.output.0.clone() };
                    self.made.push((key, made.clone()));
                    made
                }
            };
            form = gives;
        }
        Ok(reference)
    }
}

/// The name, or one with a number.
fn free_name(name: &Name, taken: &mut BTreeSet<Name>) -> Result<Name> {
    let mut free = name.clone();
    let mut number = 1;
    while !taken.insert(free.clone()) {
        number += 1;
        free = format!("{name}-{number}").parse()?;
    }
    Ok(free)
}
