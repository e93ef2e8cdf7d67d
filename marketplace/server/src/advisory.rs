//! Advisories of a namespace's extensions.

use crate::{
    Caller, Marketplace, Role,
    database::{all_from_json, failed, to_json},
};
use fuseml_domain::{Error, Name, Result};
use fuseml_marketplace::{Advisory, Entry, Event};

impl Marketplace {
    /// Says, or says anew, that versions of an extension have a vulnerability.
    pub(crate) async fn advise(&self, caller: &Caller, namespace: &Name, advisory: Advisory) -> Result<Advisory> {
        let extension = advisory.extension.clone();
        self.authorise(caller, namespace, Some(&extension), Role::Publisher).await?;
        advisory.check()?;
        if self.versions(namespace, &extension).await?.is_empty() {
            return Err(Error::not_found("extension", format!("there is no extension {namespace}/{extension}")));
        }
        let known = self.advisories(namespace, Some(&extension)).await?;
        let published =
            known.iter().find(|known| known.id == advisory.id).map_or(advisory.published, |known| known.published);
        let advisory = Advisory { published, ..advisory };
        let mut transaction = self.database.write().await?;
        sqlx::query(
            "INSERT INTO advisories (namespace, extension, id, document) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (namespace, extension, id) DO UPDATE SET document = excluded.document",
        )
        .bind(&**namespace)
        .bind(&*extension)
        .bind(&advisory.id)
        .bind(to_json(&advisory)?)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        self.sign(&mut transaction, namespace).await?;
        let entry = Entry {
            at: jiff::Timestamp::now(),
            event: if advisory.vulnerability.withdrawn { Event::Withdrawn } else { Event::Advised },
            namespace: namespace.clone(),
            name: Some(extension.clone()),
            version: None,
            digest: None,
            key: self.keys.read().await.online.public()?.id(),
        };
        self.commit_with(transaction, entry).await?;
        self.audit(&caller.account, "advise", &format!("{namespace}/{extension} {}", advisory.id)).await?;
        Ok(advisory)
    }

    /// A namespace's advisories, or one extension's, also those that were withdrawn.
    pub(crate) async fn advisories(&self, namespace: &Name, extension: Option<&Name>) -> Result<Vec<Advisory>> {
        let mut connection = self.database.pool.acquire().await.map_err(failed)?;
        let mut advisories = advisories(&mut connection, namespace).await?;
        advisories.retain(|advisory| extension.is_none_or(|extension| advisory.extension == *extension));
        Ok(advisories)
    }
}

/// All of a namespace, as its metadata says them.
pub(crate) async fn advisories(connection: &mut sqlx::AnyConnection, namespace: &Name) -> Result<Vec<Advisory>> {
    let texts: Vec<String> =
        sqlx::query_scalar("SELECT document FROM advisories WHERE namespace = $1 ORDER BY extension, id")
            .bind(&**namespace)
            .fetch_all(connection)
            .await
            .map_err(failed)?;
    all_from_json(texts)
}
