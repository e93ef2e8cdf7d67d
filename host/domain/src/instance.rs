//! Instances: an installed extension configured for one real tool, and how pipelines pick one.

use crate::{Attributes, Budget, Error, Grants, Name, Result, runnable::list_or_none};
use schemars::JsonSchema;
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Whose pipelines an instance serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "name")]
pub enum Scope {
    #[default]
    Global,
    Project(Name),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.pad("global"),
            Self::Project(project) => f.pad(&format!("project {project}")),
        }
    }
}

/// One configured tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Instance {
    pub name: Name,
    pub extension: Name,
    /// Checked against the manifest.
    pub settings: Attributes,
    pub grants: Grants,
    #[serde(default)]
    pub scope: Scope,
    /// Where the tool runs: any word the operators agree on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    #[serde(default)]
    pub budget: Budget,
    /// Its calls are recorded, to be replayed.
    #[serde(default)]
    pub record: bool,
    pub enabled: bool,
}

/// How a template names the instance of a step: by name, or by what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum InstanceChoice {
    Name(Name),
    Selector(InstanceSelector),
}

impl fmt::Display for InstanceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.pad(name),
            Self::Selector(selector) => selector.fmt(f),
        }
    }
}

/// A name, or what it must be: `zone:eu`, `product:ray,zone:eu`.
impl FromStr for InstanceChoice {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        if !text.contains(':') {
            return text.parse().map(Self::Name);
        }
        let mut selector = InstanceSelector::default();
        for part in text.split(',') {
            let (what, value) = part.split_once(':').unwrap_or((part, ""));
            match what {
                "product" => selector.product = Some(value.parse()?),
                "category" => selector.category = Some(value.parse()?),
                "zone" => selector.zone = Some(value.parse()?),
                "version" => {
                    let range = value.parse().map_err(|error| Error::invalid("version", format!("`{value}`: {error}")));
                    selector.version = Some(range?);
                }
                _ => {
                    let message = format!(
                        "`{part}` says nothing of an instance; write its name, or product:, category:, version: and \
                         zone:, separated by commas"
                    );
                    return Err(Error::invalid("instance", message));
                }
            }
        }
        Ok(Self::Selector(selector))
    }
}

/// What an instance must be. Every condition given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceSelector {
    /// The tool that the extension adapts: `mlflow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<Name>,
    /// What the extension is for: `experiment-tracking`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Name>,
    /// Of the extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub version: Option<VersionReq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
}

impl fmt::Display for InstanceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}"));
        let parts: Vec<_> = [
            part("product", self.product.as_ref().map(ToString::to_string)),
            part("category", self.category.as_ref().map(ToString::to_string)),
            part("version", self.version.as_ref().map(ToString::to_string)),
            part("zone", self.zone.as_ref().map(ToString::to_string)),
        ]
        .into_iter()
        .flatten()
        .collect();
        f.pad(&if parts.is_empty() { "any instance".to_owned() } else { parts.join(", ") })
    }
}

/// An instance as a choice sees it: with what its extension says of itself.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    pub instance: &'a Instance,
    pub product: &'a Name,
    pub categories: &'a [Name],
    pub version: &'a Version,
    /// The extension itself is enabled.
    pub enabled: bool,
}

/// The one instance that the choice means in a project. Among several that a selector fits, the project's own goes
/// before global ones; two of the same rank are refused, because nobody could say which ran.
pub fn choose<'a>(choice: &InstanceChoice, project: &Name, candidates: &[Candidate<'a>]) -> Result<&'a Instance> {
    let visible = |candidate: &&Candidate<'a>| match &candidate.instance.scope {
        Scope::Global => true,
        Scope::Project(owner) => owner == project,
    };
    let usable = |candidate: &&Candidate<'a>| candidate.enabled && candidate.instance.enabled;
    match choice {
        InstanceChoice::Name(name) => {
            let found = candidates.iter().filter(visible).find(|candidate| candidate.instance.name == *name);
            let found = found.ok_or_else(|| {
                let known: Vec<_> = candidates.iter().filter(visible).map(|it| &*it.instance.name).collect();
                Error::not_found(
                    "unknown-instance",
                    format!(
                        "the project {project} sees no extension instance `{name}`; it sees {}",
                        list_or_none(&known)
                    ),
                )
            })?;
            if !usable(&found) {
                return Err(Error::unavailable("disabled", format!("the extension instance {name} is disabled")));
            }
            Ok(found.instance)
        }
        InstanceChoice::Selector(selector) => {
            let fits: Vec<_> =
                candidates.iter().filter(visible).filter(usable).filter(|it| selector.fits(it)).collect();
            let own: Vec<_> = fits.iter().filter(|it| it.instance.scope != Scope::Global).collect();
            let ranked: Vec<_> = if own.is_empty() { fits.iter().collect() } else { own };
            match ranked.as_slice() {
                [one] => Ok(one.instance),
                [] => Err(Error::not_found(
                    "no-instance",
                    format!("no enabled extension instance that the project {project} sees has {selector}"),
                )),
                several => {
                    let names: Vec<_> = several.iter().map(|it| &*it.instance.name).collect();
                    Err(Error::conflict(
                        "ambiguous-instance",
                        format!("{selector} fits {}; name one of them, or say more", list_or_none(&names)),
                    ))
                }
            }
        }
    }
}

impl InstanceSelector {
    /// Whatever is there.
    pub fn in_zone(zone: Name) -> Self {
        Self { zone: Some(zone), ..Self::default() }
    }

    fn fits(&self, candidate: &Candidate<'_>) -> bool {
        self.product.as_ref().is_none_or(|product| product == candidate.product)
            && self.category.as_ref().is_none_or(|category| candidate.categories.contains(category))
            && self.version.as_ref().is_none_or(|version| version.matches(candidate.version))
            && self.zone.as_ref().is_none_or(|zone| candidate.instance.zone.as_ref() == Some(zone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("name")
    }

    fn instance(text: &str, zone: Option<&str>, project: Option<&str>, enabled: bool) -> Instance {
        Instance {
            name: name(text),
            extension: name("mlflow"),
            settings: Attributes::new(),
            grants: Grants::default(),
            scope: project.map_or(Scope::Global, |project| Scope::Project(name(project))),
            zone: zone.map(name),
            budget: Budget::default(),
            record: false,
            enabled,
        }
    }

    #[test]
    fn an_instance_is_chosen_by_name_or_by_what_it_is() {
        let instances = [
            instance("prod", Some("eu"), None, true),
            instance("staging", Some("us"), None, true),
            instance("own", Some("eu"), Some("myproj"), true),
            instance("off", Some("mars"), None, false),
        ];
        let (product, version, categories) = (name("mlflow"), Version::new(0, 2, 0), [name("models")]);
        let candidates: Vec<_> = instances
            .iter()
            .map(|instance| Candidate {
                instance,
                product: &product,
                categories: &categories,
                version: &version,
                enabled: true,
            })
            .collect();
        let by_name = |text: &str| InstanceChoice::Name(name(text));
        let select = |text: &str| InstanceChoice::Selector(serde_saphyr::from_str(text).expect("selector"));
        let cases: [(InstanceChoice, &str, Result<&str, &str>); 12] = [
            (by_name("prod"), "myproj", Ok("prod")),
            (by_name("own"), "myproj", Ok("own")),
            (by_name("own"), "other", Err("unknown-instance")),
            (by_name("off"), "myproj", Err("disabled")),
            (select("zone: us"), "myproj", Ok("staging")),
            (select("zone: eu"), "myproj", Ok("own")),
            (select("zone: eu"), "other", Ok("prod")),
            (select("zone: mars"), "myproj", Err("no-instance")),
            (select("product: mlflow"), "other", Err("ambiguous-instance")),
            (select("{category: models, version: '>=0.2, <0.3', zone: us}"), "other", Ok("staging")),
            (select("{version: '>=1', zone: us}"), "other", Err("no-instance")),
            (select("{product: dvc, zone: us}"), "other", Err("no-instance")),
        ];
        for (choice, project, expected) in cases {
            let chosen = choose(&choice, &name(project), &candidates);
            let said = chosen.as_ref().map(|instance| &*instance.name).map_err(|error| error.code.as_str());
            assert_eq!(said, expected, "{choice} in {project}");
        }
    }
}
