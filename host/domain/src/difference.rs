//! How two artifacts differ, as far as their descriptors say it.

use crate::{Attributes, Descriptor, Environment, Runnable};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One thing that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactDifference {
    /// `attribute`, `metric`, `parameter`, `label`, `file`, `code`, `input`, `runnable`, `environment`, `extension`.
    pub about: String,
    pub name: String,
    /// `None` where only the other one has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl ArtifactDifference {
    /// Between two sets of named values, sorted by name.
    pub fn between(about: &str, before: &Attributes, after: &Attributes) -> Vec<Self> {
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let of = |name: &String| {
            let (before, after) = (before.get(name).cloned(), after.get(name).cloned());
            (before != after).then(|| Self { about: about.to_owned(), name: name.clone(), before, after })
        };
        names.into_iter().filter_map(of).collect()
    }
}

/// What a person wants to know first comes first: metrics, parameters, other attributes, labels.
pub fn differences(before: &Descriptor, after: &Descriptor) -> Vec<ArtifactDifference> {
    let metrics = |of: &Descriptor| -> Attributes {
        of.metrics.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
    };
    let (mut found, [(parameters, attributes), (other_parameters, other_attributes)]) = (
        ArtifactDifference::between("metric", &metrics(before), &metrics(after)),
        [before, after].map(|of| parted(&of.attributes)),
    );
    found.extend(ArtifactDifference::between("parameter", &parameters, &other_parameters));
    found.extend(ArtifactDifference::between("attribute", &attributes, &other_attributes));
    found.extend(ArtifactDifference::between("label", &before.labels, &after.labels));
    if let (Some(one), Some(other)) = (&before.runnable, &after.runnable) {
        found.extend(runnable_differences(one, other));
    }
    found
}

/// Parameters of the training, and all else.
fn parted(attributes: &Attributes) -> (Attributes, Attributes) {
    let (mut parameters, mut others) = (Attributes::new(), Attributes::new());
    for (name, value) in attributes {
        match name.strip_prefix("parameter.") {
            Some(name) => parameters.insert(name.to_owned(), value.clone()),
            None => others.insert(name.clone(), value.clone()),
        };
    }
    (parameters, others)
}

/// How what two runnables run differs.
pub fn runnable_differences(before: &Runnable, after: &Runnable) -> Vec<ArtifactDifference> {
    let facts = |of: &Runnable| -> Attributes {
        let scripts = of.scripts.iter().map(|(path, text)| {
            (format!("script {path}"), crate::Digest::of(text.as_bytes()).to_string().chars().take(19).collect())
        });
        let variables = of.variables.iter().map(|(name, value)| (format!("variable {name}"), value.clone()));
        let mut facts: BTreeMap<String, String> = scripts.chain(variables).collect();
        facts.insert("command".to_owned(), of.command.join(" "));
        facts
    };
    let mut found = ArtifactDifference::between("runnable", &facts(before), &facts(after));
    let [one, other] = [before, after].map(|of| of.environment.as_ref().map(packages).unwrap_or_default());
    found.extend(ArtifactDifference::between("environment", &one, &other));
    found
}

/// Python and packages, each by its name.
fn packages(environment: &Environment) -> Attributes {
    let mut packages: Attributes = environment
        .requirements
        .iter()
        .map(|requirement| {
            let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
            let (name, version) = requirement.split_at(end.unwrap_or(requirement.len()));
            (name.to_owned(), if version.is_empty() { "any".to_owned() } else { version.trim().to_owned() })
        })
        .collect();
    packages.extend(environment.python.clone().map(|version| ("python".to_owned(), version)));
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> Attributes {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_the_same_is_not_named_and_what_one_lacks_is() {
        let before = attributes(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let after = attributes(&[("a", "1"), ("b", "x"), ("d", "4")]);
        let found = ArtifactDifference::between("attribute", &before, &after);
        let shown: Vec<_> = found.iter().map(|one| (&*one.name, one.before.as_deref(), one.after.as_deref())).collect();
        assert_eq!(shown, [("b", Some("2"), Some("x")), ("c", Some("3"), None), ("d", None, Some("4"))]);
    }

    #[test]
    fn packages_are_compared_by_name() {
        let environment = |requirements: &[&str]| Environment {
            name: "wine".to_owned(),
            dockerfile: String::new(),
            python: Some("3.11".to_owned()),
            requirements: requirements.iter().map(|one| (*one).to_owned()).collect(),
            digest: crate::Digest::of(b""),
        };
        let packages = packages(&environment(&["scikit-learn==1.5.2", "pandas", "numpy >=1,<3", "torch[cuda]==2"]));
        assert_eq!(
            packages,
            attributes(&[
                ("scikit-learn", "==1.5.2"),
                ("pandas", "any"),
                ("numpy", ">=1,<3"),
                ("torch", "[cuda]==2"),
                ("python", "3.11")
            ])
        );
    }
}
