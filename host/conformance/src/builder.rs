//! The contract of `fuseml:builder`.

use crate::{
    CodesetSample, Condition, Subject,
    suite::{Suite, failed, nothing, seen},
};
use fuseml_domain::{
    BuildPlan, Capability, Digest, Error, ErrorKind, Result,
    port::{Builder, CodesetFiles, CodesetToBuild, FileEntry, PreviousBuild},
};
use std::{collections::BTreeMap, path::Path, sync::Arc};
use walkdir::WalkDir;

/// What the host answers at once, as `fuseml:files` promises.
const FOUND: usize = 10_000;
/// A sample is no place for datasets.
const MOST_BYTES: u64 = 16 << 20;

/// The files of a codeset, in memory.
#[derive(Clone, Default)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    fn of(folder: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        let mut total = 0;
        for entry in WalkDir::new(folder).sort_by_file_name() {
            let entry = entry.map_err(|error| Error::invalid("samples", format!("{}: {error}", folder.display())))?;
            let Some(path) = entry.path().strip_prefix(folder).ok().and_then(Path::to_str) else { continue };
            if !entry.file_type().is_file() || path.starts_with(".git/") {
                continue;
            }
            let bytes = std::fs::read(entry.path()).map_err(|error| Error::io(entry.path().display(), &error))?;
            total += bytes.len() as u64;
            if total > MOST_BYTES {
                let message =
                    format!("{} has more than {} MiB; take a smaller sample", folder.display(), MOST_BYTES >> 20);
                return Err(Error::invalid("samples", message));
            }
            files.insert(path.to_owned(), bytes);
        }
        Ok(Self(files))
    }

    /// Every file with something else in it.
    fn with_every(&self, change: impl Fn(&[u8]) -> Vec<u8>) -> Self {
        Self(self.0.iter().map(|(path, bytes)| (path.clone(), change(bytes))).collect())
    }
}

impl CodesetFiles for Files {
    fn find(&self, glob: &str, after: Option<&str>) -> Result<Vec<FileEntry>> {
        let glob = globset::GlobBuilder::new(glob).literal_separator(true).build();
        let glob = glob.map_err(|error| Error::invalid("glob", error.to_string()))?.compile_matcher();
        let matching = self.0.iter().filter(|(path, _)| glob.is_match(path));
        let later = matching.filter(|(path, _)| after.is_none_or(|after| path.as_str() > after));
        Ok(later
            .take(FOUND)
            .map(|(path, bytes)| FileEntry {
                path: path.clone(),
                size_bytes: bytes.len() as u64,
                digest: Digest::of(bytes).to_string(),
                executable: false,
            })
            .collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| Error::not_found("file", format!("there is no file `{path}`")))
    }
}

fn codeset(files: Files, changed: Vec<String>) -> Result<CodesetToBuild> {
    Ok(CodesetToBuild {
        address: "code://fuseml-check/sample/1".parse()?,
        name: "sample".parse()?,
        files: Arc::new(files),
        changed_files: changed,
    })
}

pub(crate) async fn check(suite: &mut Suite<'_>, subject: &Subject<'_>, samples: &[CodesetSample]) {
    let make = |condition| subject.loaded.builder(subject.instance(condition)?).ok();
    let Some(builder) = make(Condition::Granted) else {
        let why = subject.why_not_called();
        suite.rule("detects", "", async { Err(nothing(why)) }).await;
        return;
    };
    let builder = &*builder;
    suite
        .rule("an-empty-codeset-is-not-for-it", "answer confidence 0 in `detect`, and an error in `plan`", async {
            let (confidence, _) = builder.detect(&codeset(Files::default(), Vec::new())?).await?;
            if confidence != 0 {
                return Err(seen(format!("`detect` is {confidence} % sure of a codeset without files")));
            }
            let kinds = [ErrorKind::Invalid, ErrorKind::NotFound, ErrorKind::Unsupported];
            failed(
                "`plan` of a codeset without files",
                builder.plan(&codeset(Files::default(), Vec::new())?, None).await,
                &kinds,
            )
        })
        .await;
    if samples.is_empty() {
        let why = "check.toml has no [[codesets]] to plan";
        suite.rule("plans", "", async { Err(nothing(why)) }).await;
    }
    for sample in samples {
        of_sample(suite, builder, sample).await;
    }
    if subject.requests(Capability::Files)
        && let Some(sample) = samples.first()
    {
        let fix = "pass the host's `denied` on instead of a panic";
        suite
            .deprived("without-rights-it-says-so", fix, async {
                let bare = make(Condition::Bare).ok_or_else(|| nothing("no settings"))?;
                let kinds = [ErrorKind::Denied, ErrorKind::Invalid, ErrorKind::Unsupported];
                failed(
                    "`plan` without any right",
                    bare.plan(&codeset(Files::of(&sample.folder)?, Vec::new())?, None).await,
                    &kinds,
                )
            })
            .await;
    }
}

async fn of_sample(suite: &mut Suite<'_>, builder: &dyn Builder, sample: &CodesetSample) {
    let files = match Files::of(&sample.folder) {
        Ok(files) if files.0.is_empty() => {
            suite.rule("plans", "", async { Err(nothing(format!("{} has no files", sample.folder.display()))) }).await;
            return;
        }
        Ok(files) => files,
        Err(error) => {
            suite.rule("plans", "", async { Err(nothing(error.message)) }).await;
            return;
        }
    };
    let all: Vec<String> = files.0.keys().cloned().collect();
    let whole = || codeset(files.clone(), all.clone());
    suite
        .rule(
            "detects",
            "decide in `detect` by the files that the builder needs, and name the one that decided",
            async {
                let (confidence, reason) = builder.detect(&whole()?).await?;
                if (confidence > 0) != sample.detected {
                    return Err(seen(format!(
                        "`detect` is {confidence} % sure of {}: {reason}",
                        sample.folder.display()
                    )));
                }
                if reason.trim().is_empty() { Err(seen("`detect` gives no reason")) } else { Ok(()) }
            },
        )
        .await;
    if !sample.detected {
        return;
    }
    let mut plan: Option<BuildPlan> = None;
    suite
        .rule("plans", "answer at least one environment and one runnable in it, and say why", async {
            let first = builder.plan(&whole()?, None).await?;
            if first.runnables.is_empty() || first.environments.is_empty() {
                return Err(seen("the plan makes nothing"));
            }
            if !first.rebuild {
                return Err(seen("the first plan of a codeset says that nothing is to be built"));
            }
            if first.reason.trim().is_empty() {
                return Err(seen("the plan gives no reason"));
            }
            plan = Some(first);
            Ok(())
        })
        .await;
    let Some(plan) = plan else { return };
    suite
        .rule(
            "plans-the-same-again",
            "let nothing but files, settings and the builder decide: no clock, no random, no order of maps",
            async {
                let again = builder.plan(&whole()?, None).await?;
                if again == plan { Ok(()) } else { Err(seen("the same files gave another plan")) }
            },
        )
        .await;
    suite
        .rule("unchanged-needs-no-rebuild", "compare the environment's digest with the previous one", async {
            let Some(environment) = plan.environments.first() else { return Err(nothing("no environment")) };
            let previous = PreviousBuild { environment_digest: environment.digest.clone(), runnables: Vec::new() };
            let again = builder.plan(&codeset(files.clone(), Vec::new())?, Some(&previous)).await?;
            if again.rebuild {
                return Err(seen(format!("nothing changed, and still it builds: {}", again.reason)));
            }
            if again.runnables.len() == plan.runnables.len() {
                Ok(())
            } else {
                Err(seen("without a rebuild the plan is no longer whole"))
            }
        })
        .await;
    suite
        .rule(
            "damaged-files-are-answered",
            "answer an error that names the file; do not panic on what people push",
            async {
                let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
                let noise = |bytes: &[u8]| bytes.iter().map(|byte| byte.wrapping_mul(31) ^ 0xa5).collect();
                for damaged in [
                    files.with_every(half),
                    files.with_every(noise),
                    files.with_every(|_| Vec::new()),
                    files.with_every(|_| vec![b'['; 100_000]),
                ] {
                    let answer = builder.plan(&codeset(damaged, all.clone())?, None).await;
                    if let Err(error) = answer.as_ref().map(drop).map_err(Clone::clone) {
                        failed(
                            "a damaged codeset",
                            Err::<(), _>(error),
                            &[ErrorKind::Invalid, ErrorKind::Unsupported, ErrorKind::NotFound],
                        )?;
                    }
                }
                Ok(())
            },
        )
        .await;
}
