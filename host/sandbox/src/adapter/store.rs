//! An artifact-store component as the domain's `ArtifactStore`.

use super::functions;
use crate::{
    api::v0_1::{ArtifactStorePre, store, storing, types::types},
    call::Call,
    run::{Bound, Function},
    tape::{Replayed, Tape},
};
use async_trait::async_trait;
use fuseml_domain::{
    Error, Kind, Location, Result,
    port::{ArtifactStore, StoreDraft, StoredArtifact},
};
use serde::{Deserialize, Serialize};

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
        self.0.call(Register(storing::draft(draft), draft.descriptor.address.to_string()), None).await
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

impl ComponentStore {
    /// Runs a recorded call again.
    pub(crate) async fn replay(&self, tape: &Tape) -> Result<Replayed> {
        match tape.function.as_str() {
            Health::NAME => self.0.replay::<Health>(tape).await,
            Register::NAME => self.0.replay::<Register>(tape).await,
            Get::NAME => self.0.replay::<Get>(tape).await,
            Search::NAME => self.0.replay::<Search>(tape).await,
            Locate::NAME => self.0.replay::<Locate>(tape).await,
            other => Err(Error::unsupported("tape", format!("`{other}` is no function of an artifact store"))),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Health;
#[derive(Serialize, Deserialize)]
struct Register(store::Draft, String);
#[derive(Serialize, Deserialize)]
struct Get(String);
#[derive(Serialize, Deserialize)]
struct Search {
    query: store::Query,
    name: Option<String>,
    cursor: Option<String>,
}
#[derive(Serialize, Deserialize)]
struct Locate(String);

functions! {
    ArtifactStorePre.fuseml_artifact_store_store:
    Health "health" -> (), about |_call| None, |self, guest, store| guest.call_health(&mut *store), Ok;
    Register "register" -> StoredArtifact, about |call| Some(call.1.clone()), |self, guest, store| guest.call_register(&mut *store, &self.0),
        storing::artifact;
    Get "get" -> StoredArtifact, about |call| Some(call.0.clone()), |self, guest, store| guest.call_get(&mut *store, &self.0), storing::artifact;
    Search "search" -> storing::Found, about |_call| None,
        |self, guest, store| guest.call_search(&mut *store, &self.query, &self.page()),
        |results| storing::found(results, self.name.as_deref());
    Locate "locate" -> (Location, Vec<(String, String)>), about |call| Some(call.0.clone()),
        |self, guest, store| guest.call_locate(&mut *store, &self.0), storing::contents;
}

impl Search {
    fn page(&self) -> types::Page {
        types::Page { cursor: self.cursor.clone(), limit: PAGE }
    }
}
