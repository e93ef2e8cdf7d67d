//! The catalog as the engine and the sandbox see it.

use crate::{Catalog, all_from_json, failed, from_json};
use async_trait::async_trait;
use fuseml_domain::{
    Address, Attributes, Descriptor, Digest, Error, Name, Pipeline, ReceivedEvent, Result, Run, RunCommand, Runnable,
    Selector, StepResult, Unstarted,
    port::{self, ArtifactEvent, ArtifactEvents, Build, Change, InstanceState, Service, Started},
};
use jiff::Timestamp;
use uuid::Uuid;

#[async_trait]
impl port::Catalog for Catalog {
    async fn pending_events(&self, limit: u32) -> Result<Vec<ArtifactEvent>> {
        self.pending(limit).await
    }

    async fn settle(&self, event: &ArtifactEvent, runs: Vec<Run>, unstarted: Vec<Unstarted>) -> Result<Started> {
        self.settle_event(event, runs, unstarted).await
    }

    async fn pending_received(&self, limit: u32) -> Result<Vec<ReceivedEvent>> {
        self.pending_received_events(limit).await
    }

    async fn settle_received(&self, event: i64, runs: Vec<Run>, unstarted: Vec<Unstarted>) -> Result<Started> {
        self.settle_received_event(event, runs, unstarted).await
    }

    async fn received_since(
        &self,
        project: &Name,
        since: Timestamp,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ReceivedEvent>> {
        self.received_events_since(project, since, after, limit).await
    }

    async fn start(&self, run: Run) -> Result<Started> {
        self.start_run(run).await
    }

    async fn start_scheduled(&self, run: Run, due: Timestamp) -> Result<Started> {
        self.start_scheduled_run(run, due).await
    }

    async fn pass_schedule(&self, project: &Name, pipeline: &Name, due: Timestamp) -> Result<()> {
        self.pass_schedule_of(project, pipeline, due).await
    }

    async fn scheduled(&self) -> Result<Vec<(Pipeline, Timestamp)>> {
        self.scheduled_pipelines().await
    }

    async fn begin_next(&self, project: &Name, pipeline: &Name) -> Result<Option<Run>> {
        self.begin_next_run(project, pipeline).await
    }

    async fn last_input(&self, project: &Name, pipeline: &Name, input: &Name, name: &Name) -> Result<Option<Address>> {
        self.last_input_of(project, pipeline, input, name).await
    }

    async fn run(&self, id: Uuid) -> Result<Run> {
        self.run_by_id(id).await
    }

    async fn open_runs(&self) -> Result<Vec<Run>> {
        self.unfinished_runs().await
    }

    async fn left_behind(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<Run>> {
        self.runs_that_left(after, limit).await
    }

    async fn nothing_left(&self, runs: &[(Uuid, u64)]) -> Result<()> {
        self.nothing_left_of(runs).await
    }

    async fn first_open_run(&self, project: &Name, pipeline: &Name) -> Result<Option<Run>> {
        self.first_open_run_of(project, pipeline).await
    }

    async fn command(&self, id: Uuid, command: RunCommand, by: &str, reason: Option<String>) -> Result<Run> {
        self.command_run(id, command, by, reason).await
    }

    async fn result(&self, project: &Name, identity: &Digest) -> Result<Option<StepResult>> {
        self.result_of(project, identity).await
    }

    async fn results(&self, project: &Name, pipeline: &Name, step: &Name, limit: u32) -> Result<Vec<StepResult>> {
        self.results_of(project, pipeline, step, limit).await
    }

    async fn save(&self, changes: &[&Change]) -> Result<()> {
        self.save_changes(changes).await
    }

    async fn has_project(&self, project: &Name) -> Result<()> {
        self.check_project(project).await
    }

    async fn pipelines(&self, project: &Name) -> Result<Vec<Pipeline>> {
        self.pipelines_of(project).await
    }

    async fn artifact(&self, address: &Address) -> Result<Descriptor> {
        self.find(address).await
    }

    async fn newest(&self, project: &Name, selector: &Selector) -> Result<Option<Descriptor>> {
        self.newest_match(project, selector).await
    }

    async fn runnable(&self, address: &Address) -> Result<Runnable> {
        let descriptor = self.find(address).await?;
        descriptor
            .runnable
            .map(|runnable| *runnable)
            .ok_or_else(|| Error::internal("document", format!("{address} lacks its description")))
    }

    async fn record(&self, address: &Address, digest: &Digest, attributes: &Attributes) -> Result<Descriptor> {
        self.record_contents(address, digest, attributes).await
    }

    async fn runnables(&self, project: &Name, kind: &str) -> Result<Vec<Descriptor>> {
        let texts: Vec<String> = sqlx::query_scalar(
            "SELECT document FROM artifacts WHERE row IN
             (SELECT max(row) FROM artifacts WHERE project = $1 AND kind = 'runnable' AND subkind = $2 GROUP BY name)
             ORDER BY row DESC",
        )
        .bind(&**project)
        .bind(kind)
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        all_from_json(texts)
    }

    async fn last_build(&self, project: &Name, codeset: &Name) -> Result<Option<Build>> {
        let text: Option<String> =
            sqlx::query_scalar("SELECT document FROM builds WHERE project = $1 AND codeset = $2")
                .bind(&**project)
                .bind(&**codeset)
                .fetch_optional(&self.database.pool)
                .await
                .map_err(failed)?;
        text.map(|text| from_json(&text)).transpose()
    }

    async fn service(&self, project: &Name, pipeline: &Name, name: &Name) -> Result<Option<Service>> {
        self.stored_service(project, pipeline, name).await
    }

    async fn services(&self) -> Result<Vec<Service>> {
        self.all_services().await
    }

    async fn restart_service(&self, service: &Service, ended: &str) -> Result<bool> {
        self.replace_service(service, ended).await
    }
}

#[async_trait]
impl ArtifactEvents for Catalog {
    async fn since(&self, project: Option<&Name>, after: u64, limit: u32) -> Result<Vec<ArtifactEvent>> {
        self.events_since(project, after, limit).await
    }
}

const SET_STATE: &str = "INSERT INTO instance_state (instance, key, value) VALUES ($1, $2, $3) \
                         ON CONFLICT (instance, key) DO UPDATE SET value = excluded.value";

#[async_trait]
impl InstanceState for Catalog {
    async fn get(&self, instance: &Name, key: &str) -> Result<Option<Vec<u8>>> {
        sqlx::query_scalar("SELECT value FROM instance_state WHERE instance = $1 AND key = $2")
            .bind(&**instance)
            .bind(key)
            .fetch_optional(&self.database.pool)
            .await
            .map_err(failed)
    }

    async fn set(&self, instance: &Name, key: &str, value: Option<&[u8]>) -> Result<()> {
        let query = match value {
            Some(value) => sqlx::query(SET_STATE).bind(&**instance).bind(key.to_owned()).bind(value.to_vec()),
            None => sqlx::query("DELETE FROM instance_state WHERE instance = $1 AND key = $2")
                .bind(&**instance)
                .bind(key.to_owned()),
        };
        query.execute(&self.database.pool).await.map_err(failed)?;
        Ok(())
    }

    async fn compare_and_set(&self, instance: &Name, key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool> {
        let mut transaction = self.database.write().await?;
        let stored: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT value FROM instance_state WHERE instance = $1 AND key = $2")
                .bind(&**instance)
                .bind(key)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(failed)?;
        if stored.as_deref() != expected {
            return Ok(false);
        }
        sqlx::query(SET_STATE)
            .bind(&**instance)
            .bind(key)
            .bind(value)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }

    async fn list_keys(&self, instance: &Name, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
        sqlx::query_scalar(
            "SELECT key FROM instance_state
             WHERE instance = $1 AND key > $2 AND substr(key, 1, length($3)) = $3 AND key >= $3 ORDER BY key LIMIT $4",
        )
        .bind(&**instance)
        .bind(after.unwrap_or(""))
        .bind(prefix)
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)
    }
}
