//! Sweeps: a job done once for each value of a list, or for each combination of several lists, and the choice of the best
//! (S55, S114).
//!
//! A template names a sweep in one step. A run's own template has a step for each combination (`train-1`, `train-2`, …)
//! and in the place of the swept step the choice among them, so that everything that holds for steps holds for each try.

use crate::{
    Action, Attributes, Error, InputValue, Interpolated, Name, Reference, Result, Run, Step, StepRun, Template, Value,
    Work, runnable::list_or_none, scalar::Scalar,
};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Combinations of one sweep.
const MOST_COMBINATIONS: usize = 256;

/// What is varied, and which result counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// By parameter.
    pub each: IndexMap<String, Values>,
    /// `None` where all results count alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
}

/// The values of one parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a list of values, or a reference such as ${inputs.alphas}")]
pub enum Values {
    /// A value of the template's inputs: a list with commas.
    Reference(Reference),
    List(Vec<Scalar>),
}

/// The metric that decides which result counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Best {
    Highest(String),
    Lowest(String),
}

impl Best {
    pub fn metric(&self) -> &str {
        match self {
            Self::Highest(metric) | Self::Lowest(metric) => metric,
        }
    }

    /// The position of the best of these, the first where several are; `None` of none, or where one is no number.
    pub fn of(&self, values: &[f64]) -> Option<usize> {
        let is_better = |one: f64, than: f64| match self {
            Self::Highest(_) => one > than,
            Self::Lowest(_) => one < than,
        };
        if values.iter().any(|value| value.is_nan()) {
            return None;
        }
        (0..values.len()).reduce(|best, at| if is_better(values[at], values[best]) { at } else { best })
    }
}

impl fmt::Display for Best {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Highest(metric) => write!(f, "the highest {metric}"),
            Self::Lowest(metric) => write!(f, "the lowest {metric}"),
        }
    }
}

/// Takes what the best of these steps made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Steps of one sweep.
    pub among: Vec<Name>,
    /// `None` gives nothing: it only ends when all of them did.
    pub best: Option<Best>,
}

/// Which part of a sweep a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Combination {
    /// The step in the template.
    pub of: Name,
    pub values: IndexMap<String, String>,
}

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<_> = self.values.iter().map(|(name, value)| format!("{name}={value}")).collect();
        f.write_str(&pairs.join(" "))
    }
}

impl Sweep {
    /// Refuses what has no combination, or too many, or names a parameter that is set already.
    pub(crate) fn check(&self, work: &Work) -> Result<()> {
        let refuse = |why: String| Err(Error::invalid("each", why));
        if let Some(name) = self.each.keys().find(|name| work.parameters.contains_key(*name)) {
            return refuse(format!("`{name}` is in `each` and in `parameters`"));
        }
        if self.each.is_empty() {
            return refuse("`each` names no parameter".to_owned());
        }
        for (name, values) in &self.each {
            match values {
                Values::Reference(Reference::Input { .. }) => {}
                Values::Reference(other) => {
                    return refuse(format!("`{name}` is {other}; it is a list, or a value of the template's inputs"));
                }
                Values::List(values) => {
                    check_list(name, &values.iter().map(|value| value.0.as_str()).collect::<Vec<_>>())?;
                }
            }
        }
        let known = self.each.values().filter_map(|values| match values {
            Values::List(values) => Some(values.len()),
            Values::Reference(_) => None,
        });
        check_count(known)
    }

    /// Every combination, the last parameter changing fastest.
    fn combinations(&self, inputs: &IndexMap<Name, InputValue>) -> Result<Vec<IndexMap<String, String>>> {
        let mut lists = Vec::new();
        for (name, values) in &self.each {
            let list = values.read(inputs)?;
            check_list(name, &list.iter().map(String::as_str).collect::<Vec<_>>())?;
            lists.push((name, list));
        }
        check_count(lists.iter().map(|(_, list)| list.len()))?;
        let mut all = vec![IndexMap::new()];
        for (name, list) in lists {
            let with = |one: &IndexMap<String, String>, value: &String| {
                let mut more = one.clone();
                more.insert(name.clone(), value.clone());
                more
            };
            all = all.iter().flat_map(|one| list.iter().map(move |value| with(one, value))).collect();
        }
        Ok(all)
    }
}

impl Values {
    fn read(&self, inputs: &IndexMap<Name, InputValue>) -> Result<Vec<String>> {
        match self {
            Self::List(list) => Ok(list.iter().map(|value| value.0.clone()).collect()),
            Self::Reference(reference) => {
                let value = match reference {
                    Reference::Input { name } => inputs.get(name).map(|input| &input.value),
                    _ => None,
                };
                let Some(Value::Text(text)) = value else {
                    return Err(Error::invalid("each", format!("{reference} is no list of values")));
                };
                Ok(text.split(',').map(|value| value.trim().to_owned()).collect())
            }
        }
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => reference.fmt(f),
            Self::List(list) => f.write_str(&list.iter().map(|value| value.0.as_str()).collect::<Vec<_>>().join(", ")),
        }
    }
}

fn check_list(name: &str, values: &[&str]) -> Result<()> {
    let refuse = |why: String| Err(Error::invalid("each", why));
    if values.is_empty() || values == [""] {
        return refuse(format!("`{name}` has no value"));
    }
    let mut seen = BTreeSet::new();
    match values.iter().find(|value| !seen.insert(**value)) {
        Some(twice) => refuse(format!("`{name}` has `{}` twice", twice.escape_debug())),
        None => Ok(()),
    }
}

fn check_count(lengths: impl Iterator<Item = usize>) -> Result<()> {
    let count = lengths.fold(1usize, usize::saturating_mul);
    match count > MOST_COMBINATIONS {
        true => {
            let message = format!("`each` has {count} combinations; a sweep has at most {MOST_COMBINATIONS}");
            Err(Error::invalid("each", message))
        }
        false => Ok(()),
    }
}

/// The name of a sweep's step for a combination, counted from 1.
fn step_name(sweep: &Name, number: usize) -> Result<Name> {
    format!("{sweep}-{number}").parse()
}

impl Template {
    /// The same with a step for each combination of every sweep.
    ///
    /// # Errors
    /// `invalid` where a list is none, or a step has a combination's name.
    pub fn expanded(&self, inputs: &IndexMap<Name, InputValue>) -> Result<Cow<'_, Self>> {
        if self.steps.iter().all(|step| step.sweep.is_none()) {
            return Ok(Cow::Borrowed(self));
        }
        let mut expanded = Self { steps: Vec::new(), ..self.clone() };
        for step in &self.steps {
            match (&step.sweep, &step.action) {
                (Some(sweep), Action::Run(work)) => {
                    let steps = expand(step, sweep, work, inputs).map_err(|error| error.context(&step.name))?;
                    expanded.steps.extend(steps);
                }
                _ => expanded.steps.push(step.clone()),
            }
        }
        expanded.check_count()?;
        let mut names = BTreeSet::new();
        match expanded.steps.iter().find(|step| !names.insert(&step.name)) {
            Some(twice) => {
                let message = format!("the step `{}` has the name of one of a sweep; call it otherwise", twice.name);
                Err(Error::invalid("each", message))
            }
            None => Ok(Cow::Owned(expanded)),
        }
    }
}

impl Template {
    /// Refuses parameters of a step that is not there, and those that a sweep varies.
    ///
    /// # Errors
    /// `invalid` with the step's name.
    pub fn check_parameters(&self, given: &BTreeMap<Name, Attributes>) -> Result<()> {
        for (name, parameters) in given {
            let Some(step) = self.step(name) else {
                let steps: Vec<_> = self.steps.iter().map(|step| &*step.name).collect();
                let message =
                    format!("the template {} has no step `{name}`; it has {}", self.name, list_or_none(&steps));
                return Err(Error::invalid("unknown-step", message));
            };
            let is_varied =
                |parameter: &&String| step.sweep.as_ref().is_some_and(|it| it.each.contains_key(*parameter));
            if let Some(varied) = parameters.keys().find(is_varied) {
                let message = format!("`{varied}` of {name} is varied by `each`; it cannot be set as well");
                return Err(Error::invalid("each", message));
            }
        }
        Ok(())
    }

    /// Parameters of steps, those of a sweep for each of its combinations.
    pub(crate) fn spread(&self, given: &BTreeMap<Name, Attributes>) -> BTreeMap<Name, Attributes> {
        let mut spread = given.clone();
        for step in &self.steps {
            if let Some(combination) = &step.combination
                && let Some(of_all) = given.get(&combination.of)
            {
                spread.remove(&combination.of);
                spread.insert(step.name.clone(), of_all.clone());
            }
        }
        spread
    }
}

impl Run {
    /// The values that a step of a sweep has, as they were swapped.
    pub fn combination(&self, step: &StepRun) -> Option<Combination> {
        let mut combination = self.template.step(&step.name)?.combination.clone()?;
        for (name, value) in step.swap.iter().flat_map(|swap| &swap.parameters) {
            if let Some(varied) = combination.values.get_mut(name) {
                varied.clone_from(value);
            }
        }
        Some(combination)
    }
}

fn expand(step: &Step, sweep: &Sweep, work: &Work, inputs: &IndexMap<Name, InputValue>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for (at, values) in sweep.combinations(inputs)?.into_iter().enumerate() {
        let mut work = work.clone();
        let literal = |(name, value): (&String, &String)| (name.clone(), Interpolated::literal(value).to_string());
        work.parameters.extend(values.iter().map(literal));
        steps.push(Step {
            name: step_name(&step.name, at + 1)?,
            action: Action::Run(work),
            sweep: None,
            combination: Some(Combination { of: step.name.clone(), values }),
            ..step.clone()
        });
    }
    let among = steps.iter().map(|step| step.name.clone()).collect();
    steps.push(Step::new(step.name.clone(), Action::Choose(Choice { among, best: sweep.best.clone() })));
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(step: &str) -> Result<Template> {
        let text = format!(
            "{{schema_version: 1, name: t, description: d, inputs: {{alphas: {{type: text, default: '1'}}, code: {{kind: \
             codeset}}}}, steps: {{train: {{run: {{kind: trainer}}, {step}}}, check: {{run: {{kind: x}}, inputs: {{in: \
             '${{steps.train.model}}'}}}}}}}}"
        );
        Template::parse(&text, "t")
    }

    fn inputs(alphas: &str) -> IndexMap<Name, InputValue> {
        let name = "alphas".parse().expect("name");
        [(name, InputValue { value: Value::Text(alphas.to_owned()), is_default: false })].into_iter().collect()
    }

    fn shown(template: &Template) -> Vec<String> {
        let of = |step: &Step| match &step.combination {
            Some(combination) => format!("{} {combination}", step.name),
            None => step.name.to_string(),
        };
        template.steps.iter().map(of).collect()
    }

    #[test]
    fn a_sweep_is_a_step_for_each_combination_and_the_choice_of_one() {
        let swept = template("each: {depth: [2, 4], fast: [true, false]}, best: {lowest: loss}").expect("template");
        assert_eq!(shown(&swept), ["train", "check"]);
        let expanded = swept.expanded(&inputs("")).expect("expanded");
        let of_sweep = ["2 fast=true", "2 fast=false", "4 fast=true", "4 fast=false"];
        let of_sweep = of_sweep.iter().enumerate().map(|(at, of)| format!("train-{} depth={of}", at + 1));
        assert_eq!(shown(&expanded), of_sweep.chain(["train".to_owned(), "check".to_owned()]).collect::<Vec<_>>());
        assert_eq!(expanded.steps[0].work().expect("work").parameters["depth"], "2");
        assert_eq!(expanded.steps[4].needs().len(), 4, "it waits for all");
        assert_eq!(expanded.expanded(&inputs("")).expect("again"), Cow::Borrowed(&*expanded), "once and for all");
    }

    #[test]
    fn a_list_may_be_what_a_run_is_given() {
        let swept = template("each: {alpha: '${inputs.alphas}'}, best: {highest: accuracy}").expect("template");
        let expanded = swept.expanded(&inputs("0.1, 0.5,1e-3")).expect("expanded").into_owned();
        assert_eq!(shown(&expanded)[..3], ["train-1 alpha=0.1", "train-2 alpha=0.5", "train-3 alpha=1e-3"]);
        for (alphas, why) in [("", "`alpha` has no value"), ("1,2,1", "`alpha` has `1` twice")] {
            let refused = swept.expanded(&inputs(alphas)).expect_err(alphas);
            assert!(refused.message.contains(why), "{refused}");
        }
        let bomb: Vec<_> = (0..257).map(|value| value.to_string()).collect();
        let refused = swept.expanded(&inputs(&bomb.join(","))).expect_err("too many");
        assert!(refused.message.contains("257 combinations; a sweep has at most 256"), "{refused}");
    }

    #[test]
    fn a_sweep_that_cannot_be_done_is_refused_with_a_reason() {
        let many = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]";
        for (step, why) in [
            ("each: {alpha: [1, 2]}".to_owned(), "gives one for each of its values; say which counts with `best`"),
            ("best: {highest: accuracy}".to_owned(), "`best` is the best of `each`"),
            ("each: {alpha: []}, best: {highest: a}".to_owned(), "`alpha` has no value"),
            ("each: {alpha: [1, 1]}, best: {highest: a}".to_owned(), "`alpha` has `1` twice"),
            ("each: {alpha: 1}, best: {highest: a}".to_owned(), "a list of values, or a reference"),
            ("each: {alpha: '${inputs.code}'}, best: {highest: a}".to_owned(), "is an artifact"),
            ("each: {alpha: '${steps.check.x}'}, best: {highest: a}".to_owned(), "a value of the template's inputs"),
            ("each: {alpha: [1]}, parameters: {alpha: '2'}, best: {highest: a}".to_owned(), "in `each` and in"),
            (format!("each: {{a: {many}, b: {many}}}, best: {{highest: a}}"), "has 289 combinations"),
            ("each: {alpha: [1]}, best: {most: a}".to_owned(), "most"),
        ] {
            let refused = template(&step).expect_err(&step);
            assert!(refused.message.contains(why), "{step}: {refused}");
        }
    }

    #[test]
    fn the_best_is_the_first_of_the_best_and_there_is_none_among_what_is_no_number() {
        let (highest, lowest) = (Best::Highest("a".to_owned()), Best::Lowest("a".to_owned()));
        assert_eq!((highest.of(&[0.1, 0.9, 0.9]), lowest.of(&[0.3, 0.1, 0.2])), (Some(1), Some(1)));
        assert_eq!((highest.of(&[]), highest.of(&[1.0, f64::NAN])), (None, None));
    }
}
