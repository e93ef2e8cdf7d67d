//! Pipelines with a schedule, and how far each is worked through.

use crate::{Catalog, failed, from_json, runs};
use fuseml_domain::{Name, Pipeline, Result, Run, port::Started};
use jiff::Timestamp;
use sqlx::AnyConnection;

/// Notes that the schedule is worked through up to a moment; `false` when it was already.
async fn pass(connection: &mut AnyConnection, project: &Name, pipeline: &Name, due: Timestamp) -> Result<bool> {
    let done = sqlx::query("UPDATE pipelines SET scheduled = $1 WHERE project = $2 AND name = $3 AND scheduled < $1")
        .bind(due.as_millisecond())
        .bind(&**project)
        .bind(&**pipeline)
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(done.rows_affected() > 0)
}

/// From now on its schedule counts, if it has one.
pub(crate) async fn begin(connection: &mut AnyConnection, pipeline: &Pipeline, now: Timestamp) -> Result<()> {
    sqlx::query("UPDATE pipelines SET scheduled = $1 WHERE project = $2 AND name = $3")
        .bind(pipeline.starts.schedule.as_ref().map(|_| now.as_millisecond()))
        .bind(&*pipeline.project)
        .bind(&*pipeline.name)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed)
}

impl Catalog {
    pub(crate) async fn start_scheduled_run(&self, run: Run, due: Timestamp) -> Result<Started> {
        let mut transaction = self.database.write().await?;
        let mut started = Started::default();
        if pass(&mut transaction, &run.project, &run.pipeline, due).await? {
            let (pipeline, project) = (run.pipeline.clone(), run.project.clone());
            if let Some(reason) = runs::insert_run(&mut transaction, run, &self.server, &mut started).await? {
                tracing::info!(%pipeline, %project, %reason, "not started by its schedule");
            }
        }
        transaction.commit().await.map_err(failed)?;
        Ok(started)
    }

    pub(crate) async fn pass_schedule_of(&self, project: &Name, pipeline: &Name, due: Timestamp) -> Result<()> {
        let mut transaction = self.database.write().await?;
        pass(&mut transaction, project, pipeline, due).await?;
        transaction.commit().await.map_err(failed)
    }

    pub(crate) async fn scheduled_pipelines(&self) -> Result<Vec<(Pipeline, Timestamp)>> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT document, scheduled FROM pipelines WHERE scheduled IS NOT NULL")
                .fetch_all(&self.database.pool)
                .await
                .map_err(failed)?;
        let read = |(text, upto): (String, i64)| {
            Ok((from_json(&text)?, Timestamp::from_millisecond(upto).unwrap_or(Timestamp::UNIX_EPOCH)))
        };
        rows.into_iter().map(read).collect()
    }
}
