//! How a run lies in the database, so that a transition writes what it changes: its template once for all runs of it,
//! each of its steps by itself, and all else of it as one document.

use crate::{ROWS, failed, from_json, to_json};
use fuseml_database::Sql;
use fuseml_domain::{Digest, Error, Result, Run};
use sqlx::AnyConnection;

/// Document, template, and steps by commas.
pub(crate) type RunRow = (String, String, Option<String>);

/// Whole runs, in one look: those that the rest of the statement says of `r`.
macro_rules! select_runs {
    ($rest:literal) => {
        concat!(
            "SELECT r.document, t.document, ",
            "(SELECT string_agg(s.document, ',' ORDER BY s.position) FROM run_steps s WHERE s.run = r.id) ",
            "FROM runs r JOIN run_templates t ON t.digest = r.template ",
            $rest
        )
    };
}
pub(crate) use select_runs;

pub(crate) fn run_of((document, template, steps): RunRow) -> Result<Run> {
    let mut run: Run = from_json(&document)?;
    run.template = from_json(&template)?;
    run.steps = from_json(&format!("[{}]", steps.unwrap_or_default()))?;
    Ok(run)
}

pub(crate) fn runs_of(rows: Vec<RunRow>) -> Result<Vec<Run>> {
    rows.into_iter().map(run_of).collect()
}

/// A run that is not there yet, for the server that drives it.
pub(crate) async fn insert(connection: &mut AnyConnection, run: &Run, server: &str) -> Result<()> {
    let template = to_json(&run.template)?;
    let digest = Digest::of(template.as_bytes()).to_string();
    sqlx::query("INSERT INTO run_templates (digest, document) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING")
        .bind(&digest)
        .bind(template)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    sqlx::query(
        "INSERT INTO runs (id, project, pipeline, number, state, root, revision, document, template, by_itself, server,
         leaves) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(run.id.to_string())
    .bind(&*run.project)
    .bind(&*run.pipeline)
    .bind(run.number.cast_signed())
    .bind(run.state.to_string())
    .bind(run.cause.root.as_ref().map(ToString::to_string))
    .bind(run.revision.cast_signed())
    .bind(to_json(&run.frame())?)
    .bind(digest)
    .bind(i64::from(run.quota.is_some()))
    .bind(server)
    .bind(i64::from(run.leaves()))
    .execute(&mut *connection)
    .await
    .map_err(failed)?;
    put_steps(connection, run, 0..run.steps.len()).await
}

/// Saves a run where the stored one is `before`; for its driver, if that still holds it.
///
/// # Errors
/// `conflict` (`stale-run`) when it is not, (`lease-lost`) when another server holds it by now.
pub(crate) async fn update(
    connection: &mut AnyConnection,
    run: &Run,
    before: u64,
    holder: Option<&str>,
    changed: impl IntoIterator<Item = usize>,
) -> Result<()> {
    let (state, leaves, id) = (run.state.to_string(), i64::from(run.leaves()), run.id.to_string());
    let (frame, revision, before) = (to_json(&run.frame())?, run.revision.cast_signed(), before.cast_signed());
    // Indexes of what is set are written even if it is as it was, and most transitions leave the run's own state alone.
    let same = sqlx::query(
        "UPDATE runs SET revision = $1, document = $2
         WHERE id = $3 AND revision = $4 AND server = COALESCE($5, server) AND state = $6 AND leaves = $7",
    );
    let other = sqlx::query(
        "UPDATE runs SET revision = $1, document = $2, state = $6, leaves = $7
         WHERE id = $3 AND revision = $4 AND server = COALESCE($5, server)",
    );
    let mut is_done = false;
    for update in [same, other] {
        let update = update.bind(revision).bind(&frame).bind(&id).bind(before).bind(holder).bind(&state).bind(leaves);
        is_done = update.execute(&mut *connection).await.map_err(failed)?.rows_affected() > 0;
        if is_done {
            break;
        }
    }
    if !is_done {
        return Err(overtaken(connection, run, holder).await?);
    }
    put_steps(connection, run, changed).await
}

/// Why a run could not be saved.
async fn overtaken(connection: &mut AnyConnection, run: &Run, holder: Option<&str>) -> Result<Error> {
    let now: Option<String> = sqlx::query_scalar("SELECT server FROM runs WHERE id = $1")
        .bind(run.id.to_string())
        .fetch_optional(connection)
        .await
        .map_err(failed)?;
    Ok(match (now.as_deref(), holder) {
        (Some(now), Some(holder)) if now != holder => {
            Error::conflict("lease-lost", format!("another server took {} over", run.label()))
        }
        _ => Error::conflict("stale-run", format!("{} was changed meanwhile", run.label())),
    })
}

async fn put_steps(
    connection: &mut AnyConnection,
    run: &Run,
    positions: impl IntoIterator<Item = usize>,
) -> Result<()> {
    let steps = positions.into_iter().filter_map(|position| Some((position, run.steps.get(position)?)));
    for some in steps.collect::<Vec<_>>().chunks(ROWS) {
        let mut sql = Sql::new("INSERT INTO run_steps (run, position, document) VALUES ");
        for (at, (position, step)) in some.iter().enumerate() {
            sql.push(if at == 0 { "(" } else { ", (" }).push_bind(run.id.to_string());
            sql.push(", ").push_bind(i64::try_from(*position).unwrap_or(i64::MAX));
            sql.push(", ").push_bind(to_json(step)?).push(")");
        }
        sql.push(" ON CONFLICT (run, position) DO UPDATE SET document = excluded.document");
        sql.query().execute(&mut *connection).await.map_err(failed)?;
    }
    Ok(())
}
