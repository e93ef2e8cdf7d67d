//! Full-text search, as each database has it: SQLite's FTS5, PostgreSQL's `tsvector`.
//!
//! Both stem English words, rank lower numbers better here, and weigh a name most.

use crate::{VersionRecord, database::failed};
use fuseml_database::WriteTransaction;
use fuseml_database::{Dialect, Sql};
use fuseml_domain::{Name, Result};

/// Characters of a readme that are searched: PostgreSQL keeps at most a mebibyte of words.
const MOST_README: usize = 200_000;

/// Makes the words of an extension's newest version searchable; it has none yet.
pub(crate) async fn put_words(
    transaction: &mut WriteTransaction,
    dialect: Dialect,
    namespace: &Name,
    record: &VersionRecord,
) -> Result<()> {
    let (name, manifest) = (&record.published.name, &record.manifest);
    let row: i64 = sqlx::query_scalar("INSERT INTO search_rows (namespace, name) VALUES ($1, $2) RETURNING row")
        .bind(&**namespace)
        .bind(&**name)
        .fetch_one(&mut **transaction)
        .await
        .map_err(failed)?;
    let statement = match dialect {
        Dialect::Sqlite => {
            "INSERT INTO words (rowid, namespace, name, title, description, readme) VALUES ($1, $2, $3, $4, $5, $6)"
        }
        Dialect::Postgres => {
            "INSERT INTO words (row, document) VALUES ($1, \
             setweight(to_tsvector('english', $3), 'A') || setweight(to_tsvector('english', $2 || ' ' || $4), 'B') \
             || setweight(to_tsvector('english', $5), 'C') || setweight(to_tsvector('english', $6), 'D'))"
        }
    };
    // A tsvector would take `vector-tools` for one word beside its parts.
    let parted = |name: &Name| name.replace('-', " ");
    sqlx::query(statement)
        .bind(row)
        .bind(parted(namespace))
        .bind(parted(name))
        .bind(&manifest.title)
        .bind(&manifest.description)
        .bind(record.readme.chars().take(MOST_README).filter(|c| *c != '\0').collect::<String>())
        .execute(&mut **transaction)
        .await
        .map_err(failed)?;
    Ok(())
}

/// Takes an extension's words away: before its row in `search_rows`.
pub(crate) fn forget_words(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => {
            "DELETE FROM words WHERE rowid = (SELECT row FROM search_rows WHERE namespace = $1 AND name = $2)"
        }
        Dialect::Postgres => {
            "DELETE FROM words WHERE row = (SELECT row FROM search_rows WHERE namespace = $1 AND name = $2)"
        }
    }
}

/// A person's words as a full-text query: each must be there, the last one may be unfinished. `None` without words.
pub(crate) fn words(dialect: Dialect, text: &str) -> Option<String> {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(16).collect();
    if words.is_empty() {
        return None;
    }
    Some(match dialect {
        Dialect::Sqlite => format!("\"{}\"*", words.join("\" \"")),
        Dialect::Postgres => format!("'{}':*", words.join("' & '")),
    })
}

/// How many rows answer a full-text query, counted up to `$2`.
pub(crate) fn count_words(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "SELECT COUNT(*) FROM (SELECT 1 FROM words WHERE words MATCH $1 LIMIT $2) w",
        Dialect::Postgres => {
            "SELECT COUNT(*) FROM (SELECT 1 FROM words WHERE document @@ to_tsquery('english', $1) LIMIT $2) w"
        }
    }
}

/// `(row, score)` of what answers, the best with the lowest score.
pub(crate) fn ranked(sql: &mut Sql, dialect: Dialect, words: &str) {
    match dialect {
        Dialect::Sqlite => sql
            .push("(SELECT rowid AS row, bm25(words, 4.0, 10.0, 6.0, 3.0, 1.0) AS score FROM words WHERE words MATCH ")
            .push_bind(words.to_owned())
            .push(")"),
        Dialect::Postgres => sql
            .push("(SELECT row, -ts_rank('{0.1, 0.3, 0.6, 1.0}', document, asked)::float8 AS score FROM words, to_tsquery('english', ")
            .push_bind(words.to_owned())
            .push(") asked WHERE document @@ asked)"),
    };
}

/// The rows that answer.
pub(crate) fn rows(sql: &mut Sql, dialect: Dialect, words: &str) {
    match dialect {
        Dialect::Sqlite => {
            sql.push("(SELECT rowid FROM words WHERE words MATCH ").push_bind(words.to_owned()).push(")")
        }
        Dialect::Postgres => sql
            .push("(SELECT row FROM words WHERE document @@ to_tsquery('english', ")
            .push_bind(words.to_owned())
            .push("))"),
    };
}
