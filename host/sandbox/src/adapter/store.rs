//! An artifact-store component as the domain's `ArtifactStore`.

use super::functions;
use crate::{
    api::v0_1::{ArtifactStorePre, store, storing, types::types},
    call::Call,
    run::Bound,
};
use async_trait::async_trait;
use fuseml_domain::{
    Error, Kind, Location, Result,
    port::{ArtifactStore, StoreDraft, StoredArtifact},
};

/// Items asked for at once, and pages after which a search is no search any more.
const PAGE: u32 = 200;
const PAGES: usize = 50;

pub(crate) struct ComponentStore(pub(crate) Bound<ArtifactStorePre<Call>>);

#[async_trait]
impl ArtifactStore for ComponentStore {
    async fn health(&self) -> Result<()> {
        self.0.call(Health, None).await
    }

    async fn register(&self, draft: &StoreDraft) -> Result<StoredArtifact> {
        self.0.call(Register(storing::draft(draft)), None).await
    }

    async fn get(&self, id: &str) -> Result<StoredArtifact> {
        self.0.call(Get(id.to_owned()), None).await
    }

    async fn search(&self, kind: Kind, name: Option<&str>) -> Result<Vec<StoredArtifact>> {
        let mut artifacts = Vec::new();
        let mut cursor = None;
        for _ in 0..PAGES {
            let search =
                Search { query: storing::query(kind, name), name: name.map(str::to_owned), cursor: cursor.clone() };
            let found = self.0.call(search, None).await?;
            artifacts.extend(found.artifacts);
            if found.next.is_none() || found.next == cursor {
                artifacts.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
                return Ok(artifacts.into_iter().map(|(_, artifact)| artifact).collect());
            }
            cursor = found.next;
        }
        Err(Error::internal(
            "endless-search",
            format!("{} answered `search` with more than {PAGES} pages", self.0.instance),
        ))
    }

    async fn locate(&self, id: &str) -> Result<(Location, Vec<(String, String)>)> {
        self.0.call(Locate(id.to_owned()), None).await
    }
}

struct Health;
struct Register(store::Draft);
struct Get(String);
struct Search {
    query: store::Query,
    name: Option<String>,
    cursor: Option<String>,
}
struct Locate(String);

functions! {
    ArtifactStorePre.fuseml_artifact_store_store:
    Health "health" -> (), |self, guest, store| guest.call_health(&mut *store), Ok;
    Register "register" -> StoredArtifact, |self, guest, store| guest.call_register(&mut *store, &self.0),
        storing::artifact;
    Get "get" -> StoredArtifact, |self, guest, store| guest.call_get(&mut *store, &self.0), storing::artifact;
    Search "search" -> storing::Found,
        |self, guest, store| guest.call_search(&mut *store, &self.query, &self.page()),
        |results| storing::found(results, self.name.as_deref());
    Locate "locate" -> (Location, Vec<(String, String)>),
        |self, guest, store| guest.call_locate(&mut *store, &self.0), storing::contents;
}

impl Search {
    fn page(&self) -> types::Page {
        types::Page { cursor: self.cursor.clone(), limit: PAGE }
    }
}
