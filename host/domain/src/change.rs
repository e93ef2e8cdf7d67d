//! What of an artifact may change (S7): labels, and tags that move from version to version. Every change is recorded.

use crate::{Address, Attributes, Descriptor, Digest, Error, Name, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Labels of one artifact at the most.
const MOST_LABELS: usize = 64;
const LONGEST_NAME: usize = 63;
const LONGEST_VALUE: usize = 255;

/// One recorded change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactChange {
    pub at: Timestamp,
    /// As they call themselves.
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(flatten)]
    pub what: Changed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum Changed {
    Labelled {
        label: String,
        value: String,
    },
    Unlabelled {
        label: String,
    },
    /// The tag points here now, and no more at `from`.
    Tagged {
        tag: Name,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Address>,
    },
    /// The tag points here no more; `to` says where it points now.
    Untagged {
        tag: Name,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Address>,
    },
    /// It was found in a tool, and what its files were was written down at its first use.
    Recorded {
        digest: Digest,
    },
    Deleted,
}

impl Descriptor {
    /// Sets labels, and removes those that have no value. Answers what changed.
    ///
    /// # Errors
    /// `invalid` for names and values that nobody could use, and for more labels than a person reads.
    pub fn relabel(&mut self, labels: &[(String, Option<String>)]) -> Result<Vec<Changed>> {
        let mut next: Attributes = self.labels.clone();
        let mut changed = Vec::new();
        for (label, value) in labels {
            match value {
                Some(value) => {
                    check_label(label, value)?;
                    if next.insert(label.clone(), value.clone()).as_ref() != Some(value) {
                        changed.push(Changed::Labelled { label: label.clone(), value: value.clone() });
                    }
                }
                None => {
                    let was = next.remove(label);
                    changed.extend(was.map(|_| Changed::Unlabelled { label: label.clone() }));
                }
            }
        }
        if next.len() > MOST_LABELS {
            let message =
                format!("an artifact has at most {MOST_LABELS} labels; {} would have {}", self.address, next.len());
            return Err(Error::invalid("label", message));
        }
        self.labels = next;
        Ok(changed)
    }
}

/// Refuses what is no name, or no value, of a label.
pub(crate) fn check_label(label: &str, value: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if label.is_empty() || label.len() > LONGEST_NAME || !label.chars().all(plain) {
        let message = format!(
            "`{}` is no name of a label: it has 1 to {LONGEST_NAME} letters, digits and `._-/`",
            label.escape_debug()
        );
        return Err(Error::invalid("label", message));
    }
    if value.len() > LONGEST_VALUE || value.chars().any(char::is_control) {
        let message = format!("the value of the label {label} is a line of at most {LONGEST_VALUE} bytes");
        return Err(Error::invalid("label", message));
    }
    Ok(())
}
