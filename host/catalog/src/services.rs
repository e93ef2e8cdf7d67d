//! Services: what each pipeline serves now.

use crate::{Catalog, all_from_json, failed, from_json, to_json};
use fuseml_domain::{Name, Result, port::Service};
use sqlx::AnyConnection;

impl Catalog {
    pub(crate) async fn stored_service(&self, project: &Name, pipeline: &Name, name: &Name) -> Result<Option<Service>> {
        let mut connection = self.database.pool.acquire().await.map_err(failed)?;
        find(&mut connection, project, pipeline, name).await
    }

    pub(crate) async fn all_services(&self) -> Result<Vec<Service>> {
        let texts: Vec<String> = sqlx::query_scalar("SELECT document FROM services ORDER BY project, pipeline, name")
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
        all_from_json(texts)
    }

    /// Unless another workload than the one that ended serves it by now.
    pub(crate) async fn replace_service(&self, service: &Service, ended: &str) -> Result<bool> {
        let mut transaction = self.database.write().await?;
        let stored = find(&mut transaction, &service.project, &service.pipeline, &service.name).await?;
        if stored.is_none_or(|stored| stored.workload.key != ended) {
            return Ok(false);
        }
        put(&mut transaction, service).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }
}

async fn find(connection: &mut AnyConnection, project: &Name, pipeline: &Name, name: &Name) -> Result<Option<Service>> {
    let text: Option<String> =
        sqlx::query_scalar("SELECT document FROM services WHERE project = $1 AND pipeline = $2 AND name = $3")
            .bind(&**project)
            .bind(&**pipeline)
            .bind(&**name)
            .fetch_optional(connection)
            .await
            .map_err(failed)?;
    text.map(|text| from_json(&text)).transpose()
}

pub(crate) async fn put(connection: &mut AnyConnection, service: &Service) -> Result<()> {
    sqlx::query(
        "INSERT INTO services (project, pipeline, name, document) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (project, pipeline, name) DO UPDATE SET document = excluded.document",
    )
    .bind(&*service.project)
    .bind(&*service.pipeline)
    .bind(&*service.name)
    .bind(to_json(service)?)
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}
