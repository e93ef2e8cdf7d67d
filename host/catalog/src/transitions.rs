//! What happened to runs, transition by transition, for those who tell others.

use crate::{Catalog, failed};
use fuseml_domain::{Error, Name, Result};
use jiff::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

/// One transition of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub sequence: u64,
    pub run: Uuid,
    pub at: Timestamp,
    /// Each step's state before it, and the run's own as [`Transition::RUN`], each with `#<count>` from the second try
    /// or round on; empty when the run began with it.
    pub before: BTreeMap<String, String>,
    /// The same after it.
    pub after: BTreeMap<String, String>,
}

impl Transition {
    /// No step has this name.
    pub const RUN: &str = "*";
}

/// Slot, whether it was made (rather than used), and address.
pub type Part = (String, bool, String);

/// Sequence, run, time, states and the states before.
type Row = (i64, String, i64, String, Option<String>);

impl Catalog {
    /// Transitions after that one, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn transitions_after(&self, after: u64, limit: u32) -> Result<Vec<Transition>> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT e.sequence, e.run, e.at, e.states, p.states FROM run_events e \
             LEFT JOIN run_events p ON p.run = e.run AND p.revision = e.revision - 1 \
             WHERE e.sequence > $1 ORDER BY e.sequence LIMIT $2",
        )
        .bind(after.cast_signed())
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        let transition = |(sequence, run, at, states, before): Row| {
            let run = run.parse().map_err(|_| Error::internal("document", "a transition names no run"))?;
            Ok(Transition {
                sequence: sequence.cast_unsigned(),
                run,
                at: Timestamp::from_millisecond(at).unwrap_or_default(),
                before: states_of(before.as_deref().unwrap_or_default()),
                after: states_of(&states),
            })
        };
        rows.into_iter().map(transition).collect()
    }

    /// What a step used and made.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn parts_of(&self, run: Uuid, step: &Name) -> Result<Vec<Part>> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT slot, role, artifact FROM participations WHERE run = $1 AND step = $2 ORDER BY role, slot",
        )
        .bind(run.to_string())
        .bind(&**step)
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        Ok(rows.into_iter().map(|(slot, role, artifact)| (slot, role != "used", artifact)).collect())
    }
}

/// `build=succeeded train=running`.
fn states_of(text: &str) -> BTreeMap<String, String> {
    let pair = |word: &str| word.split_once('=').map(|(step, state)| (step.to_owned(), state.to_owned()));
    text.split(' ').filter_map(pair).collect()
}
