//! Which pipelines would lead from an artifact to what somebody wants (S9, S26, S128).

use crate::{Address, Attributes, Error, Fit, Form, InputSlot, Kind, Name, OutputSlot, Result, Runnable, Template};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    str::FromStr,
};

/// Pieces in one chain.
const LONGEST_CHAIN: usize = 4;
/// Chains that are answered, and that are looked at.
const MOST_CHAINS: usize = 5;
const MOST_LOOKS: usize = 10_000;

/// What somebody wants in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Goal {
    Artifact(Kind),
    /// A service.
    Url,
}

impl FromStr for Goal {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "url" => Ok(Self::Url),
            other => other.parse().map(Self::Artifact).map_err(|_| {
                let message = format!("`{other}` is no goal; it is `url` or a kind of artifact, such as `model`");
                Error::invalid("goal", message)
            }),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Artifact(kind) => kind.fmt(f),
            Self::Url => f.write_str("url"),
        }
    }
}

impl TryFrom<String> for Goal {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Goal> for String {
    fn from(goal: Goal) -> Self {
        goal.to_string()
    }
}

/// Something that can become a pipeline by itself.
#[derive(Debug, Clone)]
pub struct Piece {
    pub template: Template,
    /// The text of a template that was made for a runnable; `None` for an extension's template.
    text: Option<String>,
    /// By the template's inputs: what each takes.
    takes: BTreeMap<Name, InputSlot>,
    gives: Vec<(Goal, Form)>,
}

impl Piece {
    /// A template that an extension brings.
    pub fn of_template(template: &Template) -> Self {
        let takes = template.inputs.iter().filter_map(|(name, input)| {
            let (kind, requires) = (input.kind?, input.requires.clone());
            let slot = InputSlot {
                description: None,
                kind,
                requires,
                optional: false,
                path: String::new(),
                delivery: Default::default(),
                change_filter: Vec::new(),
            };
            Some((name.clone(), slot))
        });
        let gives = template.outputs.values().map(|output| {
            let goal = output.kind.map_or(Goal::Url, Goal::Artifact);
            (goal, Form::promised(output.kind.unwrap_or(Kind::Model), &Attributes::new()))
        });
        Self { takes: takes.collect(), gives: gives.collect(), text: None, template: template.clone() }
    }

    /// A template of one step for a runnable that is registered; `None` for one that makes nothing, or has to be told
    /// something.
    ///
    /// # Errors
    /// Never for a runnable that was checked.
    pub fn of_runnable(address: &Address, runnable: &Runnable) -> Result<Option<Self>> {
        let needs_more = runnable.parameters.values().any(|parameter| parameter.default.is_none());
        if needs_more || runnable.outputs.is_empty() && runnable.service.is_none() {
            return Ok(None);
        }
        let verb = if runnable.service.is_some() { "serve" } else { "run" };
        let needed = || runnable.inputs.iter().filter(|(_, slot)| !slot.optional);
        // What people may call inputs of runnables is more than what may be an input of a template.
        let takes: Result<BTreeMap<Name, InputSlot>> =
            needed().map(|(name, slot)| Ok((name.parse()?, slot.clone()))).collect();
        let inputs: Vec<_> = needed()
            .map(|(name, slot)| format!("{name}: {{kind: {}, requires: {}}}", slot.kind, json(&slot.requires)))
            .collect();
        let given: Vec<_> = needed().map(|(name, _)| format!("{name}: '${{inputs.{name}}}'")).collect();
        let step = &runnable.name;
        let (gives, outputs): (Vec<_>, Vec<_>) = match runnable.service {
            Some(_) => (
                vec![(Goal::Url, Form::promised(Kind::Model, &Attributes::new()))],
                vec![format!("url: {{from: '${{steps.{step}.url}}'}}")],
            ),
            None => {
                let output = |(name, slot): (&String, &OutputSlot)| {
                    let kind = slot.kind;
                    let text = format!("{name}: {{kind: {kind}, from: '${{steps.{step}.{name}}}'}}");
                    ((Goal::Artifact(kind), Form::promised(kind, &slot.provides)), text)
                };
                runnable.outputs.iter().map(output).unzip()
            }
        };
        let series = Address { version: None, ..address.clone() };
        let text = format!(
            "{{schema_version: 1, name: {step}, description: Runs {series}, inputs: {{{}}}, steps: {{{step}: {{{verb}: \
             '{series}', inputs: {{{}}}}}}}, outputs: {{{}}}}}",
            inputs.join(", "),
            given.join(", "),
            outputs.join(", ")
        );
        let (Ok(takes), Ok(template)) = (takes, Template::parse(&text, step)) else { return Ok(None) };
        Ok(Some(Self { template, text: Some(text), takes, gives }))
    }

    /// The input that takes one of these, and how well; its other inputs must find something among `others`.
    fn takes(&self, forms: &[Form], others: &[Form]) -> Option<(&Name, Fit)> {
        let fit = |slot: &InputSlot, forms: &[Form]| forms.iter().map(|form| form.fit(slot)).max().unwrap_or(Fit::No);
        let fitting = self.takes.iter().map(|(name, slot)| (name, fit(slot, forms)));
        // The first of the best.
        let best = fitting.rev().max_by_key(|(_, fit)| *fit).filter(|(_, fit)| *fit != Fit::No)?;
        let rest_is_there =
            self.takes.iter().filter(|(name, _)| *name != best.0).all(|(_, slot)| fit(slot, others) != Fit::No);
        rest_is_there.then_some(best)
    }
}

fn json(attributes: &Attributes) -> String {
    serde_json::to_string(attributes).expect("texts are always JSON")
}

/// A piece of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The template's name: an extension's, or the runnable's for which it was made.
    pub template: Name,
    pub description: String,
    /// The text of a template that was made for a runnable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its input that takes what the link before gives, and of which kind that is.
    pub input: Name,
    pub takes: Kind,
    /// False where it may turn out that it does not fit.
    pub surely: bool,
    pub gives: Vec<Goal>,
}

/// How far a chain is from the best: its length, how much of it may turn out not to fit, and how much it gives.
pub fn cost(chain: &[Link]) -> (usize, usize, usize) {
    let unsure = chain.iter().filter(|link| !link.surely).count();
    (chain.len(), unsure, chain.iter().map(|link| link.gives.len()).sum())
}

/// Chains from an artifact to a goal: the shortest first, of those the surest, of those what does least beside.
pub fn suggest(from: &Form, goal: Goal, pieces: &[Piece], others: &[Form]) -> Vec<Vec<Link>> {
    let mut found: Vec<Vec<Link>> = Vec::new();
    let mut open = VecDeque::from([(vec![from.clone()], Vec::<(usize, Link)>::new())]);
    let mut looks = 0;
    while let Some((forms, path)) = open.pop_front() {
        looks += 1;
        // Shorter chains come first, so that nothing longer is better than what is found.
        let is_enough = found.len() >= MOST_CHAINS && path.len() >= found[0].len();
        if looks > MOST_LOOKS || is_enough {
            break;
        }
        for (at, piece) in pieces.iter().enumerate() {
            if path.iter().any(|(seen, _)| *seen == at) {
                continue;
            }
            let Some((input, fit)) = piece.takes(&forms, others) else { continue };
            let link = Link {
                template: piece.template.name.clone(),
                description: piece.template.description.clone(),
                text: piece.text.clone(),
                input: input.clone(),
                takes: piece.takes[input].kind,
                surely: fit == Fit::Surely,
                gives: piece.gives.iter().map(|(goal, _)| *goal).collect(),
            };
            let longer: Vec<_> = path.iter().cloned().chain([(at, link)]).collect();
            if piece.gives.iter().any(|(gives, _)| *gives == goal) {
                found.push(longer.into_iter().map(|(_, link)| link).collect());
            } else if longer.len() < LONGEST_CHAIN && open.len() < MOST_LOOKS {
                let artifacts = piece.gives.iter().filter(|(gives, _)| *gives != Goal::Url);
                open.push_back((artifacts.map(|(_, form)| form.clone()).collect(), longer));
            }
        }
    }
    found.sort_by_key(|chain| cost(chain));
    found.truncate(MOST_CHAINS);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(name: &str, input: &str, outputs: &str) -> Piece {
        let steps =
            "s: {run: {kind: k}, inputs: {in: '${inputs.in}'}}, v: {serve: {kind: p}, inputs: {in: '${inputs.in}'}}";
        let text = format!(
            "{{schema_version: 1, name: {name}, description: d, inputs: {{in: {input}}}, steps: {{{steps}}}, outputs: {{{outputs}}}}}"
        );
        Piece::of_template(&Template::parse(&text, name).expect("template"))
    }

    const MODEL: &str = "model: {kind: model, from: '${steps.s.model}'}";
    const URL: &str = "url: {from: '${steps.v.url}'}";

    fn pieces() -> Vec<Piece> {
        vec![
            template("both", "{kind: codeset}", &format!("{MODEL}, {URL}")),
            template("training", "{kind: codeset}", MODEL),
            template("onnx-serving", "{kind: model, requires: {format: onnx}}", URL),
            template("serving", "{kind: model}", URL),
            template("sampling", "{kind: model}", "data: {kind: dataset, from: '${steps.s.data}'}"),
        ]
    }

    fn suggested(from: &Form, goal: &str) -> Vec<String> {
        let chains = suggest(from, goal.parse().expect("goal"), &pieces(), &[]);
        let link = |link: &Link| format!("{}{}", link.template, if link.surely { "" } else { "?" });
        chains.iter().map(|chain| chain.iter().map(link).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn chains_are_found_the_shortest_and_surest_first() {
        let code = Form { kind: Kind::Codeset, attributes: Attributes::new(), is_whole: true };
        assert_eq!(suggested(&code, "url"), ["both", "training serving", "training onnx-serving?"]);
        assert_eq!(suggested(&code, "model"), ["training", "both"]);
        assert_eq!(suggested(&code, "dataset"), ["training sampling", "both sampling"]);
        let model = |format: &str| Form {
            kind: Kind::Model,
            attributes: [("format".to_owned(), format.to_owned())].into(),
            is_whole: true,
        };
        assert_eq!(suggested(&model("onnx"), "url"), ["onnx-serving", "serving"]);
        assert_eq!(suggested(&model("mlflow"), "url"), ["serving"]);
        assert_eq!(suggested(&model("mlflow"), "codeset"), [""; 0]);
        assert!("urls".parse::<Goal>().expect_err("no goal").message.contains("it is `url` or a kind"));
    }

    #[test]
    fn what_takes_something_else_as_well_is_suggested_where_that_is_there() {
        let text = "{schema_version: 1, name: evaluate, description: d, inputs: {model: {kind: model}, data: {kind: \
                    dataset}}, steps: {s: {run: {kind: k}}}, outputs: {report: {kind: dataset, from: '${steps.s.report}'}}}";
        let piece = [Piece::of_template(&Template::parse(text, "evaluate").expect("template"))];
        let form = |kind| Form { kind, attributes: Attributes::new(), is_whole: true };
        let suggested =
            |others: &[Form]| suggest(&form(Kind::Model), Goal::Artifact(Kind::Dataset), &piece, others).len();
        assert_eq!((suggested(&[]), suggested(&[form(Kind::Codeset)]), suggested(&[form(Kind::Dataset)])), (0, 0, 1));
    }
}
