//! The versions of one artifact, and how the built-in store keeps their files.

use crate::{Descriptor, Digest, Kind, Name, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an artifact is a version of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Series {
    pub project: Name,
    pub kind: Kind,
    pub name: Name,
}

/// Models with at most so many files have a layer a file, as ModelPack asks.
const MOST_LAYERS: usize = 4000;
/// Directories with at most so many small files are kept file by file: nothing is won by keeping them together.
const FEW: usize = 64;

/// Files below this size, in bytes, are small.
pub const SMALL_FILE: u64 = 1 << 20;

/// How a job's result is called: as what it was made of, or as the pipeline where it was made of nothing. What is made of
/// its like is no newer version of that, so it says what it is: `flowers` becomes `flowers-cleaned`.
///
/// # Errors
/// `invalid` where that is no name.
pub fn result_name(made_of: Option<(Kind, &Name)>, pipeline: &Name, kind: Kind, output: &str) -> Result<Name> {
    match made_of {
        Some((of, name)) if of == kind => fitting(&format!("{name}-{output}")),
        Some((_, name)) => Ok(name.clone()),
        None => Ok(pipeline.clone()),
    }
}

/// How an artifact is called that a job leaves beside its outputs: as a result of that, and what it calls it itself.
///
/// # Errors
/// `invalid` where that is no name.
pub fn beside_name(made_of: Option<&Name>, pipeline: &Name, artifact: &str) -> Result<Name> {
    fitting(&format!("{}-{artifact}", made_of.unwrap_or(pipeline)))
}

/// The name, or one that fits instead of it: a long chain makes long names.
fn fitting(name: &str) -> Result<Name> {
    const LONGEST: usize = 64;
    const KEPT: usize = 48;
    if name.len() <= LONGEST {
        return name.parse();
    }
    let kept: String = name.chars().take(KEPT).collect();
    format!("{}-{}", kept.trim_end_matches(['-', '_', '.']), &Digest::of(name.as_bytes()).hex()[..12]).parse()
}

impl Series {
    pub fn new(project: &Name, kind: Kind, name: &Name) -> Self {
        Self { project: project.clone(), kind, name: name.clone() }
    }

    pub fn of(descriptor: &Descriptor) -> Self {
        Self::new(descriptor.project(), descriptor.kind(), &descriptor.name)
    }

    /// The repository of its versions behind the OCI endpoint: `<project>/<scheme>/<name>`. A name that OCI does not
    /// allow (such as `a_-b`) is replaced by its digest.
    pub fn repository(&self) -> String {
        format!("{}/{}/{}", segment(&self.project), self.kind.scheme(), segment(&self.name))
    }

    /// The series of a repository; `None` where that is no artifact's, or does not say its name.
    pub fn of_repository(repository: &str) -> Option<Self> {
        let mut parts = repository.split('/');
        let (project, scheme, name) = (parts.next()?, parts.next()?, parts.next()?);
        let kind = Kind::from_scheme(scheme)?;
        let stands_for_itself = |name: &&str| !(name.len() == 34 && name.starts_with("n-"));
        let name_of = |text: &str| Some(text).filter(stands_for_itself)?.parse().ok();
        parts.next().is_none().then_some(())?;
        Some(Self { project: name_of(project)?, kind, name: name_of(name)? })
    }

    /// Whether small files among so many lie together in packs, rather than each by itself.
    pub fn packs(&self, files: usize, small_files: usize) -> bool {
        small_files > FEW && (self.kind != Kind::Model || files > MOST_LAYERS)
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.kind.scheme(), self.project, self.name)
    }
}

/// A name as a path segment of the distribution specification: words joined by `.`, `_`, `__` or dashes.
fn segment(name: &Name) -> String {
    let separators = name.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let fits = separators
        .filter(|separator| !separator.is_empty())
        .all(|separator| matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'));
    match fits {
        true => name.to_string(),
        false => format!("n-{}", &crate::Digest::of(name.as_bytes()).hex()[..32]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_chain_of_results_of_one_kind_has_names_that_fit_and_differ() {
        let pipeline: Name = "again".parse().expect("name");
        let mut names = vec![result_name(None, &pipeline, Kind::Dataset, "out").expect("name")];
        for _ in 0..50 {
            let before = names.last().map(|name| (Kind::Dataset, name));
            names.push(result_name(before, &pipeline, Kind::Dataset, "out").expect("name"));
        }
        assert_eq!((&*names[1], &*names[2]), ("again-out", "again-out-out"));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 51);
    }

    #[test]
    fn what_a_job_makes_beside_its_outputs_is_no_version_of_what_it_is_made_of() {
        let (pipeline, wine): (Name, Name) = ("training".parse().expect("name"), "wine".parse().expect("name"));
        assert_eq!(&*beside_name(Some(&wine), &pipeline, "validation").expect("name"), "wine-validation");
        assert_eq!(&*beside_name(None, &pipeline, "validation").expect("name"), "training-validation");
    }

    #[test]
    fn every_name_has_a_repository_that_oci_allows() {
        let of = |name: &str| {
            let name: Name = name.parse().expect("name");
            Series::new(&name, Kind::Dataset, &name).repository()
        };
        assert_eq!(of("wine"), "wine/data/wine");
        assert_eq!(of("a.b_c__d-e--f"), "a.b_c__d-e--f/data/a.b_c__d-e--f");
        assert_eq!(Series::of_repository("wine/data/wine").expect("series").repository(), "wine/data/wine");
        for other in ["wine/data", "wine/data/wine/x", "wine/image/wine", &of("a_-b"), "", "a//b"] {
            assert!(Series::of_repository(other).is_none(), "{other}");
        }
        let odd = of("a_-b");
        assert!(odd.starts_with("n-") && odd.len() < 255 && odd != of("a-_b"), "{odd}");
    }

    #[test]
    fn many_small_files_lie_together_unless_a_model_has_them() {
        let name: Name = "a".parse().expect("name");
        let packs = |kind, files, small| Series::new(&name, kind, &name).packs(files, small);
        assert!(!packs(Kind::Dataset, 64, 64) && packs(Kind::Dataset, 65, 65) && !packs(Kind::Dataset, 100, 0));
        assert!(!packs(Kind::Model, 4000, 4000) && packs(Kind::Model, 4001, 4001));
    }
}
