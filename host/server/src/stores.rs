//! Stores of artifacts: the built-in ones and those of tools, and what the tools have that is not known here yet
//! (S81, S88–S95).

use crate::{
    app::App,
    imports,
    view::{StoreView, SyncRequest},
};
use fuseml_catalog::Author;
use fuseml_domain::{
    Descriptor, Error, ErrorKind, Kind, Name, Result, Scope, StoreCollected, StoreEvent, StoreLook, StoreQuery,
    StoreSync, StoredArtifact,
    port::{ArtifactStore, Catalog as _, Extensions as _},
};
use jiff::Timestamp;
use std::{collections::HashSet, sync::Arc, time::Duration};

/// Asked for at once.
const PAGE: u32 = 100;
/// A store that has more pages than this, or batches, is lying.
const MOST_PAGES: usize = 100_000;
/// Between two looks for what is due.
const TICK: Duration = Duration::from_secs(30);

/// The stores of an instance, each once, with the kinds that it keeps.
async fn stores_of(app: &App, instance: &Name) -> Result<Vec<(Vec<Kind>, Arc<dyn ArtifactStore>)>> {
    let mut stores = Vec::new();
    for kind in Kind::all() {
        stores.extend(app.registry.store(instance, kind).await?.map(|store| (kind, store)));
    }
    // The manifest says which kinds an instance may keep; a component, which of them are its own.
    let manifested: Vec<Kind> = stores.iter().map(|(kind, _)| *kind).collect();
    let mut found: Vec<(Vec<Kind>, Arc<dyn ArtifactStore>)> = Vec::new();
    for (kind, store) in stores {
        if found.iter().any(|(kinds, _)| kinds.contains(&kind)) {
            continue;
        }
        let said = store.describe().await?.kinds;
        let kinds = manifested.iter().copied().filter(|kind| said.iter().any(|said| said == kind.name())).collect();
        found.push((kinds, store));
    }
    Ok(found)
}

/// All stores: the built-in ones first.
pub(crate) async fn list(app: &App) -> Result<Vec<StoreView>> {
    let mut views = StoreView::built_in(app.blobs_place.clone());
    for instance in app.catalog.instances().await? {
        match show(app, &instance.name, false).await {
            Ok(view) => views.extend(view),
            // One that rests, or is disabled, hides no other.
            Err(error) => views.push(StoreView::unusable(&instance.name, &error)),
        }
    }
    Ok(views)
}

/// The store of an instance; `None` for one that has none. Whether the tool answers is asked only if `ask` says so.
pub(crate) async fn show(app: &App, instance: &Name, ask: bool) -> Result<Option<StoreView>> {
    let stores = stores_of(app, instance).await?;
    let Some((_, first)) = stores.first() else { return Ok(None) };
    let info = first.describe().await?;
    let health = match ask {
        true => Some(first.health().await.err().map(|error| error.message)),
        false => None,
    };
    Ok(Some(StoreView {
        store: instance.to_string(),
        kinds: stores.iter().flat_map(|(kinds, _)| kinds.iter().map(ToString::to_string)).collect(),
        pattern: Some(info.pattern),
        operations: info.operations,
        schemes: info.schemes,
        abilities: first.abilities(),
        artifacts: Some(app.catalog.stored_count(instance).await?),
        sync: app.catalog.store_sync(instance).await?,
        trouble: health.clone().flatten(),
        answers: health.map(|trouble| trouble.is_none()),
        place: None,
    }))
}

/// Looks through an instance's store and registers what is not known here.
///
/// # Errors
/// `unsupported` for an instance without a store; what the tool or its component answers.
pub(crate) async fn sync(app: &App, instance: &Name, request: &SyncRequest) -> Result<StoreSync> {
    let before = app.catalog.store_sync(instance).await?;
    let scope = app.catalog.instance(instance).await?.scope;
    let project = match (&request.project, scope, &before) {
        (Some(project), Scope::Project(own), _) if *project != own => {
            return Err(Error::denied("scope", format!("{instance} belongs to the project {own}")));
        }
        (Some(project), ..) => project.clone(),
        (None, Scope::Project(own), _) => own,
        (None, _, Some(before)) => before.project.clone(),
        (None, Scope::Global, None) => {
            return Err(Error::invalid("project", "say whose artifacts they become: --project"));
        }
    };
    app.catalog.check_project(&project).await?;
    let _turn = imports::turn(app, &project, instance)?;
    let same = before.as_ref().is_some_and(|before| before.project == project);
    let mut after = StoreSync {
        instance: instance.clone(),
        project,
        every: request.every.or(before.as_ref().and_then(|before| before.every)),
        cursor: before.filter(|_| same).and_then(|before| before.cursor),
        last: StoreLook::new(Timestamp::now()),
    };
    let looked = look(app, &mut after, request.prune).await;
    after.last.error = looked.as_ref().err().map(|error| error.message.clone());
    app.catalog.put_store_sync(&after).await?;
    if after.last.registered > 0 {
        app.engine.wake();
    }
    looked.map(|()| after)
}

async fn look(app: &App, sync: &mut StoreSync, prune: bool) -> Result<()> {
    let stores = stores_of(app, &sync.instance).await?;
    if stores.is_empty() {
        return Err(Error::unsupported("no-store", format!("{} has no artifact store", sync.instance)));
    }
    for (kinds, store) in stores {
        if store.abilities().feed {
            follow(app, sync, &kinds, &*store).await?;
        } else {
            walk(app, sync, &kinds, &*store, prune).await?;
        }
    }
    Ok(())
}

/// Takes what happened since the last look; the cursor is kept after each batch.
async fn follow(app: &App, sync: &mut StoreSync, kinds: &[Kind], store: &dyn ArtifactStore) -> Result<()> {
    for _ in 0..MOST_PAGES {
        let batch = store.changes(sync.cursor.as_deref()).await?;
        for event in batch.events {
            match event {
                StoreEvent::Changed(artifact) => take(app, sync, kinds, &artifact).await?,
                StoreEvent::Touched(id) => match store.get(&id).await {
                    Ok(artifact) => take(app, sync, kinds, &artifact).await?,
                    Err(error) if error.kind == ErrorKind::NotFound => forget(app, sync, &id).await?,
                    Err(error) => return Err(error),
                },
                StoreEvent::Deleted(id) => forget(app, sync, &id).await?,
            }
        }
        if batch.more && sync.cursor.as_ref() == Some(&batch.cursor) {
            return Err(endless(&sync.instance));
        }
        sync.cursor = Some(batch.cursor);
        app.catalog.put_store_sync(sync).await?;
        if !batch.more {
            return Ok(());
        }
    }
    Err(endless(&sync.instance))
}

/// Looks at everything, page by page.
async fn walk(app: &App, sync: &mut StoreSync, kinds: &[Kind], store: &dyn ArtifactStore, prune: bool) -> Result<()> {
    let mut seen = HashSet::new();
    for kind in kinds {
        let query = StoreQuery { kind: kind.name().to_owned(), conditions: Vec::new() };
        let (mut cursor, mut cursors) = (None, HashSet::new());
        loop {
            let page = store.search(&query, cursor.as_deref(), PAGE).await?;
            for artifact in &page.artifacts {
                take(app, sync, std::slice::from_ref(kind), artifact).await?;
                seen.insert(artifact.id.clone());
            }
            match page.next {
                None => break,
                Some(next) if cursors.len() >= MOST_PAGES || !cursors.insert(next.clone()) => {
                    return Err(endless(&sync.instance));
                }
                next => cursor = next,
            }
        }
    }
    let mut after = String::new();
    loop {
        let known = app.catalog.stored_ids(&sync.instance, &after, PAGE).await?;
        let Some(last) = known.last() else { return Ok(()) };
        after.clone_from(last);
        for id in known.iter().filter(|id| !seen.contains(*id)) {
            // One page may have missed what another change moved: the store has the last word.
            if is_gone(store, id).await? {
                match prune {
                    true => forget(app, sync, id).await?,
                    false => sync
                        .last
                        .skip(id, &Error::not_found("gone", "it is gone from the tool; --prune deletes it here")),
                }
            }
        }
    }
}

async fn is_gone(store: &dyn ArtifactStore, id: &str) -> Result<bool> {
    match store.get(id).await {
        Ok(_) => Ok(false),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn endless(instance: &Name) -> Error {
    Error::internal("bad-answer", format!("the store of {instance} answers the same page again and again"))
}

/// Registers what is new, and takes over labels and tags of what is known.
async fn take(app: &App, sync: &mut StoreSync, kinds: &[Kind], artifact: &StoredArtifact) -> Result<()> {
    if !kinds.iter().any(|kind| kind.name() == artifact.kind) {
        let message = format!("it is a {}, which this store does not keep", artifact.kind.escape_debug());
        sync.last.skip(&artifact.id, &Error::invalid("kind", message));
        return Ok(());
    }
    let described = match artifact.describe(&sync.project, &sync.instance) {
        Ok(described) => described,
        Err(error) => {
            sync.last.skip(&artifact.id, &error);
            return Ok(());
        }
    };
    let (known, is_new) = match app.catalog.stored(&sync.instance, &artifact.id).await? {
        Some(known) => (known, false),
        None => {
            app.catalog.register(std::slice::from_ref(&described)).await?;
            (app.catalog.artifact(&described.address).await?, true)
        }
    };
    let changed = adopt(app, &sync.instance, &known, &described, artifact).await?;
    match (is_new, changed) {
        (true, _) => sync.last.registered += 1,
        (false, true) => sync.last.changed += 1,
        (false, false) => {}
    }
    Ok(())
}

/// Labels and tags as the tool has them; what only FuseML knows of the artifact stays.
async fn adopt(
    app: &App,
    instance: &Name,
    known: &Descriptor,
    described: &Descriptor,
    artifact: &StoredArtifact,
) -> Result<bool> {
    let author = Author { by: instance.to_string(), reason: None };
    let labels: Vec<_> = described
        .labels
        .iter()
        .filter(|(name, value)| known.labels.get(*name) != Some(value))
        .map(|(name, value)| (name.clone(), Some(value.clone())))
        .collect();
    if !labels.is_empty() {
        app.catalog.label(&known.address, &labels, &author).await?;
        app.engine.arrived(known.project()).await;
    }
    let mut changed = !labels.is_empty();
    for tag in artifact.tags.iter().filter(|tag| !known.tags.contains(tag)) {
        // A tool's tag may be none here: it stays in the tool.
        if let Ok(tag) = tag.parse::<Name>() {
            app.catalog.tag(&known.address, &tag, &author).await?;
            app.engine.arrived(known.project()).await;
            changed = true;
        }
    }
    if changed {
        app.engine.wake();
    }
    Ok(changed)
}

/// The tool has it no more.
async fn forget(app: &App, sync: &mut StoreSync, id: &str) -> Result<()> {
    let Some(known) = app.catalog.stored(&sync.instance, id).await? else { return Ok(()) };
    let author = Author { by: sync.instance.to_string(), reason: Some("deleted in the tool".to_owned()) };
    match app.catalog.delete(&known.address, &author, true).await {
        Ok(_) => {
            app.trees.withdraw(&known).await?;
            sync.last.deleted += 1;
        }
        // A service answers for it.
        Err(error) => sync.last.skip(id, &error),
    }
    Ok(())
}

/// Lets a tool's store remove what nothing refers to.
///
/// # Errors
/// `unsupported` where it does not.
pub(crate) async fn collect(app: &App, instance: &Name, dry_run: bool) -> Result<StoreCollected> {
    let stores = stores_of(app, instance).await?;
    let Some((_, store)) = stores.into_iter().find(|(_, store)| store.abilities().maintenance) else {
        let message = format!("the store of {instance} removes nothing by itself");
        return Err(Error::unsupported("maintenance", message));
    };
    let mut all = StoreCollected::default();
    let mut cursors = HashSet::new();
    loop {
        let part = store.collect_garbage(all.next.as_deref(), dry_run).await?;
        all.examined = all.examined.saturating_add(part.examined);
        all.removed = all.removed.saturating_add(part.removed);
        all.freed_bytes = all.freed_bytes.saturating_add(part.freed_bytes);
        all.next = part.next;
        match &all.next {
            None => return Ok(all),
            Some(next) if !cursors.insert(next.clone()) => return Err(endless(instance)),
            Some(_) => {}
        }
    }
}

/// Looks through the stores that are due. Never ends.
pub(crate) async fn sync_all(app: &App) {
    loop {
        tokio::time::sleep(TICK).await;
        let syncs = match app.catalog.store_syncs().await {
            Ok(syncs) => syncs,
            Err(error) => {
                tracing::warn!(%error, "the stores to follow could not be read");
                continue;
            }
        };
        for due in syncs.iter().filter(|sync| sync.every.is_some_and(|every| sync.last.at + every <= Timestamp::now()))
        {
            if let Err(error) = sync(app, &due.instance, &SyncRequest::default()).await {
                tracing::warn!(instance = %due.instance, %error, "a store could not be looked through");
            }
        }
    }
}
