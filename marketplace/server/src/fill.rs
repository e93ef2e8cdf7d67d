//! A marketplace with many extensions, for measuring how it searches.

use crate::{
    About, Marketplace, MarketplaceConfig, VersionRecord,
    database::{failed, to_json},
    publish::put_version,
};
use fuseml_domain::{Digest, Manifest, Name, Result};
use fuseml_marketplace::{Published, SigningKey, Status};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// What names and descriptions are made of.
const WORDS: [&str; 24] = [
    "audio",
    "batch",
    "cloud",
    "dataset",
    "edge",
    "feature",
    "graph",
    "image",
    "join",
    "kernel",
    "label",
    "model",
    "notebook",
    "online",
    "parquet",
    "quality",
    "registry",
    "stream",
    "table",
    "union",
    "vector",
    "warehouse",
    "xray",
    "yield",
];
/// Extensions written in one transaction.
const AT_ONCE: usize = 500;

/// Fills a marketplace with so many extensions like the given one, as publishing writes them.
///
/// # Errors
/// When it cannot be written.
pub async fn fill(config: &MarketplaceConfig, manifest: &Manifest, count: usize) -> Result<()> {
    let marketplace = Marketplace::open_beside(config).await?;
    let (namespace, account): (Name, Name) = ("filled".parse()?, "filler".parse()?);
    let key = SigningKey::generate()?.public()?.id();
    let begun = Timestamp::now() - SignedDuration::from_hours(24 * 365);
    let mut number = 0;
    while number < count {
        let mut transaction = marketplace.database.write().await?;
        sqlx::query(
            "INSERT INTO namespaces (name, skeleton, created, document) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(&*namespace)
        .bind("filled")
        .bind(begun.to_string())
        .bind(to_json(&About::default())?)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        for number in number..(number + AT_ONCE).min(count) {
            let word = |by: usize| WORDS[number / by % WORDS.len()];
            let name: Name = format!("{}-{}-{number}", word(1), word(24)).parse()?;
            let mut manifest = manifest.clone();
            manifest.name = name.clone();
            manifest.title = format!("{} {}", word(1), word(24));
            manifest.description = format!("Brings {} to {} and {} {number}.", word(1), word(24), word(7));
            let published = Published {
                name: name.clone(),
                version: manifest.version.clone(),
                digest: Digest::of(name.as_bytes()),
                size: 1_000,
                published: begun + SignedDuration::from_secs(number as i64),
                key: key.clone(),
                status: Status::Available,
                statement: None,
                fuseml: None,
                dependencies: Default::default(),
            };
            // Sixty words of a vocabulary of five thousand, as people would use it: some often, most rarely.
            let used = (0..60_usize).map(|at| format!("word{}", (number * 31 + at * at * 17) % (1 + (at + 1) * 83)));
            let readme = format!("# {}\n{}\n", manifest.title, used.collect::<Vec<_>>().join(" "));
            let record = VersionRecord {
                published,
                manifest,
                readme,
                changes: String::new(),
                takes: BTreeSet::from([word(3).to_owned()]),
                makes: BTreeSet::from([word(5).to_owned()]),
                reason: None,
                report: serde_json::Value::Null,
                account: account.clone(),
            };
            put_version(&mut transaction, &namespace, &record).await?;
            marketplace.show(&mut transaction, &namespace, &name).await?;
            sqlx::query("UPDATE extensions SET downloads = $1 WHERE namespace = $2 AND name = $3")
                .bind((number * 7_919 % 1_000) as i64)
                .bind(&*namespace)
                .bind(&*name)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;
        number += AT_ONCE;
    }
    marketplace.database.close().await;
    Ok(())
}
