//! Artifact kinds and the address scheme of each (S14, S105).

use crate::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What an artifact is. One row a kind in [`Kind::TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Codeset,
    Runnable,
    Model,
    Dataset,
}

struct Row {
    kind: Kind,
    name: &'static str,
    scheme: &'static str,
    /// Whether the canonical address holds the name: a model's name adds nothing to its id.
    named: bool,
    /// Digits of the immutable identity that people are shown.
    shown: usize,
}

impl Kind {
    const TABLE: [Row; 4] = [
        Row { kind: Kind::Codeset, name: "codeset", scheme: "code", named: true, shown: 7 },
        Row { kind: Kind::Runnable, name: "runnable", scheme: "runnable", named: true, shown: 12 },
        Row { kind: Kind::Model, name: "model", scheme: "model", named: false, shown: 21 },
        Row { kind: Kind::Dataset, name: "dataset", scheme: "data", named: true, shown: 12 },
    ];

    pub fn all() -> impl Iterator<Item = Kind> {
        Self::TABLE.iter().map(|row| row.kind)
    }

    fn row(self) -> &'static Row {
        match self {
            Kind::Codeset => &Self::TABLE[0],
            Kind::Runnable => &Self::TABLE[1],
            Kind::Model => &Self::TABLE[2],
            Kind::Dataset => &Self::TABLE[3],
        }
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }

    pub fn scheme(self) -> &'static str {
        self.row().scheme
    }

    pub fn named(self) -> bool {
        self.row().named
    }

    pub fn shown_digits(self) -> usize {
        self.row().shown
    }

    pub fn from_scheme(scheme: &str) -> Option<Self> {
        Self::TABLE.iter().find(|row| row.scheme == scheme).map(|row| row.kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::TABLE.iter().find(|row| row.name == text).map(|row| row.kind).ok_or_else(|| {
            let names: Vec<_> = Self::TABLE.iter().map(|row| row.name).collect();
            Error::invalid("kind", format!("`{text}` is no kind of artifact; there are {}", names.join(", ")))
        })
    }
}
