//! Runs, their transitions, and what each used and made.

use crate::{
    Catalog, ROWS, Transition,
    artifacts::{self, Cause},
    failed, references, results,
    run_rows::{self, RunRow, run_of, runs_of, select_runs},
    services, to_json,
};
use fuseml_database::Batch;
use fuseml_domain::{
    Address, Admission, Concurrency, Error, Name, Quota, Result, Run, RunCommand, RunState, Unstarted, Value, admit,
    port::{Change, Participation, Role, Started},
};
use jiff::Timestamp;
use sqlx::AnyConnection;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub pipeline: Option<Name>,
    /// Only runs in whose chain this artifact stands first.
    pub root: Option<Address>,
    /// With those of other projects.
    pub everywhere: bool,
    pub limit: u32,
}

impl Catalog {
    /// The project's runs, newest first.
    pub async fn list_runs(&self, project: &Name, filter: &RunFilter) -> Result<Vec<Run>> {
        let rows: Vec<RunRow> = match (&filter.root, &filter.pipeline) {
            (Some(root), _) if filter.everywhere => {
                sqlx::query_as(select_runs!("WHERE r.root = $1 ORDER BY r.id DESC LIMIT $2"))
                    .bind(root.to_string())
                    .bind(i64::from(filter.limit))
                    .fetch_all(&self.database.pool)
                    .await
            }
            (Some(root), _) => {
                sqlx::query_as(select_runs!("WHERE r.root = $1 AND r.project = $2 ORDER BY r.id DESC LIMIT $3"))
                    .bind(root.to_string())
                    .bind(&**project)
                    .bind(i64::from(filter.limit))
                    .fetch_all(&self.database.pool)
                    .await
            }
            (None, Some(pipeline)) => {
                sqlx::query_as(select_runs!("WHERE r.project = $1 AND r.pipeline = $2 ORDER BY r.number DESC LIMIT $3"))
                    .bind(&**project)
                    .bind(&**pipeline)
                    .bind(i64::from(filter.limit))
                    .fetch_all(&self.database.pool)
                    .await
            }
            (None, None) => {
                sqlx::query_as(select_runs!("WHERE r.project = $1 ORDER BY r.id DESC LIMIT $2"))
                    .bind(&**project)
                    .bind(i64::from(filter.limit))
                    .fetch_all(&self.database.pool)
                    .await
            }
        }
        .map_err(failed)?;
        runs_of(rows)
    }

    pub async fn run_by_number(&self, project: &Name, pipeline: &Name, number: u64) -> Result<Run> {
        let row: Option<RunRow> =
            sqlx::query_as(select_runs!("WHERE r.project = $1 AND r.pipeline = $2 AND r.number = $3"))
                .bind(&**project)
                .bind(&**pipeline)
                .bind(number.cast_signed())
                .fetch_optional(&self.database.pool)
                .await
                .map_err(failed)?;
        let missing = || {
            Error::not_found(
                "unknown-run",
                format!("the project {project} has no run {pipeline}/{number}; `fuseml run list` shows those it has"),
            )
        };
        row.map_or_else(|| Err(missing()), run_of)
    }

    pub(crate) async fn start_run(&self, run: Run) -> Result<Started> {
        let mut transaction = self.database.write().await?;
        let (mut started, pipeline) = (Started::default(), run.pipeline.clone());
        if let Some(reason) = insert_run(&mut transaction, run, &self.server, &mut started).await? {
            return Err(Error::conflict("not-now", format!("{pipeline} does not start now: {reason}")));
        }
        transaction.commit().await.map_err(failed)?;
        Ok(started)
    }

    /// Lets the first open run of a pipeline begin if it is queued.
    pub(crate) async fn begin_next_run(&self, project: &Name, pipeline: &Name) -> Result<Option<Run>> {
        let mut transaction = self.database.write().await?;
        let open = open_runs_of(&mut transaction, project, pipeline).await?;
        let Some(before) = open.into_iter().next().filter(|run| run.state == RunState::Queued) else {
            return Ok(None);
        };
        let mut first = before.clone();
        first.begin(Timestamp::now());
        update_run(&mut transaction, &first, first.changed_since(&before)).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(Some(first))
    }

    pub(crate) async fn last_input_of(
        &self,
        project: &Name,
        pipeline: &Name,
        input: &Name,
        name: &Name,
    ) -> Result<Option<Address>> {
        let found: Option<String> = sqlx::query_scalar(
            "SELECT artifact FROM last_inputs WHERE project = $1 AND pipeline = $2 AND input = $3 AND name = $4",
        )
        .bind(&**project)
        .bind(&**pipeline)
        .bind(&**input)
        .bind(&**name)
        .fetch_optional(&self.database.pool)
        .await
        .map_err(failed)?;
        found.map(|address| address.parse()).transpose()
    }

    pub(crate) async fn run_by_id(&self, id: Uuid) -> Result<Run> {
        let row: Option<RunRow> = sqlx::query_as(select_runs!("WHERE r.id = $1"))
            .bind(id.to_string())
            .fetch_optional(&self.database.pool)
            .await
            .map_err(failed)?;
        row.map_or_else(|| Err(Error::not_found("unknown-run", format!("there is no run {id}"))), run_of)
    }

    pub(crate) async fn unfinished_runs(&self) -> Result<Vec<Run>> {
        let rows: Vec<RunRow> =
            sqlx::query_as(select_runs!("WHERE r.state IN ('queued', 'running', 'paused') ORDER BY r.id"))
                .fetch_all(&self.database.pool)
                .await
                .map_err(failed)?;
        runs_of(rows)
    }

    /// Runs that ended and may have left something.
    pub(crate) async fn runs_that_left(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<Run>> {
        let text = format!(
            select_runs!(
                "WHERE r.leaves = 1 AND r.state IN ('succeeded', 'failed', 'cancelled') AND r.id > $2 AND (server = $1 OR {})
                 ORDER BY r.id LIMIT $3"
            ),
            self.of_no_server()
        );
        let rows: Vec<RunRow> = sqlx::query_as(sqlx::AssertSqlSafe(text))
            .bind(&*self.server)
            .bind(after.map(|id| id.to_string()).unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
        runs_of(rows)
    }

    /// What runs left is removed, unless they went on since.
    pub(crate) async fn nothing_left_of(&self, runs: &[(Uuid, u64)]) -> Result<()> {
        let mut transaction = self.database.write().await?;
        for (id, revision) in runs {
            sqlx::query("UPDATE runs SET leaves = 0 WHERE id = $1 AND revision = $2")
                .bind(id.to_string())
                .bind(revision.cast_signed())
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    pub(crate) async fn first_open_run_of(&self, project: &Name, pipeline: &Name) -> Result<Option<Run>> {
        let row: Option<RunRow> = sqlx::query_as(select_runs!(
            "WHERE r.state IN ('queued', 'running', 'paused') AND r.project = $1 AND r.pipeline = $2
             ORDER BY r.number LIMIT 1"
        ))
        .bind(&**project)
        .bind(&**pipeline)
        .fetch_optional(&self.database.pool)
        .await
        .map_err(failed)?;
        row.map(run_of).transpose()
    }

    /// Transitions of one run that follow each other.
    pub(crate) async fn save_changes(&self, changes: &[&Change]) -> Result<()> {
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return Ok(()) };
        let mut transaction = self.database.write().await?;
        let changed: BTreeSet<usize> = changes.iter().flat_map(|change| change.changed.iter().copied()).collect();
        let before = first.run.revision - 1;
        run_rows::update(&mut transaction, &last.run, before, Some(&self.server)).await?;
        for change in changes {
            insert_made(&mut transaction, change).await?;
        }
        let mut batch = Batch::of(&transaction);
        run_rows::put_steps(&mut batch, &last.run, changed)?;
        insert_events(&mut batch, changes.iter().map(|change| &change.run));
        let lineage: Vec<_> = changes.iter().flat_map(|change| &change.lineage).collect();
        insert_participations(&mut batch, &last.run.id.to_string(), &lineage);
        let results: Vec<_> = changes.iter().filter_map(|change| change.result.as_ref()).collect();
        results::put(&mut batch, &last.run.project, &results)?;
        batch.execute(&mut transaction).await?;
        transaction.commit().await.map_err(failed)
    }

    /// Carries out what a person tells a run, in one transaction with the look at how it stands.
    pub(crate) async fn command_run(
        &self,
        id: Uuid,
        command: RunCommand,
        by: &str,
        reason: Option<String>,
    ) -> Result<Run> {
        let mut transaction = self.database.write().await?;
        let row: Option<RunRow> = sqlx::query_as(select_runs!("WHERE r.id = $1"))
            .bind(id.to_string())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed)?;
        let before = run_of(row.ok_or_else(|| Error::not_found("unknown-run", format!("there is no run {id}")))?)?;
        let mut run = before.clone();
        run.command(command, by, reason, Timestamp::now())?;
        update_run(&mut transaction, &run, run.changed_since(&before)).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(run)
    }
}

pub(crate) fn read_id(text: &str) -> Result<Uuid> {
    text.parse().map_err(|_| Error::internal("document", "a record of the catalog has a damaged id"))
}

/// What a transition brings; its lineage and its result are written with those of others.
async fn insert_made(connection: &mut AnyConnection, change: &Change) -> Result<()> {
    let (run, id) = (&change.run, change.run.id.to_string());
    let cause = if change.held { Cause::Sweep(&id) } else { Cause::Run(&id) };
    artifacts::insert(&mut *connection, &change.artifacts, cause).await?;
    for artifact in &change.released {
        artifacts::release(&mut *connection, artifact).await?;
    }
    for mark in &change.marks {
        references::mark(&mut *connection, mark, &id).await?;
    }
    if let Some(build) = &change.build {
        sqlx::query(
            "INSERT INTO builds (project, codeset, document) VALUES ($1, $2, $3) \
             ON CONFLICT (project, codeset) DO UPDATE SET document = excluded.document",
        )
        .bind(&*run.project)
        .bind(&*build.codeset.name)
        .bind(to_json(build)?)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    }
    if let Some(service) = &change.service {
        services::put(&mut *connection, service).await?;
    }
    Ok(())
}

/// Open runs of a pipeline, oldest first.
async fn open_runs_of(connection: &mut AnyConnection, project: &Name, pipeline: &Name) -> Result<Vec<Run>> {
    let rows: Vec<RunRow> = sqlx::query_as(select_runs!(
        "WHERE r.state IN ('queued', 'running', 'paused') AND r.project = $1 AND r.pipeline = $2
         ORDER BY r.number"
    ))
    .bind(&**project)
    .bind(&**pipeline)
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    runs_of(rows)
}

/// Saves all of them that begin, and answers why the others do not.
pub(crate) async fn insert_runs(
    connection: &mut AnyConnection,
    runs: Vec<Run>,
    server: &str,
    started: &mut Started,
) -> Result<Vec<Unstarted>> {
    let mut refused = Vec::new();
    for run in runs {
        let pipeline = run.pipeline.clone();
        if let Some(reason) = insert_run(&mut *connection, run, server, started).await? {
            refused.push(Unstarted { pipeline, reason });
        }
    }
    Ok(refused)
}

/// Numbers and saves a run, which this server holds, and cancels those that it replaces; answers why it does not begin.
pub(crate) async fn insert_run(
    connection: &mut AnyConnection,
    mut run: Run,
    server: &str,
    started: &mut Started,
) -> Result<Option<String>> {
    let mut changed = Vec::new();
    if run.concurrency != Concurrency::Parallel || run.debounced.is_some() {
        let before = open_runs_of(&mut *connection, &run.project, &run.pipeline).await?;
        let (mut open, concurrency) = (before.clone(), run.concurrency);
        if let Admission::Refused(reason) = admit(&mut run, concurrency, &mut open, Timestamp::now())? {
            return Ok(Some(reason));
        }
        changed.extend(open.into_iter().zip(before).filter(|(now, before)| now.revision > before.revision));
    }
    let overtaken = |run: &Run| run.debounced.is_some() && !run.has_begun();
    for id in changed.iter().map(|(now, _)| now).filter(|now| overtaken(now)).map(|now| now.id) {
        sqlx::query("UPDATE runs SET by_itself = 0 WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    run.number = next_number(&mut *connection, &run).await?;
    // One that has not so many runs in all needs no look at them.
    if let Some(quota) = run.quota.filter(|quota| run.number > u64::from(quota.runs))
        && let Some(reason) = over_quota(&mut *connection, &run, quota).await?
    {
        take_number_back(&mut *connection, &run).await?;
        return Ok(Some(reason));
    }
    for (now, before) in changed {
        update_run(&mut *connection, &now, now.changed_since(&before)).await?;
        started.replaced.push(now);
    }
    let mut batch = Batch::of(connection);
    run_rows::insert(&mut batch, &run, server)?;
    insert_events(&mut batch, [&run]);
    batch.execute(&mut *connection).await?;
    for input in &run.watched {
        if let Some(Value::Artifact(address)) = run.inputs.get(input).map(|input| &input.value) {
            note_input(&mut *connection, &run, input, address).await?;
        }
    }
    started.runs.push(run);
    Ok(None)
}

async fn next_number(connection: &mut AnyConnection, run: &Run) -> Result<u64> {
    let number: Option<i64> =
        sqlx::query_scalar("UPDATE pipelines SET runs = runs + 1 WHERE project = $1 AND name = $2 RETURNING runs")
            .bind(&*run.project)
            .bind(&*run.pipeline)
            .fetch_optional(connection)
            .await
            .map_err(failed)?;
    let gone = || Error::conflict("pipeline-gone", format!("the pipeline {} was removed meanwhile", run.pipeline));
    Ok(number.ok_or_else(gone)?.cast_unsigned())
}

async fn take_number_back(connection: &mut AnyConnection, run: &Run) -> Result<()> {
    sqlx::query("UPDATE pipelines SET runs = runs - 1 WHERE project = $1 AND name = $2")
        .bind(&*run.project)
        .bind(&*run.pipeline)
        .execute(connection)
        .await
        .map_err(failed)
        .map(drop)
}

/// Why a pipeline that may start so often by itself does not start once more; what was overtaken before it began does not
/// count. A run's id says when it was made.
async fn over_quota(connection: &mut AnyConnection, run: &Run, quota: Quota) -> Result<Option<String>> {
    let select = "SELECT id FROM runs WHERE project = $1 AND pipeline = $2 AND by_itself = 1
        ORDER BY number DESC LIMIT 1 OFFSET $3";
    let id: Option<String> = sqlx::query_scalar(select)
        .bind(&*run.project)
        .bind(&*run.pipeline)
        .bind(i64::from(quota.runs) - 1)
        .fetch_optional(connection)
        .await
        .map_err(failed)?;
    let Some(made) = id.as_deref().map(read_id).transpose()?.and_then(|id| id.get_timestamp()) else { return Ok(None) };
    let (seconds, nanoseconds) = made.to_unix();
    let began = Timestamp::new(seconds.cast_signed(), nanoseconds.cast_signed()).unwrap_or_default();
    Ok(quota.refusal(began, run.created))
}

/// Notes with which artifact of its series a pipeline runs.
async fn note_input(connection: &mut AnyConnection, run: &Run, input: &Name, address: &Address) -> Result<()> {
    // Where the id alone is the address, the series is in the descriptor.
    let id = address.version.as_ref().unwrap_or(&address.name);
    let name: Option<String> = match &address.version {
        Some(_) => Some(address.name.to_string()),
        None => sqlx::query_scalar("SELECT name FROM artifacts WHERE project = $1 AND kind = $2 AND id = $3")
            .bind(&*address.project)
            .bind(address.kind.name())
            .bind(&**id)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed)?,
    };
    let Some(name) = name else { return Ok(()) };
    sqlx::query(
        "INSERT INTO last_inputs (project, pipeline, input, name, artifact) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (project, pipeline, input, name) DO UPDATE SET artifact = excluded.artifact",
    )
    .bind(&*run.project)
    .bind(&*run.pipeline)
    .bind(&**input)
    .bind(name)
    .bind(address.to_string())
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Saves what somebody beside its driver made of a run, with its event.
async fn update_run(connection: &mut AnyConnection, run: &Run, changed: impl IntoIterator<Item = usize>) -> Result<()> {
    run_rows::update(&mut *connection, run, run.revision - 1, None).await?;
    let mut batch = Batch::of(connection);
    run_rows::put_steps(&mut batch, run, changed)?;
    insert_events(&mut batch, [run]);
    batch.execute(connection).await.map(drop)
}

/// Each transition that led to one of these states of a run.
fn insert_events<'a>(batch: &mut Batch, runs: impl IntoIterator<Item = &'a Run>) {
    let at = Timestamp::now().as_millisecond();
    let sql = batch.begin("INSERT INTO run_events (run, revision, at, states) VALUES ");
    for (index, run) in runs.into_iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" }).push_bind(run.id.to_string());
        sql.push(", ").push_bind(run.revision.cast_signed()).push(", ").push_bind(at);
        sql.push(", ").push_bind(states(run)).push(")");
    }
}

/// `build=succeeded train=running *=running`.
fn states(run: &Run) -> String {
    let told = |name: &str, state: &dyn std::fmt::Display, count: u32| match count {
        1 => format!("{name}={state}"),
        _ => format!("{name}={state}#{count}"),
    };
    let steps = run.steps.iter().map(|step| told(&step.name, &step.state, step.attempt));
    let states: Vec<_> = steps.chain([told(Transition::RUN, &run.state, run.round)]).collect();
    states.join(" ")
}

fn insert_participations(batch: &mut Batch, run: &str, all: &[&Participation]) {
    let role = |role: Role| match role {
        Role::Used => "used",
        Role::Made => "made",
        Role::Reused => "reused",
    };
    for some in all.chunks(ROWS) {
        let sql = batch.begin("INSERT INTO participations (artifact, run, step, slot, role) VALUES ");
        for (at, it) in some.iter().enumerate() {
            sql.push(if at == 0 { "(" } else { ", (" }).push_bind(it.artifact.to_string());
            sql.push(", ").push_bind(run.to_owned()).push(", ").push_bind(it.step.to_string());
            sql.push(", ").push_bind(it.slot.clone()).push(", ").push_bind(role(it.role)).push(")");
        }
        sql.push(" ON CONFLICT DO NOTHING");
    }
}
