//! Codesets that follow an outside repository.

use crate::{Catalog, SealedSecret, failed, from_json, to_json};
use fuseml_domain::{CodesetImport, Error, Name, Result};
use jiff::Timestamp;

impl Catalog {
    /// Sets or replaces where a codeset comes from, and the token for it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn put_import(&self, import: &CodesetImport, secret: Option<&SealedSecret>) -> Result<()> {
        let mut transaction = self.database.write().await?;
        sqlx::query(
            "INSERT INTO codeset_imports (project, name, next, document, secret) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (project, name) DO UPDATE SET next = $3, document = $4, secret = $5",
        )
        .bind(&*import.project)
        .bind(&*import.name)
        .bind(import.next().map(Timestamp::as_millisecond))
        .bind(to_json(import)?)
        .bind(secret.map(to_json).transpose()?)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// Notes how a look ended, unless the import was changed or ended meanwhile.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn end_look(&self, before: &CodesetImport, after: &CodesetImport, began: Timestamp) -> Result<()> {
        // Who asked for another look while this one went on may want what this one did not see.
        sqlx::query(
            "UPDATE codeset_imports SET next = CASE WHEN next BETWEEN $6 AND $7 THEN next ELSE $1 END, document = $2
             WHERE project = $3 AND name = $4 AND document = $5",
        )
        .bind(after.next().map(Timestamp::as_millisecond))
        .bind(to_json(after)?)
        .bind(&*before.project)
        .bind(&*before.name)
        .bind(to_json(before)?)
        .bind(began.as_millisecond())
        .bind(Timestamp::now().as_millisecond())
        .execute(&self.database.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// It is looked at again then, where it would not be by itself.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn look_again(&self, project: &Name, name: &Name, at: Timestamp) -> Result<()> {
        sqlx::query("UPDATE codeset_imports SET next = $1 WHERE project = $2 AND name = $3 AND next IS NULL")
            .bind(at.as_millisecond())
            .bind(&**project)
            .bind(&**name)
            .execute(&self.database.pool)
            .await
            .map(drop)
            .map_err(failed)
    }

    /// Where a codeset comes from, and the token for it; `None` for one that people push.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn import(&self, project: &Name, name: &Name) -> Result<Option<(CodesetImport, Option<SealedSecret>)>> {
        let row: Option<(String, Option<String>)> =
            sqlx::query_as("SELECT document, secret FROM codeset_imports WHERE project = $1 AND name = $2")
                .bind(&**project)
                .bind(&**name)
                .fetch_optional(&self.database.pool)
                .await
                .map_err(failed)?;
        row.map(|(document, secret)| Ok((from_json(&document)?, secret.as_deref().map(from_json).transpose()?)))
            .transpose()
    }

    /// Those that are to be looked at by now, the longest overdue first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn due_imports(&self, now: Timestamp, limit: u32) -> Result<Vec<(Name, Name)>> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT project, name FROM codeset_imports WHERE next <= $1 ORDER BY next LIMIT $2")
                .bind(now.as_millisecond())
                .bind(i64::from(limit))
                .fetch_all(&self.database.pool)
                .await
                .map_err(failed)?;
        rows.into_iter().map(|(project, name)| Ok((project.parse()?, name.parse()?))).collect()
    }

    /// It is looked at next of all, whenever it would have been.
    ///
    /// # Errors
    /// `not-found` for a codeset that follows nothing.
    pub async fn look_now(&self, project: &Name, name: &Name) -> Result<()> {
        let done = sqlx::query("UPDATE codeset_imports SET next = $1 WHERE project = $2 AND name = $3")
            .bind(Timestamp::now().as_millisecond())
            .bind(&**project)
            .bind(&**name)
            .execute(&self.database.pool)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 { Err(unknown(project, name)) } else { Ok(()) }
    }

    /// The codeset is pushed by people from here on.
    ///
    /// # Errors
    /// `not-found` for one that is.
    pub async fn remove_import(&self, project: &Name, name: &Name) -> Result<()> {
        let done = sqlx::query("DELETE FROM codeset_imports WHERE project = $1 AND name = $2")
            .bind(&**project)
            .bind(&**name)
            .execute(&self.database.pool)
            .await
            .map_err(failed)?;
        match done.rows_affected() {
            0 => Err(unknown(project, name)),
            _ => Ok(()),
        }
    }
}

fn unknown(project: &Name, name: &Name) -> Error {
    Error::not_found("unknown-import", format!("{project}/{name} follows no outside repository"))
}
