//! What is known of an artifact before it is there, and what is demanded of one (S26).

use crate::{Attributes, Descriptor, InputSlot, Kind};
use std::fmt;

/// A kind with attributes: what something gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    pub kind: Kind,
    pub attributes: Attributes,
    /// Whether it has no other attributes than these.
    pub is_whole: bool,
}

/// Whether an artifact of a form is what an input demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    No,
    /// Nothing is known against it.
    Maybe,
    Surely,
}

impl Form {
    /// What an artifact is.
    pub fn of(artifact: &Descriptor) -> Self {
        Self { kind: artifact.kind(), attributes: artifact.attributes.clone(), is_whole: true }
    }

    /// What something promises of itself, and maybe more.
    pub fn promised(kind: Kind, attributes: &Attributes) -> Self {
        Self { kind, attributes: attributes.clone(), is_whole: false }
    }

    /// The same as far as an input asks for it.
    pub(crate) fn as_asked(&self, slot: &InputSlot) -> Self {
        let asked = |(name, _): &(&String, &String)| slot.requires.contains_key(*name);
        let attributes = self.attributes.iter().filter(asked).map(|(name, value)| (name.clone(), value.clone()));
        Self { attributes: attributes.collect(), ..self.clone() }
    }

    pub fn fit(&self, slot: &InputSlot) -> Fit {
        if self.kind != slot.kind {
            return Fit::No;
        }
        let fit = |(name, wanted): (&String, &String)| match self.attributes.get(name) {
            Some(value) if value == wanted => Fit::Surely,
            None if !self.is_whole => Fit::Maybe,
            _ => Fit::No,
        };
        slot.requires.iter().map(fit).min().unwrap_or(Fit::Surely)
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.kind, &self.attributes)
    }
}

/// `a dataset with format=csv`: what an input demands.
pub(crate) struct Demand<'a>(pub(crate) &'a InputSlot);

impl fmt::Display for Demand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0.kind, &self.0.requires)
    }
}

fn show(f: &mut fmt::Formatter<'_>, kind: Kind, attributes: &Attributes) -> fmt::Result {
    write!(f, "a {kind}")?;
    for (at, (name, value)) in attributes.iter().enumerate() {
        write!(f, "{} {name}={value}", if at == 0 { " with" } else { "," })?;
    }
    Ok(())
}
