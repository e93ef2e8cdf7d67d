//! What a store may export beyond its world: a feed, pages, maintenance.

use super::{NOWHERE, PAGES};
use crate::suite::{Suite, failed, nothing, seen};
use fuseml_domain::{ErrorKind, StoreEvent, StoredArtifact, port::ArtifactStore};
use std::collections::BTreeSet;

pub(super) async fn check(suite: &mut Suite<'_>, store: &dyn ArtifactStore, known: &[StoredArtifact]) {
    let able = store.abilities();
    if able.feed {
        feed(suite, store, known).await;
    }
    if able.redirect {
        redirect(suite, store, known).await;
    }
    if able.maintenance {
        maintenance(suite, store).await;
    }
}

/// Everything since the beginning; the cursor after it.
async fn walk(
    store: &dyn ArtifactStore,
    from: Option<String>,
) -> Result<(BTreeSet<String>, String), crate::suite::Trouble> {
    let (mut ids, mut cursor) = (BTreeSet::new(), from);
    for _ in 0..PAGES {
        let batch = store.changes(cursor.as_deref()).await?;
        for event in batch.events {
            match event {
                StoreEvent::Changed(artifact) => drop(ids.insert(artifact.id)),
                StoreEvent::Touched(id) => drop(ids.insert(id)),
                StoreEvent::Deleted(id) => drop(ids.remove(&id)),
            }
        }
        if !batch.more {
            return Ok((ids, batch.cursor));
        }
        if cursor.as_ref() == Some(&batch.cursor) {
            return Err(seen(
                "`changes` says that there is more after the cursor that it was given: it would never end",
            ));
        }
        cursor = Some(batch.cursor);
    }
    Err(nothing(format!("there is more than {PAGES} batches can say")))
}

async fn feed(suite: &mut Suite<'_>, store: &dyn ArtifactStore, known: &[StoredArtifact]) {
    suite
        .rule(
            "the-feed-tells-all-and-ends",
            "tell of everything that is there when no cursor is given, and of nothing twice after the cursor that you gave",
            async {
                let (ids, cursor) = walk(store, None).await?;
                if let Some(missing) = known.iter().find(|one| !ids.contains(&one.id)) {
                    return Err(seen(format!("`changes` never told of `{}`, which `search` finds", missing.id)));
                }
                let (again, _) = walk(store, Some(cursor)).await?;
                match again.first() {
                    Some(id) => Err(seen(format!("`changes` tells of `{id}` again although nothing happened"))),
                    None => Ok(()),
                }
            },
        )
        .await;
    suite
        .rule("odd-cursors-are-refused", "answer `invalid` to a cursor that is not yours", async {
            for cursor in ["", "no cursor of yours", "../..", "-1"] {
                // A cursor that happens to be one is no fault.
                if let Err(error) = store.changes(Some(cursor)).await {
                    failed("an odd cursor", Err::<(), _>(error), &[ErrorKind::Invalid, ErrorKind::NotFound])?;
                }
            }
            Ok(())
        })
        .await;
}

async fn redirect(suite: &mut Suite<'_>, store: &dyn ArtifactStore, known: &[StoredArtifact]) {
    suite
        .rule("pages-lie-within-the-grant", "answer an http(s) page of a host that the instance is granted", async {
            let Some(one) = known.first() else { return Err(nothing("there is no artifact to have a page")) };
            store.page_of(&one.id).await?;
            let kinds = [ErrorKind::NotFound, ErrorKind::Invalid];
            failed("`page-of` a version that is not there", store.page_of(NOWHERE).await, &kinds)
        })
        .await;
}

async fn maintenance(suite: &mut Suite<'_>, store: &dyn ArtifactStore) {
    suite
        .rule("a-dry-run-removes-nothing", "count alike twice, free nothing, and end", async {
            let mut counts = Vec::new();
            for _ in 0..2 {
                let (mut removed, mut cursor) = (0_u64, None);
                for _ in 0..PAGES {
                    let part = store.collect_garbage(cursor.as_deref(), true).await?;
                    removed = removed.saturating_add(part.removed);
                    if part.next.is_some() && part.next == cursor {
                        return Err(seen("`collect-garbage` answers the cursor that it was given"));
                    }
                    cursor = part.next;
                    if cursor.is_none() {
                        break;
                    }
                }
                counts.push(removed);
            }
            match counts[0] == counts[1] {
                true => Ok(()),
                false => Err(seen(format!("a dry run would remove {}, the next one {}", counts[0], counts[1]))),
            }
        })
        .await;
}
