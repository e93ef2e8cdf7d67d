//! Pipelines that start each other by what they make: found for a plan, and where it would never end, before it does.

use crate::{
    Action, Binding, Descriptor, Interpolated, Keep, KeepSource, Kind, Name, Pipeline, Reference, Selector, Step, Work,
    series::result_name,
};
use std::collections::{BTreeMap, VecDeque};

/// So many names are no knowledge any more.
const MOST_NAMES: usize = 64;

/// Artifacts that a pipeline's runs may register or tag: of a kind, and named so; `None` where nobody can tell before.
struct Gives<'a> {
    step: &'a Name,
    kind: Option<Kind>,
    names: Option<Vec<Name>>,
    tags: Vec<Name>,
    /// Whether it is there by this step, and not only tagged.
    is_new: bool,
}

/// What something may be called, and its kind where that is known.
type Names = Vec<(Option<Kind>, Name)>;

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
    let results = Results::of(pipeline, named);
    let template = &pipeline.template;
    let lasts = |step: &Name| template.step(step).is_some_and(|step| step.work().is_some() && !step.anonymous);
    let given = template.outputs.values().filter_map(|given| match &given.from {
        Reference::Output { step, output } if lasts(step) => Some((step, output, given.kind?)),
        _ => None,
    });
    let made = pipeline.makes.iter().filter(|made| lasts(&made.step));
    let made = given.chain(made.map(|made| (&made.step, &made.output, made.kind)));
    let made = made.map(|(step, output, kind)| {
        let names = results.of_output(step, output).map(|names| names.into_iter().map(|(_, name)| name).collect());
        Gives { step, kind: Some(kind), names, tags: Vec::new(), is_new: true }
    });
    let kept = template.steps.iter().filter_map(|step| match &step.action {
        Action::Keep { keep, .. } => Some((step, keep)),
        _ => None,
    });
    made.chain(kept.flat_map(|(step, keep)| results.kept(step, keep))).collect()
}

/// How the results of a pipeline's steps are called, as far as that is known before.
struct Results<'a, 'n, F> {
    pipeline: &'a Pipeline,
    named: &'n F,
    /// After what a step's results are called; of one that keeps something, how that is called.
    of_steps: BTreeMap<&'a Name, Option<Names>>,
}

impl<'a, 'n, F: Fn(&Name) -> Option<(Kind, Name)>> Results<'a, 'n, F> {
    fn of(pipeline: &'a Pipeline, named: &'n F) -> Self {
        let mut results = Self { pipeline, named, of_steps: BTreeMap::new() };
        // A step takes what steps above it make.
        for step in &pipeline.template.steps {
            let names = match &step.action {
                Action::Run(work) | Action::Serve(work) => results.made_of(work),
                Action::Keep { keep, .. } => results.kept_as(keep),
                _ => None,
            };
            results.of_steps.insert(&step.name, names.filter(|names| names.len() <= MOST_NAMES));
        }
        results
    }

    fn made_of(&self, work: &Work) -> Option<Names> {
        let names = work.inputs.values().map(|reference| self.of_reference(reference)).collect::<Option<Vec<_>>>()?;
        Some(distinct(names.concat()))
    }

    fn of_reference(&self, reference: &Reference) -> Option<Names> {
        match reference {
            Reference::Input { name } => (self.named)(name).map(|(kind, name)| vec![(Some(kind), name)]),
            Reference::Output { step, output } => self.of_output(step, output),
            Reference::Attribute { .. } => None,
        }
    }

    fn of_output(&self, step: &Name, output: &str) -> Option<Names> {
        let made_of = self.of_steps.get(step)?.as_ref()?;
        if let Some(Action::Keep { .. }) = self.pipeline.template.step(step).map(|step| &step.action) {
            return Some(made_of.clone());
        }
        let kind = self.kind_of_output(step, output);
        let named = |of, kind| result_name(of, &self.pipeline.name, kind, output).ok();
        // For which kind is asked does not matter where it is made of nothing, or of its like.
        let any = Kind::Dataset;
        if made_of.is_empty() {
            return Some(vec![(kind, named(None, any)?)]);
        }
        let mut names = Names::new();
        for (of, name) in made_of {
            let both = of.zip(kind);
            if both.is_none_or(|(of, kind)| of == kind) {
                names.push((kind.or(*of), named(Some((any, name)), any)?));
            }
            if both.is_none_or(|(of, kind)| of != kind) {
                names.push((kind, name.clone()));
            }
        }
        Some(distinct(names))
    }

    fn kind_of(&self, reference: &Reference) -> Option<Kind> {
        match reference {
            Reference::Input { name } => self.pipeline.template.inputs.get(name)?.kind,
            Reference::Output { step, output } => self.kind_of_output(step, output),
            Reference::Attribute { .. } => None,
        }
    }

    fn kind_of_output(&self, step: &Name, output: &str) -> Option<Kind> {
        let made = self.pipeline.makes.iter().find(|made| made.step == *step && made.output == output);
        let is = |from: &Reference| matches!(from, Reference::Output { step: of, output: slot } if of == step && slot == output);
        let given = || self.pipeline.template.outputs.values().find(|given| is(&given.from))?.kind;
        made.map(|made| made.kind).or_else(given)
    }

    fn kept_as(&self, keep: &Keep) -> Option<Names> {
        let kind = match &keep.source {
            KeepSource::Endpoint { kind, .. } => Some(*kind),
            KeepSource::Run(_) | KeepSource::Copy { .. } => None,
        };
        match &keep.name {
            Some(name) => Some(vec![(kind, literal(name)?)]),
            None => self.of_reference(keep.artifact()?),
        }
    }

    /// What such a step gives in its own project; what it makes under a name that only a run knows is not foreseen.
    fn kept(&self, step: &'a Step, keep: &Keep) -> Vec<Gives<'a>> {
        let (source, kind) = match &keep.source {
            KeepSource::Run(artifact) => (Some(artifact), self.kind_of(artifact)),
            KeepSource::Endpoint { kind, .. } => (None, Some(*kind)),
            KeepSource::Copy { .. } => return Vec::new(),
        };
        let is_anonymous = |reference: &Reference| match reference {
            Reference::Output { step, .. } => self.pipeline.template.step(step).is_some_and(|step| step.anonymous),
            _ => false,
        };
        let is_new = source.is_none_or(is_anonymous);
        let tags: Vec<_> = keep.tags.iter().filter_map(literal).collect();
        let gives = |kind, names, is_new| Gives { step: &step.name, kind, names, tags: tags.clone(), is_new };
        match self.of_steps.get(&step.name).into_iter().flatten().next() {
            Some(names) => {
                names.iter().map(|(of, name)| gives(kind.or(*of), Some(vec![name.clone()]), is_new)).collect()
            }
            None => kind.map(|kind| gives(Some(kind), None, false)).into_iter().collect(),
        }
    }
}

fn distinct(mut names: Names) -> Names {
    names.sort();
    names.dedup();
    names
}

/// The name that a text is, if nothing in it is known only by a run.
fn literal(text: &Interpolated) -> Option<Name> {
    text.references().next().is_none().then(|| text.to_string().parse().ok()).flatten()
}

impl Pipeline {
    /// How its results of a kind are called, where that is known before.
    pub fn result_names(&self, kind: Kind) -> Option<Vec<Name>> {
        let names = gives_always(self)
            .into_iter()
            .filter(|gives| gives.kind == Some(kind) && gives.is_new)
            .map(|gives| gives.names);
        let mut names = names.collect::<Option<Vec<_>>>()?.concat();
        names.sort();
        names.dedup();
        Some(names).filter(|names| !names.is_empty())
    }
}

impl Gives<'_> {
    fn may_match(&self, selector: &Selector) -> bool {
        let named = match (&self.names, &selector.name) {
            (Some(names), Some(selected)) => names.contains(selected),
            _ => true,
        };
        // Who waits for a tag is started by whoever gives it.
        let marked = selector.tag.as_ref().map_or(self.is_new, |tag| self.tags.contains(tag));
        self.kind.is_none_or(|kind| kind == selector.kind) && named && marked
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

    /// One whose steps are said, on datasets of a name.
    fn written(takes: &str, steps: &str) -> Pipeline {
        let text = format!(
            "{{schema_version: 1, name: t, description: d, inputs: {{in: {{kind: dataset}}}}, steps: {{{steps}}}}}"
        );
        let template = Template::parse(&text, "t").expect("template");
        let mut connected = crate::Connected::from(template);
        let steps = connected.template.steps.iter().filter(|step| step.work().is_some());
        let made = |step: &Step| crate::Made { step: step.name.clone(), output: "out".to_owned(), kind: Kind::Dataset };
        connected.makes = steps.map(made).collect();
        let inputs = [("in".to_owned(), takes.to_owned())].into();
        let (project, name) = ("p".parse().expect("name"), "t".parse().expect("name"));
        Pipeline::new(project, name, connected, &inputs, BTreeMap::<Name, Attributes>::new(), Timestamp::UNIX_EPOCH)
            .expect("pipeline")
    }

    const FIRST: &str = "first: {run: {kind: x}, inputs: {in: '${inputs.in}'}}";
    const HIDDEN: &str = "first: {run: {kind: x}, inputs: {in: '${inputs.in}'}, anonymous: true}";
    const LAST: &str = "last: {run: {kind: x}, inputs: {in: '${steps.first.out}'}}";

    #[test]
    fn names_are_followed_from_step_to_step() {
        for first in [FIRST, HIDDEN] {
            let chain = format!("{first}, {LAST}");
            assert_eq!(found(&[], &written("data://p/rows", &chain)), "", "it makes rows-out-out, {first}");
            assert_eq!(found(&[], &written("data://*", &chain)), "t", "{first}");
        }
        let back = pipeline("back", "data://p/rows-out-out", "dataset");
        let makes_rows = written("data://p/rows", &format!("{FIRST}, {LAST}"));
        assert_eq!(found(&[back], &makes_rows), "", "what is made of that is longer still");
    }

    #[test]
    fn what_a_step_registers_or_fetches_counts_by_the_name_it_gets() {
        let named =
            |name: &str| format!("{HIDDEN}, keep: {{register: {{artifact: '${{steps.first.out}}', name: {name}}}}}");
        assert_eq!(found(&[], &written("data://p/rows", &named("rows"))), "t");
        assert_eq!(found(&[], &written("data://p/rows", &named("few"))), "");
        let fetch = "rows: {fetch: {endpoint: archive, path: x, kind: dataset, name: rows}}";
        assert_eq!(found(&[], &written("data://p/rows", &format!("{fetch}, {FIRST}"))), "t");
        let copy = format!("{HIDDEN}, keep: {{copy: {{artifact: '${{steps.first.out}}', project: q, name: rows}}}}");
        assert_eq!(found(&[], &written("data://p/rows", &copy)), "", "that is another project's");
    }

    #[test]
    fn who_waits_for_a_tag_is_started_by_who_gives_it() {
        let tagging = |tag: &str| format!("mark: {{register: {{artifact: '${{inputs.in}}', tags: [{tag}]}}}}");
        assert_eq!(found(&[], &written("data://p/*@good", &tagging("good"))), "t");
        assert_eq!(found(&[], &written("data://p/*@good", &tagging("seen"))), "");
        assert_eq!(found(&[], &written("data://p/*", &tagging("seen"))), "", "it is no new one");
        assert_eq!(found(&[], &written("data://p/*@good", FIRST)), "", "nobody tags what it makes");
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
