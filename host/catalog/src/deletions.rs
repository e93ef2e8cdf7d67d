//! Artifacts that are deleted, and that they were there.

use crate::{Author, Catalog, failed, from_json, references::read, to_json};
use fuseml_domain::{
    Address, ArtifactChange, Changed, Descriptor, Error, Kind, Name, Result,
    port::{Catalog as _, Service},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;

/// What is left of a deleted artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deletion {
    pub(crate) artifact: Address,
    pub(crate) change: ArtifactChange,
}

impl Catalog {
    /// Forgets an artifact; its lineage and that it was there remain. Answers what it was.
    ///
    /// # Errors
    /// `not-found`; `conflict` while a service answers for it, its registration still starts runs, or (unless `force`)
    /// a tag points at it.
    pub async fn delete(&self, address: &Address, author: &Author, force: bool) -> Result<Descriptor> {
        let found = self.artifact(address).await?;
        let mut transaction = self.database.write().await?;
        let (row, artifact) = read(&mut transaction, &found).await?;
        check(&mut transaction, row, &artifact, force).await?;
        for statement in ["DELETE FROM artifact_events WHERE artifact = $1", "DELETE FROM artifacts WHERE row = $1"] {
            sqlx::query(statement).bind(row).execute(&mut *transaction).await.map_err(failed)?;
        }
        let Author { by, reason } = author.clone();
        let change = ArtifactChange { at: Timestamp::now(), by, reason, what: Changed::Deleted };
        sqlx::query("INSERT INTO deletions (project, kind, name, id, document) VALUES ($1, $2, $3, $4, $5)")
            .bind(&**artifact.project())
            .bind(artifact.kind().name())
            .bind(&*artifact.name)
            .bind(&*artifact.id)
            .bind(to_json(&Deletion { artifact: artifact.address.clone(), change })?)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(artifact)
    }

    /// Whether [`Catalog::delete`] would do it now.
    ///
    /// # Errors
    /// As that has.
    pub async fn check_deletable(&self, artifact: &Descriptor, force: bool) -> Result<()> {
        let mut transaction = self.database.write().await?;
        let (row, artifact) = read(&mut transaction, artifact).await?;
        check(&mut transaction, row, &artifact, force).await
    }

    /// The newest deletion of an artifact whose id begins so.
    pub(crate) async fn deletion(&self, project: &Name, kind: Kind, prefix: &str) -> Result<Option<Deletion>> {
        let text: Option<String> = sqlx::query_scalar(
            "SELECT document FROM deletions WHERE project = $1 AND kind = $2 AND id >= $3 AND id < $4 \
             ORDER BY sequence DESC LIMIT 1",
        )
        .bind(&**project)
        .bind(kind.name())
        .bind(prefix)
        .bind(format!("{prefix}~"))
        .fetch_optional(&self.database.pool)
        .await
        .map_err(failed)?;
        text.map(|text| from_json(&text)).transpose()
    }

    /// What was deleted of a series, newest first.
    pub(crate) async fn deletions(&self, of: &Descriptor, limit: u32) -> Result<Vec<Deletion>> {
        let texts: Vec<String> = sqlx::query_scalar(
            "SELECT document FROM deletions WHERE project = $1 AND kind = $2 AND name = $3 ORDER BY sequence DESC LIMIT $4",
        )
        .bind(&**of.project())
        .bind(of.kind().name())
        .bind(&*of.name)
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        texts.iter().map(|text| from_json(text)).collect()
    }
}

/// Refuses while somebody relies on it.
async fn check(connection: &mut AnyConnection, row: i64, artifact: &Descriptor, force: bool) -> Result<()> {
    let short = artifact.address.short();
    if let Some(tag) = artifact.tags.first().filter(|_| !force) {
        let message = format!("{short} is tagged `{tag}`; take the tag away, or say --force");
        return Err(Error::conflict("tagged", message));
    }
    let services: Vec<String> = sqlx::query_scalar("SELECT document FROM services WHERE project = $1")
        .bind(&**artifact.project())
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    for text in services {
        let service: Service = from_json(&text)?;
        if service.model == artifact.address || service.runnable == artifact.address {
            let message = format!("the service {} of {} answers for {short}", service.name, service.pipeline);
            return Err(Error::conflict("served", message));
        }
    }
    let pending: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM artifact_events WHERE artifact = $1 AND settled = 0 LIMIT 1")
            .bind(row)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed)?;
    if pending.is_some() {
        return Err(Error::conflict("busy", format!("runs are just being started for {short}; try again")));
    }
    Ok(())
}
