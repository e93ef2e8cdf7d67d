//! What the suite found.

use fuseml_domain::{Manifest, Name};
use serde::{Deserialize, Serialize};

/// The judgement of one extension.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub extension: Name,
    pub version: String,
    pub findings: Vec<Finding>,
    /// The most that a call of each component used.
    pub usage: Vec<(Name, Usage)>,
}

/// One rule, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `None` for the package itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Name>,
    /// `kebab-case`, stable.
    pub rule: String,
    #[serde(flatten)]
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    Kept,
    /// What was seen, and what to do.
    Broken {
        found: String,
        fix: String,
    },
    /// Could not be judged, and why.
    NotJudged {
        why: String,
    },
}

/// Of the most expensive calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub calls: u32,
    /// Function and microseconds.
    pub longest_wall: (String, u64),
    pub longest_cpu: (String, u64),
    /// Function and bytes.
    pub most_memory: (String, u64),
}

impl Report {
    pub(crate) fn new(manifest: &Manifest) -> Self {
        Self {
            extension: manifest.name.clone(),
            version: manifest.version.to_string(),
            findings: Vec::new(),
            usage: Vec::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        component: Option<&Name>,
        findings: impl IntoIterator<Item = (&'static str, Verdict)>,
    ) {
        self.findings.extend(findings.into_iter().map(|(rule, verdict)| Finding {
            component: component.cloned(),
            rule: rule.to_owned(),
            verdict,
        }));
    }

    pub fn broken(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Broken { .. }))
    }
}
