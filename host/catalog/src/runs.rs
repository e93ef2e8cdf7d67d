//! Runs, their transitions, and what each used and made.

use crate::{
    Catalog, Transition,
    artifacts::{self, Cause},
    failed, from_json, references, results,
    run_rows::{self, RunRow, run_of, runs_of, select_runs},
    services, to_json,
};
use fuseml_domain::{
    Address, Admission, Concurrency, Error, Name, Result, Run, RunCommand, RunState, Unstarted, Value, admit,
    port::{ArtifactEvent, Change, Participation, Role, Started},
};
use jiff::Timestamp;
use sqlx::AnyConnection;
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

    /// Whether all is known that follows from this artifact so far (its event and those of all artifacts made in runs that
    /// it began are settled), and whether those runs have ended too.
    pub async fn settled(&self, root: &Address, artifact_id: &str) -> Result<(bool, bool)> {
        let (events, runs): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM artifact_events e JOIN runs r ON r.id = e.run WHERE r.root = $1 AND e.settled = 0)
                  + (SELECT count(*) FROM artifacts a JOIN artifact_events e ON e.artifact = a.row
                     WHERE a.project = $2 AND a.kind = $3 AND a.id = $4 AND e.settled = 0),
                    (SELECT count(*) FROM runs WHERE root = $1 AND state IN ('queued', 'running', 'paused'))",
        )
        .bind(root.to_string())
        .bind(&*root.project)
        .bind(root.kind.name())
        .bind(artifact_id)
        .fetch_one(&self.database.pool)
        .await
        .map_err(failed)?;
        Ok((events == 0, events + runs == 0))
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
        let mut refused = unstarted;
        for run in runs {
            let pipeline = run.pipeline.clone();
            if let Some(reason) = insert_run(&mut transaction, run, &self.server, &mut started).await? {
                refused.push(Unstarted { pipeline, reason });
            }
        }
        for Unstarted { pipeline, reason } in refused {
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

    pub(crate) async fn start_run(&self, run: Run) -> Result<Started> {
        let mut transaction = self.database.write().await?;
        let (mut started, pipeline) = (Started::default(), run.pipeline.clone());
        if let Some(reason) = insert_run(&mut transaction, run, &self.server, &mut started).await? {
            return Err(Error::conflict("not-now", format!("{pipeline} does not start now: {reason}")));
        }
        transaction.commit().await.map_err(failed)?;
        Ok(started)
    }

    /// Why pipelines that select an artifact were not started by it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn unstarted(&self, artifact: &Address, artifact_id: &str) -> Result<Vec<Unstarted>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT u.pipeline, u.reason FROM artifacts a JOIN artifact_events e ON e.artifact = a.row
             JOIN unstarted u ON u.event = e.sequence
             WHERE a.project = $1 AND a.kind = $2 AND a.id = $3 ORDER BY u.pipeline",
        )
        .bind(&*artifact.project)
        .bind(artifact.kind.name())
        .bind(artifact_id)
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        rows.into_iter().map(|(pipeline, reason)| Ok(Unstarted { pipeline: pipeline.parse()?, reason })).collect()
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
    pub(crate) async fn runs_that_left(&self, limit: u32) -> Result<Vec<Run>> {
        let rows: Vec<RunRow> = sqlx::query_as(select_runs!(
            "WHERE r.leaves = 1 AND r.state IN ('succeeded', 'failed', 'cancelled') ORDER BY r.id LIMIT $1"
        ))
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        runs_of(rows)
    }

    /// What a run left is removed, unless it goes on since.
    pub(crate) async fn nothing_left_of(&self, run: &Run) -> Result<()> {
        let mut transaction = self.database.write().await?;
        sqlx::query("UPDATE runs SET leaves = 0 WHERE id = $1 AND revision = $2")
            .bind(run.id.to_string())
            .bind(run.revision.cast_signed())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
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

    pub(crate) async fn save_change(&self, change: &Change) -> Result<()> {
        let mut transaction = self.database.write().await?;
        let run = &change.run;
        run_rows::update(&mut transaction, run, Some(&self.server), change.changed.iter().copied()).await?;
        insert_event(&mut transaction, run).await?;
        let id = run.id.to_string();
        let cause = if change.held { Cause::Sweep(&id) } else { Cause::Run(&id) };
        artifacts::insert(&mut transaction, &change.artifacts, cause).await?;
        for artifact in &change.released {
            artifacts::release(&mut transaction, artifact).await?;
        }
        for mark in &change.marks {
            references::mark(&mut transaction, mark, &id).await?;
        }
        for participation in &change.lineage {
            insert_participation(&mut transaction, &id, participation).await?;
        }
        if let Some(build) = &change.build {
            sqlx::query(
                "INSERT INTO builds (project, codeset, document) VALUES ($1, $2, $3) \
                 ON CONFLICT (project, codeset) DO UPDATE SET document = excluded.document",
            )
            .bind(&*run.project)
            .bind(&*build.codeset.name)
            .bind(to_json(build)?)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        if let Some(service) = &change.service {
            services::put(&mut transaction, service).await?;
        }
        if let Some(result) = &change.result {
            results::put(&mut transaction, &run.project, result).await?;
        }
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

fn read_id(text: &str) -> Result<Uuid> {
    text.parse().map_err(|_| Error::internal("document", "a record of the catalog has a damaged id"))
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
    let overtaken: Vec<_> = changed.iter().map(|(now, _)| now).filter(|now| overtaken(now)).map(|now| now.id).collect();
    if let Some(reason) = over_quota(&mut *connection, &run, &overtaken).await? {
        return Ok(Some(reason));
    }
    for (now, before) in changed {
        update_run(&mut *connection, &now, now.changed_since(&before)).await?;
        started.replaced.push(now);
    }
    let number: Option<i64> =
        sqlx::query_scalar("UPDATE pipelines SET runs = runs + 1 WHERE project = $1 AND name = $2 RETURNING runs")
            .bind(&*run.project)
            .bind(&*run.pipeline)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed)?;
    let number = number.ok_or_else(|| {
        Error::conflict("pipeline-gone", format!("the pipeline {} was removed meanwhile", run.pipeline))
    })?;
    run.number = number.cast_unsigned();
    run_rows::insert(&mut *connection, &run, server).await?;
    for input in &run.watched {
        if let Some(Value::Artifact(address)) = run.inputs.get(input).map(|input| &input.value) {
            note_input(&mut *connection, &run, input, address).await?;
        }
    }
    insert_event(connection, &run).await?;
    started.runs.push(run);
    Ok(None)
}

/// Why a pipeline that may start so often by itself does not start once more; what was overtaken before it began does not
/// count. A run's id says when it was made.
async fn over_quota(connection: &mut AnyConnection, run: &Run, overtaken: &[Uuid]) -> Result<Option<String>> {
    let Some(quota) = run.quota else { return Ok(None) };
    for id in overtaken {
        sqlx::query("UPDATE runs SET by_itself = 0 WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
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
    run_rows::update(&mut *connection, run, None, changed).await?;
    insert_event(connection, run).await
}

async fn insert_event(connection: &mut AnyConnection, run: &Run) -> Result<()> {
    let told = |name: &str, state: &dyn std::fmt::Display, count: u32| match count {
        1 => format!("{name}={state}"),
        _ => format!("{name}={state}#{count}"),
    };
    let steps = run.steps.iter().map(|step| told(&step.name, &step.state, step.attempt));
    let states: Vec<_> = steps.chain([told(Transition::RUN, &run.state, run.round)]).collect();
    sqlx::query("INSERT INTO run_events (run, revision, at, states) VALUES ($1, $2, $3, $4)")
        .bind(run.id.to_string())
        .bind(run.revision.cast_signed())
        .bind(Timestamp::now().as_millisecond())
        .bind(states.join(" "))
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}

async fn insert_participation(connection: &mut AnyConnection, run: &str, participation: &Participation) -> Result<()> {
    let role = match participation.role {
        Role::Used => "used",
        Role::Made => "made",
        Role::Reused => "reused",
    };
    sqlx::query("INSERT INTO participations (artifact, run, step, slot, role) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING")
        .bind(participation.artifact.to_string())
        .bind(run)
        .bind(&*participation.step)
        .bind(&participation.slot)
        .bind(role)
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}
