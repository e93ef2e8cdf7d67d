//! The template of a run with what is worked out of it once for all its transitions.

use crate::{Name, Step, Template};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, OnceLock},
};

/// A template that does not change any more, shared by copies of what runs by it.
#[derive(Debug, Clone)]
pub struct Course(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    template: Template,
    order: OnceLock<Order>,
}

#[derive(Debug)]
struct Order {
    places: HashMap<Name, usize>,
    /// Places of the steps that each needs, by its place.
    needs: Vec<Vec<usize>>,
}

impl Course {
    pub fn step(&self, name: &Name) -> Option<&Step> {
        self.0.template.steps.get(self.place(name)?)
    }

    /// Where a step stands.
    pub fn place(&self, step: &Name) -> Option<usize> {
        self.order().places.get(step).copied()
    }

    /// Places of the steps that the one at a place needs.
    pub(crate) fn needs(&self, place: usize) -> &[usize] {
        self.order().needs.get(place).map(Vec::as_slice).unwrap_or_default()
    }

    fn order(&self) -> &Order {
        self.0.order.get_or_init(|| {
            let steps = &self.0.template.steps;
            let places: HashMap<_, _> = steps.iter().enumerate().map(|(at, step)| (step.name.clone(), at)).collect();
            let needs = |step: &Step| step.needs().iter().filter_map(|name| places.get(name).copied()).collect();
            Order { needs: steps.iter().map(needs).collect(), places }
        })
    }
}

impl From<Template> for Course {
    fn from(template: Template) -> Self {
        Self(Arc::new(Inner { template, order: OnceLock::new() }))
    }
}

impl Deref for Course {
    type Target = Template;

    fn deref(&self) -> &Template {
        &self.0.template
    }
}

impl PartialEq for Course {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.template == other.0.template
    }
}

/// As the template.
impl Serialize for Course {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.template.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Course {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Template::deserialize(from).map(Self::from)
    }
}
