//! An artifact-store component as the domain's `ArtifactStore`.

use crate::{
    api::{
        v0_1::{self, storing::Older, types::types},
        v0_2::{
            self,
            optional::{self, Optional},
            store, storing,
        },
    },
    call::Call,
    failure::Failure,
    run::{Bound, Function},
    tape::{Replayed, Tape},
};
use async_trait::async_trait;
use fuseml_domain::{
    Error, Location, Result, StoreAbilities, StoreBatch, StoreChange, StoreCollected, StoreInfo, StorePage, StoreQuery,
    StoredArtifact,
    port::{ArtifactStore, StoreDraft},
};
use serde::{Deserialize, Serialize};

/// A store of any version of the contract.
#[derive(Clone)]
pub(crate) enum StorePre {
    V0_1(v0_1::ArtifactStorePre<Call>),
    V0_2(v0_2::ArtifactStorePre<Call>, Optional),
}

impl StorePre {
    fn optional(&self) -> Option<&Optional> {
        match self {
            Self::V0_1(_) => None,
            Self::V0_2(_, optional) => Some(optional),
        }
    }
}

pub(crate) struct ComponentStore(pub(crate) Bound<StorePre>);

/// Functions of interfaces that a store may export.
macro_rules! optional_functions {
    ($(
        $function:ident $name:literal -> $answer:ty, of $field:ident $interface:ident,
        about |$about:ident| $subject:expr, |$self:ident, $guest:ident, $store:ident| $call:expr, $convert:expr;
    )*) => {
        $(impl Function for $function {
            type Pre = StorePre;
            type Answer = $answer;
            const NAME: &'static str = $name;

            fn subject(&self) -> Option<String> {
                let $about: &Self = self;
                $subject
            }

            async fn call(
                $self,
                pre: Self::Pre,
                $store: &mut wasmtime::Store<Call>,
            ) -> wasmtime::Result<std::result::Result<Self::Answer, Failure>> {
                let Some(pre) = pre.optional().and_then(|optional| optional.$field.clone()) else {
                    return Ok(Err(Failure::Nonsense(format!("it exports no {}", stringify!($field)))));
                };
                let bindings = pre.instantiate_async(&mut *$store).await?;
                let $guest = bindings.$interface();
                Ok(match $call.await? {
                    Ok(answer) => $convert(answer).map_err(Failure::Nonsense),
                    Err(error) => Err(error.into()),
                })
            }
        })*
    };
}

/// Exported functions in the words of the newest version, and what becomes of their answers.
macro_rules! functions {
    ($(
        $function:ident $name:literal -> $answer:ty, about |$about:ident| $subject:expr,
        |$self:ident, $guest:ident, $store:ident| $call:expr, $convert:expr;
    )*) => {
        $(impl Function for $function {
            type Pre = StorePre;
            type Answer = $answer;
            const NAME: &'static str = $name;

            fn subject(&self) -> Option<String> {
                let $about: &Self = self;
                $subject
            }

            async fn call(
                $self,
                pre: Self::Pre,
                $store: &mut wasmtime::Store<Call>,
            ) -> wasmtime::Result<std::result::Result<Self::Answer, Failure>> {
                let answer = match pre {
                    StorePre::V0_1(pre) => {
                        let bindings = pre.instantiate_async(&mut *$store).await?;
                        let $guest = Older(bindings.fuseml_artifact_store_store());
                        $call.await?
                    }
                    StorePre::V0_2(pre, _) => {
                        let bindings = pre.instantiate_async(&mut *$store).await?;
                        let $guest = bindings.fuseml_artifact_store_store();
                        $call.await?
                    }
                };
                Ok(match answer {
                    Ok(answer) => $convert(answer).map_err(Failure::Nonsense),
                    Err(error) => Err(error.into()),
                })
            }
        })*
    };
}

#[async_trait]
impl ArtifactStore for ComponentStore {
    async fn describe(&self) -> Result<StoreInfo> {
        self.0.call(Describe, None).await
    }

    async fn health(&self) -> Result<()> {
        self.0.call(Health, None).await
    }

    async fn register(&self, draft: &StoreDraft) -> Result<StoredArtifact> {
        self.0.call(Register(storing::draft(draft), draft.descriptor.address.to_string()), None).await
    }

    async fn get(&self, id: &str) -> Result<StoredArtifact> {
        self.0.call(Get(id.to_owned()), None).await
    }

    async fn search(&self, query: &StoreQuery, cursor: Option<&str>, limit: u32) -> Result<StorePage> {
        self.0.call(Search { query: storing::query(query), cursor: cursor.map(str::to_owned), limit }, None).await
    }

    async fn update(&self, id: &str, change: &StoreChange) -> Result<StoredArtifact> {
        self.0.call(Update { id: id.to_owned(), change: storing::change(change) }, None).await
    }

    async fn delete(&self, id: &str) -> Result<()> {
        self.0.call(Delete(id.to_owned()), None).await
    }

    async fn locate(&self, id: &str) -> Result<(Location, Vec<(String, String)>)> {
        self.0.call(Locate(id.to_owned()), None).await
    }

    fn abilities(&self) -> StoreAbilities {
        self.0.pre.optional().map_or_else(StoreAbilities::default, |optional| StoreAbilities {
            feed: optional.feed.is_some(),
            redirect: optional.redirect.is_some(),
            maintenance: optional.maintenance.is_some(),
        })
    }

    async fn changes(&self, cursor: Option<&str>) -> Result<StoreBatch> {
        self.able(self.abilities().feed, "feed")?;
        self.0.call(Changes(cursor.map(str::to_owned)), None).await
    }

    async fn page_of(&self, id: &str) -> Result<String> {
        self.able(self.abilities().redirect, "redirect")?;
        let page = self.0.call(PageOf(id.to_owned()), None).await?;
        self.check_page(&page).map(|()| page)
    }

    async fn collect_garbage(&self, cursor: Option<&str>, dry_run: bool) -> Result<StoreCollected> {
        self.able(self.abilities().maintenance, "maintenance")?;
        self.0.call(CollectGarbage { cursor: cursor.map(str::to_owned), dry_run }, None).await
    }
}

impl ComponentStore {
    fn able(&self, is_able: bool, interface: &str) -> Result<()> {
        match is_able {
            true => Ok(()),
            false => {
                let message = format!("{} does not export `fuseml:artifact-store/{interface}`", self.0.instance);
                Err(Error::unsupported(interface, message))
            }
        }
    }

    /// A page is shown to people: it is one of the tool that the instance was granted, and nobody else's.
    fn check_page(&self, page: &str) -> Result<()> {
        let hosts = &self.0.instance.rights.hosts;
        let is_granted = |url: &url::Url| hosts.iter().any(|host| host.host() == url.host_str().unwrap_or_default());
        match page.parse::<url::Url>() {
            Ok(url) if matches!(url.scheme(), "http" | "https") && is_granted(&url) => Ok(()),
            _ => Err(Error::denied(
                "page-outside-grant",
                format!("{} leads to a page of a host that it was not granted", self.0.instance),
            )),
        }
    }

    /// Runs a recorded call again.
    pub(crate) async fn replay(&self, tape: &Tape) -> Result<Replayed> {
        match tape.function.as_str() {
            Describe::NAME => self.0.replay::<Describe>(tape).await,
            Health::NAME => self.0.replay::<Health>(tape).await,
            Register::NAME => self.0.replay::<Register>(tape).await,
            Get::NAME => self.0.replay::<Get>(tape).await,
            Search::NAME => self.0.replay::<Search>(tape).await,
            Update::NAME => self.0.replay::<Update>(tape).await,
            Delete::NAME => self.0.replay::<Delete>(tape).await,
            Locate::NAME => self.0.replay::<Locate>(tape).await,
            Changes::NAME => self.0.replay::<Changes>(tape).await,
            PageOf::NAME => self.0.replay::<PageOf>(tape).await,
            CollectGarbage::NAME => self.0.replay::<CollectGarbage>(tape).await,
            other => Err(Error::unsupported("tape", format!("`{other}` is no function of an artifact store"))),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Describe;
#[derive(Serialize, Deserialize)]
struct Health;
#[derive(Serialize, Deserialize)]
struct Register(store::Draft, String);
#[derive(Serialize, Deserialize)]
struct Get(String);
#[derive(Serialize, Deserialize)]
struct Search {
    query: store::Query,
    cursor: Option<String>,
    limit: u32,
}
#[derive(Serialize, Deserialize)]
struct Update {
    id: String,
    change: store::Change,
}
#[derive(Serialize, Deserialize)]
struct Delete(String);
#[derive(Serialize, Deserialize)]
struct Locate(String);
#[derive(Serialize, Deserialize)]
struct Changes(Option<String>);
#[derive(Serialize, Deserialize)]
struct PageOf(String);
#[derive(Serialize, Deserialize)]
struct CollectGarbage {
    cursor: Option<String>,
    dry_run: bool,
}

functions! {
    Describe "describe" -> StoreInfo, about |_call| None, |self, guest, store| guest.call_describe(&mut *store), storing::info;
    Health "health" -> (), about |_call| None, |self, guest, store| guest.call_health(&mut *store), Ok;
    Register "register" -> StoredArtifact, about |call| Some(call.1.clone()), |self, guest, store| guest.call_register(&mut *store, &self.0),
        storing::artifact;
    Get "get" -> StoredArtifact, about |call| Some(call.0.clone()), |self, guest, store| guest.call_get(&mut *store, &self.0), storing::artifact;
    Search "search" -> StorePage, about |_call| None,
        |self, guest, store| guest.call_search(&mut *store, &self.query, &self.page()), storing::page;
    Update "update" -> StoredArtifact, about |call| Some(call.id.clone()),
        |self, guest, store| guest.call_update(&mut *store, &self.id, &self.change), storing::artifact;
    Delete "delete" -> (), about |call| Some(call.0.clone()), |self, guest, store| guest.call_delete(&mut *store, &self.0), Ok;
    Locate "locate" -> (Location, Vec<(String, String)>), about |call| Some(call.0.clone()),
        |self, guest, store| guest.call_locate(&mut *store, &self.0), storing::contents;
}

optional_functions! {
    Changes "changes" -> StoreBatch, of feed fuseml_artifact_store_feed, about |_call| None,
        |self, guest, store| guest.call_changes(&mut *store, self.0.as_deref()), optional::batch;
    PageOf "page-of" -> String, of redirect fuseml_artifact_store_redirect, about |call| Some(call.0.clone()),
        |self, guest, store| guest.call_page_of(&mut *store, &self.0), Ok;
    CollectGarbage "collect-garbage" -> StoreCollected, of maintenance fuseml_artifact_store_maintenance,
        about |_call| None,
        |self, guest, store| guest.call_collect_garbage(&mut *store, self.cursor.as_deref(), self.dry_run),
        optional::collected;
}

impl Search {
    fn page(&self) -> types::Page {
        types::Page { cursor: self.cursor.clone(), limit: self.limit }
    }
}
