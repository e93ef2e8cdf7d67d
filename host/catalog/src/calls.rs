//! Receipts of component calls, and the lines that components log.

use crate::{Catalog, all_from_json, failed, from_json, to_json};
use fuseml_database::Sql;
use fuseml_domain::{Capability, Error, Name, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Receipts and lines kept of one instance; older ones go.
const KEPT: i64 = 10_000;

/// What one call used, reached and was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CallRecord {
    /// UUID version 7.
    pub id: String,
    pub instance: Name,
    pub extension: String,
    pub version: String,
    pub component: Name,
    /// Of the component's bytes.
    pub digest: String,
    pub function: String,
    /// The artifact that it was about: an address, or the store's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub started: jiff::Timestamp,
    /// Microseconds from begin to end, and on a processor.
    pub wall_us: u64,
    pub cpu_us: u64,
    /// Bytes of linear memory at the most.
    pub memory_bytes: u64,
    pub requests: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// `scheme://host:port` of every server that was asked.
    pub hosts: Vec<String>,
    /// Names of secrets that the host put in or revealed.
    pub secrets: Vec<String>,
    pub refusals: Vec<RefusalRecord>,
    /// `answered`, `cancelled`, `error <code>`, `stopped <code>`.
    pub outcome: String,
    /// A tape to replay is kept.
    #[serde(default)]
    pub recorded: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RefusalRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<Capability>,
    pub what: String,
}

/// How often something was refused since a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalCount {
    pub refusal: RefusalRecord,
    pub count: u64,
}

/// One line that a component logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    pub instance: Name,
    pub component: Name,
    pub at: jiff::Timestamp,
    /// `debug`, `info`, `warn`, `error`.
    pub level: String,
    pub message: String,
    pub fields: Vec<(String, String)>,
}

/// Which receipts are wanted, newest first.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    pub instance: Option<Name>,
    pub subject: Option<String>,
    pub only_refused: bool,
    pub limit: u32,
}

impl Catalog {
    /// Keeps receipts (with their tapes) and log lines, in one transaction, and lets the oldest go.
    pub async fn record(&self, calls: &[(CallRecord, Option<String>)], lines: &[LogRecord]) -> Result<()> {
        let mut transaction = self.database.write().await?;
        for (call, tape) in calls {
            sqlx::query(
                "INSERT INTO calls (id, instance, subject, digest, started, refused, document, tape) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(&call.id)
            .bind(&*call.instance)
            .bind(call.subject.clone())
            .bind(&call.digest)
            .bind(call.started.as_millisecond())
            .bind(i64::try_from(call.refusals.len()).unwrap_or(i64::MAX))
            .bind(to_json(call)?)
            .bind(tape)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        for line in lines {
            sqlx::query("INSERT INTO extension_log (instance, document) VALUES ($1, $2)")
                .bind(&*line.instance)
                .bind(to_json(line)?)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    /// Lets receipts and lines go of which an instance has too many.
    pub async fn prune_calls(&self, instance: &Name) -> Result<()> {
        for statement in [
            "DELETE FROM calls WHERE instance = $1 AND sequence <=
               (SELECT sequence FROM calls WHERE instance = $1 ORDER BY sequence DESC LIMIT 1 OFFSET $2)",
            "DELETE FROM extension_log WHERE instance = $1 AND sequence <=
               (SELECT sequence FROM extension_log WHERE instance = $1 ORDER BY sequence DESC LIMIT 1 OFFSET $2)",
        ] {
            sqlx::query(statement).bind(&**instance).bind(KEPT).execute(&self.database.pool).await.map_err(failed)?;
        }
        Ok(())
    }

    /// When the receipts of an instance begin, if older ones are gone.
    pub(crate) async fn receipts_since(&self, instance: &Name) -> Result<Option<jiff::Timestamp>> {
        let oldest: Option<i64> = sqlx::query_scalar(
            "SELECT started FROM calls WHERE instance = $1 ORDER BY sequence DESC LIMIT 1 OFFSET $2",
        )
        .bind(&**instance)
        .bind(KEPT - 1)
        .fetch_optional(&self.database.pool)
        .await
        .map_err(failed)?;
        Ok(oldest.and_then(|started| jiff::Timestamp::from_millisecond(started).ok()))
    }

    pub async fn calls(&self, filter: &CallFilter) -> Result<Vec<CallRecord>> {
        let mut query = Sql::new("SELECT document FROM calls WHERE 1 = 1");
        if let Some(instance) = &filter.instance {
            query.push(" AND instance = ").push_bind(instance.to_string());
        }
        if let Some(subject) = &filter.subject {
            query.push(" AND subject = ").push_bind(subject);
        }
        if filter.only_refused {
            query.push(" AND refused > 0");
        }
        query.push(" ORDER BY sequence DESC LIMIT ").push_bind(i64::from(filter.limit));
        let texts: Vec<String> = query.scalar().fetch_all(&self.database.pool).await.map_err(failed)?;
        all_from_json(texts)
    }

    /// One receipt, by its id or the beginning of it, with its tape.
    pub async fn call(&self, id: &str) -> Result<(CallRecord, Option<String>)> {
        let plain = !id.is_empty() && id.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        let rows: Vec<(String, Option<String>)> = match plain {
            true => sqlx::query_as("SELECT document, tape FROM calls WHERE id >= $1 AND id < $2 LIMIT 2")
                .bind(id)
                .bind(format!("{id}g"))
                .fetch_all(&self.database.pool)
                .await
                .map_err(failed)?,
            false => Vec::new(),
        };
        match rows.as_slice() {
            [(text, tape)] => Ok((from_json(text)?, tape.clone())),
            [] => Err(Error::not_found(
                "unknown-call",
                format!("no call `{id}` is kept; `fuseml extension calls <instance>` shows those that are"),
            )),
            _ => Err(Error::invalid("ambiguous", format!("several calls begin with `{id}`; give more of it"))),
        }
    }

    /// What was refused to an instance since a moment, most often first.
    pub async fn refusals(&self, instance: &Name, since: jiff::Timestamp) -> Result<Vec<RefusalCount>> {
        let texts: Vec<String> = sqlx::query_scalar(
            "SELECT document FROM calls WHERE instance = $1 AND refused > 0 AND started >= $2 ORDER BY sequence DESC LIMIT 10000",
        )
        .bind(&**instance)
        .bind(since.as_millisecond())
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        let mut counts = BTreeMap::<RefusalRecord, u64>::new();
        for call in all_from_json::<CallRecord>(texts)? {
            for refusal in call.refusals {
                *counts.entry(refusal).or_default() += 1;
            }
        }
        let mut counts: Vec<_> = counts.into_iter().map(|(refusal, count)| RefusalCount { refusal, count }).collect();
        counts.sort_by_key(|found| std::cmp::Reverse(found.count));
        Ok(counts)
    }

    /// The newest lines of an instance, oldest first, and those after a sequence number.
    pub async fn extension_log(&self, instance: &Name, after: i64, limit: u32) -> Result<Vec<(i64, LogRecord)>> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT sequence, document FROM extension_log WHERE instance = $1 AND sequence > $2 ORDER BY sequence DESC LIMIT $3",
        )
        .bind(&**instance)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        rows.into_iter().rev().map(|(sequence, text)| Ok((sequence, from_json(&text)?))).collect()
    }
}
