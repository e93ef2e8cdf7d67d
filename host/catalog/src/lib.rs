//! Descriptors, pipelines, runs and installed extensions in SQL.
//!
//! Every public method is one transaction: it is there whole once it answers, or not at all. Records are JSON
//! documents beside the columns that are searched, so that a new field needs no migration.

mod artifact_events;
mod artifacts;
mod calls;
mod deletions;
mod extensions;
mod facts;
mod grams;
mod imports;
mod instances;
mod lineage;
mod outside;
mod packs;
mod pipelines;
mod port;
mod progress;
mod received;
mod references;
mod replicas;
mod results;
mod run_rows;
mod runs;
mod schedules;
mod search;
mod secrets;
mod services;
mod stores;
mod touched;
mod transitions;

pub use artifact_events::Following;
pub use calls::{CallFilter, CallRecord, LogRecord, RefusalCount, RefusalRecord};
pub use extensions::{InstalledExtension, InstalledVersion};
pub use lineage::{Lineage, LineageCalls, LineageEdge};
pub use received::EventOutcome;
pub use references::{Author, HistoryEntry};
pub use replicas::CHANNEL;
pub use runs::RunFilter;
pub use search::{ArtifactPage, ArtifactSearch};
pub use secrets::SealedSecret;
pub use touched::Touched;
pub use transitions::{Part, Transition};

pub use fuseml_database::{DatabasePlace, Listener};

use fuseml_database::{Database, Migrations, all_from_json, failed, from_json, to_json};
use fuseml_domain::Result;
use std::{path::Path, sync::Arc};

/// At most so many rows are written, or looked for, by one statement: databases bound the number of its values.
const ROWS: usize = 500;

/// An open catalog; clones share its connections.
#[derive(Debug, Clone)]
pub struct Catalog {
    database: Database,
    /// Which server starts what is started here; empty for none.
    server: Arc<str>,
}

impl Catalog {
    /// Opens the database, making it and bringing its schema up to date as needed.
    ///
    /// # Errors
    /// When it cannot be reached, opened or brought up to date.
    pub async fn open(place: &DatabasePlace) -> Result<Self> {
        let migrations =
            Migrations { sqlite: sqlx::migrate!("migrations/sqlite"), postgres: sqlx::migrate!("migrations/postgres") };
        let catalog = Self { database: Database::open(place, &migrations).await?, server: "".into() };
        catalog.index_texts().await?;
        Ok(catalog)
    }

    /// Copies the catalog as of one moment into a file that is not there yet, while others write.
    ///
    /// # Errors
    /// `unsupported` on PostgreSQL, which has its own tools.
    pub async fn copy(&self, to: &Path) -> Result<()> {
        self.database.copy(to).await
    }

    /// Lets every connection finish.
    pub async fn close(&self) {
        self.database.close().await;
    }
}
