//! What a store registers, changes and deletes.

use super::{LABEL, of_name, same, walk};
use crate::{
    ArtifactSample,
    suite::{Judged, Suite, Trouble, failed, nothing, seen},
};
use fuseml_domain::{
    Address, Attributes, Descriptor, ErrorKind, Location, Name, Origin, Store, StoreChange, StoredArtifact,
    port::{ArtifactStore, StoreDraft},
};

/// A draft of the sample that nothing else in the tool is called.
fn draft(sample: &ArtifactSample, key: &str) -> Result<StoreDraft, Trouble> {
    let id: Name = uuid::Uuid::now_v7().simple().to_string().parse()?;
    let project: Name = "fuseml-check".parse()?;
    let descriptor = Descriptor {
        address: Address::of_version(sample.kind, &project, &sample.name, &id),
        name: sample.name.clone(),
        id,
        digest: None,
        created: jiff::Timestamp::now(),
        attributes: sample.attributes.clone(),
        metrics: Default::default(),
        labels: Attributes::from([(LABEL.to_owned(), key.to_owned())]),
        tags: Vec::new(),
        location: Location::new(&sample.scheme, &sample.uri),
        store: Store::BuiltIn,
        runnable: None,
        origin: Origin::Push { reference: "check".to_owned(), subject: "conformance check".to_owned() },
    };
    let location = descriptor.location.clone();
    Ok(StoreDraft { descriptor, location, key: key.to_owned() })
}

/// A version that the suite registered: its id and key.
pub(super) struct Registered {
    id: String,
    key: String,
}

/// Three versions, for the rules that need something to look at.
pub(super) async fn register(
    suite: &mut Suite<'_>,
    store: &dyn ArtifactStore,
    sample: &ArtifactSample,
) -> Vec<Registered> {
    let mut made: Vec<Registered> = Vec::new();
    let fix = "look for the idempotency key before you create; answer the version that it made";
    suite
        .rule("registers-once", fix, async {
            for _ in 0..3 {
                let key = uuid::Uuid::now_v7().to_string();
                let draft = draft(sample, &key)?;
                let first = store.register(&draft).await?;
                // Where contents are the identity, another key may well mean the same version.
                if !made.iter().any(|other| other.id == first.id) {
                    made.push(Registered { id: first.id.clone(), key });
                }
                let again = store.register(&draft).await?;
                if again.id != first.id {
                    made.push(Registered { id: again.id.clone(), key: draft.key });
                    return Err(seen(format!("one key registered `{}` and `{}`", first.id, again.id)));
                }
                same(&first, &again)?;
                same(&first, &store.get(&first.id).await?)?;
            }
            Ok(())
        })
        .await;
    made
}

pub(super) async fn change(
    suite: &mut Suite<'_>,
    store: &dyn ArtifactStore,
    sample: &ArtifactSample,
    made: &Registered,
    keeps_labels: bool,
) {
    let fix = "keep kind, name, attributes and labels of the draft, and find it by its name";
    suite.rule("registers-what-it-was-given", fix, kept(store, sample, made, keeps_labels)).await;
    let fix = "replace the labels, add and remove the tags, touch nothing else, twice as once";
    suite.rule("updates-labels-and-tags-only", fix, changed(store, made, keeps_labels)).await;
    let fix = "refuse contents that the tool cannot reach, before anything is created";
    suite
        .rule("nonsense-is-not-registered", fix, async {
            let name: Name = format!("{}-nonsense", sample.name).parse()?;
            let (scheme, uri) = ("nowhere".to_owned(), "nowhere:/nothing".to_owned());
            let nonsense = ArtifactSample { name: name.clone(), scheme, uri, ..sample.clone() };
            let answer = store.register(&draft(&nonsense, &format!("{}-nonsense", made.key))?).await;
            let kinds = [ErrorKind::Invalid, ErrorKind::Unsupported, ErrorKind::NotFound];
            failed("contents that are nowhere", answer, &kinds)?;
            let left = walk(store, &of_name(sample.kind.name(), &name), 50).await?;
            match left.iter().find(|one| one.name == *name) {
                Some(left) => Err(seen(format!("the refused registration left `{}`", left.id))),
                None => Ok(()),
            }
        })
        .await;
}

async fn kept(store: &dyn ArtifactStore, sample: &ArtifactSample, made: &Registered, keeps_labels: bool) -> Judged {
    let got = store.get(&made.id).await?;
    if got.kind != sample.kind.name() || got.name != *sample.name {
        return Err(seen(format!("a {} `{}` became a {} `{}`", sample.kind, sample.name, got.kind, got.name)));
    }
    for (name, value) in &sample.attributes {
        let kept = got.attributes.get(name);
        if kept != Some(value) {
            return Err(seen(format!("the attribute `{name}` is {kept:?} instead of `{value}`")));
        }
    }
    let label = got.labels.get(LABEL);
    if keeps_labels && label != Some(&made.key) {
        return Err(seen(format!("the label `{LABEL}` is {label:?} instead of `{}`", made.key)));
    }
    let found = walk(store, &of_name(&got.kind, &got.name), 50).await?;
    match found.iter().any(|one| one.id == made.id) {
        true => Ok(()),
        false => Err(seen(format!("a search by its name does not find `{}`", made.id))),
    }
}

async fn changed(store: &dyn ArtifactStore, made: &Registered, keeps_labels: bool) -> Judged {
    let tag = LABEL.to_owned();
    let before = store.get(&made.id).await?;
    let labels = keeps_labels.then(|| Attributes::from([(LABEL.to_owned(), "changed".to_owned())]));
    let expected = labels.clone().unwrap_or_else(|| before.labels.clone());
    let change = StoreChange { labels, add_tags: vec![tag.clone()], remove_tags: Vec::new() };
    let judge = |after: StoredArtifact, tagged: bool| {
        if after.labels == expected && after.tags.contains(&tag) == tagged {
            return same(&before, &after);
        }
        let (labels, tags) = (after.labels, after.tags);
        Err(seen(format!("after the change it has the labels {labels:?} and the tags {tags:?}")))
    };
    for _ in 0..2 {
        match store.update(&made.id, &change).await {
            Err(error) if error.kind == ErrorKind::Unsupported => return Err(nothing(error.message)),
            answer => judge(answer?, true)?,
        }
    }
    let change = StoreChange { remove_tags: vec![tag.clone()], ..StoreChange::default() };
    match store.update(&made.id, &change).await {
        // A tool may keep its tags for ever.
        Err(error) if error.kind == ErrorKind::Unsupported => Ok(()),
        answer => judge(answer?, false),
    }
}

/// Also what another rule's failure left.
pub(super) async fn remove(suite: &mut Suite<'_>, store: &dyn ArtifactStore, made: &[Registered]) {
    if made.is_empty() {
        return;
    }
    suite
        .rule("deletes", "let `get` answer `not-found` after `delete`, and let a second `delete` pass", async {
            for Registered { id, .. } in made {
                match store.delete(id).await {
                    Err(error) if error.kind == ErrorKind::Unsupported => return Err(nothing(error.message)),
                    answer => answer?,
                }
                failed("`get` of a deleted version", store.get(id).await, &[ErrorKind::NotFound])?;
                store.delete(id).await?;
            }
            Ok(())
        })
        .await;
}
