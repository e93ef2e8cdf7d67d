//! Instances of extensions.

use crate::{Catalog, all_from_json, failed, from_json, to_json};
use fuseml_domain::{Action, Error, Instance, InstanceChoice, Name, Pipeline, Result};
use sqlx::AnyConnection;

impl Catalog {
    pub async fn add_instance(&self, instance: &Instance) -> Result<()> {
        let mut transaction = self.database.write().await?;
        insert(&mut transaction, instance).await?;
        transaction.commit().await.map_err(failed)
    }

    pub async fn save_instance(&self, instance: &Instance) -> Result<()> {
        let mut transaction = self.database.write().await?;
        update(&mut transaction, instance).await?;
        transaction.commit().await.map_err(failed)
    }

    /// With its state and secrets; refused while anything depends on it.
    pub async fn remove_instance(&self, name: &Name) -> Result<()> {
        let mut transaction = self.database.write().await?;
        let found = dependents(&mut transaction, name).await?;
        refuse(name, found)?;
        let done = sqlx::query("DELETE FROM instances WHERE name = $1")
            .bind(&**name)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Err(unknown(name));
        }
        transaction.commit().await.map_err(failed)
    }

    pub async fn instance(&self, name: &Name) -> Result<Instance> {
        let text: Option<String> = sqlx::query_scalar("SELECT document FROM instances WHERE name = $1")
            .bind(&**name)
            .fetch_optional(&self.database.pool)
            .await
            .map_err(failed)?;
        text.map_or_else(|| Err(unknown(name)), |text| from_json(&text))
    }

    pub async fn instances(&self) -> Result<Vec<Instance>> {
        let texts: Vec<String> = sqlx::query_scalar("SELECT document FROM instances ORDER BY extension, name")
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
        all_from_json(texts)
    }

    pub async fn instances_of(&self, extension: &Name) -> Result<Vec<Instance>> {
        let texts: Vec<String> =
            sqlx::query_scalar("SELECT document FROM instances WHERE extension = $1 ORDER BY name")
                .bind(&**extension)
                .fetch_all(&self.database.pool)
                .await
                .map_err(failed)?;
        all_from_json(texts)
    }
}

fn unknown(name: &Name) -> Error {
    Error::not_found(
        "unknown-instance",
        format!("there is no extension instance {name}; `fuseml extension list` shows those there are"),
    )
}

pub(crate) async fn insert(connection: &mut AnyConnection, instance: &Instance) -> Result<()> {
    let done =
        sqlx::query("INSERT INTO instances (name, extension, document) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(&*instance.name)
            .bind(&*instance.extension)
            .bind(to_json(instance)?)
            .execute(connection)
            .await
            .map_err(failed)?;
    if done.rows_affected() == 0 {
        return Err(Error::conflict("instance-exists", format!("there already is an instance {}", instance.name)));
    }
    Ok(())
}

pub(crate) async fn update(connection: &mut AnyConnection, instance: &Instance) -> Result<()> {
    let done = sqlx::query("UPDATE instances SET document = $1 WHERE name = $2")
        .bind(to_json(instance)?)
        .bind(&*instance.name)
        .execute(connection)
        .await
        .map_err(failed)?;
    if done.rows_affected() == 0 {
        return Err(unknown(&instance.name));
    }
    Ok(())
}

/// What would break without it: pipelines that build with it, artifacts in its store.
pub(crate) async fn dependents(connection: &mut AnyConnection, name: &Name) -> Result<Vec<String>> {
    let texts: Vec<String> =
        sqlx::query_scalar("SELECT document FROM pipelines").fetch_all(&mut *connection).await.map_err(failed)?;
    let builds_with = |pipeline: &Pipeline| {
        pipeline.template.steps.iter().any(|step| {
            matches!(&step.action, Action::Build { instance: InstanceChoice::Name(chosen), .. } if chosen == name)
        })
    };
    let pipelines: Vec<Pipeline> = all_from_json(texts)?;
    let mut found: Vec<_> = pipelines
        .iter()
        .filter(|pipeline| builds_with(pipeline))
        .map(|pipeline| format!("the pipeline {} of the project {}", pipeline.name, pipeline.project))
        .collect();
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM artifacts WHERE store_instance = $1")
        .bind(&**name)
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    if kept > 0 {
        found.push(format!("{kept} artifacts that lie in its store"));
    }
    Ok(found)
}

/// An error that names what depends on it, if anything does.
pub(crate) fn refuse(name: &Name, mut dependents: Vec<String>) -> Result<()> {
    dependents.sort();
    dependents.dedup();
    if dependents.is_empty() {
        return Ok(());
    }
    Err(Error::conflict(
        "in-use",
        format!(
            "{name} cannot be removed, it is used by {}; `fuseml extension disable {name}` stops its use",
            dependents.join(", ")
        ),
    ))
}
