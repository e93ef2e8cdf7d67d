//! What keeps a pipeline from starting: a person's word, or a version of an extension that was revoked.

use crate::Pipeline;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One cause for which a pipeline does not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// A line, for people.
    pub reason: String,
    pub at: Timestamp,
    /// `<extension> <version> <digest>` of a version that was revoked: it thaws when that is undone. A person's word if
    /// there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because_of: Option<String>,
    /// When a person let the pipeline start all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thawed: Option<Timestamp>,
}

impl Pipeline {
    /// What keeps it from starting now.
    pub fn frozen(&self) -> impl Iterator<Item = &Freeze> {
        self.freezes.iter().filter(|freeze| freeze.thawed.is_none())
    }

    /// Freezes it, unless it was frozen for that cause before; a person's word replaces what a person said before.
    /// Answers whether anything changed.
    pub fn freeze(&mut self, freeze: Freeze) -> bool {
        let same = self.freezes.iter_mut().find(|known| known.because_of == freeze.because_of);
        match same {
            Some(known) if known.because_of.is_none() => *known = freeze,
            Some(_) => return false,
            None => self.freezes.push(freeze),
        }
        true
    }

    /// A person lets it start, whatever froze it; the same causes do not freeze it again.
    pub fn thaw(&mut self, at: Timestamp) -> bool {
        let was_frozen = self.frozen().next().is_some();
        self.freezes.retain(|freeze| freeze.because_of.is_some());
        for freeze in &mut self.freezes {
            freeze.thawed.get_or_insert(at);
        }
        was_frozen
    }

    /// The cause is gone.
    pub fn forget_freeze(&mut self, because_of: &str) -> bool {
        let count = self.freezes.len();
        self.freezes.retain(|freeze| freeze.because_of.as_deref() != Some(because_of));
        self.freezes.len() < count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Name, Template};
    use std::collections::BTreeMap;

    const TEMPLATE: &str = "
schema_version: 1
name: train
description: one step
inputs: {code: {kind: codeset}}
steps:
  train: {run: {kind: any}, inputs: {code: '${inputs.code}'}}
outputs: {result: {kind: model, from: '${steps.train.out}'}}
";

    fn pipeline() -> Pipeline {
        let template = Template::parse(TEMPLATE, "train.yaml").expect("template");
        let (name, given): (Name, _) =
            ("p".parse().expect("name"), [("code".to_owned(), "code://*".to_owned())].into());
        Pipeline::new(name.clone(), name, template, &given, BTreeMap::new(), Timestamp::UNIX_EPOCH).expect("pipeline")
    }

    fn because(of: Option<&str>) -> Freeze {
        let because_of = of.map(ToOwned::to_owned);
        Freeze { reason: "It leaks.".to_owned(), at: Timestamp::UNIX_EPOCH, because_of, thawed: None }
    }

    #[test]
    fn each_cause_freezes_by_itself_and_goes_by_itself() {
        let mut pipeline = pipeline();
        assert!(pipeline.freeze(because(Some("a"))) && pipeline.freeze(because(Some("b"))));
        assert!(!pipeline.freeze(because(Some("a"))));

        assert!(pipeline.forget_freeze("a") && !pipeline.forget_freeze("a"));
        assert_eq!(pipeline.frozen().count(), 1);
        assert!(pipeline.forget_freeze("b"));
        assert_eq!(pipeline.frozen().count(), 0);
    }

    #[test]
    fn what_a_person_thawed_is_not_frozen_again_for_the_same_cause() {
        let mut pipeline = pipeline();
        pipeline.freeze(because(Some("a")));
        pipeline.freeze(because(None));

        assert!(pipeline.thaw(Timestamp::UNIX_EPOCH));
        assert!(!pipeline.freeze(because(Some("a"))) && pipeline.frozen().next().is_none());

        assert!(pipeline.freeze(because(Some("b"))) && pipeline.freeze(because(None)));
        assert_eq!(pipeline.frozen().count(), 2);
        pipeline.forget_freeze("a");
        assert!(pipeline.freeze(because(Some("a"))), "revoked again after it was restored");
    }
}
