//! Deprecations of a namespace's extensions.

use crate::{
    Caller, Marketplace, Role,
    database::{all_from_json, failed, from_json, to_json},
};
use fuseml_domain::{Error, Name, Result};
use fuseml_marketplace::{Deprecation, Entry, Event};
use sqlx::AnyConnection;

impl Marketplace {
    /// Says that nobody should begin with an extension any more, or takes that back.
    pub(crate) async fn deprecate(
        &self,
        caller: &Caller,
        namespace: &Name,
        extension: &Name,
        deprecation: Option<Deprecation>,
    ) -> Result<()> {
        self.authorise(caller, namespace, Some(extension), Role::Publisher).await?;
        if self.versions(namespace, extension).await?.is_empty() {
            return Err(Error::not_found("extension", format!("there is no extension {namespace}/{extension}")));
        }
        let mut transaction = self.database.write().await?;
        sqlx::query("DELETE FROM deprecations WHERE namespace = $1 AND extension = $2")
            .bind(&**namespace)
            .bind(&**extension)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if let Some(deprecation) = &deprecation {
            deprecation.check()?;
            sqlx::query("INSERT INTO deprecations (namespace, extension, document) VALUES ($1, $2, $3)")
                .bind(&**namespace)
                .bind(&**extension)
                .bind(to_json(deprecation)?)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        sqlx::query("UPDATE extensions SET deprecated = $1 WHERE namespace = $2 AND name = $3")
            .bind(i64::from(deprecation.is_some()))
            .bind(&**namespace)
            .bind(&**extension)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        self.sign(&mut transaction, namespace).await?;
        let entry = Entry {
            at: jiff::Timestamp::now(),
            event: if deprecation.is_some() { Event::Deprecated } else { Event::Undeprecated },
            namespace: namespace.clone(),
            name: Some(extension.clone()),
            version: None,
            digest: None,
            key: self.keys.read().await.online.public()?.id(),
        };
        self.commit_with(transaction, entry).await?;
        let action = if deprecation.is_some() { "deprecate" } else { "undeprecate" };
        self.audit(&caller.account, action, &format!("{namespace}/{extension}")).await
    }

    pub(crate) async fn deprecation(&self, namespace: &Name, extension: &Name) -> Result<Option<Deprecation>> {
        let text: Option<String> =
            sqlx::query_scalar("SELECT document FROM deprecations WHERE namespace = $1 AND extension = $2")
                .bind(&**namespace)
                .bind(&**extension)
                .fetch_optional(&self.database.pool)
                .await
                .map_err(failed)?;
        text.map(|text| from_json(&text)).transpose()
    }
}

/// All of a namespace, as its metadata says them.
pub(crate) async fn deprecations(connection: &mut AnyConnection, namespace: &Name) -> Result<Vec<Deprecation>> {
    let texts: Vec<String> =
        sqlx::query_scalar("SELECT document FROM deprecations WHERE namespace = $1 ORDER BY extension")
            .bind(&**namespace)
            .fetch_all(connection)
            .await
            .map_err(failed)?;
    all_from_json(texts)
}
