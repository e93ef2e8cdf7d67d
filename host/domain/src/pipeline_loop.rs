//! Pipelines that start each other by what they make: found for a plan, and where it would never end, before it does.

use crate::{Action, Binding, Descriptor, Kind, Name, Pipeline, Reference, Selector, Step, series::result_name};
use std::collections::{BTreeMap, VecDeque};

/// Artifacts that a pipeline's runs may register: of a kind, and named so; `None` where nobody can tell before.
struct Gives<'a> {
    step: &'a Name,
    kind: Kind,
    names: Option<Vec<Name>>,
}

/// The pipelines of a project that would start each other for ever if `added` joined them: what `added` gives
/// starts others, whose results start `added` again.
pub fn find_loop(existing: &[Pipeline], added: &Pipeline) -> Option<Vec<Name>> {
    let mut path = vec![added];
    walk(existing, added, &mut path).then(|| path.iter().map(|pipeline| pipeline.name.clone()).collect())
}

fn walk<'a>(existing: &'a [Pipeline], added: &'a Pipeline, path: &mut Vec<&'a Pipeline>) -> bool {
    let last = path[path.len() - 1];
    let gives = gives_always(last);
    let starts =
        |pipeline: &Pipeline| selectors(pipeline).any(|selector| gives.iter().any(|it| it.may_match(selector)));
    if starts(added) {
        return true;
    }
    for next in existing.iter().filter(|pipeline| starts(pipeline)) {
        if path.iter().any(|seen| seen.name == next.name) {
            continue;
        }
        path.push(next);
        if walk(existing, added, path) {
            return true;
        }
        path.pop();
    }
    false
}

/// The pipelines that a run with these artifacts may start by what it makes, and those that follow; `makes` says
/// whether a step would make something new.
pub fn followers(
    existing: &[Pipeline],
    pipeline: &Pipeline,
    artifacts: &BTreeMap<Name, Descriptor>,
    makes: impl Fn(&Name) -> bool,
) -> Vec<Name> {
    let of_run = |input: &Name| artifacts.get(input).map(|artifact| (artifact.kind(), artifact.name.clone()));
    let mut made = gives(pipeline, &of_run);
    made.retain(|gives| makes(gives.step));
    let (mut found, mut open) = (Vec::new(), VecDeque::from([made]));
    while let Some(gives) = open.pop_front() {
        for next in existing.iter().filter(|next| next.name != pipeline.name && next.frozen().next().is_none()) {
            let starts = selectors(next).any(|selector| gives.iter().any(|it| it.may_match(selector)));
            if starts && !found.contains(&next.name) {
                found.push(next.name.clone());
                open.push_back(gives_always(next));
            }
        }
    }
    found
}

/// Whose new artifacts start it.
fn selectors(pipeline: &Pipeline) -> impl Iterator<Item = &Selector> {
    pipeline.inputs.values().filter_map(|binding| match binding {
        Binding::Selector(selector) if selector.version.is_none() => Some(selector),
        _ => None,
    })
}

/// What any run of it gives.
fn gives_always(pipeline: &Pipeline) -> Vec<Gives<'_>> {
    gives(pipeline, &|input| match pipeline.inputs.get(input) {
        // A version may be meant as well, whose name is not known.
        Some(Binding::Selector(selector)) => Some((selector.kind, selector.name.clone()?)),
        _ => None,
    })
}

/// `named` answers what an input takes, where that is known.
fn gives<'a>(pipeline: &'a Pipeline, named: &impl Fn(&Name) -> Option<(Kind, Name)>) -> Vec<Gives<'a>> {
    let of = |step: &'a Name, output: &'a str, kind: Kind| Gives {
        step,
        kind,
        names: names_of(pipeline, step, (output, kind), named),
    };
    // What is copied is another project's, and what is registered was made by another step.
    let is_kept = |step: &Step| matches!(step.action, Action::Keep { .. });
    let given = pipeline.template.outputs.values().filter_map(|given| match &given.from {
        Reference::Output { step, .. } if pipeline.template.step(step).is_some_and(is_kept) => None,
        Reference::Output { step, output } => Some(of(step, output, given.kind?)),
        _ => None,
    });
    given.chain(pipeline.makes.iter().map(|made| of(&made.step, &made.output, made.kind))).collect()
}

impl Pipeline {
    /// How its results of a kind are called, where that is known before.
    pub fn result_names(&self, kind: Kind) -> Option<Vec<Name>> {
        let names = gives_always(self).into_iter().filter(|gives| gives.kind == kind).map(|gives| gives.names);
        let mut names = names.collect::<Option<Vec<_>>>()?.concat();
        names.sort();
        names.dedup();
        Some(names).filter(|names| !names.is_empty())
    }
}

/// The names that a step's result can have, where it is known what it takes.
fn names_of(
    pipeline: &Pipeline,
    step: &Name,
    (slot, kind): (&str, Kind),
    named: &impl Fn(&Name) -> Option<(Kind, Name)>,
) -> Option<Vec<Name>> {
    let work = pipeline.template.step(step).and_then(Step::work)?;
    let mut names = Vec::new();
    for reference in work.inputs.values() {
        let Reference::Input { name } = reference else { return None };
        let (of, series) = named(name)?;
        names.push(result_name(Some((of, &series)), &pipeline.name, kind, slot).ok()?);
    }
    if names.is_empty() {
        names.push(result_name(None, &pipeline.name, kind, slot).ok()?);
    }
    Some(names)
}

impl Gives<'_> {
    fn may_match(&self, selector: &Selector) -> bool {
        let named = match (&self.names, &selector.name) {
            (Some(names), Some(selected)) => names.contains(selected),
            _ => true,
        };
        self.kind == selector.kind && named
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attributes, Template};
    use jiff::Timestamp;
    use std::collections::BTreeMap;

    fn pipeline(name: &str, takes: &str, gives: &str) -> Pipeline {
        let kind = takes.parse::<Selector>().expect("selector").kind;
        let text = format!(
            "{{schema_version: 1, name: {name}, description: d, inputs: {{in: {{kind: {kind}}}}}, steps: {{s: {{run: {{kind: x}}, inputs: {{in: '${{inputs.in}}'}}}}}}, outputs: {{out: {{kind: {gives}, from: '${{steps.s.out}}'}}}}}}"
        );
        let template = Template::parse(&text, name).expect("template");
        let inputs = [("in".to_owned(), takes.to_owned())].into();
        let (project, name) = ("p".parse().expect("name"), name.parse().expect("name"));
        Pipeline::new(project, name, template, &inputs, BTreeMap::<Name, Attributes>::new(), Timestamp::UNIX_EPOCH)
            .expect("pipeline")
    }

    fn found(existing: &[Pipeline], added: &Pipeline) -> String {
        let names = find_loop(existing, added).unwrap_or_default();
        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn pipelines_that_feed_each_other_are_found() {
        let train = pipeline("train", "code://*", "model");
        let convert = pipeline("convert", "model://*", "model");
        let sample = pipeline("sample", "model://*", "dataset");
        let extract = pipeline("extract", "data://*", "model");
        assert_eq!(found(&[], &train), "");
        assert_eq!(found(std::slice::from_ref(&train), &sample), "");
        assert_eq!(found(&[], &convert), "convert");
        assert_eq!(found(&[train, sample], &extract), "extract sample");
    }

    #[test]
    fn what_a_step_makes_counts_though_the_template_does_not_give_it() {
        let mut plain = pipeline("plain", "model://*", "dataset");
        assert_eq!(found(&[], &plain), "");
        let step = "s".parse().expect("name");
        plain.makes = vec![crate::Made { step, output: "checkpoint".to_owned(), kind: Kind::Model }];
        assert_eq!(found(&[], &plain), "plain");
    }

    #[test]
    fn a_result_that_is_named_otherwise_starts_nothing_that_names_what_it_takes() {
        let clean = pipeline("clean", "data://p/flowers", "dataset");
        assert_eq!(found(&[], &clean), "", "it makes flowers-out");
        let back = pipeline("back", "data://p/flowers-out", "dataset");
        assert_eq!(found(std::slice::from_ref(&clean), &back), "", "and this makes flowers-out-out");
        let train = pipeline("train", "code://p/flowers", "dataset");
        assert_eq!(found(&[], &train), "");
        let of_model = pipeline("of-model", "data://p/flowers", "model");
        let sample = pipeline("sample", "model://p/flowers", "dataset");
        assert_eq!(found(&[of_model], &sample), "sample of-model", "the model and its sample are called flowers");
        assert_eq!(found(&[], &pipeline("any", "data://p/*", "dataset")), "any");
    }
}
