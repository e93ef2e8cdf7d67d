//! A new version beside the active one: it gets the same read-only questions after the active one has answered, may
//! change nothing, and nobody waits for it. What differs is counted, with examples.

use crate::view::{ComparisonView, DifferenceView};
use async_trait::async_trait;
use fuseml_catalog::InstalledExtension;
use fuseml_domain::{
    BuildPlan, Digest, Error, Location, Result, StoreAbilities, StoreBatch, StoreChange, StoreCollected, StoreInfo,
    StorePage, StoreQuery, StoredArtifact,
    port::{ArtifactStore, Builder, CodesetToBuild, PreviousBuild, StoreDraft},
};
use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};

/// Examples kept of one shadow.
const EXAMPLES: usize = 5;
/// Characters shown of an answer.
const SHOWN: usize = 300;

/// What was compared, by the digest of the shadow's package.
#[derive(Default)]
pub(super) struct Comparisons(Arc<Mutex<HashMap<Digest, ComparisonView>>>);

impl Comparisons {
    pub(super) fn view(&self, shadow: &Digest) -> ComparisonView {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(shadow).cloned().unwrap_or_default()
    }

    fn tally(&self, extension: &InstalledExtension) -> Option<Tally> {
        Some(Tally { all: self.0.clone(), shadow: extension.shadow.clone()? })
    }

    /// The live store, with the shadow asked after it. A shadow that cannot be made differs in every call.
    pub(super) fn store(
        &self,
        extension: &InstalledExtension,
        live: Arc<dyn ArtifactStore>,
        shadow: Result<Option<Arc<dyn ArtifactStore>>>,
    ) -> Arc<dyn ArtifactStore> {
        match self.tally(extension) {
            Some(tally) => Arc::new(Beside { live, shadow: available(shadow), tally }),
            None => live,
        }
    }

    pub(super) fn builder(
        &self,
        extension: &InstalledExtension,
        live: Arc<dyn Builder>,
        shadow: Result<Option<Arc<dyn Builder>>>,
    ) -> Arc<dyn Builder> {
        match self.tally(extension) {
            Some(tally) => Arc::new(Beside { live, shadow: available(shadow), tally }),
            None => live,
        }
    }
}

fn available<T>(shadow: Result<Option<T>>) -> Result<T> {
    shadow?.ok_or_else(|| Error::not_found("no-component", "the shadow has no such component"))
}

#[derive(Clone)]
struct Tally {
    all: Arc<Mutex<HashMap<Digest, ComparisonView>>>,
    shadow: Digest,
}

impl Tally {
    /// Counts two answers; errors are the same when their kind and code are.
    fn compare<T: PartialEq + Debug>(&self, function: &str, subject: &str, active: &Result<T>, shadow: &Result<T>) {
        let same = match (active, shadow) {
            (Ok(active), Ok(shadow)) => active == shadow,
            (Err(active), Err(shadow)) => (active.kind, &active.code) == (shadow.kind, &shadow.code),
            _ => false,
        };
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let comparison = all.entry(self.shadow.clone()).or_default();
        comparison.calls += 1;
        if same {
            return;
        }
        comparison.different += 1;
        if comparison.examples.len() == EXAMPLES {
            comparison.examples.remove(0);
        }
        comparison.examples.push(DifferenceView {
            function: function.to_owned(),
            subject: subject.to_owned(),
            active: shown(active),
            shadow: shown(shadow),
        });
    }
}

fn shown<T: Debug>(answer: &Result<T>) -> String {
    let text = match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("error {}: {}", error.code, error.message),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

struct Beside<P: ?Sized> {
    live: Arc<P>,
    shadow: Result<Arc<P>>,
    tally: Tally,
}

impl<P: ?Sized + Send + Sync + 'static> Beside<P> {
    /// Asks the shadow what the live one has just answered, later and elsewhere.
    fn ask<T, A>(
        &self,
        function: &'static str,
        subject: String,
        active: Result<T>,
        ask: impl FnOnce(Arc<P>) -> A + Send + 'static,
    ) where
        T: PartialEq + Debug + Send + Sync + 'static,
        A: Future<Output = Result<T>> + Send,
    {
        let (tally, shadow) = (self.tally.clone(), self.shadow.clone());
        tokio::spawn(async move {
            let answer = match shadow {
                Ok(shadow) => ask(shadow).await,
                Err(error) => Err(error),
            };
            tally.compare(function, &subject, &active, &answer);
        });
    }
}

#[async_trait]
impl ArtifactStore for Beside<dyn ArtifactStore> {
    async fn describe(&self) -> Result<StoreInfo> {
        let active = self.live.describe().await;
        self.ask("describe", String::new(), active.clone(), |shadow| async move { shadow.describe().await });
        active
    }

    async fn health(&self) -> Result<()> {
        let active = self.live.health().await;
        self.ask("health", String::new(), active.clone(), |shadow| async move { shadow.health().await });
        active
    }

    /// Changes something, so only the live one is asked.
    async fn register(&self, draft: &StoreDraft) -> Result<StoredArtifact> {
        self.live.register(draft).await
    }

    async fn get(&self, id: &str) -> Result<StoredArtifact> {
        let active = self.live.get(id).await;
        let asked = id.to_owned();
        self.ask("get", id.to_owned(), active.clone(), |shadow| async move { shadow.get(&asked).await });
        active
    }

    async fn search(&self, query: &StoreQuery, cursor: Option<&str>, limit: u32) -> Result<StorePage> {
        let active = self.live.search(query, cursor, limit).await;
        let (asked, from) = (query.clone(), cursor.map(ToOwned::to_owned));
        self.ask("search", query.kind.clone(), active.clone(), move |shadow| async move {
            shadow.search(&asked, from.as_deref(), limit).await
        });
        active
    }

    /// Changes something, so only the live one is asked.
    async fn update(&self, id: &str, change: &StoreChange) -> Result<StoredArtifact> {
        self.live.update(id, change).await
    }

    /// The same.
    async fn delete(&self, id: &str) -> Result<()> {
        self.live.delete(id).await
    }

    async fn locate(&self, id: &str) -> Result<(Location, Vec<(String, String)>)> {
        let active = self.live.locate(id).await;
        let asked = id.to_owned();
        self.ask("locate", id.to_owned(), active.clone(), |shadow| async move { shadow.locate(&asked).await });
        active
    }

    fn abilities(&self) -> StoreAbilities {
        self.live.abilities()
    }

    /// A cursor is the version's that gave it, so only the live one is asked.
    async fn changes(&self, cursor: Option<&str>) -> Result<StoreBatch> {
        self.live.changes(cursor).await
    }

    async fn page_of(&self, id: &str) -> Result<String> {
        let active = self.live.page_of(id).await;
        let asked = id.to_owned();
        self.ask("page-of", id.to_owned(), active.clone(), |shadow| async move { shadow.page_of(&asked).await });
        active
    }

    /// Changes something, so only the live one is asked.
    async fn collect_garbage(&self, cursor: Option<&str>, dry_run: bool) -> Result<StoreCollected> {
        self.live.collect_garbage(cursor, dry_run).await
    }
}

#[async_trait]
impl Builder for Beside<dyn Builder> {
    async fn detect(&self, codeset: &CodesetToBuild) -> Result<(u8, String)> {
        let active = self.live.detect(codeset).await;
        let asked = again(codeset);
        self.ask("detect", codeset.address.to_string(), active.clone(), move |shadow| async move {
            shadow.detect(&asked).await
        });
        active
    }

    async fn plan(&self, codeset: &CodesetToBuild, previous: Option<&PreviousBuild>) -> Result<BuildPlan> {
        let active = self.live.plan(codeset, previous).await;
        let (asked, previous) = (again(codeset), previous.cloned());
        self.ask("plan", codeset.address.to_string(), active.clone(), move |shadow| async move {
            shadow.plan(&asked, previous.as_ref()).await
        });
        active
    }
}

fn again(codeset: &CodesetToBuild) -> CodesetToBuild {
    CodesetToBuild {
        address: codeset.address.clone(),
        name: codeset.name.clone(),
        files: codeset.files.clone(),
        changed_files: codeset.changed_files.clone(),
    }
}
