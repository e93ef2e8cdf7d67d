//! What every handler shares.

use crate::{
    extension::Registry, folder::DataFolder, imports::Following, marketplace::Marketplaces, openlineage::Endpoint,
    peers::Peers, provenance::Provenance,
};
use fuseml_agents::EnginesAgent;
use fuseml_catalog::Catalog;
use fuseml_contents::{Contents, Repositories, TreeStore};
use fuseml_domain::port::RuntimeAgent;
use fuseml_engine::Engine;
use std::sync::Arc;

pub(crate) struct App {
    pub(crate) folder: DataFolder,
    pub(crate) url: String,
    /// Under which others reach the server, without a slash at its end.
    pub(crate) public_url: String,
    pub(crate) token: String,
    /// Names under which the server answers, without port.
    pub(crate) hosts: Vec<String>,
    pub(crate) catalog: Catalog,
    pub(crate) openlineage: Option<Endpoint>,
    pub(crate) provenance: Provenance,
    pub(crate) trees: Arc<TreeStore>,
    pub(crate) contents: Arc<Contents>,
    /// Where contents lie, for people.
    pub(crate) blobs_place: String,
    /// The registry below the trees.
    pub(crate) blobs: fuseml_registry::Store,
    pub(crate) repositories: Arc<Repositories>,
    pub(crate) following: Following,
    pub(crate) agent: Arc<dyn RuntimeAgent>,
    /// Of these agents the one whose workers ask this server.
    pub(crate) engines: Arc<EnginesAgent>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) marketplaces: Arc<Marketplaces>,
    pub(crate) engine: Arc<Engine>,
    /// The servers beside this one.
    pub(crate) peers: Arc<Peers>,
    /// For the gateway: to services on this machine only.
    pub(crate) client: reqwest::Client,
}
