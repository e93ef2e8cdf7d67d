//! Publishing: everything that could embarrass or endanger anyone is found before a version is public.

use crate::{
    Caller, Marketplace, Role,
    database::{all_from_json, failed, to_json},
    likeness::{alike, skeleton},
    search::facets,
    words::{forget_words, put_words},
};
use fuseml_database::WriteTransaction;
use fuseml_domain::{Digest, Error, Manifest, Name, Result, Template, needed_bump};
use fuseml_marketplace::{
    Entry, Envelope, Event, KeyState, Published, STATUS, Statement, Status, StatusChange, TEST_RESULT,
};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::Path};

/// A signed change of status counts for so long after it was signed, so that an old one cannot be sent again.
const FRESH: SignedDuration = SignedDuration::from_mins(15);

/// What the marketplace keeps of a version.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VersionRecord {
    pub published: Published,
    pub manifest: Manifest,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub readme: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub changes: String,
    /// Kinds of artifacts that its templates take and make.
    #[serde(default)]
    pub takes: BTreeSet<String>,
    #[serde(default)]
    pub makes: BTreeSet<String>,
    /// Why it was yanked or revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The conformance suite's report.
    pub report: Value,
    /// Who published it.
    pub account: Name,
}

impl VersionRecord {
    /// Whether its part of the changes speaks of security (in the manner of keepachangelog.com).
    pub fn is_security(&self) -> bool {
        let head = format!("[{}]", self.published.version);
        let own = self.changes.lines().skip_while(|line| !(line.starts_with("## ") && line.contains(&head))).skip(1);
        own.take_while(|line| !line.starts_with("## ")).any(|line| line.trim_start_matches('#').trim() == "Security")
    }
}

impl Marketplace {
    /// Makes the package with that digest, which was pushed before, a public version.
    pub(crate) async fn publish(
        &self,
        caller: &Caller,
        namespace: &Name,
        name: &Name,
        digest: &Digest,
    ) -> Result<VersionRecord> {
        self.authorise(caller, namespace, Some(name), Role::Publisher).await?;
        self.check_name(namespace, name).await?;
        let package = self.fetch(namespace, name, digest).await?;
        let keys = self.namespace(namespace).await?.keys;
        let active: Vec<_> =
            keys.iter().filter(|key| key.state == KeyState::Active).map(|key| key.key.clone()).collect();
        let full = format!("{namespace}/{name}");
        let signers = fuseml_marketplace::signers(&package.layout, &full, &active)?;
        let key = signers.into_iter().next().ok_or_else(|| {
            Error::denied("unsigned", format!("{full} is not signed by an active key of the namespace {namespace}"))
        })?;
        let manifest = package.manifest.clone();
        if manifest.name != *name {
            return Err(Error::invalid("other-extension", format!("the package is {}, not {name}", manifest.name)));
        }
        crate::inspect::inspect(&package.folder, &manifest)?;
        self.check_successor(namespace, &manifest).await?;
        let report = self.check(&package.folder).await?;
        let (takes, makes) = kinds(&package.folder, &manifest)?;
        let published = Published {
            name: name.clone(),
            version: manifest.version.clone(),
            digest: digest.clone(),
            size: package.size,
            published: Timestamp::now(),
            key,
            status: Status::Available,
            statement: None,
            fuseml: manifest.fuseml.clone(),
            dependencies: manifest.dependencies.clone(),
        };
        let record = VersionRecord {
            published,
            manifest,
            readme: text(&package.folder, "README.md"),
            changes: text(&package.folder, "CHANGELOG.md"),
            takes,
            makes,
            reason: None,
            report,
            account: caller.account.clone(),
        };
        self.attest(namespace, &record).await?;
        self.tag(namespace, &record.published).await?;
        let mut transaction = self.database.write().await?;
        put_version(&mut transaction, namespace, &record).await?;
        self.show(&mut transaction, namespace, name).await?;
        self.sign(&mut transaction, namespace).await?;
        self.commit_with(transaction, entry(Event::Published, namespace, &record.published)).await?;
        let subject = format!("{full} {}", record.published.version);
        self.audit(&caller.account, "publish", &subject).await?;
        Ok(record)
    }

    /// Refuses a first version whose name could be taken for somebody else's extension.
    async fn check_name(&self, namespace: &Name, name: &Name) -> Result<()> {
        let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM extensions WHERE namespace = $1 AND name = $2")
            .bind(&**namespace)
            .bind(&**name)
            .fetch_optional(&self.database.pool)
            .await
            .map_err(failed)?;
        if known.is_some() {
            return Ok(());
        }
        // Once in an extension's life all names are looked at: no index finds what is one slip of the finger away.
        let others: Vec<(String, String)> = sqlx::query_as("SELECT namespace, name FROM extensions")
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
        // The same name in another namespace is told apart by the namespace; nearly the same is not.
        match others.iter().find(|(space, other)| *space != **namespace && *other != **name && alike(name, other)) {
            Some((space, other)) => {
                let message = format!("{name} looks like {space}/{other}; choose another name");
                Err(Error::conflict("look-alike", message))
            }
            None => Ok(()),
        }
    }

    /// Refuses a version that is there, or that changes more than its number says.
    async fn check_successor(&self, namespace: &Name, manifest: &Manifest) -> Result<()> {
        let records = self.versions(namespace, &manifest.name).await?;
        let (name, version) = (&manifest.name, &manifest.version);
        if records.iter().any(|record| record.published.version == *version) {
            let message = format!("{namespace}/{name} {version} is there, and versions never change; choose another");
            return Err(Error::conflict("version-exists", message));
        }
        let before = records
            .iter()
            .filter(|record| record.published.version < *version && record.published.status == Status::Available);
        let Some(before) = before.max_by(|a, b| a.published.version.cmp(&b.published.version)) else { return Ok(()) };
        let (bump, reasons) = needed_bump(&before.manifest, manifest);
        if bump.is_met(&before.manifest.version, version) {
            return Ok(());
        }
        let message = format!(
            "{namespace}/{name} {version} breaks what its number promises to users of {}: {}; it must be {} at least",
            before.manifest.version,
            reasons.join("; "),
            bump.after(&before.manifest.version)
        );
        Err(Error::invalid("breaks-semver", message))
    }

    /// All versions, oldest first.
    pub(crate) async fn versions(&self, namespace: &Name, name: &Name) -> Result<Vec<VersionRecord>> {
        let mut connection = self.database.pool.acquire().await.map_err(failed)?;
        versions_of(&mut connection, namespace, name).await
    }

    /// Signs what the check found and puts it beside the package.
    async fn attest(&self, namespace: &Name, record: &VersionRecord) -> Result<()> {
        let passed = record.report.get("passed").cloned().unwrap_or(Value::Null);
        let predicate = json!({
            "result": if passed == Value::Bool(false) { "FAILED" } else { "PASSED" },
            "configuration": [{"name": "fuseml extension check", "uri": env!("CARGO_PKG_VERSION")}],
            "report": record.report,
        });
        let full = format!("{namespace}/{}", record.published.name);
        let statement = Statement::new(&full, &record.published.digest, TEST_RESULT, predicate);
        let keys = self.keys.read().await;
        let envelope = Envelope::sign(&statement, &keys.online)?;
        self.attach(namespace, &record.published, &envelope, &keys.online.public()?.id()).await
    }

    /// Yanks, revokes or restores a version by a statement that the namespace, or the marketplace itself, signed.
    pub(crate) async fn change_status(
        &self,
        caller: &Caller,
        namespace: &Name,
        name: &Name,
        envelope: Option<Envelope>,
        change: StatusChange,
    ) -> Result<()> {
        self.authorise(caller, namespace, Some(name), Role::Publisher).await?;
        let full = format!("{namespace}/{name}");
        let records = self.versions(namespace, name).await?;
        let record = records.into_iter().find(|record| record.published.version == change.version);
        let mut record =
            record.ok_or_else(|| Error::not_found("version", format!("there is no {full} {}", change.version)))?;
        let envelope = match envelope {
            Some(envelope) => envelope,
            // An operator's statement is the marketplace's own.
            None if caller.operator => {
                let predicate =
                    serde_json::to_value(&change).map_err(|error| Error::internal("statement", error.to_string()))?;
                let statement = Statement::new(&full, &record.published.digest, STATUS, predicate);
                Envelope::sign(&statement, &self.keys.read().await.online)?
            }
            None => return Err(Error::denied("unsigned", "a change of status is signed by a key of the namespace")),
        };
        let mut keys: Vec<_> = self.namespace(namespace).await?.keys;
        keys.retain(|key| key.state == KeyState::Active);
        let mut keys: Vec<_> = keys.into_iter().map(|key| key.key).collect();
        keys.push(self.keys.read().await.online.public()?);
        let (statement, key) = envelope.verify(&keys)?;
        statement.check(&full, &record.published.digest, STATUS)?;
        let signed: StatusChange = statement.predicate()?;
        if signed != change || Timestamp::now().duration_since(signed.at).abs() > FRESH {
            return Err(Error::denied("statement", "the signed statement says something else, or is too old"));
        }
        let event = match change.status {
            Status::Available => Event::Restored,
            Status::Yanked => Event::Yanked,
            Status::Revoked => Event::Revoked,
        };
        record.published.status = change.status;
        record.published.statement = Some(envelope);
        record.reason = Some(change.reason.clone());
        let mut transaction = self.database.write().await?;
        sqlx::query("UPDATE versions SET document = $1 WHERE namespace = $2 AND name = $3 AND version = $4")
            .bind(to_json(&record)?)
            .bind(&**namespace)
            .bind(&**name)
            .bind(change.version.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        self.show(&mut transaction, namespace, name).await?;
        self.sign(&mut transaction, namespace).await?;
        let entry = Entry { key, ..entry(event, namespace, &record.published) };
        self.commit_with(transaction, entry).await?;
        self.audit(&caller.account, change.status.name(), &format!("{full} {}", change.version)).await
    }

    /// Brings what is searched and listed up to date with the versions that may be chosen.
    pub(crate) async fn show(&self, transaction: &mut WriteTransaction, namespace: &Name, name: &Name) -> Result<()> {
        let records = versions_of(transaction, namespace, name).await?;
        let available = records.iter().filter(|record| record.published.status == Status::Available);
        let order =
            |record: &&VersionRecord| (record.published.version.pre.is_empty(), record.published.version.clone());
        let latest = available.max_by_key(order);
        let facts = latest.or_else(|| records.last());
        let Some(record) = facts else { return Ok(()) };
        sqlx::query("UPDATE extensions SET latest = $1, updated = $2, title = $3, description = $4 WHERE namespace = $5 AND name = $6")
            .bind(latest.map(|record| record.published.version.to_string()).unwrap_or_default())
            .bind(record.published.published.to_string())
            .bind(&record.manifest.title)
            .bind(&record.manifest.description)
            .bind(&**namespace)
            .bind(&**name)
            .execute(&mut **transaction)
            .await
            .map_err(failed)?;
        self.forget(transaction, namespace, name).await?;
        if latest.is_none() {
            return Ok(());
        }
        put_words(transaction, self.database.dialect(), namespace, record).await?;
        for facet in facets(record) {
            sqlx::query("INSERT INTO facets (facet, namespace, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
                .bind(facet)
                .bind(&**namespace)
                .bind(&**name)
                .execute(&mut **transaction)
                .await
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Takes an extension out of what is searched.
    async fn forget(&self, transaction: &mut WriteTransaction, namespace: &Name, name: &Name) -> Result<()> {
        for statement in [
            forget_words(self.database.dialect()),
            "DELETE FROM search_rows WHERE namespace = $1 AND name = $2",
            "DELETE FROM facets WHERE namespace = $1 AND name = $2",
        ] {
            sqlx::query(statement)
                .bind(&**namespace)
                .bind(&**name)
                .execute(&mut **transaction)
                .await
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Commits with an entry in the public log.
    pub(crate) async fn commit_with(&self, mut transaction: WriteTransaction, entry: Entry) -> Result<()> {
        let bytes = to_json(&entry)?.into_bytes();
        // Held until both know it, so that the log in memory has the database's order.
        let mut log = self.log.lock().await;
        sqlx::query("INSERT INTO log (seq, entry) VALUES ($1, $2)")
            .bind(i64::try_from(log.size()).unwrap_or(i64::MAX))
            .bind(&bytes)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        log.append(bytes);
        Ok(())
    }
}

fn entry(event: Event, namespace: &Name, published: &Published) -> Entry {
    Entry {
        at: Timestamp::now(),
        event,
        namespace: namespace.clone(),
        name: Some(published.name.clone()),
        version: Some(published.version.clone()),
        digest: Some(published.digest.clone()),
        key: published.key.clone(),
    }
}

/// The kinds that templates take and make.
fn kinds(folder: &Path, manifest: &Manifest) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let (mut takes, mut makes) = (BTreeSet::new(), BTreeSet::new());
    for file in &manifest.templates {
        let path = folder.join(&file.file);
        let text = std::fs::read_to_string(&path).map_err(|error| Error::io(&file.file, &error))?;
        let template = Template::parse(&text, &file.file)?;
        template.check_installed().map_err(|error| error.context(&file.file))?;
        takes.extend(template.inputs.values().filter_map(|input| input.kind.as_ref()).map(ToString::to_string));
        makes.extend(template.outputs.values().filter_map(|output| output.kind.as_ref()).map(ToString::to_string));
    }
    Ok((takes, makes))
}

fn text(folder: &Path, file: &str) -> String {
    std::fs::read_to_string(folder.join(file)).unwrap_or_default()
}

async fn versions_of(
    connection: &mut sqlx::AnyConnection,
    namespace: &Name,
    name: &Name,
) -> Result<Vec<VersionRecord>> {
    let texts: Vec<String> = sqlx::query_scalar("SELECT document FROM versions WHERE namespace = $1 AND name = $2")
        .bind(&**namespace)
        .bind(&**name)
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    let mut records: Vec<VersionRecord> = all_from_json(texts)?;
    records.sort_by(|a, b| a.published.version.cmp(&b.published.version));
    Ok(records)
}

pub(crate) async fn put_version(
    transaction: &mut WriteTransaction,
    namespace: &Name,
    record: &VersionRecord,
) -> Result<()> {
    let (published, manifest) = (&record.published, &record.manifest);
    sqlx::query(
        "INSERT INTO extensions (namespace, name, skeleton, latest, updated, title, description) \
         VALUES ($1, $2, $3, '', '', $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind(&**namespace)
    .bind(&*published.name)
    .bind(skeleton(&published.name))
    .bind(&manifest.title)
    .bind(&manifest.description)
    .execute(&mut **transaction)
    .await
    .map_err(failed)?;
    sqlx::query(
        "INSERT INTO versions (namespace, name, version, digest, published, document) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&**namespace)
    .bind(&*published.name)
    .bind(published.version.to_string())
    .bind(published.digest.to_string())
    .bind(published.published.to_string())
    .bind(to_json(record)?)
    .execute(&mut **transaction)
    .await
    .map_err(|error| match failed(error) {
        error if error.code == "exists" => Error::conflict(
            "version-exists",
            format!("{namespace}/{} {} is there, and versions never change", published.name, published.version),
        ),
        error => error,
    })?;
    Ok(())
}

/// A version as it is named in a tag.
pub(crate) fn tag_of(version: &Version) -> String {
    version.to_string().replace('+', "_")
}
