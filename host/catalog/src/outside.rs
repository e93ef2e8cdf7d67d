//! What a project has to do with the outside: webhooks by which events come in, endpoints that steps call. Each is a
//! document with a sealed secret.

use crate::{Catalog, SealedSecret, all_from_json, failed, from_json, to_json};
use fuseml_domain::{Endpoint, Error, Name, Result, Webhook};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{AnyConnection, AssertSqlSafe};

const WEBHOOKS: Table = Table { name: "webhooks", of_one: "webhook" };
const ENDPOINTS: Table = Table { name: "endpoints", of_one: "endpoint" };

/// One of the tables with a project, a name, a document and a secret.
struct Table {
    name: &'static str,
    of_one: &'static str,
}

impl Catalog {
    /// # Errors
    /// `conflict` for a name that is taken.
    pub async fn add_webhook(&self, webhook: &Webhook, secret: &SealedSecret) -> Result<()> {
        WEBHOOKS.add(self, (&webhook.project, &webhook.name), webhook, secret).await
    }

    /// # Errors
    /// `not-found` for one that is not there.
    pub async fn webhook(&self, project: &Name, name: &Name) -> Result<(Webhook, SealedSecret)> {
        WEBHOOKS.one(self, project, name).await
    }

    /// # Errors
    /// When the database cannot be read.
    pub async fn webhooks(&self, project: &Name) -> Result<Vec<Webhook>> {
        WEBHOOKS.all(self, project).await
    }

    /// # Errors
    /// `not-found` for one that is not there.
    pub async fn remove_webhook(&self, project: &Name, name: &Name) -> Result<()> {
        WEBHOOKS.remove(self, project, name).await
    }

    /// # Errors
    /// `conflict` for a name that is taken.
    pub async fn add_endpoint(&self, endpoint: &Endpoint, secret: &SealedSecret) -> Result<()> {
        ENDPOINTS.add(self, (&endpoint.project, &endpoint.name), endpoint, secret).await
    }

    /// # Errors
    /// `not-found` for one that is not there.
    pub async fn endpoint(&self, project: &Name, name: &Name) -> Result<(Endpoint, SealedSecret)> {
        ENDPOINTS.one(self, project, name).await
    }

    /// # Errors
    /// When the database cannot be read.
    pub async fn endpoints(&self, project: &Name) -> Result<Vec<Endpoint>> {
        ENDPOINTS.all(self, project).await
    }

    /// # Errors
    /// `not-found` for one that is not there.
    pub async fn remove_endpoint(&self, project: &Name, name: &Name) -> Result<()> {
        ENDPOINTS.remove(self, project, name).await
    }
}

/// Seals the secrets of all of them anew; answers how many there are.
pub(crate) async fn reseal(
    connection: &mut AnyConnection,
    reseal: impl Fn(&SealedSecret) -> Result<SealedSecret>,
) -> Result<usize> {
    let mut count = 0;
    for table in ["codeset_imports", WEBHOOKS.name, ENDPOINTS.name] {
        let select = format!("SELECT project, name, secret FROM {table} WHERE secret IS NOT NULL");
        let rows: Vec<(String, String, String)> =
            sqlx::query_as(AssertSqlSafe(select)).fetch_all(&mut *connection).await.map_err(failed)?;
        for (project, name, secret) in &rows {
            sqlx::query(AssertSqlSafe(format!("UPDATE {table} SET secret = $1 WHERE project = $2 AND name = $3")))
                .bind(to_json(&reseal(&from_json(secret)?)?)?)
                .bind(project)
                .bind(name)
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
        }
        count += rows.len();
    }
    Ok(count)
}

impl Table {
    async fn add(
        &self,
        catalog: &Catalog,
        (project, name): (&Name, &Name),
        document: &impl Serialize,
        secret: &SealedSecret,
    ) -> Result<()> {
        let insert = format!(
            "INSERT INTO {} (project, name, document, secret) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            self.name
        );
        let done = sqlx::query(AssertSqlSafe(insert))
            .bind(&**project)
            .bind(&**name)
            .bind(to_json(document)?)
            .bind(to_json(secret)?)
            .execute(&catalog.database.pool)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 {
            let kind = self.of_one;
            let message = format!("the project {project} already has a {kind} {name}; remove it first");
            return Err(Error::conflict(format!("{kind}-exists"), message));
        }
        Ok(())
    }

    async fn one<T: DeserializeOwned>(
        &self,
        catalog: &Catalog,
        project: &Name,
        name: &Name,
    ) -> Result<(T, SealedSecret)> {
        let select = format!("SELECT document, secret FROM {} WHERE project = $1 AND name = $2", self.name);
        let row: Option<(String, String)> = sqlx::query_as(AssertSqlSafe(select))
            .bind(&**project)
            .bind(&**name)
            .fetch_optional(&catalog.database.pool)
            .await
            .map_err(failed)?;
        let (document, secret) = row.ok_or_else(|| self.unknown(project, name))?;
        Ok((from_json(&document)?, from_json(&secret)?))
    }

    async fn all<T: DeserializeOwned>(&self, catalog: &Catalog, project: &Name) -> Result<Vec<T>> {
        let select = format!("SELECT document FROM {} WHERE project = $1 ORDER BY name", self.name);
        let texts = sqlx::query_scalar(AssertSqlSafe(select))
            .bind(&**project)
            .fetch_all(&catalog.database.pool)
            .await
            .map_err(failed)?;
        all_from_json(texts)
    }

    async fn remove(&self, catalog: &Catalog, project: &Name, name: &Name) -> Result<()> {
        let delete = format!("DELETE FROM {} WHERE project = $1 AND name = $2", self.name);
        let done = sqlx::query(AssertSqlSafe(delete))
            .bind(&**project)
            .bind(&**name)
            .execute(&catalog.database.pool)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 { Err(self.unknown(project, name)) } else { Ok(()) }
    }

    fn unknown(&self, project: &Name, name: &Name) -> Error {
        let kind = self.of_one;
        let message = format!("the project {project} has no {kind} {name}; `fuseml {kind} list` shows those it has");
        Error::not_found(format!("unknown-{kind}"), message)
    }
}
