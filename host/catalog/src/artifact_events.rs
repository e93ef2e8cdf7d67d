//! What happened to artifacts, until the runs that it starts are saved: registrations, and changes of labels and tags.

use crate::{
    Catalog, failed, from_json,
    references::Author,
    runs::{insert_runs, read_id},
    to_json,
};
use fuseml_domain::{
    Address, Descriptor, Name, Result, Run, Unstarted,
    port::{ArtifactEvent, Started, Unmarked},
};
use sqlx::AnyConnection;
use std::collections::BTreeMap;

/// Sequence, descriptor, run, what was before, how often it was touched.
type EventRow = (i64, String, Option<String>, Option<String>, i64);

fn event((sequence, document, run, before, touched): EventRow) -> Result<ArtifactEvent> {
    let run = run.map(|run| read_id(&run)).transpose()?;
    let before = before.map(|before| from_json(&before)).transpose()?;
    Ok(ArtifactEvent { sequence, artifact: from_json(&document)?, run, before, touched })
}

/// Events, by what the rest of the statement says.
macro_rules! select_events {
    ($rest:literal) => {
        concat!(
            "SELECT e.sequence, a.document, e.run, e.before, e.touched ",
            "FROM artifact_events e JOIN artifacts a ON a.row = e.artifact ",
            $rest
        )
    };
}

/// How far that is which follows from an artifact at some moment: two that are equal have nothing between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Following {
    /// Events of the artifact and of all made in runs that it began, which nobody worked through.
    pending: i64,
    /// Such runs that have not ended.
    open: i64,
    /// What moved in such runs.
    moves: i64,
}

impl Following {
    /// Nothing more follows unless a run that is open makes something.
    pub fn is_quiet(&self) -> bool {
        self.pending == 0
    }

    /// Nothing more follows.
    pub fn is_settled(&self) -> bool {
        self.pending + self.open == 0
    }
}

impl Catalog {
    /// How far that is which follows from an artifact.
    pub async fn following(&self, root: &Address, artifact_id: &str) -> Result<Following> {
        let select = "SELECT (SELECT count(*) FROM artifact_events e JOIN runs r ON r.id = e.run
                              WHERE r.root = $1 AND e.settled = 0)
                           + (SELECT count(*) FROM artifacts a JOIN artifact_events e ON e.artifact = a.row
                              WHERE a.project = $2 AND a.kind = $3 AND a.id = $4 AND e.settled = 0),
                             (SELECT count(*) FROM runs WHERE root = $1 AND state IN ('queued', 'running', 'paused')),
                             (SELECT CAST(COALESCE(SUM(revision + 1), 0) AS BIGINT) FROM runs WHERE root = $1)";
        let (pending, open, moves) = sqlx::query_as(select)
            .bind(root.to_string())
            .bind(&*root.project)
            .bind(root.kind.name())
            .bind(artifact_id)
            .fetch_one(&self.database.pool)
            .await
            .map_err(failed)?;
        Ok(Following { pending, open, moves })
    }

    pub(crate) async fn pending(&self, limit: u32) -> Result<Vec<ArtifactEvent>> {
        let rows: Vec<EventRow> = sqlx::query_as(select_events!("WHERE e.settled = 0 ORDER BY e.sequence LIMIT $1"))
            .bind(i64::from(limit))
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
        rows.into_iter().map(event).collect()
    }

    /// Registrations after a sequence number, oldest first.
    pub(crate) async fn events_since(
        &self,
        project: Option<&Name>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<ArtifactEvent>> {
        const OF_ALL: &str = select_events!("WHERE e.sequence > $1 AND e.before IS NULL ORDER BY e.sequence LIMIT $2");
        const OF_ONE: &str = select_events!(
            "WHERE e.sequence > $1 AND e.project = $3 AND e.before IS NULL ORDER BY e.sequence LIMIT $2"
        );
        let query = sqlx::query_as(if project.is_some() { OF_ONE } else { OF_ALL })
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(i64::from(limit));
        let query = match project {
            Some(project) => query.bind(project.to_string()),
            None => query,
        };
        let rows: Vec<EventRow> = query.fetch_all(&self.database.pool).await.map_err(failed)?;
        rows.into_iter().map(event).collect()
    }

    pub(crate) async fn settle_event(
        &self,
        event: &ArtifactEvent,
        runs: Vec<Run>,
        unstarted: Vec<Unstarted>,
    ) -> Result<Started> {
        const SETTLE: &str =
            "UPDATE artifact_events SET settled = 1 WHERE sequence = $1 AND settled = 0 AND touched = $2";
        let mut transaction = self.database.write().await?;
        let settled = sqlx::query(SETTLE)
            .bind(event.sequence)
            .bind(event.touched)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let mut started = Started::default();
        if settled.rows_affected() == 0 {
            return Ok(started);
        }
        let refused = insert_runs(&mut transaction, runs, &self.server, &mut started).await?;
        for Unstarted { pipeline, reason } in unstarted.into_iter().chain(refused) {
            sqlx::query("INSERT INTO unstarted (event, pipeline, reason) VALUES ($1, $2, $3)")
                .bind(event.sequence)
                .bind(&*pipeline)
                .bind(reason)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;
        Ok(started)
    }

    /// Why pipelines that select an artifact were not started by it when they were looked at last.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn unstarted(&self, artifact: &Address, artifact_id: &str) -> Result<Vec<Unstarted>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT u.pipeline, u.reason FROM artifacts a JOIN artifact_events e ON e.artifact = a.row
             JOIN unstarted u ON u.event = e.sequence
             WHERE a.project = $1 AND a.kind = $2 AND a.id = $3 ORDER BY u.event",
        )
        .bind(&*artifact.project)
        .bind(artifact.kind.name())
        .bind(artifact_id)
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        let last: BTreeMap<_, _> = rows.into_iter().collect();
        last.into_iter().map(|(pipeline, reason)| Ok(Unstarted { pipeline: pipeline.parse()?, reason })).collect()
    }
}

/// Pipelines that select the artifact since its labels and tags changed are to start.
pub(crate) async fn announce(
    connection: &mut AnyConnection,
    row: i64,
    before: &Descriptor,
    author: &Author,
    run: Option<&str>,
) -> Result<()> {
    // Whoever works through an event that is pending sees the artifact as it is then.
    const TOUCH: &str =
        "UPDATE artifact_events SET touched = touched + 1, run = COALESCE(run, $2) WHERE artifact = $1 AND settled = 0";
    let pending = sqlx::query(TOUCH)
        .bind(row)
        .bind(run.map(ToOwned::to_owned))
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    if pending.rows_affected() > 0 {
        return Ok(());
    }
    let unmarked = Unmarked { labels: before.labels.clone(), tags: before.tags.clone(), by: author.by.clone() };
    sqlx::query("INSERT INTO artifact_events (artifact, project, run, settled, before) VALUES ($1, $2, $3, 0, $4)")
        .bind(row)
        .bind(&**before.project())
        .bind(run.map(ToOwned::to_owned))
        .bind(to_json(&unmarked)?)
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}
