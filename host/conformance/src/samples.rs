//! `check.toml`: what an author gives the suite to work with. Nothing of it is in the package.

use fuseml_domain::{Attributes, Error, Kind, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The file, and what the command line adds.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Samples {
    /// Settings of the instance, which lead to a real tool.
    #[serde(default)]
    pub settings: Attributes,
    /// Versions that the suite may register, change and delete.
    #[serde(default)]
    pub artifacts: Vec<ArtifactSample>,
    #[serde(default)]
    pub codesets: Vec<CodesetSample>,
    /// Workloads that the suite may run.
    #[serde(default)]
    pub workloads: Vec<WorkloadSample>,
}

/// Contents that lie where the tool reaches them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ArtifactSample {
    pub kind: Kind,
    pub name: fuseml_domain::Name,
    pub scheme: String,
    pub uri: String,
    #[serde(default)]
    pub attributes: Attributes,
}

/// A folder with code.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CodesetSample {
    pub folder: PathBuf,
    /// Whether the builder should take it.
    pub detected: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WorkloadSample {
    /// An image by digest, or what else the engine takes.
    pub image: Image,
    pub command: Vec<String>,
}

/// Where an environment lies.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Image {
    pub scheme: String,
    pub uri: String,
}

impl Samples {
    /// Reads the file; folders in it are relative to it.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path.display(), &error))?;
        let mut samples: Self =
            toml::from_str(&text).map_err(|error| Error::invalid("samples", format!("{}: {error}", path.display())))?;
        let base = path.parent().unwrap_or(Path::new("."));
        for codeset in &mut samples.codesets {
            codeset.folder = base.join(&codeset.folder);
        }
        Ok(samples)
    }
}
