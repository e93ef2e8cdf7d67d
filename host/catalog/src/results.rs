//! What jobs made, for those that would do the same.

use crate::{Catalog, all_from_json, failed, to_json};
use fuseml_domain::{Digest, Name, Result, StepResult};
use jiff::Timestamp;
use sqlx::AnyConnection;

/// Keeps what a job made; of jobs of one identity the last one counts.
pub(crate) async fn put(connection: &mut AnyConnection, project: &Name, result: &StepResult) -> Result<()> {
    sqlx::query(
        "INSERT INTO step_results (project, identity, pipeline, step, at, document) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (project, identity) DO UPDATE SET
           pipeline = excluded.pipeline, step = excluded.step, at = excluded.at, document = excluded.document",
    )
    .bind(&**project)
    .bind(result.identity.digest().hex())
    .bind(&*result.pipeline)
    .bind(&*result.step)
    .bind(Timestamp::now().as_millisecond())
    .bind(to_json(result)?)
    .execute(connection)
    .await
    .map_err(failed)
    .map(drop)
}

impl Catalog {
    pub(crate) async fn result_of(&self, project: &Name, identity: &Digest) -> Result<Option<StepResult>> {
        let texts = sqlx::query_scalar("SELECT document FROM step_results WHERE project = $1 AND identity = $2")
            .bind(&**project)
            .bind(identity.hex())
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
        Ok(all_from_json(texts)?.pop())
    }

    pub(crate) async fn results_of(
        &self,
        project: &Name,
        pipeline: &Name,
        step: &Name,
        limit: u32,
    ) -> Result<Vec<StepResult>> {
        let texts = sqlx::query_scalar(
            "SELECT document FROM step_results WHERE project = $1 AND pipeline = $2 AND step = $3
             ORDER BY at DESC LIMIT $4",
        )
        .bind(&**project)
        .bind(&**pipeline)
        .bind(&**step)
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        all_from_json(texts)
    }
}
