//! How a run lies in the database, so that a transition writes what it changes: its template once for all runs of it,
//! each of its steps by itself, and all else of it as one document.

use crate::{ROWS, failed, from_json, to_json};
use fuseml_database::{Batch, Dialect, Sql};
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
pub(crate) fn insert(batch: &mut Batch, run: &Run, server: &str) -> Result<()> {
    let template = to_json(&run.template)?;
    let digest = Digest::of(template.as_bytes()).to_string();
    let sql = batch.begin("INSERT INTO run_templates (digest, document) VALUES (");
    sql.push_bind(digest.clone()).push(", ").push_bind(template).push(") ON CONFLICT (digest) DO NOTHING");
    let sql = batch.begin(
        "INSERT INTO runs (id, project, pipeline, number, state, root, revision, document, template, by_itself, server,
         leaves) VALUES (",
    );
    sql.push_bind(run.id.to_string()).push(", ").push_bind(run.project.to_string());
    sql.push(", ").push_bind(run.pipeline.to_string()).push(", ").push_bind(run.number.cast_signed());
    sql.push(", ").push_bind(run.state.to_string());
    sql.push(", ").push_bind(run.cause.root.as_ref().map(ToString::to_string));
    sql.push(", ").push_bind(run.revision.cast_signed()).push(", ").push_bind(to_json(&run.frame())?);
    sql.push(", ").push_bind(digest).push(", ").push_bind(i64::from(run.quota.is_some()));
    sql.push(", ").push_bind(server.to_owned()).push(", ").push_bind(i64::from(run.leaves())).push(")");
    put_steps(batch, run, 0..run.steps.len())
}

/// Saves a run, but for its steps, where the stored one is `before`; for its driver, if that still holds it.
///
/// # Errors
/// `conflict` (`stale-run`) when it is not, (`lease-lost`) when another server holds it by now.
pub(crate) async fn update(connection: &mut AnyConnection, run: &Run, before: u64, holder: Option<&str>) -> Result<()> {
    let (frame, revision) = (to_json(&run.frame())?, run.revision.cast_signed());
    let mut batch = Batch::of(connection);
    // SQLite writes the indexes of what is set even if it is as it was, and most transitions leave a run's own state alone.
    if batch.dialect() == Dialect::Sqlite {
        let sql = batch.begin("UPDATE runs SET revision = ").push_bind(revision);
        sql.push(", document = ").push_bind(frame.clone());
        only_if(sql, run, before, holder);
        sql.push(" AND state = ").push_bind(run.state.to_string());
        sql.push(" AND leaves = ").push_bind(i64::from(run.leaves()));
    }
    let sql = batch.begin("UPDATE runs SET revision = ").push_bind(revision);
    sql.push(", document = ").push_bind(frame);
    sql.push(", state = ").push_bind(run.state.to_string()).push(", leaves = ").push_bind(i64::from(run.leaves()));
    only_if(sql, run, before, holder);
    match batch.execute(connection).await? {
        0 => Err(overtaken(connection, run, holder).await?),
        _ => Ok(()),
    }
}

/// The stored run is at `before`, and `holder`'s if one is named.
fn only_if(sql: &mut Sql, run: &Run, before: u64, holder: Option<&str>) {
    sql.push(" WHERE id = ").push_bind(run.id.to_string()).push(" AND revision = ").push_bind(before.cast_signed());
    if let Some(holder) = holder {
        sql.push(" AND server = ").push_bind(holder.to_owned());
    }
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

/// Those of a run's steps.
pub(crate) fn put_steps(batch: &mut Batch, run: &Run, positions: impl IntoIterator<Item = usize>) -> Result<()> {
    let steps = positions.into_iter().filter_map(|position| Some((position, run.steps.get(position)?)));
    for some in steps.collect::<Vec<_>>().chunks(ROWS) {
        let sql = batch.begin("INSERT INTO run_steps (run, position, document) VALUES ");
        for (at, (position, step)) in some.iter().enumerate() {
            sql.push(if at == 0 { "(" } else { ", (" }).push_bind(run.id.to_string());
            sql.push(", ").push_bind(i64::try_from(*position).unwrap_or(i64::MAX));
            sql.push(", ").push_bind(to_json(step)?).push(")");
        }
        sql.push(" ON CONFLICT (run, position) DO UPDATE SET document = excluded.document");
    }
    Ok(())
}
