//! What lies in the stores of tools, and how far it is known here.

use crate::{Catalog, all_from_json, failed, from_json, to_json};
use fuseml_domain::{Descriptor, Name, Result, StoreSync};

impl Catalog {
    /// The artifact that an instance's store calls so.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn stored(&self, instance: &Name, id: &str) -> Result<Option<Descriptor>> {
        let text: Option<String> = sqlx::query_scalar(
            "SELECT document FROM artifacts WHERE store_instance = $1 AND store_id = $2 ORDER BY row LIMIT 1",
        )
        .bind(&**instance)
        .bind(id)
        .fetch_optional(&self.database.pool)
        .await
        .map_err(failed)?;
        text.map(|text| from_json(&text)).transpose()
    }

    /// The store's own ids of artifacts after one of them, in order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn stored_ids(&self, instance: &Name, after: &str, limit: u32) -> Result<Vec<String>> {
        sqlx::query_scalar(
            "SELECT store_id FROM artifacts WHERE store_instance = $1 AND store_id > $2 ORDER BY store_id LIMIT $3",
        )
        .bind(&**instance)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)
    }

    /// How many artifacts an instance's store has, as far as is known here.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn stored_count(&self, instance: &Name) -> Result<u64> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM artifacts WHERE store_instance = $1")
            .bind(&**instance)
            .fetch_one(&self.database.pool)
            .await
            .map_err(failed)?;
        Ok(count.cast_unsigned())
    }

    /// How an instance's store is followed; `None` for one that never was looked through.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn store_sync(&self, instance: &Name) -> Result<Option<StoreSync>> {
        let text: Option<String> = sqlx::query_scalar("SELECT document FROM store_syncs WHERE instance = $1")
            .bind(&**instance)
            .fetch_optional(&self.database.pool)
            .await
            .map_err(failed)?;
        text.map(|text| from_json(&text)).transpose()
    }

    /// Of all instances that were looked through.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn store_syncs(&self) -> Result<Vec<StoreSync>> {
        let texts: Vec<String> = sqlx::query_scalar("SELECT document FROM store_syncs ORDER BY instance")
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
        all_from_json(texts)
    }

    /// # Errors
    /// When the database cannot be written.
    pub async fn put_store_sync(&self, sync: &StoreSync) -> Result<()> {
        sqlx::query(
            "INSERT INTO store_syncs (instance, document) VALUES ($1, $2)
             ON CONFLICT (instance) DO UPDATE SET document = $2",
        )
        .bind(&*sync.instance)
        .bind(to_json(sync)?)
        .execute(&self.database.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }
}
