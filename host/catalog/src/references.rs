//! Labels and tags, each change with its record, in one transaction.

use crate::{Catalog, artifact_events::announce, facts, failed, from_json, grams, to_json};
use fuseml_domain::{
    Address, ArtifactChange, Attributes, Changed, Descriptor, Digest, Error, ErrorKind, Kind, Name, Result,
    port::{Catalog as _, Mark},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;

/// Who changes something, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Author {
    pub by: String,
    pub reason: Option<String>,
}

/// What happened to one version of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub at: Timestamp,
    pub artifact: Address,
    /// None for its registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ArtifactChange>,
    /// Of the registration: where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<fuseml_domain::Origin>,
}

impl Catalog {
    /// Sets labels, and removes those without a value.
    ///
    /// # Errors
    /// `not-found`, or `invalid` for labels that are none.
    pub async fn label(
        &self,
        address: &Address,
        labels: &[(String, Option<String>)],
        author: &Author,
    ) -> Result<Descriptor> {
        let found = self.artifact(address).await?;
        let mut transaction = self.database.write().await?;
        let artifact = label(&mut transaction, &found, labels, author, None).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(artifact)
    }

    /// Notes what the files of an artifact are that was found in a tool. Where that is noted already nothing changes.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn record_contents(
        &self,
        address: &Address,
        digest: &Digest,
        attributes: &Attributes,
    ) -> Result<Descriptor> {
        let found = self.artifact(address).await?;
        let mut transaction = self.database.write().await?;
        let (row, mut artifact) = read(&mut transaction, &found).await?;
        if artifact.digest.is_none() {
            artifact.digest = Some(digest.clone());
            for (name, value) in attributes {
                artifact.attributes.entry(name.clone()).or_insert_with(|| value.clone());
            }
            let author = Author { by: "fuseml".to_owned(), reason: Some("its first use".to_owned()) };
            let changes = vec![Changed::Recorded { digest: digest.clone() }];
            write(&mut transaction, row, &artifact, changes, &author).await?;
            transaction.commit().await.map_err(failed)?;
        }
        Ok(artifact)
    }

    /// Points a tag of a series at one of its versions; whatever had it before has it no more.
    ///
    /// # Errors
    /// `not-found`, or `invalid` for an artifact that only a tag names.
    pub async fn tag(&self, address: &Address, tag: &Name, author: &Author) -> Result<Descriptor> {
        let found = self.artifact(address).await?;
        let mut transaction = self.database.write().await?;
        let artifact = point(&mut transaction, &found, tag, author, None).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(artifact)
    }

    /// Takes a tag away from the version that has it.
    ///
    /// # Errors
    /// `not-found` when it has not.
    pub async fn untag(&self, address: &Address, tag: &Name, author: &Author) -> Result<Descriptor> {
        let found = self.artifact(address).await?;
        let mut transaction = self.database.write().await?;
        let (row, mut artifact) = read(&mut transaction, &found).await?;
        let done = sqlx::query("DELETE FROM tags WHERE artifact = $1 AND tag = $2")
            .bind(row)
            .bind(&**tag)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Err(Error::not_found("unknown-tag", format!("{} has no tag `{tag}`", found.address.short())));
        }
        let before = artifact.clone();
        artifact.tags.retain(|own| *own != **tag);
        write(&mut transaction, row, &artifact, vec![Changed::Untagged { tag: tag.clone(), to: None }], author).await?;
        announce(&mut transaction, row, &before, author, None).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(artifact)
    }

    /// What a tag of a series, or of any series of that kind, points at; the newest of several.
    pub(crate) async fn tagged(
        &self,
        project: &Name,
        kind: Kind,
        name: Option<&Name>,
        tag: &Name,
    ) -> Result<Option<Descriptor>> {
        let mut sql = fuseml_database::Sql::new("SELECT a.document FROM tags t JOIN artifacts a ON a.row = t.artifact");
        sql.push(" WHERE t.project = ").push_bind(project.to_string());
        sql.push(" AND t.kind = ").push_bind(kind.name()).push(" AND t.tag = ").push_bind(tag.to_string());
        if let Some(name) = name {
            sql.push(" AND t.name = ").push_bind(name.to_string());
        }
        sql.push(" ORDER BY t.artifact DESC LIMIT 1");
        let text: Option<String> = sql.scalar().fetch_optional(&self.database.pool).await.map_err(failed)?;
        text.map(|text| from_json(&text)).transpose()
    }

    /// What happened to the versions of the artifact's series, newest first: registrations, labels, moves of tags.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn history(&self, address: &Address, limit: u32) -> Result<Vec<HistoryEntry>> {
        let series = Address { version: None, tag: None, ..address.clone() };
        let found = match self.artifact(&series).await {
            Err(error) if error.kind == ErrorKind::NotFound => self.artifact(address).await?,
            found => found?,
        };
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT c.document, a.document FROM artifact_changes c JOIN artifacts a ON a.row = c.artifact \
             WHERE a.project = $1 AND a.kind = $2 AND a.name = $3 ORDER BY c.sequence DESC LIMIT $4",
        )
        .bind(&**found.project())
        .bind(found.kind().name())
        .bind(&*found.name)
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        let mut entries = Vec::new();
        for (change, artifact) in rows {
            let (change, artifact): (ArtifactChange, Descriptor) = (from_json(&change)?, from_json(&artifact)?);
            entries.push(HistoryEntry {
                at: change.at,
                artifact: artifact.address,
                change: Some(change),
                origin: None,
            });
        }
        let versions = self.list_artifacts(found.project(), Some(found.kind()), Some(&found.name), limit).await?;
        entries.extend(versions.into_iter().map(|version| HistoryEntry {
            at: version.created,
            artifact: version.address,
            change: None,
            origin: Some(version.origin),
        }));
        entries.extend(self.deletions(&found, limit).await?.into_iter().map(|deletion| HistoryEntry {
            at: deletion.change.at,
            artifact: deletion.artifact,
            change: Some(deletion.change),
            origin: None,
        }));
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
        entries.truncate(limit as usize);
        Ok(entries)
    }
}

/// Gives an artifact the labels and tags of a step of this run.
pub(crate) async fn mark(connection: &mut AnyConnection, mark: &Mark, run: &str) -> Result<()> {
    let author = Author { by: mark.by.clone(), reason: None };
    label(&mut *connection, &mark.artifact, &mark.labels, &author, Some(run)).await?;
    for tag in &mark.tags {
        point(&mut *connection, &mark.artifact, tag, &author, Some(run)).await?;
    }
    Ok(())
}

async fn label(
    connection: &mut AnyConnection,
    found: &Descriptor,
    labels: &[(String, Option<String>)],
    author: &Author,
    run: Option<&str>,
) -> Result<Descriptor> {
    let (row, mut artifact) = read(&mut *connection, found).await?;
    let before = artifact.clone();
    let changes = artifact.relabel(labels)?;
    if !changes.is_empty() {
        write(&mut *connection, row, &artifact, changes, author).await?;
        announce(connection, row, &before, author, run).await?;
    }
    Ok(artifact)
}

async fn point(
    connection: &mut AnyConnection,
    found: &Descriptor,
    tag: &Name,
    author: &Author,
    run: Option<&str>,
) -> Result<Descriptor> {
    let (row, mut artifact) = read(&mut *connection, found).await?;
    let unmarked = artifact.clone();
    let before = holder(&mut *connection, found, tag).await?;
    if before.as_ref().is_some_and(|(before, _)| *before == row) {
        return Ok(artifact);
    }
    let from = before.as_ref().map(|(_, before)| before.address.clone());
    if let Some((before, mut other)) = before {
        let unmarked = other.clone();
        other.tags.retain(|own| *own != **tag);
        let change = Changed::Untagged { tag: tag.clone(), to: Some(artifact.address.clone()) };
        write(&mut *connection, before, &other, vec![change], author).await?;
        announce(&mut *connection, before, &unmarked, author, run).await?;
    }
    sqlx::query(
        "INSERT INTO tags (project, kind, name, tag, artifact) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (project, kind, name, tag) DO UPDATE SET artifact = excluded.artifact",
    )
    .bind(&**found.project())
    .bind(found.kind().name())
    .bind(&*found.name)
    .bind(&**tag)
    .bind(row)
    .execute(&mut *connection)
    .await
    .map_err(failed)?;
    artifact.tags.push(tag.to_string());
    artifact.tags.sort();
    write(&mut *connection, row, &artifact, vec![Changed::Tagged { tag: tag.clone(), from }], author).await?;
    announce(connection, row, &unmarked, author, run).await?;
    Ok(artifact)
}

pub(crate) async fn read(connection: &mut AnyConnection, artifact: &Descriptor) -> Result<(i64, Descriptor)> {
    let found: Option<(i64, String)> = sqlx::query_as(
        "SELECT row, document FROM artifacts WHERE project = $1 AND kind = $2 AND name = $3 AND id = $4",
    )
    .bind(&**artifact.project())
    .bind(artifact.kind().name())
    .bind(&*artifact.name)
    .bind(&*artifact.id)
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    let gone = || Error::not_found("unknown-artifact", format!("{} was deleted meanwhile", artifact.address));
    let (row, text) = found.ok_or_else(gone)?;
    Ok((row, from_json(&text)?))
}

async fn holder(connection: &mut AnyConnection, of: &Descriptor, tag: &Name) -> Result<Option<(i64, Descriptor)>> {
    let found: Option<(i64, String)> = sqlx::query_as(
        "SELECT a.row, a.document FROM tags t JOIN artifacts a ON a.row = t.artifact \
         WHERE t.project = $1 AND t.kind = $2 AND t.name = $3 AND t.tag = $4",
    )
    .bind(&**of.project())
    .bind(of.kind().name())
    .bind(&*of.name)
    .bind(&**tag)
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    found.map(|(row, text)| Ok((row, from_json(&text)?))).transpose()
}

async fn write(
    connection: &mut AnyConnection,
    row: i64,
    artifact: &Descriptor,
    changes: Vec<Changed>,
    author: &Author,
) -> Result<()> {
    sqlx::query("UPDATE artifacts SET document = $1 WHERE row = $2")
        .bind(to_json(artifact)?)
        .bind(row)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    facts::replace(connection, row, artifact).await?;
    grams::replace(connection, row, artifact).await?;
    for what in changes {
        let Author { by, reason } = author.clone();
        let change = ArtifactChange { at: Timestamp::now(), by, reason, what };
        sqlx::query("INSERT INTO artifact_changes (artifact, document) VALUES ($1, $2)")
            .bind(row)
            .bind(to_json(&change)?)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    Ok(())
}
