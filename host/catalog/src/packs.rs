//! Which small file of the content store lies in which pack.

use crate::{Catalog, failed};
use async_trait::async_trait;
use fuseml_database::Sql;
use fuseml_domain::{
    Digest, Error, Result,
    port::{PackIndex, PackedFile},
};
use std::collections::HashMap;

/// Files asked for, or written, in one statement.
const AT_ONCE: usize = 500;

#[async_trait]
impl PackIndex for Catalog {
    async fn find(&self, files: &[&Digest]) -> Result<HashMap<Digest, (Digest, PackedFile)>> {
        let mut found = HashMap::new();
        // Packs are few: their digests are not sent with every file.
        let mut packs: HashMap<i64, Digest> = HashMap::new();
        for some in files.chunks(AT_ONCE) {
            let mut sql = Sql::new("SELECT digest, pack, place, size FROM packed_files WHERE digest IN (");
            for (at, digest) in some.iter().enumerate() {
                sql.push(if at == 0 { "" } else { ", " }).push_bind(digest.to_hash().to_vec());
            }
            sql.push(")");
            let rows: Vec<(Vec<u8>, i64, i64, i64)> =
                sql.rows().fetch_all(&self.database.pool).await.map_err(failed)?;
            for (digest, pack, place, size) in rows {
                let pack = match packs.get(&pack) {
                    Some(known) => known.clone(),
                    None => match self.pack(pack).await? {
                        Some(digest) => packs.entry(pack).or_insert(digest).clone(),
                        None => continue,
                    },
                };
                let digest = Digest::from_hash(&digest);
                let file = PackedFile { digest: digest.clone(), offset: count(place)?, size_bytes: count(size)? };
                found.insert(digest, (pack, file));
            }
        }
        Ok(found)
    }

    async fn add(&self, pack: &Digest, files: &[PackedFile]) -> Result<()> {
        let mut transaction = self.database.write().await?;
        sqlx::query("INSERT INTO packs (digest) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(pack.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let id: i64 = sqlx::query_scalar("SELECT id FROM packs WHERE digest = $1")
            .bind(pack.to_string())
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed)?;
        for some in files.chunks(AT_ONCE) {
            let mut sql = Sql::new("INSERT INTO packed_files (digest, pack, place, size) VALUES ");
            for (at, file) in some.iter().enumerate() {
                sql.push(if at == 0 { "(" } else { ", (" }).push_bind(file.digest.to_hash().to_vec());
                sql.push(", ").push_bind(id);
                sql.push(", ").push_bind(file.offset.cast_signed());
                sql.push(", ").push_bind(file.size_bytes.cast_signed()).push(")");
            }
            sql.push(" ON CONFLICT DO NOTHING");
            sql.query().execute(&mut *transaction).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn forget(&self, file: &Digest) -> Result<()> {
        let mut transaction = self.database.write().await?;
        sqlx::query("DELETE FROM packed_files WHERE digest = $1")
            .bind(file.to_hash().to_vec())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    async fn remove(&self, pack: &Digest) -> Result<()> {
        let mut transaction = self.database.write().await?;
        sqlx::query("DELETE FROM packs WHERE digest = $1")
            .bind(pack.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    async fn packs(&self) -> Result<Vec<Digest>> {
        let texts: Vec<String> = sqlx::query_scalar("SELECT digest FROM packs ORDER BY id")
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
        texts.iter().map(|text| text.parse()).collect()
    }
}

impl Catalog {
    async fn pack(&self, id: i64) -> Result<Option<Digest>> {
        let text: Option<String> = sqlx::query_scalar("SELECT digest FROM packs WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.database.pool)
            .await
            .map_err(failed)?;
        text.map(|text| text.parse()).transpose()
    }
}

fn count(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| Error::internal("document", "a pack of the database has a place below nothing"))
}
