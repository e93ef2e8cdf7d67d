//! Which artifacts have some letters within their texts: an index of every three characters that follow each other.
//!
//! The index leaves candidates: all that contain the letters, and perhaps more.

use crate::{Catalog, failed, from_json};
use fuseml_database::{Dialect, Sql};
use fuseml_domain::{Descriptor, Result, texts};
use sqlx::AnyConnection;
use std::collections::BTreeSet;

/// Artifacts with more grams than this are candidates of every search instead.
const MOST: usize = 4_000;
/// Grams of what is looked for that are asked for: more leave hardly fewer candidates.
const ASKED: usize = 12;
/// No characters make this one.
const EVERY_SEARCH: i64 = -1;

/// Three characters as one number, 21 bits each.
fn of(text: &str) -> BTreeSet<i64> {
    let text: Vec<i64> = text.to_lowercase().chars().map(|c| i64::from(u32::from(c))).collect();
    text.windows(3).map(|three| three.iter().fold(0, |gram, c| gram << 21 | c)).collect()
}

/// What an artifact must have to contain the letters; `None` for letters that are too few to ask for.
pub(crate) fn asked(letters: &str) -> Option<Vec<i64>> {
    let all = of(letters);
    let step = all.len().div_ceil(ASKED).max(1);
    (!all.is_empty()).then(|| all.into_iter().step_by(step).collect())
}

/// The grams as both databases take them in one text.
fn listed(grams: impl IntoIterator<Item = i64>, between: &str) -> String {
    grams.into_iter().map(|gram| gram.to_string()).collect::<Vec<_>>().join(between)
}

/// The column of the index that says which artifact it is.
pub(crate) fn row(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "rowid",
        Dialect::Postgres => "artifact",
    }
}

/// The test that a row of the index has all the grams, or is a candidate of every search.
pub(crate) fn having(sql: &mut Sql, grams: &[i64], dialect: Dialect) {
    let array = |grams: &[i64]| format!("grams @> ARRAY[{}]::BIGINT[]", listed(grams.iter().copied(), ","));
    match dialect {
        Dialect::Sqlite => {
            let all = grams.iter().map(|gram| format!("\"{gram}\"")).collect::<Vec<_>>().join(" AND ");
            sql.push("artifact_grams MATCH ").push_bind(format!("({all}) OR \"{EVERY_SEARCH}\""));
        }
        Dialect::Postgres => drop(sql.push(format!("({} OR {})", array(grams), array(&[EVERY_SEARCH])))),
    }
}

/// Keeps what artifacts contain that are not there yet.
pub(crate) async fn add(connection: &mut AnyConnection, artifacts: &[(i64, &Descriptor)]) -> Result<()> {
    let dialect = Dialect::of(connection);
    for some in artifacts.chunks(crate::ROWS) {
        let mut sql = Sql::new(match dialect {
            Dialect::Sqlite => "INSERT INTO artifact_grams (rowid, grams) VALUES ",
            Dialect::Postgres => "INSERT INTO artifact_grams (artifact, grams) VALUES ",
        });
        for (at, (row, artifact)) in some.iter().enumerate() {
            let mut grams: BTreeSet<i64> = texts(artifact).flat_map(of).collect();
            if grams.len() > MOST {
                grams = BTreeSet::from([EVERY_SEARCH]);
            }
            sql.push(if at == 0 { "(" } else { ", (" }).push_bind(*row).push(", ");
            match dialect {
                Dialect::Sqlite => drop(sql.push_bind(listed(grams, " ")).push(")")),
                Dialect::Postgres => drop(sql.push_bind(format!("{{{}}}", listed(grams, ","))).push("::BIGINT[])")),
            }
        }
        if !some.is_empty() {
            sql.query().execute(&mut *connection).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Keeps what an artifact contains now instead of before.
pub(crate) async fn replace(connection: &mut AnyConnection, row: i64, artifact: &Descriptor) -> Result<()> {
    let mut sql = Sql::new(format!("DELETE FROM artifact_grams WHERE {} = ", self::row(Dialect::of(connection))));
    sql.push_bind(row);
    sql.query().execute(&mut *connection).await.map_err(failed)?;
    add(connection, &[(row, artifact)]).await
}

impl Catalog {
    /// Indexes the artifacts of a catalog that is older than the index.
    pub(crate) async fn index_texts(&self) -> Result<()> {
        let indexed = match self.database.dialect() {
            Dialect::Sqlite => "SELECT COALESCE(MAX(rowid), 0) FROM artifact_grams",
            Dialect::Postgres => "SELECT COALESCE(MAX(artifact), 0) FROM artifact_grams",
        };
        let newest: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(row), 0) FROM artifacts")
            .fetch_one(&self.database.pool)
            .await
            .map_err(failed)?;
        let upto: i64 = sqlx::query_scalar(indexed).fetch_one(&self.database.pool).await.map_err(failed)?;
        if upto >= newest {
            return Ok(());
        }
        // One transaction: what is indexed is always the oldest without a gap.
        let mut transaction = self.database.write().await?;
        let mut upto: i64 = sqlx::query_scalar(indexed).fetch_one(&mut *transaction).await.map_err(failed)?;
        loop {
            let rows: Vec<(i64, String)> =
                sqlx::query_as("SELECT row, document FROM artifacts WHERE row > $1 ORDER BY row LIMIT 500")
                    .bind(upto)
                    .fetch_all(&mut *transaction)
                    .await
                    .map_err(failed)?;
            let artifacts = rows
                .iter()
                .map(|(row, text)| Ok((*row, from_json(text)?)))
                .collect::<Result<Vec<(i64, Descriptor)>>>()?;
            let Some((last, _)) = artifacts.last() else { break };
            upto = *last;
            let borrowed: Vec<_> = artifacts.iter().map(|(row, artifact)| (*row, artifact)).collect();
            add(&mut transaction, &borrowed).await?;
        }
        transaction.commit().await.map_err(failed)
    }
}
