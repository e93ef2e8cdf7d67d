//! Whether a job was done before: what decides its result, and how two jobs differ (S5–S6).

use crate::{Address, Attributes, Digest, Name, Value};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// All that decides what a job makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub runnable: Address,
    /// Of its environment or image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// By slot: the artifact's address, or the digest of those of its files that the runnable watches.
    pub inputs: BTreeMap<String, String>,
    pub parameters: Attributes,
    /// Of the variables that the settings of its instance fill.
    pub variables: Digest,
}

impl Identity {
    /// The same for the same job.
    ///
    /// # Panics
    /// Never: an identity is always JSON.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("an identity is always JSON"))
    }

    /// What is not as it was, a line each.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut note = |what: &str, before: Option<&str>, now: Option<&str>| {
            if before != now {
                found.push(format!("{what} was {}, is {}", shown(before), shown(now)));
            }
        };
        note("the runnable", Some(&before.runnable.to_string()), Some(&self.runnable.to_string()));
        note("the environment", before.environment.as_deref(), self.environment.as_deref());
        for (what, before, now) in
            [("input", &before.inputs, &self.inputs), ("parameter", &before.parameters, &self.parameters)]
        {
            let names: std::collections::BTreeSet<_> = before.keys().chain(now.keys()).collect();
            for name in names {
                let (before, now) = (before.get(name), now.get(name));
                note(&format!("the {what} `{name}`"), before.map(String::as_str), now.map(String::as_str));
            }
        }
        if before.variables != self.variables {
            found.push("the instance's settings differ".to_owned());
        }
        found
    }
}

/// Addresses and digests as people see them.
fn short(value: &str) -> String {
    if let Ok(address) = value.parse::<Address>() {
        return address.short();
    }
    let begins = value.rfind("sha256:").unwrap_or_default();
    match value[begins..].parse::<Digest>() {
        Ok(digest) => format!("{}sha256:{}", &value[..begins], &digest.hex()[..12]),
        Err(_) => value.to_owned(),
    }
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "not given".to_owned(), short)
}

/// What a job made, for those that would do the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    pub pipeline: Name,
    /// `<pipeline>/<number>`.
    pub run: String,
    pub step: Name,
    pub identity: Identity,
    pub outputs: BTreeMap<String, Value>,
    /// From staging to collected, in seconds.
    pub seconds: f64,
}

/// Whether a step took an earlier result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum ReuseVerdict {
    /// That of this run and step.
    Hit { run: String, step: Name },
    /// There is none; why, a line each.
    Miss { reasons: Vec<String> },
    /// Nobody looked.
    Off { reason: String },
}

impl fmt::Display for ReuseVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hit { run, step } => write!(f, "reused from {run}, step {step}"),
            Self::Miss { reasons } => f.write_str(&reasons.join("; ")),
            Self::Off { reason } => f.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            runnable: "runnable://shop/trainer/4c88e8f252be0a8e1e8e3".parse().expect("address"),
            environment: Some("sha256:ab".to_owned()),
            inputs: [("code".to_owned(), "code://shop/app/f3b0924".to_owned())].into(),
            parameters: [("alpha".to_owned(), "0.5".to_owned())].into(),
            variables: Digest::of(b"variables"),
        }
    }

    #[test]
    fn whatever_decides_the_result_decides_the_digest_and_is_named() {
        let before = identity();
        assert_eq!((before.digest(), before.differences(&before)), (identity().digest(), Vec::new()));
        type Change = fn(&mut Identity);
        let changes: [(Change, &str); 5] = [
            (|it| it.runnable = "runnable://shop/trainer/5d".parse().expect("address"), "the runnable was"),
            (|it| it.environment = None, "the environment was sha256:ab, is not given"),
            (
                |it| drop(it.inputs.insert("code".to_owned(), "code://shop/app/863ddba".to_owned())),
                "the input `code` was code://shop/app/f3b0924, is code://shop/app/863ddba",
            ),
            (
                |it| drop(it.parameters.insert("beta".to_owned(), "1".to_owned())),
                "the parameter `beta` was not given, is 1",
            ),
            (|it| it.variables = Digest::of(b"others"), "the instance's settings differ"),
        ];
        for (change, said) in changes {
            let mut now = identity();
            change(&mut now);
            assert_ne!(now.digest(), before.digest(), "{said}");
            let differences = now.differences(&before);
            assert!(differences.len() == 1 && differences[0].starts_with(said), "{differences:?}");
        }
    }
}
