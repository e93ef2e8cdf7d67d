//! Templates and the pipelines made from them.

use crate::{Catalog, all_from_json, failed, from_json, schedules, to_json};
use fuseml_domain::{Error, Name, Pipeline, Provider, Result, Template, find_loop};
use jiff::Timestamp;
use sqlx::AnyConnection;
use std::collections::{BTreeMap, BTreeSet};

impl Catalog {
    /// Templates of every installed extension: `(extension, version, template)`.
    pub async fn templates(&self) -> Result<Vec<(String, String, Template)>> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT extension, version, document FROM templates ORDER BY name")
                .fetch_all(&self.database.pool)
                .await
                .map_err(failed)?;
        rows.into_iter().map(|(extension, version, text)| Ok((extension, version, from_json(&text)?))).collect()
    }

    /// An installed template, and whose it is.
    pub async fn template(&self, name: &str) -> Result<(Provider, Template)> {
        let select = "SELECT extension, version, document FROM templates WHERE name = $1";
        let row: Option<(String, String, String)> =
            sqlx::query_as(select).bind(name).fetch_optional(&self.database.pool).await.map_err(failed)?;
        match row {
            Some((extension, version, text)) => Ok((Provider { extension, version }, from_json(&text)?)),
            None => Err(Error::not_found(
                "unknown-template",
                format!("no installed extension has a template `{name}`; `fuseml template list` shows those there are"),
            )),
        }
    }

    /// A template taken apart: what is not among these parts is an installed template.
    ///
    /// # Errors
    /// `not-found` for a part that is neither, and as [`Template::flattened`] has them.
    pub async fn flattened(&self, template: &Template, mut parts: BTreeMap<String, Template>) -> Result<Template> {
        loop {
            let all = parts.values().chain([template]);
            let missing: BTreeSet<_> =
                all.flat_map(Template::parts).filter(|it| !parts.contains_key(*it)).map(ToOwned::to_owned).collect();
            if missing.is_empty() {
                return template.flattened(&parts);
            }
            for name in missing {
                let (_, part) = self.template(&name).await?;
                parts.insert(name, part);
            }
        }
    }

    /// Attaches a pipeline; refused when the name is taken or it would start itself, directly or through others.
    pub async fn add_pipeline(&self, pipeline: &Pipeline) -> Result<()> {
        let mut transaction = self.database.write().await?;
        let existing = pipelines_in(&mut transaction, &pipeline.project).await?;
        if existing.iter().any(|other| other.name == pipeline.name) {
            let (project, name) = (&pipeline.project, &pipeline.name);
            let message =
                format!("the project {project} already has a pipeline {name}; `fuseml pipeline update` changes it");
            return Err(Error::conflict("pipeline-exists", message));
        }
        check_loop(&existing, pipeline)?;
        // One of that name may have been here before, whose runs stay: their numbers are taken.
        let insert = "INSERT INTO pipelines (project, name, document, scheduled, runs) VALUES ($1, $2, $3, $4,
            (SELECT COALESCE(MAX(number), 0) FROM runs WHERE project = $1 AND pipeline = $2))";
        sqlx::query(insert)
            .bind(&*pipeline.project)
            .bind(&*pipeline.name)
            .bind(to_json(pipeline)?)
            .bind(pipeline.starts.schedule.as_ref().map(|_| pipeline.created.as_millisecond()))
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// Saves the next version of a pipeline beside those before; whatever freezes it stays.
    ///
    /// # Errors
    /// `conflict` when it is not the next one: somebody else changed the pipeline meanwhile; `invalid` when it would
    /// start itself.
    pub async fn update_pipeline(&self, pipeline: &Pipeline) -> Result<Pipeline> {
        let Pipeline { project, name, .. } = pipeline;
        let mut transaction = self.database.write().await?;
        let mut existing = pipelines_in(&mut transaction, project).await?;
        let at = existing.iter().position(|it| it.name == *name).ok_or_else(|| unknown_pipeline(project, name))?;
        let before = existing.swap_remove(at);
        if pipeline.version != before.version + 1 {
            let message = format!("{name} was changed meanwhile: it is version {} now", before.version);
            return Err(Error::conflict("stale-pipeline", message));
        }
        check_loop(&existing, pipeline)?;
        let insert = "INSERT INTO pipeline_versions (project, pipeline, version, document) VALUES ($1, $2, $3, $4)";
        sqlx::query(insert)
            .bind(&**project)
            .bind(&**name)
            .bind(i64::from(before.version))
            .bind(to_json(&before)?)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let pipeline = Pipeline { freezes: before.freezes, ..pipeline.clone() };
        sqlx::query("UPDATE pipelines SET document = $1 WHERE project = $2 AND name = $3")
            .bind(to_json(&pipeline)?)
            .bind(&**project)
            .bind(&**name)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if pipeline.starts.schedule != before.starts.schedule {
            schedules::begin(&mut transaction, &pipeline, Timestamp::now()).await?;
        }
        transaction.commit().await.map_err(failed)?;
        Ok(pipeline)
    }

    /// What a pipeline was and is, oldest first.
    pub async fn pipeline_versions(&self, project: &Name, name: &Name) -> Result<Vec<Pipeline>> {
        let now = self.pipeline(project, name).await?;
        let select = "SELECT document FROM pipeline_versions
            WHERE project = $1 AND pipeline = $2 AND version < $3 ORDER BY version";
        let texts: Vec<String> = sqlx::query_scalar(select)
            .bind(&**project)
            .bind(&**name)
            .bind(i64::from(now.version))
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
        let mut all: Vec<Pipeline> = all_from_json(texts)?;
        all.push(now);
        Ok(all)
    }

    /// Its runs and what they made stay.
    pub async fn remove_pipeline(&self, project: &Name, name: &Name) -> Result<()> {
        let done = sqlx::query("DELETE FROM pipelines WHERE project = $1 AND name = $2")
            .bind(&**project)
            .bind(&**name)
            .execute(&self.database.pool)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Err(unknown_pipeline(project, name));
        }
        Ok(())
    }

    pub async fn pipeline(&self, project: &Name, name: &Name) -> Result<Pipeline> {
        let text: Option<String> =
            sqlx::query_scalar("SELECT document FROM pipelines WHERE project = $1 AND name = $2")
                .bind(&**project)
                .bind(&**name)
                .fetch_optional(&self.database.pool)
                .await
                .map_err(failed)?;
        text.map_or_else(|| Err(unknown_pipeline(project, name)), |text| from_json(&text))
    }

    pub(crate) async fn pipelines_of(&self, project: &Name) -> Result<Vec<Pipeline>> {
        let texts: Vec<String> = sqlx::query_scalar("SELECT document FROM pipelines WHERE project = $1 ORDER BY name")
            .bind(&**project)
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
        all_from_json(texts)
    }
}

async fn pipelines_in(connection: &mut AnyConnection, project: &Name) -> Result<Vec<Pipeline>> {
    let texts: Vec<String> = sqlx::query_scalar("SELECT document FROM pipelines WHERE project = $1")
        .bind(&**project)
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    all_from_json(texts)
}

fn check_loop(others: &[Pipeline], pipeline: &Pipeline) -> Result<()> {
    let Some(names) = find_loop(others, pipeline) else { return Ok(()) };
    let names: Vec<_> = names.iter().map(|name| &**name).collect();
    let (name, path) = (&pipeline.name, names.join(" → "));
    Err(Error::invalid("loop", format!("{name} would start for ever: {path} → {name}")))
}

fn unknown_pipeline(project: &Name, name: &Name) -> Error {
    Error::not_found(
        "unknown-pipeline",
        format!("the project {project} has no pipeline {name}; `fuseml pipeline list` shows those it has"),
    )
}
