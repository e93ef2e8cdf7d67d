//! Steps by which an artifact comes into the catalog without a job: registered, copied into another project, fetched from
//! an outside service (S128).

use crate::{Error, Interpolated, Kind, Name, Reference, Result, change::check_label};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is kept, and as what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    pub source: KeepSource,
    /// As it is called where it comes from, if none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Interpolated>,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, Interpolated>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Interpolated>,
}

/// Where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeepSource {
    /// One that the run has: an anonymous one becomes one that lasts.
    Run(Reference),
    /// The same, into another project.
    Copy { artifact: Reference, project: Name },
    /// One file of an endpoint of the project.
    Endpoint { endpoint: Name, path: Option<Interpolated>, kind: Kind, sha256: Option<Interpolated> },
}

impl Keep {
    /// The artifact that the run has already.
    pub fn artifact(&self) -> Option<&Reference> {
        match &self.source {
            KeepSource::Run(artifact) | KeepSource::Copy { artifact, .. } => Some(artifact),
            KeepSource::Endpoint { .. } => None,
        }
    }

    pub(crate) fn artifact_mut(&mut self) -> Option<&mut Reference> {
        match &mut self.source {
            KeepSource::Run(artifact) | KeepSource::Copy { artifact, .. } => Some(artifact),
            KeepSource::Endpoint { .. } => None,
        }
    }

    /// Every text that may hold references.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &Interpolated> {
        let of_source = match &self.source {
            KeepSource::Endpoint { path, sha256, .. } => [path.as_ref(), sha256.as_ref()],
            KeepSource::Run(_) | KeepSource::Copy { .. } => [None, None],
        };
        of_source.into_iter().flatten().chain(&self.name).chain(self.labels.values()).chain(&self.tags)
    }

    pub(crate) fn texts_mut(&mut self) -> impl Iterator<Item = &mut Interpolated> {
        let of_source = match &mut self.source {
            KeepSource::Endpoint { path, sha256, .. } => [path.as_mut(), sha256.as_mut()],
            KeepSource::Run(_) | KeepSource::Copy { .. } => [None, None],
        };
        of_source.into_iter().flatten().chain(&mut self.name).chain(self.labels.values_mut()).chain(&mut self.tags)
    }

    /// Refuses names, tags, labels and digests that are written out and are none.
    ///
    /// # Errors
    /// `invalid`.
    pub(crate) fn check(&self) -> Result<()> {
        let literal = |text: &Interpolated| text.filled(|_| Err(Error::internal("reference", ""))).ok();
        for text in self.name.iter().chain(&self.tags).filter_map(literal) {
            text.parse::<Name>()?;
        }
        for (label, text) in &self.labels {
            check_label(label, &literal(text).unwrap_or_default())?;
        }
        if let KeepSource::Endpoint { sha256: Some(sha256), .. } = &self.source
            && let Some(text) = literal(sha256)
        {
            format!("sha256:{}", text.trim_start_matches("sha256:").to_ascii_lowercase()).parse::<crate::Digest>()?;
        }
        Ok(())
    }

    /// For people, with what is said of each text.
    pub fn shown(&self, said: impl Fn(&Interpolated) -> String) -> String {
        let name: String = self.name.iter().map(|name| format!(" as {}", said(name))).collect();
        match &self.source {
            KeepSource::Run(artifact) => format!("registers {artifact}{name}"),
            KeepSource::Copy { artifact, project } => format!("copies {artifact} to {project}{name}"),
            KeepSource::Endpoint { endpoint, path, kind, .. } => {
                let path: String = path.iter().map(|path| format!(", {}", said(path))).collect();
                format!("fetches a {kind} from {endpoint}{path}{name}")
            }
        }
    }
}

/// An artifact of the run, named, labelled and tagged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Register")]
pub(crate) struct RegisterText {
    artifact: Reference,
    /// Of an anonymous one; as if not said it is what it would have been called.
    name: Option<Interpolated>,
    #[serde(default)]
    labels: IndexMap<String, Interpolated>,
    /// They point at it from then on.
    #[serde(default)]
    tags: Vec<Interpolated>,
}

/// The contents of an artifact of the run, in another project.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Copy")]
pub(crate) struct CopyText {
    artifact: Reference,
    /// Where it goes.
    project: Name,
    /// What it is called there; the same if not said.
    name: Option<Interpolated>,
    #[serde(default)]
    labels: IndexMap<String, Interpolated>,
    #[serde(default)]
    tags: Vec<Interpolated>,
}

/// A file of an outside service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Fetch")]
pub(crate) struct FetchText {
    /// The name of an endpoint of the project.
    endpoint: Name,
    /// Below the endpoint's address; the address itself if left out.
    path: Option<Interpolated>,
    /// `dataset` or `model`.
    kind: Kind,
    name: Interpolated,
    /// What the file has to be, in hexadecimal digits.
    sha256: Option<Interpolated>,
    #[serde(default)]
    labels: IndexMap<String, Interpolated>,
    #[serde(default)]
    tags: Vec<Interpolated>,
}

impl From<RegisterText> for Keep {
    fn from(text: RegisterText) -> Self {
        let RegisterText { artifact, name, labels, tags } = text;
        Self { source: KeepSource::Run(artifact), name, labels, tags }
    }
}

impl From<CopyText> for Keep {
    fn from(text: CopyText) -> Self {
        let CopyText { artifact, project, name, labels, tags } = text;
        Self { source: KeepSource::Copy { artifact, project }, name, labels, tags }
    }
}

impl FetchText {
    /// # Errors
    /// `invalid` for what is no file.
    pub(crate) fn read(self) -> Result<Keep> {
        let Self { endpoint, path, kind, name, sha256, labels, tags } = self;
        if !matches!(kind, Kind::Dataset | Kind::Model) {
            return Err(Error::invalid("kind", format!("a {kind} is not fetched as a file; a dataset or a model is")));
        }
        Ok(Keep { source: KeepSource::Endpoint { endpoint, path, kind, sha256 }, name: Some(name), labels, tags })
    }
}
