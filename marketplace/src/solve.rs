//! Which versions go together: the one that is asked for, what it depends on, and what is installed already.
//!
//! An extension's dependencies are extensions of its own namespace, or installed ones. What is installed stays as it
//! is; of everything else the newest version is chosen with which all of it fits.

use crate::metadata::{NamespaceIndex, Published, Status};
use fuseml_domain::{Error, Manifest, Name, Result};
use pubgrub::{DerivationTree, External, OfflineDependencyProvider, PubGrubError, Ranges, resolve};
use semver::{Version, VersionReq};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What needs something, or is needed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Node {
    /// What a person asks for, with all that is installed.
    Request,
    /// FuseML itself.
    Host,
    Extension(Name),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => f.write_str("the request"),
            Self::Host => f.write_str("FuseML"),
            Self::Extension(name) => write!(f, "{name}"),
        }
    }
}

/// A version that could be chosen, or is there.
struct Candidate<'a> {
    fuseml: Option<&'a VersionReq>,
    dependencies: &'a BTreeMap<Name, VersionReq>,
    /// None for what is installed.
    published: Option<&'a Published>,
}

type Candidates<'a> = BTreeMap<&'a Name, BTreeMap<&'a Version, Candidate<'a>>>;
type Versions = Ranges<Version>;

impl NamespaceIndex {
    /// What has to be fetched for an extension, in the order in which it can be installed: the extension itself is the
    /// last. `installed` is all that the server has; another version of the extension itself gives way.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve); `conflict` with all the requirements that do not go together.
    pub fn solve<'a>(
        &'a self,
        name: &Name,
        wanted: &VersionReq,
        host: &Version,
        installed: &'a [Manifest],
    ) -> Result<Vec<&'a Published>> {
        let newest = self.resolve(name, wanted)?;
        let candidates = self.candidates(name, newest, wanted, installed);
        let mut provider = OfflineDependencyProvider::<Node, Versions>::new();
        provider.add_dependencies(Node::Host, host.clone(), []);
        for (name, versions) in &candidates {
            for (version, candidate) in versions {
                let host = candidate.fuseml.map(|wanted| (Node::Host, fitting([host].into_iter(), wanted)));
                let needs = candidate.dependencies.iter().map(|(name, wanted)| {
                    let there = candidates.get(name).into_iter().flat_map(|versions| versions.keys().copied());
                    (Node::Extension(name.clone()), fitting(there, wanted))
                });
                provider.add_dependencies(Node::Extension((*name).clone()), (*version).clone(), needs.chain(host));
            }
        }
        let all = candidates[name].keys().copied();
        let request = (Node::Extension(name.clone()), all.map(|version| Versions::singleton(version.clone())));
        let request = (request.0, request.1.fold(Versions::empty(), |all, one| all.union(&one)));
        let kept = installed.iter().filter(|manifest| manifest.name != *name);
        let kept = kept
            .map(|manifest| (Node::Extension(manifest.name.clone()), Versions::singleton(manifest.version.clone())));
        let begin = Version::new(0, 0, 0);
        provider.add_dependencies(Node::Request, begin.clone(), kept.chain([request]));
        let chosen = match resolve(&provider, Node::Request, begin) {
            Ok(chosen) => chosen,
            Err(PubGrubError::NoSolution(tree)) => return Err(self.explain(name, wanted, &tree, &candidates, host)),
            Err(other) => return Err(Error::internal("dependencies", other.to_string())),
        };
        let chosen = chosen.into_iter().filter_map(|(node, version)| match node {
            Node::Extension(name) => {
                let (name, versions) = candidates.get_key_value(&name)?;
                let (version, candidate) = versions.get_key_value(&version)?;
                candidate.published.map(|published| (*name, (*version, published)))
            }
            Node::Request | Node::Host => None,
        });
        Ok(in_order(name, &chosen.map(|(name, (_, published))| (name, published)).collect()))
    }

    fn candidates<'a>(
        &'a self,
        name: &Name,
        newest: &'a Published,
        wanted: &VersionReq,
        installed: &'a [Manifest],
    ) -> Candidates<'a> {
        let mut candidates = Candidates::new();
        for manifest in installed.iter().filter(|manifest| manifest.name != *name) {
            // What is there was checked against this FuseML when it came.
            let there = Candidate { fuseml: None, dependencies: &manifest.dependencies, published: None };
            candidates.insert(&manifest.name, BTreeMap::from([(&manifest.version, there)]));
        }
        let free: Vec<&Published> = self
            .versions
            .iter()
            .filter(|published| match published.name == *name {
                true => {
                    published.version == newest.version
                        || published.status == Status::Available && wanted.matches(&published.version)
                }
                false => published.status == Status::Available && !candidates.contains_key(&published.name),
            })
            .collect();
        for published in free {
            let Published { fuseml, dependencies, .. } = published;
            let candidate = Candidate { fuseml: fuseml.as_ref(), dependencies, published: Some(published) };
            candidates.entry(&published.name).or_default().insert(&published.version, candidate);
        }
        candidates
    }

    /// Every requirement that had a part in it, as its author wrote it.
    fn explain(
        &self,
        name: &Name,
        wanted: &VersionReq,
        tree: &DerivationTree<Node, Versions, String>,
        candidates: &Candidates,
        host: &Version,
    ) -> Error {
        let mut why = BTreeSet::new();
        for (from, versions, needed) in requirements(tree) {
            let Node::Extension(from) = from else { continue };
            let own = candidates.get(from).into_iter().flatten().filter(|(version, _)| versions.contains(version));
            for (version, candidate) in own {
                let wanted = match needed {
                    Node::Host => candidate.fuseml,
                    Node::Extension(needed) => candidate.dependencies.get(needed),
                    Node::Request => None,
                };
                let Some(wanted) = wanted else { continue };
                let there = match needed {
                    Node::Extension(needed) => match candidates.get(needed) {
                        None => format!("which is not installed and which {} does not publish", self.facts.namespace),
                        Some(versions) => listed(versions),
                    },
                    _ => format!("and this is {host}"),
                };
                why.insert(format!("{from} {version} needs {needed} {wanted}, {there}"));
            }
        }
        let why: Vec<_> = why.into_iter().collect();
        let message = format!(
            "no version of {}/{name} that fits {wanted} can be installed: {}",
            self.facts.namespace,
            why.join("; ")
        );
        Error::conflict("dependency", message)
    }
}

fn listed(versions: &BTreeMap<&Version, Candidate>) -> String {
    let names: Vec<_> = versions.keys().map(ToString::to_string).collect();
    match versions.values().any(|candidate| candidate.published.is_none()) {
        true => format!("of which {} is installed", names.join(", ")),
        false => format!("of which there are {}", names.join(", ")),
    }
}

/// The versions that a requirement means, of those that there are: a range of ours would judge pre-releases otherwise.
fn fitting<'a>(there: impl Iterator<Item = &'a Version>, wanted: &VersionReq) -> Versions {
    let fitting: Vec<_> = there.filter(|version| wanted.matches(version)).collect();
    // Nothing has this version; a requirement of no version at all is none that can be explained.
    let none = Version::new(u64::MAX, u64::MAX, u64::MAX);
    match fitting.is_empty() {
        true => Versions::singleton(none),
        false => fitting.into_iter().fold(Versions::empty(), |all, one| all.union(&Versions::singleton(one.clone()))),
    }
}

/// Who needs what in a proof that it does not go.
fn requirements(tree: &DerivationTree<Node, Versions, String>) -> Vec<(&Node, &Versions, &Node)> {
    match tree {
        DerivationTree::External(External::FromDependencyOf(from, versions, needed, _)) => {
            vec![(from, versions, needed)]
        }
        DerivationTree::External(_) => Vec::new(),
        DerivationTree::Derived(derived) => {
            let mut all = requirements(&derived.cause1);
            all.extend(requirements(&derived.cause2));
            all
        }
    }
}

/// What is needed before what needs it.
fn in_order<'a>(last: &Name, chosen: &BTreeMap<&Name, &'a Published>) -> Vec<&'a Published> {
    fn visit<'a>(
        name: &Name,
        chosen: &BTreeMap<&Name, &'a Published>,
        seen: &mut BTreeSet<Name>,
        order: &mut Vec<&'a Published>,
    ) {
        if let Some(published) = chosen.get(name).filter(|_| seen.insert(name.clone())) {
            published.dependencies.keys().for_each(|needed| visit(needed, chosen, seen, order));
            order.push(published);
        }
    }
    let mut order = Vec::new();
    visit(last, chosen, &mut BTreeSet::new(), &mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NamespaceFacts, SigningKey};
    use fuseml_domain::Digest;
    use jiff::Timestamp;

    /// `tool 0.1.0: base ^0.1, FuseML >=0.2`, a line each; `- ` in front for what was yanked.
    fn index(lines: &str) -> NamespaceIndex {
        let key = SigningKey::generate().and_then(|key| key.public()).expect("key");
        let published = |line: &str| {
            let (status, line) = match line.strip_prefix("- ") {
                Some(rest) => (Status::Yanked, rest),
                None => (Status::Available, line),
            };
            let (what, needs) = line.split_once(':').unwrap_or((line, ""));
            let (name, version) = what.split_once(' ').expect("name and version");
            let mut needs: BTreeMap<String, VersionReq> = needs
                .split(',')
                .filter_map(|need| need.trim().split_once(' '))
                .map(|(name, wanted)| (name.to_owned(), wanted.parse().expect("range")))
                .collect();
            Published {
                name: name.parse().expect("name"),
                version: version.parse().expect("version"),
                digest: Digest::of(line.as_bytes()),
                size: 1,
                published: Timestamp::UNIX_EPOCH,
                key: key.id(),
                status,
                statement: None,
                fuseml: needs.remove("FuseML"),
                dependencies: needs.into_iter().map(|(name, wanted)| (name.parse().expect("name"), wanted)).collect(),
            }
        };
        let namespace = "acme".parse().expect("name");
        let facts = NamespaceFacts {
            namespace,
            keys: Vec::new(),
            marketplace: key.clone(),
            advisories: Vec::new(),
            deprecations: Vec::new(),
        };
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
        NamespaceIndex { facts, versions: lines.map(published).collect() }
    }

    /// Name, version, and what it needs.
    type Present<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

    fn installed(lines: &[Present]) -> Vec<Manifest> {
        let manifest = |(name, version, needs): &Present| {
            let needs: Vec<_> = needs.iter().map(|(name, wanted)| format!("{name} = \"{wanted}\"")).collect();
            let text = format!(
                "schema_version = 1\nname = \"{name}\"\nversion = \"{version}\"\ntitle = \"T\"\ndescription = \"D\"\n\
                 license = \"MIT\"\n[dependencies]\n{}\n",
                needs.join("\n")
            );
            Manifest::parse(&text).expect("manifest")
        };
        lines.iter().map(manifest).collect()
    }

    fn solve(index: &NamespaceIndex, wanted: &str, installed: &[Manifest]) -> Result<Vec<String>, String> {
        let (name, wanted) = ("tool".parse().expect("name"), wanted.parse().expect("range"));
        let found = index.solve(&name, &wanted, &Version::new(0, 1, 0), installed).map_err(|error| error.message)?;
        Ok(found.iter().map(|published| format!("{} {}", published.name, published.version)).collect())
    }

    fn list(names: &[&str]) -> Result<Vec<String>, String> {
        Ok(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_needed_comes_before_what_needs_it_each_in_the_newest_version_that_goes() {
        let index = index(
            "tool 0.1.0
             tool 0.2.0: base ^0.1, helper *
             helper 0.1.0: base >=0.1.1, <0.1.3
             base 0.1.0
             base 0.1.2
             base 0.1.3-rc.1
             - base 0.1.2+x
             base 0.2.0",
        );
        assert_eq!(solve(&index, "*", &[]), list(&["base 0.1.2", "helper 0.1.0", "tool 0.2.0"]));
        assert_eq!(solve(&index, "=0.1.0", &[]), list(&["tool 0.1.0"]));
    }

    #[test]
    fn what_is_installed_stays_and_an_older_version_is_chosen_where_that_goes_with_it() {
        let index = index(
            "tool 0.1.0: base ^0.1
             tool 0.2.0: base ^0.2
             tool 0.3.0: base ^0.2, FuseML >=0.2
             base 0.1.0
             base 0.2.0",
        );
        assert_eq!(solve(&index, "*", &[]), list(&["base 0.2.0", "tool 0.2.0"]), "0.3.0 is for a later FuseML");
        let old = installed(&[("base", "0.1.5", &[])]);
        assert_eq!(solve(&index, "*", &old), list(&["tool 0.1.0"]));
        let tied =
            installed(&[("tool", "0.1.0", &[]), ("addon", "1.0.0", &[("tool", "^0.1")]), ("base", "0.1.5", &[])]);
        assert_eq!(solve(&index, "*", &tied), list(&["tool 0.1.0"]), "another one needs it so");
    }

    #[test]
    fn an_exact_version_is_had_although_it_was_yanked_and_a_dependency_is_not() {
        let index = index(
            "- tool 0.1.0: base *
             base 0.1.0
             - base 0.2.0",
        );
        assert_eq!(solve(&index, "=0.1.0", &[]), list(&["base 0.1.0", "tool 0.1.0"]));
    }

    #[test]
    fn what_does_not_go_together_is_said_as_it_was_written() {
        for (lines, present, expected) in [
            (
                "tool 0.1.0: base ^0.2\nbase 0.1.0",
                installed(&[]),
                "tool 0.1.0 needs base ^0.2, of which there are 0.1.0",
            ),
            (
                "tool 0.1.0: missing *",
                installed(&[]),
                "tool 0.1.0 needs missing *, which is not installed and which acme does not publish",
            ),
            (
                "tool 0.1.0: base ^0.2\nbase 0.2.0",
                installed(&[("base", "0.1.0", &[])]),
                "tool 0.1.0 needs base ^0.2, of which 0.1.0 is installed",
            ),
            ("tool 0.1.0: FuseML >=0.2", installed(&[]), "tool 0.1.0 needs FuseML >=0.2, and this is 0.1.0"),
            (
                "tool 0.2.0",
                installed(&[("tool", "0.1.0", &[]), ("addon", "1.0.0", &[("tool", "^0.1")])]),
                "addon 1.0.0 needs tool ^0.1, of which there are 0.2.0",
            ),
            (
                "tool 0.1.0: left *, right *\nleft 0.1.0: base ^0.1\nright 0.1.0: base ^0.2\nbase 0.1.0\nbase 0.2.0",
                installed(&[]),
                "left 0.1.0 needs base ^0.1, of which there are 0.1.0, 0.2.0; right 0.1.0 needs base ^0.2, of which \
                 there are 0.1.0, 0.2.0; tool 0.1.0 needs left *, of which there are 0.1.0; tool 0.1.0 needs right *, \
                 of which there are 0.1.0",
            ),
        ] {
            let expected = format!("no version of acme/tool that fits * can be installed: {expected}");
            assert_eq!(solve(&index(lines), "*", &present), Err(expected), "{lines}");
        }
    }

    #[test]
    fn two_that_need_each_other_end() {
        let index = index("tool 0.1.0: base *\nbase 0.1.0: tool *");
        assert_eq!(solve(&index, "*", &[]), list(&["base 0.1.0", "tool 0.1.0"]));
    }
}
