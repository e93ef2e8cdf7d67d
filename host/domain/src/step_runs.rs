//! The steps of a run, which copies of it have in common until one of them changes.

use crate::StepRun;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    iter::Map,
    ops::{Index, IndexMut},
    slice::Iter,
    sync::Arc,
};

/// In the order of the template. A copy costs a pointer a step; what is changed is copied then.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepRuns(Vec<Arc<StepRun>>);

type Steps<'a> = Map<Iter<'a, Arc<StepRun>>, fn(&Arc<StepRun>) -> &StepRun>;

impl StepRuns {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, position: usize) -> Option<&StepRun> {
        self.0.get(position).map(Arc::as_ref)
    }

    pub fn iter(&self) -> Steps<'_> {
        self.0.iter().map(Arc::as_ref)
    }

    /// Only these are copied, to be changed.
    pub fn filter_mut(&mut self, mut wanted: impl FnMut(&StepRun) -> bool) -> impl Iterator<Item = &mut StepRun> {
        self.0.iter_mut().filter(move |step| wanted(step)).map(Arc::make_mut)
    }

    /// Positions of those that are not as they were.
    pub fn changed_since(&self, before: &Self) -> Vec<usize> {
        let differ = |(now, before): &(&Arc<StepRun>, &Arc<StepRun>)| !Arc::ptr_eq(now, before) && now != before;
        let pairs = self.0.iter().zip(&before.0).enumerate();
        pairs.filter(|(_, pair)| differ(pair)).map(|(position, _)| position).collect()
    }
}

impl Index<usize> for StepRuns {
    type Output = StepRun;

    fn index(&self, position: usize) -> &StepRun {
        &self.0[position]
    }
}

impl IndexMut<usize> for StepRuns {
    fn index_mut(&mut self, position: usize) -> &mut StepRun {
        Arc::make_mut(&mut self.0[position])
    }
}

impl<'a> IntoIterator for &'a StepRuns {
    type Item = &'a StepRun;
    type IntoIter = Steps<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<StepRun> for StepRuns {
    fn from_iter<I: IntoIterator<Item = StepRun>>(steps: I) -> Self {
        Self(steps.into_iter().map(Arc::new).collect())
    }
}

/// As a list of steps.
impl Serialize for StepRuns {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self)
    }
}

impl<'de> Deserialize<'de> for StepRuns {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::deserialize(from).map(Self::from_iter)
    }
}
