//! Sealed secrets of instances: only ciphertext is ever here.

use crate::{Catalog, failed};
use fuseml_domain::{Error, Name, Result};

/// One secret as it lies on disk.
#[derive(Clone, PartialEq, Eq, sqlx::FromRow, serde::Serialize, serde::Deserialize)]
pub struct SealedSecret {
    pub instance: String,
    pub name: String,
    /// Which key sealed it.
    pub key: String,
    pub nonce: Vec<u8>,
    pub ciphertext: Vec<u8>,
}

const COLUMNS: &str = "SELECT instance, name, key, nonce, ciphertext FROM secrets";

impl Catalog {
    /// Sets or replaces one.
    pub async fn put_secret(&self, secret: &SealedSecret) -> Result<()> {
        let mut transaction = self.database.write().await?;
        put(&mut transaction, secret).await?;
        transaction.commit().await.map_err(failed)
    }

    pub async fn remove_secret(&self, instance: &Name, name: &str) -> Result<()> {
        let done = sqlx::query("DELETE FROM secrets WHERE instance = $1 AND name = $2")
            .bind(&**instance)
            .bind(name)
            .execute(&self.database.pool)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Err(Error::not_found("unknown-secret", format!("{instance} has no secret `{name}`")));
        }
        Ok(())
    }

    pub async fn secret(&self, instance: &Name, name: &str) -> Result<Option<SealedSecret>> {
        sqlx::query_as(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE instance = $1 AND name = $2")))
            .bind(&**instance)
            .bind(name)
            .fetch_optional(&self.database.pool)
            .await
            .map_err(failed)
    }

    /// Names of the secrets that an instance has.
    pub async fn secret_names(&self, instance: &Name) -> Result<Vec<String>> {
        sqlx::query_scalar("SELECT name FROM secrets WHERE instance = $1 ORDER BY name")
            .bind(&**instance)
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)
    }

    /// Seals every secret anew, all or none. Returns how many there are.
    pub async fn reseal_secrets(&self, reseal: impl Fn(&SealedSecret) -> Result<SealedSecret>) -> Result<usize> {
        let mut transaction = self.database.write().await?;
        let all: Vec<SealedSecret> = sqlx::query_as(COLUMNS).fetch_all(&mut *transaction).await.map_err(failed)?;
        for secret in &all {
            put(&mut transaction, &reseal(secret)?).await?;
        }
        let others = crate::outside::reseal(&mut transaction, reseal).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(all.len() + others)
    }
}

async fn put(connection: &mut sqlx::AnyConnection, secret: &SealedSecret) -> Result<()> {
    sqlx::query(
        "INSERT INTO secrets (instance, name, key, nonce, ciphertext, updated) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (instance, name) DO UPDATE SET key = $3, nonce = $4, ciphertext = $5, updated = $6",
    )
    .bind(&secret.instance)
    .bind(&secret.name)
    .bind(&secret.key)
    .bind(&secret.nonce)
    .bind(&secret.ciphertext)
    .bind(jiff::Timestamp::now().as_millisecond())
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}
