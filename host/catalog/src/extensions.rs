//! Installed extensions: which versions are there, which one is active.

use crate::{Catalog, all_from_json, failed, from_json, to_json};
use fuseml_domain::{Digest, Error, Grants, Instance, Manifest, Name, PackageOrigin, Pipeline, Result, Template};
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;
use std::collections::BTreeMap;

/// One version, whose files lie in the server's extension folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstalledVersion {
    pub manifest: Manifest,
    /// Of each component's bytes.
    pub components: BTreeMap<Name, Digest>,
    pub templates: Vec<Template>,
    pub installed: jiff::Timestamp,
    /// The marketplace's package that it is; none when it came by a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<PackageOrigin>,
    /// Why it must not run, once it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

impl InstalledVersion {
    /// Of all that the package holds: two packages with one version number are still two.
    pub fn digest(&self) -> Result<Digest> {
        Ok(Digest::of(to_json(&(&self.manifest, &self.components, &self.templates))?.as_bytes()))
    }
}

/// An extension and where it stands between its versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstalledExtension {
    pub name: Name,
    pub active: Digest,
    /// What a rollback goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Asks for more than the active one and waits for an admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Digest>,
    /// Runs beside the active one for comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Digest>,
    pub enabled: bool,
}

impl Catalog {
    /// Puts in a new extension, its templates and its first instance, or nothing.
    pub async fn install_extension(&self, version: &InstalledVersion, instance: &Instance) -> Result<()> {
        let name = &version.manifest.name;
        let extension = InstalledExtension {
            name: name.clone(),
            active: version.digest()?,
            previous: None,
            held: None,
            shadow: None,
            enabled: true,
        };
        let mut transaction = self.database.write().await?;
        let done =
            sqlx::query("INSERT INTO extensions (name, active, document) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
                .bind(&**name)
                .bind(extension.active.to_string())
                .bind(to_json(&extension)?)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Err(Error::conflict(
                "installed",
                format!("{name} is already installed; `fuseml extension upgrade {name} …` brings another version"),
            ));
        }
        put_version(&mut transaction, version).await?;
        put_templates(&mut transaction, version).await?;
        crate::instances::insert(&mut transaction, instance).await?;
        transaction.commit().await.map_err(failed)
    }

    /// Keeps a version and says of the extension what `extension` says. The active version does not change.
    pub async fn keep_version(&self, version: &InstalledVersion, extension: &InstalledExtension) -> Result<()> {
        let mut transaction = self.database.write().await?;
        put_version(&mut transaction, version).await?;
        put_extension(&mut transaction, extension).await?;
        transaction.commit().await.map_err(failed)
    }

    /// Makes a version the active one: its templates, and the grants of the instances that change with it.
    pub async fn activate(
        &self,
        extension: &InstalledExtension,
        version: &InstalledVersion,
        grants: &BTreeMap<Name, Grants>,
    ) -> Result<()> {
        let mut transaction = self.database.write().await?;
        put_version(&mut transaction, version).await?;
        put_extension(&mut transaction, extension).await?;
        put_templates(&mut transaction, version).await?;
        for (instance, grants) in grants {
            let text: String = sqlx::query_scalar("SELECT document FROM instances WHERE name = $1")
                .bind(&**instance)
                .fetch_one(&mut *transaction)
                .await
                .map_err(failed)?;
            let instance = Instance { grants: grants.clone(), ..from_json(&text)? };
            crate::instances::update(&mut transaction, &instance).await?;
        }
        transaction.commit().await.map_err(failed)
    }

    pub async fn save_extension(&self, extension: &InstalledExtension) -> Result<()> {
        let mut transaction = self.database.write().await?;
        put_extension(&mut transaction, extension).await?;
        transaction.commit().await.map_err(failed)
    }

    /// Removes the extension with its instances, their state and their secrets; refused while anything depends on it.
    pub async fn remove_extension(&self, name: &Name) -> Result<()> {
        let mut transaction = self.database.write().await?;
        let texts: Vec<String> = sqlx::query_scalar("SELECT document FROM instances WHERE extension = $1")
            .bind(&**name)
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed)?;
        let mut dependents = needing(&mut transaction, name).await?;
        dependents.extend(using_templates(&mut transaction, name).await?);
        for instance in all_from_json::<Instance>(texts)? {
            dependents.extend(crate::instances::dependents(&mut transaction, &instance.name).await?);
        }
        crate::instances::refuse(name, dependents)?;
        for statement in ["DELETE FROM templates WHERE extension = $1", "DELETE FROM extensions WHERE name = $1"] {
            sqlx::query(statement).bind(&**name).execute(&mut *transaction).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    pub async fn extensions(&self) -> Result<Vec<InstalledExtension>> {
        let texts: Vec<String> = sqlx::query_scalar("SELECT document FROM extensions ORDER BY name")
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
        all_from_json(texts)
    }

    pub async fn extension(&self, name: &Name) -> Result<InstalledExtension> {
        let text: Option<String> = sqlx::query_scalar("SELECT document FROM extensions WHERE name = $1")
            .bind(&**name)
            .fetch_optional(&self.database.pool)
            .await
            .map_err(failed)?;
        text.map_or_else(
            || {
                Err(Error::not_found(
                    "unknown-extension",
                    format!("the extension {name} is not installed; `fuseml extension list` shows those that are"),
                ))
            },
            |text| from_json(&text),
        )
    }

    pub async fn version(&self, extension: &Name, digest: &Digest) -> Result<InstalledVersion> {
        let text: Option<String> =
            sqlx::query_scalar("SELECT document FROM extension_versions WHERE extension = $1 AND digest = $2")
                .bind(&**extension)
                .bind(digest.to_string())
                .fetch_optional(&self.database.pool)
                .await
                .map_err(failed)?;
        text.map_or_else(
            || Err(Error::internal("catalog", format!("{extension} has lost its version {digest}"))),
            |text| from_json(&text),
        )
    }

    /// The active version of every extension.
    pub async fn active_versions(&self) -> Result<Vec<InstalledVersion>> {
        let texts: Vec<String> = sqlx::query_scalar(
            "SELECT v.document FROM extensions e JOIN extension_versions v
             ON v.extension = e.name AND v.digest = e.active ORDER BY e.name",
        )
        .fetch_all(&self.database.pool)
        .await
        .map_err(failed)?;
        all_from_json(texts)
    }
}

async fn put_version(connection: &mut AnyConnection, version: &InstalledVersion) -> Result<()> {
    sqlx::query("INSERT INTO extension_versions (extension, digest, document) VALUES ($1, $2, $3) ON CONFLICT (extension, digest) DO UPDATE SET document = excluded.document")
        .bind(&*version.manifest.name)
        .bind(version.digest()?.to_string())
        .bind(to_json(version)?)
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}

async fn put_extension(connection: &mut AnyConnection, extension: &InstalledExtension) -> Result<()> {
    let done = sqlx::query("UPDATE extensions SET active = $1, document = $2 WHERE name = $3")
        .bind(extension.active.to_string())
        .bind(to_json(extension)?)
        .bind(&*extension.name)
        .execute(connection)
        .await
        .map_err(failed)?;
    if done.rows_affected() == 0 {
        return Err(Error::conflict("removed", format!("{} was removed in the meantime", extension.name)));
    }
    Ok(())
}

/// Replaces the extension's templates with the version's.
async fn put_templates(connection: &mut AnyConnection, version: &InstalledVersion) -> Result<()> {
    let name = &version.manifest.name;
    sqlx::query("DELETE FROM templates WHERE extension = $1")
        .bind(&**name)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    for template in &version.templates {
        let owner: Option<String> = sqlx::query_scalar("SELECT extension FROM templates WHERE name = $1")
            .bind(&*template.name)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed)?;
        if let Some(owner) = owner {
            return Err(Error::conflict(
                "template-exists",
                format!("{name} brings the template `{}`, which the extension {owner} already has", template.name),
            ));
        }
        sqlx::query("INSERT INTO templates (name, extension, version, document) VALUES ($1, $2, $3, $4)")
            .bind(&*template.name)
            .bind(&**name)
            .bind(version.manifest.version.to_string())
            .bind(to_json(template)?)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

/// Other extensions whose active version names this one.
async fn needing(connection: &mut AnyConnection, name: &Name) -> Result<Vec<String>> {
    let texts: Vec<String> = sqlx::query_scalar(
        "SELECT v.document FROM extensions e JOIN extension_versions v
         ON v.extension = e.name AND v.digest = e.active WHERE e.name <> $1",
    )
    .bind(&**name)
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    let versions: Vec<InstalledVersion> = all_from_json(texts)?;
    let needing = versions.into_iter().filter(|version| version.manifest.dependencies.contains_key(name));
    Ok(needing.map(|version| format!("the extension {}", version.manifest.name)).collect())
}

/// Pipelines attached from its templates.
async fn using_templates(connection: &mut AnyConnection, name: &Name) -> Result<Vec<String>> {
    let templates: Vec<String> = sqlx::query_scalar("SELECT name FROM templates WHERE extension = $1")
        .bind(&**name)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let texts: Vec<String> =
        sqlx::query_scalar("SELECT document FROM pipelines").fetch_all(connection).await.map_err(failed)?;
    let pipelines: Vec<Pipeline> = all_from_json(texts)?;
    let using = pipelines.into_iter().filter(|pipeline| templates.iter().any(|name| **name == *pipeline.template.name));
    Ok(using.map(|pipeline| format!("the pipeline {} of the project {}", pipeline.name, pipeline.project)).collect())
}
