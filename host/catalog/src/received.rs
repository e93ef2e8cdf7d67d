//! Events from outside: each once, and what came of it.

use crate::{Catalog, failed, from_json, runs, to_json};
use fuseml_domain::{Error, Event, Name, ReceivedEvent, Result, Run, Unstarted, port::Started};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How long an event is kept whose consequences are worked out.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What came of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventOutcome {
    /// `<pipeline>/<number>` of the runs that it started.
    pub runs: Vec<String>,
    /// Pipelines that it could have started, and why it did not.
    pub unstarted: Vec<Unstarted>,
}

/// Sequence, project, webhook, time, document.
type Row = (i64, String, String, i64, String);

macro_rules! select_received {
    ($rest:literal) => {
        concat!("SELECT sequence, project, webhook, received, document FROM received_events ", $rest)
    };
}

fn received((sequence, project, webhook, received, document): Row) -> Result<ReceivedEvent> {
    let webhook = (!webhook.is_empty()).then(|| webhook.parse()).transpose()?;
    let received = Timestamp::from_millisecond(received)
        .map_err(|_| Error::internal("document", "an event of the catalog came at no time"))?;
    Ok(ReceivedEvent { sequence, project: project.parse()?, webhook, received, event: from_json(&document)? })
}

impl Catalog {
    /// Saves events of a project, all or none; answers how many did not come before, by themselves or by the signed
    /// request that each was delivered by.
    ///
    /// # Errors
    /// `not-found` for a project that is not there.
    pub async fn receive(
        &self,
        project: &Name,
        webhook: Option<&Name>,
        events: &[Event],
        deliveries: &[Option<String>],
    ) -> Result<u64> {
        self.check_project(project).await?;
        let (now, mut new) = (Timestamp::now().as_millisecond(), 0);
        let mut transaction = self.database.write().await?;
        for (event, delivery) in events.iter().zip(deliveries) {
            let done = sqlx::query(
                "INSERT INTO received_events (project, webhook, source, id, received, document, delivery)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            )
            .bind(&**project)
            .bind(webhook.map_or("", |name| name))
            .bind(&event.source)
            .bind(&event.id)
            .bind(now)
            .bind(to_json(event)?)
            .bind(delivery.as_deref())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
            new += done.rows_affected();
        }
        transaction.commit().await.map_err(failed)?;
        Ok(new)
    }

    /// The project's events, newest first, and what came of each; `None` where that is not worked out yet.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn received_events(
        &self,
        project: &Name,
        limit: u32,
    ) -> Result<Vec<(ReceivedEvent, Option<EventOutcome>)>> {
        let rows: Vec<(i64, String, String, i64, String, Option<String>)> = sqlx::query_as(
            "SELECT sequence, project, webhook, received, document, outcome FROM received_events
             WHERE project = $1 ORDER BY sequence DESC LIMIT $2",
        )
        .bind(&**project)
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        let read = |(sequence, project, webhook, at, document, outcome): (_, _, _, _, _, Option<String>)| {
            let outcome = outcome.as_deref().map(from_json).transpose()?;
            Ok((received((sequence, project, webhook, at, document))?, outcome))
        };
        rows.into_iter().map(read).collect()
    }

    /// Forgets events of long ago; answers how many.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_received(&self) -> Result<u64> {
        let before = Timestamp::now() - KEPT;
        let done = sqlx::query("DELETE FROM received_events WHERE settled = 1 AND received < $1")
            .bind(before.as_millisecond())
            .execute(&self.database.pool)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected())
    }

    pub(crate) async fn pending_received_events(&self, limit: u32) -> Result<Vec<ReceivedEvent>> {
        let rows: Vec<Row> = sqlx::query_as(select_received!("WHERE settled = 0 ORDER BY sequence LIMIT $1"))
            .bind(i64::from(limit))
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
        rows.into_iter().map(received).collect()
    }

    pub(crate) async fn received_events_since(
        &self,
        project: &Name,
        since: Timestamp,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ReceivedEvent>> {
        let rows: Vec<Row> = sqlx::query_as(select_received!(
            "WHERE project = $1 AND sequence > $2 AND received >= $3 AND sequence > COALESCE(
               (SELECT e.sequence FROM received_events e WHERE e.project = $1 AND e.received < $3
                ORDER BY e.received DESC LIMIT 1), 0)
             ORDER BY sequence LIMIT $4"
        ))
        .bind(&**project)
        .bind(after)
        .bind(since.as_millisecond())
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        rows.into_iter().map(received).collect()
    }

    pub(crate) async fn settle_received_event(
        &self,
        event: i64,
        all: Vec<Run>,
        unstarted: Vec<Unstarted>,
    ) -> Result<Started> {
        let mut transaction = self.database.write().await?;
        let settled = sqlx::query("UPDATE received_events SET settled = 1 WHERE sequence = $1 AND settled = 0")
            .bind(event)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let mut started = Started::default();
        if settled.rows_affected() == 0 {
            return Ok(started);
        }
        let refused = runs::insert_runs(&mut transaction, all, &self.server, &mut started).await?;
        let unstarted = unstarted.into_iter().chain(refused).collect();
        let outcome = EventOutcome { runs: started.runs.iter().map(Run::label).collect(), unstarted };
        sqlx::query("UPDATE received_events SET outcome = $1 WHERE sequence = $2")
            .bind(to_json(&outcome)?)
            .bind(event)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(started)
    }
}
