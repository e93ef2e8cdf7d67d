//! Judging rule by rule: whatever a rule looks at, a component that has to be stopped has broken it.

use crate::{Usage, Verdict, stand::Stand};
use fuseml_domain::{Error, ErrorKind};
use fuseml_sandbox::{Outcome, Receipt};
use std::collections::BTreeSet;

/// What a rule's own look came to.
pub(crate) type Judged = Result<(), Trouble>;

#[derive(Debug)]
pub(crate) enum Trouble {
    /// The rule is broken: what was seen.
    Seen(String),
    /// There was nothing to judge, and why.
    Nothing(String),
}

pub(crate) fn seen(what: impl Into<String>) -> Trouble {
    Trouble::Seen(what.into())
}

pub(crate) fn nothing(why: impl Into<String>) -> Trouble {
    Trouble::Nothing(why.into())
}

/// An error where an answer was due.
impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Seen(said(&error))
    }
}

pub(crate) fn said(error: &Error) -> String {
    format!("{} ({}): {}", error.kind, error.code, error.message)
}

pub(crate) struct Suite<'a> {
    stand: &'a Stand,
    findings: Vec<(&'static str, Verdict)>,
    usage: Option<Usage>,
    /// What was refused although everything requested was granted.
    refused: BTreeSet<String>,
}

impl<'a> Suite<'a> {
    pub(crate) fn new(stand: &'a Stand) -> Self {
        Self { stand, findings: Vec::new(), usage: None, refused: BTreeSet::new() }
    }

    /// A rule about a component that runs with all that it requests.
    pub(crate) async fn rule(&mut self, rule: &'static str, fix: &str, work: impl Future<Output = Judged>) {
        let receipts = self.judge(rule, fix, work).await;
        let refusals = receipts.iter().flat_map(|receipt| &receipt.refusals);
        self.refused.extend(refusals.map(|refusal| refusal.what.clone()));
    }

    /// A rule about a component from which something was taken.
    pub(crate) async fn deprived(&mut self, rule: &'static str, fix: &str, work: impl Future<Output = Judged>) {
        self.judge(rule, fix, work).await;
    }

    async fn judge(&mut self, rule: &'static str, fix: &str, work: impl Future<Output = Judged>) -> Vec<Receipt> {
        let judged = work.await;
        let receipts = self.stand.take_receipts();
        for receipt in &receipts {
            self.count(receipt);
        }
        let stopped = receipts.iter().find_map(|receipt| match &receipt.outcome {
            Outcome::Stopped(code) => Some(format!("`{}` had to be stopped: {code}", receipt.function)),
            _ => None,
        });
        let verdict = match (judged, stopped) {
            (Err(Trouble::Seen(found)), Some(stopped)) => broken(format!("{stopped}; {found}"), fix),
            (_, Some(stopped)) => broken(stopped, "answer an error instead of a panic, and stay within the limits"),
            (Err(Trouble::Seen(found)), None) => broken(found, fix),
            (Err(Trouble::Nothing(why)), None) => Verdict::NotJudged { why },
            (Ok(()), None) => Verdict::Kept,
        };
        self.findings.push((rule, verdict));
        receipts
    }

    /// A rule that was looked at elsewhere.
    pub(crate) fn judged(&mut self, rule: &'static str, fix: &str, judged: Result<(), String>) {
        let verdict = match judged {
            Ok(()) => Verdict::Kept,
            Err(found) => broken(found, fix),
        };
        self.findings.push((rule, verdict));
    }

    fn count(&mut self, receipt: &Receipt) {
        let usage = self.usage.get_or_insert_default();
        usage.calls += 1;
        let most = |most: &mut (String, u64), value: u64| {
            if value > most.1 || most.0.is_empty() {
                *most = (receipt.function.to_owned(), value);
            }
        };
        most(&mut usage.longest_wall, u64::try_from(receipt.wall.as_micros()).unwrap_or(u64::MAX));
        most(&mut usage.longest_cpu, u64::try_from(receipt.cpu.as_micros()).unwrap_or(u64::MAX));
        most(&mut usage.most_memory, receipt.peak_memory as u64);
    }

    pub(crate) fn finish(mut self) -> (Vec<(&'static str, Verdict)>, Option<Usage>) {
        if self.usage.is_some() {
            let refused: Vec<_> = std::mem::take(&mut self.refused).into_iter().collect();
            let judged = if refused.is_empty() { Ok(()) } else { Err(format!("was refused: {}", refused.join(", "))) };
            self.judged(
                "asks-for-what-it-uses",
                "request it in extension.toml with a reason, or do without it",
                judged,
            );
        }
        (self.findings, self.usage)
    }
}

fn broken(found: String, fix: &str) -> Verdict {
    Verdict::Broken { found, fix: fix.to_owned() }
}

/// That a call failed, with one of these kinds.
pub(crate) fn failed<T>(what: &str, answer: Result<T, Error>, kinds: &[ErrorKind]) -> Judged {
    let kinds_in_words = || kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    match answer {
        Ok(_) => Err(seen(format!("{what} was answered instead of refused as {}", kinds_in_words()))),
        Err(error) if kinds.contains(&error.kind) => Ok(()),
        Err(error) => Err(seen(format!("{what} failed as {} instead of {}", said(&error), kinds_in_words()))),
    }
}
