//! `extension.toml`: what an extension is, what its components need and ask for.

use crate::{Attributes, Capability, Error, Kind, Name, Request, Result, Setting, check_relative_path};
use indexmap::IndexMap;
use schemars::JsonSchema;
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// A credential of an instance. Its value is kept by the host and put into requests to these hosts alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecretSetting {
    pub description: String,
    /// Patterns as in requests for `http`.
    pub hosts: Vec<String>,
}

/// The worlds that a component can implement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum World {
    ArtifactStore,
    Builder,
    RuntimeAgent,
}

/// A version of a world, as manifests name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contract {
    pub world: World,
    /// Minor version: all are `0.<minor>.0`.
    pub minor: u8,
}

impl Contract {
    /// All that this host runs, the older first.
    pub const ALL: [Self; 4] = [
        Self { world: World::ArtifactStore, minor: 1 },
        Self { world: World::ArtifactStore, minor: 2 },
        Self { world: World::Builder, minor: 1 },
        Self { world: World::RuntimeAgent, minor: 1 },
    ];
}

impl World {
    /// Of the WIT package and of the world in it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ArtifactStore => "artifact-store",
            Self::Builder => "builder",
            Self::RuntimeAgent => "runtime-agent",
        }
    }
}

/// `fuseml:<world>/<world>@<version>`.
impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, minor) = (self.world.name(), self.minor);
        write!(f, "fuseml:{name}/{name}@0.{minor}.0")
    }
}

impl FromStr for Contract {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|contract| contract.to_string() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(ToString::to_string).collect();
            Error::unsupported("world", format!("this server knows no world `{text}`; it knows {}", known.join(", ")))
        })
    }
}

/// One sandboxed component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Component {
    pub name: Name,
    pub world: String,
    /// Inside the package.
    pub file: String,
    /// Settings without which an instance does not have this component.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Artifact stores: what they keep.
    #[serde(default)]
    pub kinds: Vec<Kind>,
    #[serde(default)]
    pub requests: Vec<Request>,
}

impl Component {
    /// Checked when the manifest was parsed.
    pub fn contract(&self) -> Result<Contract> {
        self.world.parse()
    }

    /// The same, whatever its version.
    pub fn world(&self) -> Result<World> {
        Ok(self.contract()?.world)
    }

    /// Whether an instance with these settings has it.
    pub fn active(&self, settings: &Attributes) -> bool {
        self.needs.iter().all(|setting| settings.contains_key(setting))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TemplateFile {
    pub file: String,
}

/// A checked `extension.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub schema_version: u32,
    pub name: Name,
    pub version: Version,
    pub title: String,
    pub description: String,
    pub license: String,
    /// The tool that it adapts; its own name when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<Name>,
    /// What it is for, in words that pipelines select instances by: `model-registry`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Name>,
    /// Versions of FuseML that it works with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub fuseml: Option<VersionReq>,
    /// Other extensions that must be installed, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<Name, String>")]
    pub dependencies: BTreeMap<Name, VersionReq>,
    #[serde(default)]
    pub settings: IndexMap<String, Setting>,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub secrets: IndexMap<String, SecretSetting>,
    #[serde(default)]
    pub components: Vec<Component>,
    #[serde(default)]
    pub templates: Vec<TemplateFile>,
}

impl Manifest {
    /// Reads and checks the text of an `extension.toml`.
    pub fn parse(text: &str) -> Result<Self> {
        let manifest: Self =
            toml::from_str(text).map_err(|error| Error::invalid("manifest", format!("extension.toml: {error}")))?;
        manifest.check().map_err(|error| error.context("extension.toml"))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        if self.schema_version != 1 {
            return Err(Error::unsupported(
                "schema-version",
                format!("schema_version is {}; this server reads 1", self.schema_version),
            ));
        }
        if self.dependencies.contains_key(&self.name) {
            return Err(Error::invalid("dependency", format!("{} depends on itself", self.name)));
        }
        for (name, setting) in &self.settings {
            setting.check_declaration(name)?;
        }
        for (name, secret) in &self.secrets {
            self.check_secret(name, secret)?;
        }
        for (index, component) in self.components.iter().enumerate() {
            component.world()?;
            check_relative_path(&component.file)?;
            if self.components[..index].iter().any(|other| other.name == component.name) {
                return Err(Error::invalid(
                    "duplicate-component",
                    format!("two components are called `{}`", component.name),
                ));
            }
            for setting in
                component.needs.iter().map(String::as_str).chain(component.requests.iter().flat_map(references))
            {
                if !self.settings.contains_key(setting) {
                    return Err(Error::invalid(
                        "unknown-setting",
                        format!(
                            "the component `{}` names the setting `{setting}`, which is not declared",
                            component.name
                        ),
                    ));
                }
            }
            for request in &component.requests {
                check_request(&component.name, request)?;
                if let Some(secret) = request.secrets.iter().find(|secret| !self.secrets.contains_key(*secret)) {
                    return Err(Error::invalid(
                        "unknown-secret",
                        format!(
                            "the component `{}` asks for the secret `{secret}`, which is not declared",
                            component.name
                        ),
                    ));
                }
            }
        }
        self.templates.iter().try_for_each(|template| check_relative_path(&template.file))
    }

    fn check_secret(&self, name: &str, secret: &SecretSetting) -> Result<()> {
        name.parse::<Name>().map_err(|error| error.context(format!("the secret `{name}`")))?;
        if secret.hosts.is_empty() {
            return Err(Error::invalid("secret", format!("the secret `{name}` is bound to no host")));
        }
        for host in &secret.hosts {
            match crate::permission::setting_reference(host) {
                Some(setting) if !self.settings.contains_key(setting) => {
                    return Err(Error::invalid(
                        "unknown-setting",
                        format!("the secret `{name}` names the setting `{setting}`, which is not declared"),
                    ));
                }
                Some(_) => {}
                None => drop(host.parse::<crate::AllowedHost>()?),
            }
        }
        Ok(())
    }

    /// The tool that it adapts.
    pub fn product(&self) -> &Name {
        self.product.as_ref().unwrap_or(&self.name)
    }

    /// Refuses a version that this host or the other installed extensions do not fit.
    pub fn check_dependencies(&self, host: &Version, installed: &BTreeMap<Name, Version>) -> Result<()> {
        if let Some(wanted) = self.fuseml.as_ref().filter(|wanted| !wanted.matches(host)) {
            return Err(Error::unsupported(
                "host-version",
                format!("{} {} needs FuseML {wanted}; this is {host}", self.name, self.version),
            ));
        }
        for (name, wanted) in &self.dependencies {
            let problem = match installed.get(name) {
                Some(version) if wanted.matches(version) => continue,
                Some(version) => format!("{version} is installed; upgrade it first"),
                None => "it is not installed; install it first".to_owned(),
            };
            return Err(Error::conflict(
                "dependency",
                format!("{} {} needs the extension {name} {wanted}, and {problem}", self.name, self.version),
            ));
        }
        Ok(())
    }

    /// Settings as given, checked, with defaults filled in.
    pub fn check_settings(&self, given: &Attributes) -> Result<Attributes> {
        if let Some(name) = given.keys().find(|name| !self.settings.contains_key(*name)) {
            let known: Vec<_> = self.settings.keys().map(String::as_str).collect();
            return Err(Error::invalid(
                "unknown-setting",
                format!("{} has no setting `{name}`; it has {}", self.name, crate::runnable::list_or_none(&known)),
            ));
        }
        let mut settings = Attributes::new();
        for (name, setting) in &self.settings {
            match given.get(name).or(setting.default.as_ref()) {
                Some(value) => drop(settings.insert(name.clone(), setting.check(name, value)?)),
                None if setting.required => {
                    return Err(Error::invalid(
                        "missing-setting",
                        format!("{} needs the setting `{name}`: {}", self.name, setting.description),
                    ));
                }
                None => {}
            }
        }
        Ok(settings)
    }

    /// Every capability that some component requests.
    pub fn requested(&self) -> std::collections::BTreeSet<Capability> {
        self.components.iter().flat_map(|component| &component.requests).map(|request| request.capability).collect()
    }
}

fn references(request: &Request) -> impl Iterator<Item = &str> {
    request.hosts.iter().filter_map(|host| crate::permission::setting_reference(host))
}

fn check_request(component: &Name, request: &Request) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::invalid("request", format!("the component `{component}` requests `{}` {why}", request.capability)))
    };
    if request.reason.trim().is_empty() || request.reason.contains('\n') {
        return refuse("without a one-line reason");
    }
    match (request.capability, request.hosts.is_empty()) {
        (Capability::Http, true) => return refuse("without naming hosts"),
        (Capability::Http, false) => {}
        (_, false) => return refuse("with hosts, which only `http` has"),
        (_, true) => {}
    }
    match (request.capability, request.secrets.is_empty()) {
        (Capability::Reveal, true) => return refuse("without naming secrets"),
        (Capability::Reveal, false) | (_, true) => {}
        (_, false) => return refuse("with secrets, which only `reveal` has"),
    }
    for host in request.hosts.iter().filter(|host| crate::permission::setting_reference(host).is_none()) {
        host.parse::<crate::AllowedHost>()?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
