//! Installed extensions and their configured instances.

use crate::{Catalog, all_from_json, failed, from_json, to_json};
use fuseml_domain::{Attributes, Capability, Digest, Error, Manifest, Name, Result, Template};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An extension whose files lie in the server's extension folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstalledExtension {
    pub manifest: Manifest,
    /// Of each component's bytes.
    pub components: BTreeMap<Name, Digest>,
    pub installed: jiff::Timestamp,
}

/// An installed extension configured for one real tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    pub name: Name,
    pub extension: Name,
    /// Checked against the manifest.
    pub settings: Attributes,
    /// What the admin granted.
    pub granted: BTreeSet<Capability>,
}

impl Catalog {
    /// Replaces the extension of that name, its templates and its first instance, or nothing.
    pub async fn install_extension(
        &self,
        extension: &InstalledExtension,
        templates: &[Template],
        instance: &Instance,
    ) -> Result<()> {
        let name = &extension.manifest.name;
        let version = extension.manifest.version.to_string();
        let mut transaction = self.write().await?;
        for template in templates {
            let owner: Option<String> =
                sqlx::query_scalar("SELECT extension FROM templates WHERE name = ? AND extension <> ?")
                    .bind(&*template.name)
                    .bind(&**name)
                    .fetch_optional(&mut *transaction)
                    .await
                    .map_err(failed)?;
            if let Some(owner) = owner {
                return Err(Error::conflict(
                    "template-exists",
                    format!("{name} brings the template `{}`, which the extension {owner} already has", template.name),
                ));
            }
        }
        sqlx::query(
            "INSERT INTO extensions (name, version, document) VALUES (?1, ?2, ?3)
                     ON CONFLICT (name) DO UPDATE SET version = ?2, document = ?3",
        )
        .bind(&**name)
        .bind(&version)
        .bind(to_json(extension)?)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        sqlx::query("DELETE FROM templates WHERE extension = ?")
            .bind(&**name)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        for template in templates {
            sqlx::query("INSERT INTO templates (name, extension, version, document) VALUES (?, ?, ?, ?)")
                .bind(&*template.name)
                .bind(&**name)
                .bind(&version)
                .bind(to_json(template)?)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        sqlx::query(
            "INSERT INTO instances (name, extension, document) VALUES (?1, ?2, ?3)
                     ON CONFLICT (name) DO UPDATE SET document = ?3",
        )
        .bind(&*instance.name)
        .bind(&*instance.extension)
        .bind(to_json(instance)?)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    pub async fn save_instance(&self, instance: &Instance) -> Result<()> {
        sqlx::query("UPDATE instances SET document = ? WHERE name = ?")
            .bind(to_json(instance)?)
            .bind(&*instance.name)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    pub async fn extensions(&self) -> Result<Vec<InstalledExtension>> {
        let texts: Vec<String> = sqlx::query_scalar("SELECT document FROM extensions ORDER BY name")
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        all_from_json(texts)
    }

    pub async fn extension(&self, name: &Name) -> Result<Option<InstalledExtension>> {
        let text: Option<String> = sqlx::query_scalar("SELECT document FROM extensions WHERE name = ?")
            .bind(&**name)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        text.map(|text| from_json(&text)).transpose()
    }

    pub async fn instance(&self, name: &Name) -> Result<Instance> {
        let text: Option<String> = sqlx::query_scalar("SELECT document FROM instances WHERE name = ?")
            .bind(&**name)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        match text {
            Some(text) => from_json(&text),
            None => Err(Error::not_found(
                "unknown-instance",
                format!("there is no extension instance {name}; `fuseml extension list` shows those installed"),
            )),
        }
    }
}
