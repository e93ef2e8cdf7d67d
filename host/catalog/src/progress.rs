//! How far those who follow events have got.

use crate::{Catalog, failed};
use fuseml_domain::Result;

impl Catalog {
    /// The last event that `name` is done with; 0 before the first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn progress(&self, name: &str) -> Result<u64> {
        let sequence: Option<i64> = sqlx::query_scalar("SELECT sequence FROM progress WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.database.pool)
            .await
            .map_err(failed)?;
        Ok(sequence.unwrap_or(0).cast_unsigned())
    }

    /// `name` is done with that event and all before it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_progress(&self, name: &str, sequence: u64) -> Result<()> {
        let mut transaction = self.database.write().await?;
        sqlx::query(
            "INSERT INTO progress (name, sequence) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence",
        )
        .bind(name)
        .bind(sequence.cast_signed())
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }
}
