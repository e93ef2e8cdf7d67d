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

/// Keeps an artifact's facts, instead of those that are there.
pub(crate) async fn keep(connection: &mut AnyConnection, row: i64, artifact: &Descriptor, is_new: bool) -> Result<()> {
    if !is_new {
        sqlx::query("DELETE FROM facts WHERE artifact = $1")
            .bind(row)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    let mut all = facts(artifact);
    all.push(Fact { field: Field::Origin, text: origin_name(&artifact.origin).to_owned(), number: None });
    // Both databases take some ten thousand values in a statement.
    for some in all.chunks(500) {
        let mut sql = Sql::new("INSERT INTO facts (artifact, field, text, number) VALUES ");
        for (at, fact) in some.iter().enumerate() {
            sql.push(if at == 0 { "(" } else { ", (" }).push_bind(row);
            sql.push(", ").push_bind(cut(&fact.field.path()));
            sql.push(", ").push_bind(cut(&fact.text));
            sql.push(", ").push_bind(fact.number).push(")");
        }
        sql.push(" ON CONFLICT DO NOTHING");
        sql.query().execute(&mut *connection).await.map_err(failed)?;
    }
    Ok(())
}
