//! Names of repositories and tags, as the distribution specification writes them.

use crate::{Code, RegistryError};
use fuseml_domain::Digest;
use std::{fmt, str::FromStr};

const MOST_NAME: usize = 255;
const MOST_TAG: usize = 128;

/// `team/app`: lower-case words joined by `.`, `_`, `__` or dashes, in segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository(String);

impl FromStr for Repository {
    type Err = RegistryError;
    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let whole = !text.is_empty() && text.len() <= MOST_NAME && text.split('/').all(is_segment);
        whole.then(|| Self(text.to_owned())).ok_or_else(|| {
            RegistryError::new(Code::NameInvalid, format!("`{}` is not a repository's name", text.escape_debug()))
        })
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_segment(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let edges = bytes.first().is_some_and(|b| is_word(*b)) && bytes.last().is_some_and(|b| is_word(*b));
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    edges && separators.filter(|s| !s.is_empty()).all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl FromStr for Tag {
    type Err = RegistryError;
    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let begins = text.as_bytes().first().is_some_and(|b| is_word(*b));
        let whole = begins && text.len() <= MOST_TAG && text.bytes().all(|b| is_word(b) || b == b'.' || b == b'-');
        whole
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| RegistryError::new(Code::ManifestInvalid, format!("`{}` is not a tag", text.escape_debug())))
    }
}

macro_rules! text {
    ($($name:ident),*) => { $(
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )* };
}
text!(Repository, Tag);

/// A manifest's name in a path: a tag, or its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    Tag(Tag),
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = RegistryError;
    fn from_str(text: &str) -> Result<Self, RegistryError> {
        if text.contains(':') { digest(text).map(Self::Digest) } else { text.parse().map(Self::Tag) }
    }
}

pub(crate) fn digest(text: &str) -> Result<Digest, RegistryError> {
    text.parse().map_err(|_| {
        let message = format!("`{}` is not a digest that is understood: sha256:<64 hex digits>", text.escape_debug());
        RegistryError::new(Code::DigestInvalid, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_of_the_specification() {
        for (name, fits) in [
            ("app", true),
            ("team/app", true),
            ("a.b_c__d-e--f/0", true),
            ("", false),
            ("App", false),
            ("a//b", false),
            ("/a", false),
            ("a/", false),
            ("a..b", false),
            ("a___b", false),
            ("-a", false),
            ("a/..", false),
            ("a/_manifests", false),
            ("ä", false),
        ] {
            assert_eq!(name.parse::<Repository>().is_ok(), fits, "{name}");
        }
        for (tag, fits) in [("1.0.0", true), ("_a-B", true), ("", false), (".a", false), ("a/b", false), ("a+b", false)]
        {
            assert_eq!(tag.parse::<Tag>().is_ok(), fits, "{tag}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_folder(text in ".{0,40}") {
            if let Ok(name) = text.parse::<Repository>() {
                prop_assert!(name.as_str().split('/').all(|part| !part.is_empty() && !part.starts_with(['.', '_'])));
            }
            if let Ok(tag) = text.parse::<Tag>() {
                prop_assert!(!tag.as_str().contains('/') && tag.as_str() != "..");
            }
        }
    }
}
