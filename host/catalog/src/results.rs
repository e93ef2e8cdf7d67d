//! What jobs made, for those that would do the same.

use crate::{Catalog, ROWS, all_from_json, failed, to_json};
use fuseml_database::Batch;
use fuseml_domain::{Digest, Name, Result, StepResult};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Keeps what jobs made; of jobs of one identity the last one counts.
pub(crate) fn put(batch: &mut Batch, project: &Name, results: &[&StepResult]) -> Result<()> {
    let at = Timestamp::now().as_millisecond();
    // One statement writes a row once.
    let last: BTreeMap<_, _> = results.iter().map(|result| (result.identity.digest(), *result)).collect();
    let last: Vec<_> = last.into_iter().collect();
    for some in last.chunks(ROWS) {
        let sql = batch.begin("INSERT INTO step_results (project, identity, pipeline, step, at, document) VALUES ");
        for (index, (identity, result)) in some.iter().enumerate() {
            sql.push(if index == 0 { "(" } else { ", (" }).push_bind(project.to_string());
            sql.push(", ").push_bind(identity.hex().to_owned()).push(", ").push_bind(result.pipeline.to_string());
            sql.push(", ").push_bind(result.step.to_string()).push(", ").push_bind(at);
            sql.push(", ").push_bind(to_json(*result)?).push(")");
        }
        sql.push(
            " ON CONFLICT (project, identity) DO UPDATE SET pipeline = excluded.pipeline, step = excluded.step,
             at = excluded.at, document = excluded.document",
        );
    }
    Ok(())
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
