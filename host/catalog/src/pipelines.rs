//! Templates and the pipelines made from them.

use crate::{Catalog, all_from_json, failed, from_json, to_json};
use fuseml_domain::{Error, Name, Pipeline, Result, Template, find_loop};

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

    pub async fn template(&self, name: &str) -> Result<Template> {
        let text: Option<String> = sqlx::query_scalar("SELECT document FROM templates WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.database.pool)
            .await
            .map_err(failed)?;
        match text {
            Some(text) => from_json(&text),
            None => Err(Error::not_found(
                "unknown-template",
                format!("no installed extension has a template `{name}`; `fuseml template list` shows those there are"),
            )),
        }
    }

    /// Attaches a pipeline; refused when the name is taken or it would start itself, directly or through others.
    pub async fn add_pipeline(&self, pipeline: &Pipeline) -> Result<()> {
        let mut transaction = self.database.write().await?;
        let texts: Vec<String> = sqlx::query_scalar("SELECT document FROM pipelines WHERE project = $1")
            .bind(&*pipeline.project)
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed)?;
        let existing: Vec<Pipeline> = all_from_json(texts)?;
        if existing.iter().any(|other| other.name == pipeline.name) {
            return Err(Error::conflict(
                "pipeline-exists",
                format!("the project {} already has a pipeline {}", pipeline.project, pipeline.name),
            ));
        }
        if let Some(names) = find_loop(&existing, pipeline) {
            let names: Vec<_> = names.iter().map(|name| &**name).collect();
            return Err(Error::invalid(
                "loop",
                format!("{} would start for ever: {} → {}", pipeline.name, names.join(" → "), pipeline.name),
            ));
        }
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

fn unknown_pipeline(project: &Name, name: &Name) -> Error {
    Error::not_found(
        "unknown-pipeline",
        format!("the project {project} has no pipeline {name}; `fuseml pipeline list` shows those it has"),
    )
}
