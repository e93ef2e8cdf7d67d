//! The marketplace's database.

pub(crate) use fuseml_database::{all_from_json, failed, from_json, to_json};

use fuseml_database::{Database, DatabasePlace, Migrations};
use fuseml_domain::Result;
use std::path::Path;

/// The file in a marketplace's folder, where no other database is named.
pub(crate) const FILE: &str = "marketplace.db";

/// The database that is named, or the one in the marketplace's folder.
pub(crate) fn place(data: &Path, named: Option<&DatabasePlace>) -> DatabasePlace {
    named.cloned().unwrap_or_else(|| DatabasePlace::Sqlite(data.join(FILE)))
}

pub(crate) async fn open(place: &DatabasePlace) -> Result<Database> {
    let migrations =
        Migrations { sqlite: sqlx::migrate!("migrations/sqlite"), postgres: sqlx::migrate!("migrations/postgres") };
    Database::open(place, &migrations).await
}
