//! The contract of `fuseml:artifact-store`.

mod abilities;
mod writing;

use crate::{
    ArtifactSample, Condition, Subject,
    suite::{Judged, Suite, Trouble, failed, nothing, seen},
};
use fuseml_domain::{
    Attributes, Capability, ErrorKind, StoreChange, StoreCondition, StoreInfo, StoreQuery, StoredArtifact,
    port::ArtifactStore,
};
use std::sync::Arc;

/// Artifacts looked at, and the pages that they are asked in.
const LOOKED_AT: usize = 20;
const PAGES: usize = 64;
/// What the suite's versions are marked with.
const LABEL: &str = "fuseml-check";
const OPERATIONS: [&str; 4] = ["register", "update-labels", "update-tags", "delete"];
/// Of a version that is not there, in the form that this store's own ids have.
const NOWHERE: &str = "fuseml-check-nothing-here/1";

pub(crate) async fn check(suite: &mut Suite<'_>, subject: &Subject<'_>, samples: &[ArtifactSample]) {
    let make = |condition| {
        let instance = subject.instance(condition)?;
        subject.loaded.artifact_store(instance).ok()
    };
    let Some(store) = make(Condition::Granted) else {
        let why = subject.why_not_called();
        suite.rule("health-answers", "", async { Err(nothing(why)) }).await;
        return;
    };
    let store = &*store;
    let mut info = None;
    suite
        .rule(
            "describes-itself",
            "answer `describe` with the kinds of extension.toml, without asking the tool",
            async {
                info = Some(described(store, subject).await?);
                Ok(())
            },
        )
        .await;
    suite
        .rule("health-answers", "reach the tool in `health`; say in its error what the admin has to change", async {
            Ok(store.health().await?)
        })
        .await;
    let kinds: Vec<String> = subject.component.kinds.iter().map(|kind| kind.name().to_owned()).collect();
    let sample = samples.iter().find(|sample| kinds.iter().any(|kind| kind == sample.kind.name()));
    let has = |operation: &str| info.as_ref().is_none_or(|info| info.operations.iter().any(|one| one == operation));
    let made = match sample.filter(|_| has("register")) {
        Some(sample) => writing::register(suite, store, sample).await,
        None => {
            let why = match has("register") {
                true => "check.toml has no [[artifacts]] of its kinds that may be registered",
                false => "`describe` says that it registers nothing",
            };
            suite.rule("registers-once", "", async { Err(nothing(why)) }).await;
            Vec::new()
        }
    };
    let mut known = Vec::new();
    reading(suite, store, &kinds, &mut known).await;
    contents(suite, store, info.as_ref(), &known).await;
    abilities::check(suite, store, &known).await;
    refusing(suite, store).await;
    if let Some(info) = &info {
        lacking(suite, store, info).await;
    }
    if let Some((sample, made)) = sample.zip(made.first()) {
        writing::change(suite, store, sample, made, has("update-labels")).await;
    }
    writing::remove(suite, store, &made).await;
    deprived(suite, subject, make).await;
}

async fn described(store: &dyn ArtifactStore, subject: &Subject<'_>) -> Result<StoreInfo, Trouble> {
    let info = store.describe().await?;
    let mut said = info.kinds.clone();
    let mut declared: Vec<_> = subject.component.kinds.iter().map(|kind| kind.name().to_owned()).collect();
    said.sort();
    declared.sort();
    if said != declared {
        return Err(seen(format!("`describe` says the kinds {said:?}, extension.toml says {declared:?}")));
    }
    if info.schemes.is_empty() {
        return Err(seen("`describe` names no scheme that `locate` answers with"));
    }
    if store.describe().await? != info {
        return Err(seen("`describe` answers differently when asked again"));
    }
    Ok(info)
}

fn of_name(kind: &str, name: &str) -> StoreQuery {
    StoreQuery { conditions: vec![StoreCondition::equal("name", name)], ..of_kind(kind) }
}

fn of_kind(kind: &str) -> StoreQuery {
    StoreQuery { kind: kind.to_owned(), conditions: Vec::new() }
}

/// At most [`LOOKED_AT`] artifacts, in pages of this size.
async fn walk(store: &dyn ArtifactStore, query: &StoreQuery, size: u32) -> Result<Vec<StoredArtifact>, Trouble> {
    let mut all: Vec<StoredArtifact> = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES {
        let page = store.search(query, cursor.as_deref(), size).await?;
        if page.artifacts.len() > size as usize {
            return Err(seen(format!("`search` answers {} items to a limit of {size}", page.artifacts.len())));
        }
        all.extend(page.artifacts);
        if page.next.is_some() && page.next == cursor {
            return Err(seen("`search` answers the cursor that it was given: it would never end"));
        }
        cursor = page.next;
        if cursor.is_none() || all.len() >= LOOKED_AT {
            all.truncate(LOOKED_AT);
            return Ok(all);
        }
    }
    Err(seen(format!(
        "`search` answers {PAGES} pages with fewer than {LOOKED_AT} items: pages may not be empty for long"
    )))
}

async fn reading(suite: &mut Suite<'_>, store: &dyn ArtifactStore, kinds: &[String], known: &mut Vec<StoredArtifact>) {
    suite
        .rule(
            "pages-are-stable",
            "page by a cursor that does not depend on the page's size; never repeat an item",
            async {
                for kind in kinds {
                    let wide = walk(store, &of_kind(kind), 50).await?;
                    let narrow = walk(store, &of_kind(kind), 2).await?;
                    let ids = |all: &[StoredArtifact]| all.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
                    let (wide_ids, narrow_ids) = (ids(&wide), ids(&narrow));
                    if wide_ids != narrow_ids {
                        return Err(seen(format!("pages of 50 give {wide_ids:?}, pages of 2 give {narrow_ids:?}")));
                    }
                    let mut unique = wide_ids.clone();
                    unique.sort();
                    unique.dedup();
                    if unique.len() != wide_ids.len() {
                        return Err(seen(format!("an item comes twice in {wide_ids:?}")));
                    }
                    if let Some(other) = wide.iter().find(|one| one.kind != *kind) {
                        return Err(seen(format!(
                            "a search for {kind} finds `{}`, which is a {}",
                            other.id, other.kind
                        )));
                    }
                    known.extend(wide);
                }
                if known.is_empty() { Err(nothing("the tool holds nothing yet")) } else { Ok(()) }
            },
        )
        .await;
    suite
        .rule("finds-by-name", "apply the condition `name = …`, or put it among `unapplied`", async {
            let one = known.first().ok_or_else(|| nothing("the tool holds nothing yet"))?;
            let condition = StoreCondition::equal("name", &one.name);
            let query = StoreQuery { kind: one.kind.clone(), conditions: vec![condition.clone()] };
            let page = store.search(&query, None, 50).await?;
            if page.unapplied.contains(&condition) {
                return Ok(());
            }
            match page.artifacts.iter().find(|found| found.name != one.name) {
                Some(other) => Err(seen(format!("a search for the name `{}` finds `{}`", one.name, other.name))),
                None if page.artifacts.is_empty() => {
                    Err(seen(format!("a search for the name `{}` finds nothing", one.name)))
                }
                None => Ok(()),
            }
        })
        .await;
    suite
        .rule(
            "conditions-are-not-lost",
            "put a condition that the tool cannot apply among `unapplied`, or refuse it",
            async {
                for condition in [
                    StoreCondition::equal("attribute.fuseml-check", "never"),
                    StoreCondition {
                        operator: "like".to_owned(),
                        ..StoreCondition::equal("name", "fuseml-check-never%")
                    },
                    StoreCondition::equal("no-such-field", "never"),
                ] {
                    let kind = kinds.first().cloned().unwrap_or_default();
                    let query = StoreQuery { kind, conditions: vec![condition.clone()] };
                    match store.search(&query, None, 5).await {
                        Ok(page) if page.unapplied.contains(&condition) || page.artifacts.is_empty() => {}
                        Ok(_) => return Err(seen(format!("the condition {condition:?} was passed over in silence"))),
                        Err(error) => failed(
                            "an unknown condition",
                            Err::<(), _>(error),
                            &[ErrorKind::Invalid, ErrorKind::Unsupported],
                        )?,
                    }
                }
                Ok(())
            },
        )
        .await;
    suite
        .rule("what-is-found-can-be-got", "answer the same descriptor from `get` as from `search`", async {
            if known.is_empty() {
                return Err(nothing("the tool holds nothing yet"));
            }
            for found in known.iter().take(5) {
                same(found, &store.get(&found.id).await?)?;
            }
            Ok(())
        })
        .await;
}

/// All that never changes of a version.
fn same(one: &StoredArtifact, other: &StoredArtifact) -> Judged {
    let fixed =
        |artifact: &StoredArtifact| StoredArtifact { labels: Attributes::new(), tags: Vec::new(), ..artifact.clone() };
    let (one, other) = (fixed(one), fixed(other));
    if one == other { Ok(()) } else { Err(seen(format!("one version answered two ways: {one:?} and {other:?}"))) }
}

async fn contents(
    suite: &mut Suite<'_>,
    store: &dyn ArtifactStore,
    info: Option<&StoreInfo>,
    known: &[StoredArtifact],
) {
    suite
        .rule(
            "locates-what-it-has",
            "answer `locate` with a scheme that `describe` names and the same files each time",
            async {
                let one = known.first().ok_or_else(|| nothing("the tool holds nothing yet"))?;
                let (root, files) = store.locate(&one.id).await?;
                if let Some(info) = info.filter(|info| !info.schemes.contains(&root.scheme)) {
                    return Err(seen(format!(
                        "`{}` lies at the scheme `{}`; `describe` names {:?}",
                        one.id, root.scheme, info.schemes
                    )));
                }
                let again = store.locate(&one.id).await?.1;
                let paths = |files: &[(String, String)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
                if paths(&files) != paths(&again) {
                    return Err(seen(format!("`{}` has other files when asked again", one.id)));
                }
                Ok(())
            },
        )
        .await;
}

/// What is not there, what makes no sense, and what is too much.
async fn refusing(suite: &mut Suite<'_>, store: &dyn ArtifactStore) {
    let missing = [ErrorKind::NotFound, ErrorKind::Invalid];
    suite
        .rule(
            "missing-is-not-found",
            "answer `not-found` for an id that is not there (`invalid` for one that cannot be)",
            async {
                failed("`get` of a version that is not there", store.get(NOWHERE).await, &missing)?;
                failed("`locate` of a version that is not there", store.locate(NOWHERE).await, &missing)?;
                let change = StoreChange { add_tags: vec!["fuseml-check".to_owned()], ..StoreChange::default() };
                let kinds = [ErrorKind::NotFound, ErrorKind::Invalid, ErrorKind::Unsupported];
                failed("`update` of a version that is not there", store.update(NOWHERE, &change).await, &kinds)
            },
        )
        .await;
    suite
        .rule(
            "deleting-twice-is-no-error",
            "answer nothing for a version that is gone already, or `unsupported` in a store that only reads",
            async {
                match store.delete(NOWHERE).await {
                    Ok(()) => Ok(()),
                    Err(error) => failed(
                        "`delete` of a version that is not there",
                        Err::<(), _>(error),
                        &[ErrorKind::Unsupported, ErrorKind::Invalid],
                    ),
                }
            },
        )
        .await;
    suite
        .rule(
            "odd-ids-are-refused",
            "check ids before they become part of a request; answer `invalid` or `not-found`",
            async {
                let long = "x".repeat(64 << 10);
                for id in [
                    "",
                    "/",
                    "../../etc/passwd",
                    "a\0b/1",
                    "ä %2e%2e/✓?x=1#f",
                    "'; DROP TABLE models; --/1",
                    long.as_str(),
                ] {
                    let shown: String = id.escape_debug().take(40).collect();
                    failed(&format!("`get` of the id `{shown}`"), store.get(id).await, &missing)?;
                }
                Ok(())
            },
        )
        .await;
    suite
        .rule(
            "odd-searches-are-answered",
            "clamp the limit, refuse or ignore a cursor that is not yours, answer nothing for an unknown kind",
            async {
                let odd = [ErrorKind::Invalid, ErrorKind::Unsupported, ErrorKind::NotFound];
                let none = store.search(&of_kind("no-such-kind"), None, 5).await;
                match none {
                    Ok(page) if page.artifacts.is_empty() => {}
                    Ok(page) => {
                        return Err(seen(format!("a kind that nobody has is found {} times", page.artifacts.len())));
                    }
                    Err(error) => failed("an unknown kind", Err::<(), _>(error), &odd)?,
                }
                for (cursor, limit) in [(None, 0), (None, u32::MAX), (Some("no cursor of yours"), 5)] {
                    if let Err(error) = store.search(&of_kind("model"), cursor, limit).await {
                        failed(
                            &format!("a search with the limit {limit} and the cursor {cursor:?}"),
                            Err::<(), _>(error),
                            &odd,
                        )?;
                    }
                }
                Ok(())
            },
        )
        .await;
}

/// What `describe` does not name is not there.
async fn lacking(suite: &mut Suite<'_>, store: &dyn ArtifactStore, info: &StoreInfo) {
    let lacks = |operation: &str| !info.operations.iter().any(|one| one == operation);
    let fix = "answer `unsupported` to what `describe` does not name among `operations`, or name it";
    suite
        .rule("has-what-it-says", fix, async {
            let kinds = [ErrorKind::Unsupported, ErrorKind::NotFound, ErrorKind::Invalid];
            let change = |labels: Option<Attributes>, tags: &[&str]| StoreChange {
                labels,
                add_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
                remove_tags: Vec::new(),
            };
            if lacks("update-labels") {
                let change = change(Some(Attributes::new()), &[]);
                failed("`update` of labels", store.update(NOWHERE, &change).await, &kinds)?;
            }
            if lacks("update-tags") {
                failed("`update` of tags", store.update(NOWHERE, &change(None, &["x"])).await, &kinds)?;
            }
            if lacks("delete") {
                failed("`delete`", store.delete(NOWHERE).await, &kinds)?;
            }
            match info.operations.iter().find(|operation| !OPERATIONS.contains(&operation.as_str())) {
                Some(other) => Err(seen(format!("`describe` names the operation `{other}`, which nobody knows"))),
                None => Ok(()),
            }
        })
        .await;
}

async fn deprived(
    suite: &mut Suite<'_>,
    subject: &Subject<'_>,
    make: impl Fn(Condition) -> Option<Arc<dyn ArtifactStore>>,
) {
    let without = [ErrorKind::Denied, ErrorKind::Unavailable, ErrorKind::Invalid, ErrorKind::Unsupported];
    suite
        .deprived(
            "without-rights-it-says-so",
            "pass the host's `denied` on instead of a panic or an empty answer",
            async {
                if !subject.requests(Capability::Http) {
                    return Err(nothing("it does not call out"));
                }
                let store = make(Condition::Bare).ok_or_else(|| nothing("no settings"))?;
                failed("`health` without any right", store.health().await, &without)?;
                failed("`get` without any right", store.get(NOWHERE).await, &without)
            },
        )
        .await;
    suite
        .deprived(
            "an-absent-tool-is-unavailable",
            "answer `unavailable` when the tool cannot be reached, so that the host tries again",
            async {
                let store = make(Condition::Unreachable).ok_or_else(|| nothing("no address of it is a setting"))?;
                failed("`health` with nobody at its address", store.health().await, &[ErrorKind::Unavailable])?;
                // An id that cannot be is refused before anyone is asked.
                let kinds = [ErrorKind::Unavailable, ErrorKind::Invalid];
                failed("`get` with nobody at its address", store.get(NOWHERE).await, &kinds)
            },
        )
        .await;
    suite
        .deprived(
            "a-small-budget-is-survived",
            "pass on the host's error when a request is refused; do not panic",
            async {
                let store = make(Condition::OneRequest).ok_or_else(|| nothing("no settings"))?;
                for kind in &subject.component.kinds {
                    // Any answer will do, as long as it is one.
                    let _ = store.search(&of_kind(kind.name()), None, 50).await;
                }
                Ok(())
            },
        )
        .await;
}
