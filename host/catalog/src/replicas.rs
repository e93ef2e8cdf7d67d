//! Servers that share this catalog, and which of them holds which run.
//!
//! Times are those of the database, so that servers need not agree on one.

use crate::{
    Catalog, DatabasePlace, failed, from_json,
    run_rows::{RunRow, runs_of, select_runs},
    to_json,
};
use fuseml_database::Dialect;
use fuseml_domain::{Error, LEASE, Name, Replica, Result, Run, Signal};
use std::time::Duration;
use uuid::Uuid;

/// On which they tell each other.
pub const CHANNEL: &str = "fuseml";

/// Id, address, machine, process, and whether its lease is over.
type Row = (String, String, String, i64, i64);

impl Catalog {
    /// The same catalog for a server: what it starts is its own.
    #[must_use]
    pub fn held_by(self, server: Uuid) -> Self {
        Self { server: server.to_string().into(), ..self }
    }

    /// The same catalog by a connection of its own: nobody who writes for long stands before what is asked there.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn apart(&self, place: &DatabasePlace) -> Result<Self> {
        Ok(Self { database: self.database.apart(place).await?, server: self.server.clone() })
    }

    /// Milliseconds of the database's clock.
    fn now(&self) -> &'static str {
        match self.database.dialect() {
            Dialect::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Dialect::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// What holds of rows whose server is none, or dead.
    pub(crate) fn of_no_server(&self) -> String {
        format!("server NOT IN (SELECT id FROM servers WHERE until >= {})", self.now())
    }

    /// Lets a server begin or go on for [`LEASE`]; for ever where it is alone, on a file.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn renew_lease(&self, replica: &Replica) -> Result<()> {
        let now = self.now();
        let lease = match self.database.dialect() {
            Dialect::Sqlite => Duration::from_secs(1 << 33),
            Dialect::Postgres => LEASE,
        };
        let lease = lease.as_millis();
        let text = format!(
            "INSERT INTO servers (id, url, machine, pid, until) VALUES ($1, $2, $3, $4, {now} + {lease})
             ON CONFLICT (id) DO UPDATE SET until = excluded.until"
        );
        let renew = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(replica.id.to_string())
            .bind(&replica.url)
            .bind(&replica.machine)
            .bind(i64::from(replica.pid));
        // Not behind all writers: who waits for one that writes for long must not be dead for it.
        if self.database.dialect() == Dialect::Postgres {
            return renew.execute(&self.database.pool).await.map_err(failed).map(drop);
        }
        let mut transaction = self.database.write().await?;
        renew.execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// All servers, the longest there first, and whether the lease of each is over.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn replicas(&self) -> Result<Vec<(Replica, bool)>> {
        let over = format!("CASE WHEN until < {} THEN 1 ELSE 0 END", self.now());
        let text = format!("SELECT id, url, machine, pid, CAST({over} AS BIGINT) FROM servers ORDER BY id");
        let rows: Vec<Row> =
            sqlx::query_as(sqlx::AssertSqlSafe(text)).fetch_all(&self.database.pool).await.map_err(failed)?;
        let replica = |(id, url, machine, pid, over): Row| {
            let id = id.parse().map_err(|_| Error::internal("document", "a server's id is damaged"))?;
            Ok((Replica { id, url, machine, pid: u32::try_from(pid).unwrap_or_default() }, over == 1))
        };
        rows.into_iter().map(replica).collect()
    }

    /// A server is dead, or ends in order: what it held is anybody's.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn end_lease(&self, server: Uuid) -> Result<()> {
        let end = sqlx::query("DELETE FROM servers WHERE id = $1").bind(server.to_string());
        // Not behind all writers, as for renewals.
        if self.database.dialect() == Dialect::Postgres {
            return end.execute(&self.database.pool).await.map_err(failed).map(drop);
        }
        let mut transaction = self.database.write().await?;
        end.execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// Takes up to `most` open runs that no living server holds, oldest first.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn take_over_runs(&self, most: impl FnOnce(usize) -> usize) -> Result<Vec<Run>> {
        let nobodys = format!("FROM runs WHERE state IN ('queued', 'running', 'paused') AND {}", self.of_no_server());
        let count = format!("SELECT count(*) {nobodys}");
        let count: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&self.database.pool).await.map_err(failed)?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let take =
            format!("UPDATE runs SET server = $1 WHERE id IN (SELECT id {nobodys} ORDER BY id LIMIT $2) RETURNING id");
        let most = most(usize::try_from(count).unwrap_or(usize::MAX));
        let mut transaction = self.database.write().await?;
        let taken: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(take))
            .bind(&*self.server)
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        let rows: Vec<RunRow> = sqlx::query_as(select_runs!(
            "WHERE r.server = $1 AND r.state IN ('queued', 'running', 'paused') ORDER BY r.id"
        ))
        .bind(&*self.server)
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        let mut runs = runs_of(rows)?;
        runs.retain(|run| taken.contains(&run.id.to_string()));
        Ok(runs)
    }

    /// Project and pipeline of each first open run that is queued and that this server holds.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn stuck_pipelines(&self) -> Result<Vec<(Name, Name)>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT r.project, r.pipeline FROM runs r WHERE r.server = $1 AND r.state = 'queued' AND NOT EXISTS
             (SELECT 1 FROM runs o WHERE o.project = r.project AND o.pipeline = r.pipeline AND o.number < r.number
              AND o.state IN ('queued', 'running', 'paused'))",
        )
        .bind(&*self.server)
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        rows.into_iter().map(|(project, pipeline)| Ok((project.parse()?, pipeline.parse()?))).collect()
    }

    /// Another number than before says that an extension, an instance or a right became another; only PostgreSQL counts.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn extension_changes(&self) -> Result<i64> {
        if self.database.dialect() == Dialect::Sqlite {
            return Ok(0);
        }
        sqlx::query_scalar("SELECT number FROM extension_changes").fetch_one(&self.database.pool).await.map_err(failed)
    }

    /// Whether this server holds a run, or does from now on because no living one did.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn claim_run(&self, run: Uuid) -> Result<bool> {
        let text = format!("UPDATE runs SET server = $1 WHERE id = $2 AND (server = $1 OR {})", self.of_no_server());
        let mut transaction = self.database.write().await?;
        let claimed = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(&*self.server)
            .bind(run.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(claimed.rows_affected() > 0)
    }

    /// Id and revision of each open run that this server holds.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn held_runs(&self) -> Result<Vec<(Uuid, u64)>> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT id, revision FROM runs WHERE server = $1 AND state IN ('queued', 'running', 'paused') ORDER BY id",
        )
        .bind(&*self.server)
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        let held = |(id, revision): (String, i64)| {
            let id = id.parse().map_err(|_| Error::internal("document", "a run's id is damaged"))?;
            Ok((id, revision.cast_unsigned()))
        };
        rows.into_iter().map(held).collect()
    }

    /// How many open runs each server holds.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn runs_by_server(&self) -> Result<Vec<(String, u64)>> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT server, count(*) FROM runs WHERE state IN ('queued', 'running', 'paused') GROUP BY server",
        )
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        Ok(rows.into_iter().map(|(server, count)| (server, count.cast_unsigned())).collect())
    }

    /// Tells the other servers.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn tell(&self, signal: &Signal) -> Result<()> {
        self.database.tell(CHANNEL, &to_json(&(&*self.server, signal))?).await
    }

    /// What another server told, as it was heard on [`CHANNEL`]; `None` for what this one told itself.
    pub fn signal_of(&self, heard: &str) -> Option<Signal> {
        match from_json::<(String, Signal)>(heard) {
            Ok((server, signal)) => (*server != *self.server).then_some(signal),
            // A newer server says more: then it is as if it had not been heard.
            Err(_) => Some(Signal::Missed),
        }
    }
}
