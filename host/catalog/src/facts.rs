//! What conditions ask for, in rows that indexes find.

use crate::failed;
use fuseml_database::Sql;
use fuseml_domain::{Descriptor, Fact, Field, Result, facts, origin_name};
use sqlx::AnyConnection;

/// Characters of a text that are kept: PostgreSQL's indexes hold no more than some thousand bytes.
pub(crate) const LONGEST_TEXT: usize = 200;

/// A text as it is kept.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).filter(|c| *c != '\0').collect()
}

/// Keeps facts of artifacts that have none yet.
pub(crate) async fn add(connection: &mut AnyConnection, artifacts: &[(i64, &Descriptor)]) -> Result<()> {
    let mut all = Vec::new();
    for (row, artifact) in artifacts {
        all.extend(facts(artifact).into_iter().map(|fact| (*row, fact)));
        let origin = origin_name(&artifact.origin).to_owned();
        all.push((*row, Fact { field: Field::Origin, text: origin, number: None }));
    }
    // A number that is there and one that is not are values of two types: they do not share a prepared statement.
    let (numbers, texts): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, fact)| fact.number.is_some());
    for (facts, columns) in [(numbers, "artifact, field, text, number"), (texts, "artifact, field, text")] {
        // Both databases take some ten thousand values in a statement.
        for some in facts.chunks(crate::ROWS) {
            let mut sql = Sql::new(format!("INSERT INTO facts ({columns}) VALUES "));
            for (at, (row, fact)) in some.iter().enumerate() {
                sql.push(if at == 0 { "(" } else { ", (" }).push_bind(*row);
                sql.push(", ").push_bind(cut(&fact.field.path()));
                sql.push(", ").push_bind(cut(&fact.text));
                if let Some(number) = fact.number {
                    sql.push(", ").push_bind(number);
                }
                sql.push(")");
            }
            sql.push(" ON CONFLICT DO NOTHING");
            sql.query().execute(&mut *connection).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Keeps an artifact's facts instead of those that are there.
pub(crate) async fn replace(connection: &mut AnyConnection, row: i64, artifact: &Descriptor) -> Result<()> {
    sqlx::query("DELETE FROM facts WHERE artifact = $1").bind(row).execute(&mut *connection).await.map_err(failed)?;
    add(connection, &[(row, artifact)]).await
}
