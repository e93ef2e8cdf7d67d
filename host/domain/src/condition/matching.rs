//! Whether an artifact is what a condition asks for; and what of it can be asked for, so that databases find it.

use super::{Comparison, Condition, Field, Limit, Order, Test};
use crate::{Descriptor, Origin};

/// One thing that can be asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    pub field: Field,
    pub text: String,
    /// What the text says, where it is a number.
    pub number: Option<f64>,
}

impl Fact {
    fn of(field: Field, text: &str) -> Self {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        Self { field, text: text.to_owned(), number }
    }
}

/// Attributes, metrics, labels and tags; what a runnable takes and makes.
pub fn facts(artifact: &Descriptor) -> Vec<Fact> {
    let attributes = artifact.attributes.iter().map(|(name, value)| Fact::of(Field::Attribute(name.clone()), value));
    let metrics = artifact.metrics.iter().map(|(name, value)| Fact {
        field: Field::Metric(name.clone()),
        text: value.to_string(),
        number: Some(*value),
    });
    let labels = artifact.labels.iter().map(|(name, value)| Fact::of(Field::Label(name.clone()), value));
    let tags = artifact.tags.iter().map(|tag| Fact { field: Field::Tag, text: tag.clone(), number: None });
    let slot = |field: Field| move |kind: &str| Fact { field: field.clone(), text: kind.to_owned(), number: None };
    let slots = taken(artifact).map(slot(Field::Input)).chain(made(artifact).map(slot(Field::Output)));
    attributes.chain(metrics).chain(labels).chain(tags).chain(slots).collect()
}

impl Condition {
    /// Whether the artifact is what is asked for.
    pub fn matches(&self, artifact: &Descriptor) -> bool {
        match self {
            Self::All(list) => list.iter().all(|one| one.matches(artifact)),
            Self::Any(list) => list.iter().any(|one| one.matches(artifact)),
            Self::Not(one) => !one.matches(artifact),
            Self::Is(test) => test.holds(artifact),
        }
    }
}

impl Test {
    fn holds(&self, artifact: &Descriptor) -> bool {
        match &self.field {
            Field::Kind => self.is(&artifact.kind().to_string()),
            Field::Project => self.is(artifact.project()),
            Field::Name => self.is(&artifact.name),
            Field::Version => match &self.comparison {
                Comparison::Equals(value) => artifact.id.starts_with(value.as_str()),
                Comparison::Differs(value) => !artifact.id.starts_with(value.as_str()),
                Comparison::In(values) => values.iter().any(|value| artifact.id.starts_with(value.as_str())),
                _ => self.is(&artifact.id),
            },
            Field::Origin => self.is(origin_name(&artifact.origin)),
            Field::Created => match &self.comparison {
                Comparison::Ordered(order, Limit::Time(time)) => order.holds(&artifact.created, time),
                Comparison::Has => true,
                _ => false,
            },
            Field::Tag => self.is_among(artifact.tags.iter().map(String::as_str)),
            Field::Input => self.is_among(taken(artifact)),
            Field::Output => self.is_among(made(artifact)),
            Field::Text => texts(artifact).any(|text| self.is(text)),
            Field::Attribute(name) => artifact.attributes.get(name).is_some_and(|value| self.is(value)),
            Field::Label(name) => artifact.labels.get(name).is_some_and(|value| self.is(value)),
            Field::Metric(name) => artifact.metrics.get(name).is_some_and(|value| self.is_number(*value)),
        }
    }

    /// Each is a value of its own: to differ means that none is the same.
    fn is_among<'a>(&self, mut values: impl Iterator<Item = &'a str>) -> bool {
        match &self.comparison {
            Comparison::Differs(value) => values.all(|one| one != value),
            _ => values.any(|one| self.is(one)),
        }
    }

    fn is(&self, text: &str) -> bool {
        match &self.comparison {
            Comparison::Has => true,
            Comparison::Equals(value) => text == value,
            Comparison::Differs(value) => text != value,
            Comparison::In(values) => values.iter().any(|value| text == value),
            Comparison::Contains(value) => text.to_lowercase().contains(&value.to_lowercase()),
            Comparison::Ordered(order, Limit::Number(limit)) => ordered(*order, text.parse().ok(), *limit),
            Comparison::Ordered(_, Limit::Time(_)) => false,
        }
    }

    fn is_number(&self, number: f64) -> bool {
        let same = |value: &String| value.parse().is_ok_and(|value: f64| value == number);
        match &self.comparison {
            Comparison::Has => true,
            Comparison::Equals(value) => same(value),
            Comparison::Differs(value) => !same(value),
            Comparison::In(values) => values.iter().any(same),
            Comparison::Ordered(order, Limit::Number(limit)) => ordered(*order, Some(number), *limit),
            Comparison::Contains(_) | Comparison::Ordered(_, Limit::Time(_)) => false,
        }
    }
}

fn ordered(order: Order, number: Option<f64>, limit: f64) -> bool {
    number.filter(|number| number.is_finite()).is_some_and(|number| order.holds(&number, &limit))
}

/// How a condition names where it came from.
pub fn origin_name(origin: &Origin) -> &'static str {
    match origin {
        Origin::Push { .. } => "push",
        Origin::Run { .. } => "run",
        Origin::Registered { .. } => "registered",
    }
}

/// Kinds of a runnable's inputs.
fn taken(artifact: &Descriptor) -> impl Iterator<Item = &'static str> {
    artifact.runnable.iter().flat_map(|runnable| runnable.inputs.values().map(|slot| slot.kind.name()))
}

/// Kinds of a runnable's outputs.
fn made(artifact: &Descriptor) -> impl Iterator<Item = &'static str> {
    artifact.runnable.iter().flat_map(|runnable| runnable.outputs.values().map(|slot| slot.kind.name()))
}

/// Everything that `~` looks into: name, values of attributes and labels, tags.
pub fn texts(artifact: &Descriptor) -> impl Iterator<Item = &str> {
    let values = artifact.attributes.values().chain(artifact.labels.values()).chain(&artifact.tags);
    std::iter::once(&*artifact.name).chain(values.map(String::as_str))
}
