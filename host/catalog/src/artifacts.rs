//! Projects and artifact descriptors.

use crate::{
    ArtifactSearch, Catalog, ROWS, all_from_json, deletions::Deletion, facts, failed, from_json, grams, to_json,
};
use fuseml_database::Sql;
use fuseml_domain::{Address, Condition, Descriptor, Error, ErrorKind, Kind, Name, Result, Selector, Store};
use jiff::Timestamp;
use sqlx::{Any, AnyConnection};
use std::collections::BTreeMap;

impl Catalog {
    /// `conflict` when the project exists.
    pub async fn create_project(&self, name: &Name) -> Result<()> {
        sqlx::query("INSERT INTO projects (name, created) VALUES ($1, $2)")
            .bind(&**name)
            .bind(Timestamp::now().as_millisecond())
            .execute(&self.database.pool)
            .await
            .map_err(|error| match failed(error) {
                error if error.code == "exists" => {
                    Error::conflict("project-exists", format!("the project {name} is already there"))
                }
                error => error,
            })?;
        Ok(())
    }

    /// Every project's name and time of creation, by name.
    pub async fn projects(&self) -> Result<Vec<(String, Timestamp)>> {
        let rows: Vec<(String, i64)> = sqlx::query_as("SELECT name, created FROM projects ORDER BY name")
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
        Ok(rows.into_iter().map(|(name, at)| (name, Timestamp::from_millisecond(at).unwrap_or_default())).collect())
    }

    /// `not-found` with what to do, when the project is not there.
    pub async fn check_project(&self, name: &Name) -> Result<()> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM projects WHERE name = $1")
            .bind(&**name)
            .fetch_optional(&self.database.pool)
            .await
            .map_err(failed)?;
        match found {
            Some(_) => Ok(()),
            None => Err(Error::not_found(
                "unknown-project",
                format!(
                    "there is no project {name}; `fuseml project list` shows those there are, `fuseml project create {name}` makes it"
                ),
            )),
        }
    }

    /// Registers artifacts that no run made, each with its event; those already there stay as they are.
    /// Answers how many are new.
    pub async fn register(&self, descriptors: &[Descriptor]) -> Result<usize> {
        let mut transaction = self.database.write().await?;
        let new = insert(&mut transaction, descriptors, Cause::Registration).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(new)
    }

    /// The same for what was registered before this catalog knew it: nothing starts.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn restore(&self, descriptors: &[Descriptor]) -> Result<usize> {
        let mut transaction = self.database.write().await?;
        let new = insert(&mut transaction, descriptors, Cause::Recovery).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(new)
    }

    /// The project's artifacts, newest first: of one kind, of one name, at most `limit`.
    pub async fn list_artifacts(
        &self,
        project: &Name,
        kind: Option<Kind>,
        name: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Descriptor>> {
        // Each form of the question is answered from an index of its own.
        let texts: Vec<String> = match (kind, name) {
            (Some(kind), Some(name)) => sqlx::query_scalar(
                "SELECT document FROM artifacts WHERE project = $1 AND kind = $2 AND name = $3 ORDER BY row DESC LIMIT $4",
            )
            .bind(&**project)
            .bind(kind.name())
            .bind(name)
            .bind(i64::from(limit))
            .fetch_all(&self.database.pool)
            .await,
            (Some(kind), None) => {
                sqlx::query_scalar(
                    "SELECT document FROM artifacts WHERE project = $1 AND kind = $2 ORDER BY row DESC LIMIT $3",
                )
                .bind(&**project)
                .bind(kind.name())
                .bind(i64::from(limit))
                .fetch_all(&self.database.pool)
                .await
            }
            (None, _) => {
                let mut all = Vec::new();
                for kind in Kind::all() {
                    all.extend(Box::pin(self.list_artifacts(project, Some(kind), name, limit)).await?);
                }
                all.sort_by_key(|artifact| std::cmp::Reverse(artifact.created));
                all.truncate(limit as usize);
                return Ok(all);
            }
        }
        .map_err(failed)?;
        all_from_json(texts)
    }

    /// The newest version of every codeset of a project.
    pub async fn current_codesets(&self, project: &Name) -> Result<Vec<Descriptor>> {
        let texts: Vec<String> = sqlx::query_scalar(
            "SELECT document FROM artifacts WHERE row IN
             (SELECT max(row) FROM artifacts WHERE project = $1 AND kind = 'codeset' AND held = 0 GROUP BY name) ORDER BY name",
        )
        .bind(&**project)
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        all_from_json(texts)
    }

    pub(crate) async fn find(&self, address: &Address) -> Result<Descriptor> {
        match self.find_in_project(address).await {
            Err(error) if error.kind == ErrorKind::NotFound => {
                self.check_project(&address.project).await?;
                Err(error)
            }
            found => found,
        }
    }

    async fn find_in_project(&self, address: &Address) -> Result<Descriptor> {
        if let Some(tag) = &address.tag {
            let tagged = self.tagged(&address.project, address.kind, Some(&address.name), tag).await?;
            return tagged
                .ok_or_else(|| Error::not_found("unknown-tag", format!("{address}: nothing is tagged `{tag}`")));
        }
        if address.version.is_none()
            && let Some(newest) = self.newest_of(&address.project, address.kind, Some(&address.name)).await?
        {
            return Ok(newest);
        }
        let found = match &address.version {
            Some(version) => self.by_prefix(address, Some(&address.name), version).await?,
            None => self.by_prefix(address, None, &address.name).await?,
        };
        match found.as_slice() {
            [one] => from_json(one),
            [] => {
                let prefix = address.version.as_ref().unwrap_or(&address.name);
                let deletion = self.deletion(&address.project, address.kind, prefix).await?;
                Err(Error::not_found(
                    "unknown-artifact",
                    match deletion {
                        Some(Deletion { change, .. }) => format!(
                            "{address} was deleted by {} on {}{}",
                            change.by,
                            change.at.strftime("%Y-%m-%d %H:%M:%S"),
                            change.reason.map(|reason| format!(": {reason}")).unwrap_or_default()
                        ),
                        None => format!(
                            "there is no {address}; `fuseml artifact list --kind {}` shows what there is",
                            address.kind
                        ),
                    },
                ))
            }
            _ => Err(Error::invalid(
                "ambiguous",
                format!("{address} begins the id of several versions; give more digits"),
            )),
        }
    }

    /// At most two documents whose id begins so.
    async fn by_prefix(&self, address: &Address, name: Option<&Name>, prefix: &str) -> Result<Vec<String>> {
        // `~` sorts after every character of a name, so the range is the prefix and an index serves it.
        let end = format!("{prefix}~");
        let query = match name {
            Some(_) => {
                "SELECT document FROM artifacts WHERE project = $1 AND kind = $2 AND id >= $3 AND id < $4 AND name = $5 LIMIT 2"
            }
            None => "SELECT document FROM artifacts WHERE project = $1 AND kind = $2 AND id >= $3 AND id < $4 LIMIT 2",
        };
        let mut query = sqlx::query_scalar::<Any, String>(query)
            .bind(&*address.project)
            .bind(address.kind.name())
            .bind(prefix)
            .bind(end);
        if let Some(name) = name {
            query = query.bind(&**name);
        }
        query.fetch_all(&self.database.pool).await.map_err(failed)
    }

    async fn newest_of(&self, project: &Name, kind: Kind, name: Option<&Name>) -> Result<Option<Descriptor>> {
        let query = match name {
            Some(_) => {
                "SELECT document FROM artifacts WHERE project = $1 AND kind = $2 AND name = $3 AND held = 0
                 ORDER BY row DESC LIMIT 1"
            }
            None => {
                "SELECT document FROM artifacts WHERE project = $1 AND kind = $2 AND held = 0
                 ORDER BY row DESC LIMIT 1"
            }
        };
        let mut query = sqlx::query_scalar::<Any, String>(query).bind(&**project).bind(kind.name());
        if let Some(name) = name {
            query = query.bind(&**name);
        }
        let text = query.fetch_optional(&self.database.pool).await.map_err(failed)?;
        text.map(|text| from_json(&text)).transpose()
    }

    /// The newest artifact of the project that the selector matches.
    pub(crate) async fn newest_match(&self, project: &Name, selector: &Selector) -> Result<Option<Descriptor>> {
        if selector.condition.is_some() {
            return self.newest_where(project, selector.condition()).await;
        }
        if let (Some(tag), None) = (&selector.tag, &selector.name) {
            return self.tagged(project, selector.kind, None, tag).await;
        }
        if let Some(address) = selector.exact() {
            return match self.find(&address).await {
                Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
                found => found.map(Some),
            };
        }
        let newest = self.newest_of(project, selector.kind, selector.name.as_ref()).await?;
        Ok(newest.filter(|artifact| selector.matches(artifact)))
    }

    async fn newest_where(&self, project: &Name, condition: Condition) -> Result<Option<Descriptor>> {
        let project = Some(project.clone());
        let mut search = ArtifactSearch {
            project,
            condition: Some(condition),
            limit: 1,
            without_held: true,
            ..ArtifactSearch::default()
        };
        loop {
            let page = self.search(&search).await?;
            search.page_token = page.next_page_token;
            match page.artifacts.into_iter().next() {
                None if search.page_token.is_some() => {}
                found => return Ok(found),
            }
        }
    }

    /// Of these commits, those that are registered, and their tags.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn registered_commits(
        &self,
        project: &Name,
        name: &Name,
        commits: &[&str],
    ) -> Result<BTreeMap<String, Vec<String>>> {
        let mut found = BTreeMap::new();
        for some in commits.chunks(ROWS) {
            let mut sql = Sql::new("SELECT document FROM artifacts WHERE kind = 'codeset' AND project = ");
            sql.push_bind(project.to_string()).push(" AND name = ").push_bind(name.to_string()).push(" AND id IN (");
            for (at, commit) in some.iter().enumerate() {
                sql.push(if at == 0 { "" } else { ", " }).push_bind((*commit).to_owned());
            }
            sql.push(")");
            let texts: Vec<String> = sql.scalar().fetch_all(&self.database.pool).await.map_err(failed)?;
            for artifact in all_from_json::<Descriptor>(texts)? {
                found.insert(artifact.id.to_string(), artifact.tags);
            }
        }
        Ok(found)
    }

    /// Notes that a push to this repository may leave commits to be registered; answers the note's number.
    pub async fn begin_push(&self, project: &Name, name: &Name) -> Result<i64> {
        sqlx::query_scalar("INSERT INTO pending_pushes (project, name, server) VALUES ($1, $2, $3) RETURNING id")
            .bind(&**project)
            .bind(&**name)
            .bind(&*self.server)
            .fetch_one(&self.database.pool)
            .await
            .map_err(failed)
    }

    /// Its commits are registered.
    pub async fn end_push(&self, push: i64) -> Result<()> {
        sqlx::query("DELETE FROM pending_pushes WHERE id = $1")
            .bind(push)
            .execute(&self.database.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Pushes that no living server sees to.
    pub async fn pending_pushes(&self) -> Result<Vec<(i64, Name, Name)>> {
        let text = format!("SELECT id, project, name FROM pending_pushes WHERE {}", self.of_no_server());
        let rows: Vec<(i64, String, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(text)).fetch_all(&self.database.pool).await.map_err(failed)?;
        rows.into_iter().map(|(id, project, name)| Ok((id, project.parse()?, name.parse()?))).collect()
    }
}

/// Why descriptors come into the catalog.
#[derive(Clone, Copy)]
pub(crate) enum Cause<'a> {
    Registration,
    /// This run made them.
    Run(&'a str),
    /// This run's sweep made them: they start nothing until they are released.
    Sweep(&'a str),
    /// They were known before: their events are settled.
    Recovery,
}

/// Inserts descriptors with their events; answers how many were not there.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    artifacts: &[Descriptor],
    cause: Cause<'_>,
) -> Result<usize> {
    let (run, settled, held) = match cause {
        Cause::Registration => (None, 0, 0),
        Cause::Run(run) => (Some(run), 0, 0),
        Cause::Sweep(run) => (Some(run), 1, 1),
        Cause::Recovery => (None, 1, 0),
    };
    let mut new = Vec::new();
    for artifact in artifacts {
        match insert_document(connection, artifact, held).await? {
            Some(row) => new.push((row, artifact)),
            // A sweep made it before, and now it came otherwise.
            None if held == 0 => release(connection, &artifact.address).await?,
            None => {}
        }
    }
    facts::add(connection, &new).await?;
    grams::add(connection, &new).await?;
    for some in new.chunks(ROWS) {
        let mut sql = Sql::new("INSERT INTO artifact_events (artifact, project, run, settled) VALUES ");
        for (at, (row, artifact)) in some.iter().enumerate() {
            sql.push(if at == 0 { "(" } else { ", (" }).push_bind(*row);
            sql.push(", ").push_bind(artifact.project().to_string());
            sql.push(", ").push_bind(run.map(ToOwned::to_owned));
            sql.push(format!(", {settled})"));
        }
        sql.query().execute(&mut *connection).await.map_err(failed)?;
    }
    Ok(new.len())
}

/// Lets results of a sweep start other pipelines, and be the newest of their name, from here on.
pub(crate) async fn release(connection: &mut AnyConnection, artifact: &Address) -> Result<()> {
    // Where its kind is known by the id alone, the address has that in the place of the name.
    let query = match &artifact.version {
        Some(_) => {
            "UPDATE artifacts SET held = 0 WHERE project = $1 AND kind = $2 AND id = $3 AND name = $4 AND held = 1
             RETURNING row"
        }
        None => "UPDATE artifacts SET held = 0 WHERE project = $1 AND kind = $2 AND id = $3 AND held = 1 RETURNING row",
    };
    let id = artifact.version.as_ref().unwrap_or(&artifact.name);
    let mut query =
        sqlx::query_scalar::<Any, i64>(query).bind(&*artifact.project).bind(artifact.kind.name()).bind(&**id);
    if artifact.version.is_some() {
        query = query.bind(&*artifact.name);
    }
    let row = query.fetch_optional(&mut *connection).await.map_err(failed)?;
    if let Some(row) = row {
        sqlx::query("UPDATE artifact_events SET settled = 0 WHERE artifact = $1 AND before IS NULL")
            .bind(row)
            .execute(connection)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

/// The row of a descriptor that was not there.
async fn insert_document(connection: &mut AnyConnection, artifact: &Descriptor, held: i64) -> Result<Option<i64>> {
    let (store_instance, store_id) = match &artifact.store {
        Store::BuiltIn | Store::External | Store::Local => (None, None),
        Store::Extension { instance, id } => (Some(instance.to_string()), Some(id.clone())),
    };
    sqlx::query_scalar(
        "INSERT INTO artifacts (project, kind, name, id, created, subkind, store_instance, store_id, document, held)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING RETURNING row",
    )
    .bind(&**artifact.project())
    .bind(artifact.kind().name())
    .bind(&*artifact.name)
    .bind(&*artifact.id)
    .bind(artifact.created.as_millisecond())
    .bind(artifact.runnable.as_ref().map(|runnable| runnable.kind.clone()))
    .bind(store_instance)
    .bind(store_id)
    .bind(to_json(artifact)?)
    .bind(held)
    .fetch_optional(connection)
    .await
    .map_err(failed)
}
