//! An artifact store of the older contract, spoken to in the words of the newer one. Pure: values change their
//! types here and nothing else.

use super::{store as old, types::types};
use crate::{api::v0_2::store as new, call::Call};
use wasmtime::Store;

/// The functions of the newer interface, answered by the older.
pub(crate) struct Older<'a>(pub(crate) &'a old::Guest);

type Answer<T> = wasmtime::Result<Result<T, types::Error>>;

impl Older<'_> {
    pub(crate) async fn call_describe(&self, store: &mut Store<Call>) -> Answer<new::Info> {
        Ok(self.0.call_describe(store).await?.map(info))
    }

    pub(crate) async fn call_health(&self, store: &mut Store<Call>) -> Answer<()> {
        self.0.call_health(store).await
    }

    pub(crate) async fn call_register(&self, store: &mut Store<Call>, given: &new::Draft) -> Answer<types::Descriptor> {
        self.0.call_register(store, &draft(given)).await
    }

    pub(crate) async fn call_get(&self, store: &mut Store<Call>, id: &str) -> Answer<types::Descriptor> {
        self.0.call_get(store, id).await
    }

    pub(crate) async fn call_search(
        &self,
        store: &mut Store<Call>,
        asked: &new::Query,
        page: &types::Page,
    ) -> Answer<new::Results> {
        Ok(self.0.call_search(store, &query(asked), page).await?.map(results))
    }

    pub(crate) async fn call_update(
        &self,
        store: &mut Store<Call>,
        id: &str,
        given: &new::Change,
    ) -> Answer<types::Descriptor> {
        self.0.call_update(store, id, &change(given)).await
    }

    pub(crate) async fn call_delete(&self, store: &mut Store<Call>, id: &str) -> Answer<()> {
        self.0.call_delete(store, id).await
    }

    pub(crate) async fn call_locate(&self, store: &mut Store<Call>, id: &str) -> Answer<new::Contents> {
        Ok(self.0.call_locate(store, id).await?.map(contents))
    }
}

/// It could not say which operations it has, so it is taken to have them all.
fn info(old: old::Info) -> new::Info {
    let pattern = match old.pattern {
        old::Pattern::Adapter => new::Pattern::Adapter,
        old::Pattern::AdapterWithDescriptors => new::Pattern::AdapterWithDescriptors,
        old::Pattern::SharedBackend => new::Pattern::SharedBackend,
        old::Pattern::Mirror => new::Pattern::Mirror,
    };
    let operations = ["register", "update-labels", "update-tags", "delete"].map(str::to_owned).to_vec();
    new::Info { kinds: old.kinds, pattern, schemes: old.schemes, operations }
}

fn draft(new: &new::Draft) -> old::Draft {
    old::Draft {
        descriptor: new.descriptor.clone(),
        contents: new.contents.clone(),
        idempotency_key: new.idempotency_key.clone(),
    }
}

fn query(new: &new::Query) -> old::Query {
    let condition = |new: &new::Condition| old::Condition {
        field: new.field.clone(),
        operator: new.operator.clone(),
        value: new.value.clone(),
    };
    old::Query { kind: new.kind.clone(), conditions: new.conditions.iter().map(condition).collect() }
}

fn results(old: old::Results) -> new::Results {
    let condition = |old: old::Condition| new::Condition { field: old.field, operator: old.operator, value: old.value };
    new::Results { items: old.items, next: old.next, unapplied: old.unapplied.into_iter().map(condition).collect() }
}

fn change(new: &new::Change) -> old::Change {
    old::Change { labels: new.labels.clone(), add_tags: new.add_tags.clone(), remove_tags: new.remove_tags.clone() }
}

fn contents(old: old::Contents) -> new::Contents {
    let file =
        |old: old::File| new::File { path: old.path, size_bytes: old.size_bytes, digest: old.digest, uri: old.uri };
    new::Contents { root: old.root, files: old.files.into_iter().map(file).collect() }
}
