//! An MLflow 3 server's model registry as an artifact store: every model version of the server is a model.
//!
//! Pattern: adapter. The server keeps descriptors and contents; this component keeps nothing and answers where
//! contents lie: behind the server's own artifact proxy, file by file. How the words map:
//!
//! | FuseML | MLflow |
//! |---|---|
//! | id, name, version | `<name>/<version>` of the registered model |
//! | label | tag of the model version |
//! | tag | alias of the registered model, which points to one version at a time |
//! | attribute | what the logged model and its run say, and tags `fuseml.attribute.<name>` |
//! | metrics | metrics of the logged model |
//!
//! MLflow has no way to create a version only if it is not there. Registering the same key again one call after
//! another finds the version; two calls at the same moment could make two.

mod api;
mod contents;
mod descriptor;
mod filter;
mod id;
mod register;
mod search;
#[cfg(test)]
mod tests;

use api::Server;
use fuseml_extension::store::{Change, Contents, Draft, EVERY_OPERATION, Info, Pattern, Query, Results};
use fuseml_extension::{
    ArtifactStore, Descriptor, Error, ErrorKind, Page, Redirect, Result, configuration, export_artifact_store,
    export_redirect,
};
use id::Id;
use serde_json::json;

/// One MLflow server.
#[derive(Debug)]
pub struct MlflowStore {
    server: Server,
}

impl ArtifactStore for MlflowStore {
    fn new() -> Result<Self> {
        Ok(Self { server: Server::at(&configuration::require("endpoint")?) })
    }

    fn describe() -> Info {
        Info {
            kinds: vec!["model".to_owned()],
            pattern: Pattern::Adapter,
            schemes: vec!["https".to_owned(), "http".to_owned()],
            operations: EVERY_OPERATION.map(str::to_owned).to_vec(),
        }
    }

    fn health(&self) -> Result<()> {
        self.server.health()
    }

    fn register(&self, draft: Draft) -> Result<Descriptor> {
        register::register(&self.server, &draft)
    }

    fn get(&self, id: String) -> Result<Descriptor> {
        let version = self.server.version(&Id::parse(&id)?)?;
        descriptor::of_version(&self.server, version)
    }

    fn search(&self, query: Query, page: Page) -> Result<Results> {
        search::search(&self.server, query, &page)
    }

    fn update(&self, id: String, change: Change) -> Result<Descriptor> {
        let id = Id::parse(&id)?;
        let version = self.server.version(&id)?;
        if let Some(labels) = &change.labels {
            descriptor::check_labels(labels)?;
            let gone =
                descriptor::labels(&version).into_iter().filter(|(name, _)| !labels.iter().any(|(n, _)| n == name));
            for (name, _) in gone {
                let tag = json!({"name": id.name, "version": id.version, "key": name});
                self.server.send("DELETE", "model-versions/delete-tag", &tag)?;
            }
            for (name, value) in labels {
                let tag = json!({"name": id.name, "version": id.version, "key": name, "value": value});
                self.server.send("POST", "model-versions/set-tag", &tag)?;
            }
        }
        // Only those that still point here: an alias that has moved on is another version's.
        for alias in change.remove_tags.iter().filter(|tag| version.aliases.contains(tag)) {
            self.server.send("DELETE", "registered-models/alias", &json!({"name": id.name, "alias": alias}))?;
        }
        for alias in &change.add_tags {
            self.server.set_alias(&id, alias)?;
        }
        descriptor::of_version(&self.server, self.server.version(&id)?)
    }

    /// Takes the version out of the registry; what the run logged stays with the run, where MLflow keeps it.
    fn delete(&self, id: String) -> Result<()> {
        let id = Id::parse(&id)?;
        let version = json!({"name": id.name, "version": id.version});
        match self.server.send("DELETE", "model-versions/delete", &version) {
            Err(Error { kind: ErrorKind::NotFound, .. }) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    fn locate(&self, id: String) -> Result<Contents> {
        contents::locate(&self.server, &Id::parse(&id)?)
    }
}

impl Redirect for MlflowStore {
    fn page_of(&self, id: String) -> Result<String> {
        let id = Id::parse(&id)?;
        // What is not there has no page.
        self.server.version(&id)?;
        Ok(self.server.page(&id))
    }
}

export_artifact_store!(MlflowStore);
export_redirect!(MlflowStore);
