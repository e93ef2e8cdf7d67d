//! Statements that are carried out together.

use crate::{Dialect, Sql, failed};
use fuseml_domain::Result;
use sqlx::AnyConnection;

/// Statements that write, one after the other. SQLite has all of them at once: each exchange with it wakes its thread and then
/// whoever waits, which takes longer than most statements.
pub struct Batch {
    dialect: Dialect,
    /// One for SQLite, whose text holds them all.
    statements: Vec<Sql>,
}

impl Batch {
    /// For this connection's database.
    pub fn of(connection: &AnyConnection) -> Self {
        Self { dialect: Dialect::of(connection), statements: Vec::new() }
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Begins the next statement. Its values are numbered by [`Sql::push_bind`].
    pub fn begin(&mut self, text: &str) -> &mut Sql {
        match (self.dialect, self.statements.is_empty()) {
            (Dialect::Sqlite, false) => drop(self.statements[0].push("; ").push(text)),
            _ => self.statements.push(Sql::new(text)),
        }
        let last = self.statements.len() - 1;
        &mut self.statements[last]
    }

    /// Carries them out, and answers how many rows they wrote.
    ///
    /// # Errors
    /// The first that fails; those after it are not carried out.
    pub async fn execute(self, connection: &mut AnyConnection) -> Result<u64> {
        let mut written = 0;
        for statement in self.statements {
            written += statement.query().execute(&mut *connection).await.map_err(failed)?.rows_affected();
        }
        Ok(written)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Database, Migrations, Migrator, testing::Stand};

    crate::on_each_database!(statements_have_their_own_values_and_one_that_fails_ends_them);

    async fn statements_have_their_own_values_and_one_that_fails_ends_them(stand: Stand) {
        let none = Migrations { sqlite: Migrator::DEFAULT, postgres: Migrator::DEFAULT };
        let database = Database::open(&stand.place, &none).await.unwrap();
        let mut connection = database.pool.acquire().await.unwrap();
        let mut batch = Batch::of(&connection);
        batch.begin("CREATE TABLE things (name TEXT PRIMARY KEY, count BIGINT NOT NULL)");
        batch.execute(&mut connection).await.unwrap();

        let mut batch = Batch::of(&connection);
        let both = batch.begin("INSERT INTO things (name, count) VALUES (").push_bind("one");
        both.push(", ").push_bind(1i64).push("), (").push_bind("two").push(", ").push_bind(2i64).push(")");
        batch.begin("UPDATE things SET count = count + ").push_bind(10i64).push(" WHERE name = ").push_bind("two");
        assert_eq!(batch.execute(&mut connection).await.unwrap(), 3);

        let mut batch = Batch::of(&connection);
        batch.begin("DELETE FROM things WHERE name = ").push_bind("one");
        batch.begin("INSERT INTO things (name, count) VALUES (").push_bind("two").push(", 0)");
        batch.begin("DELETE FROM things");
        assert_eq!(batch.execute(&mut connection).await.unwrap_err().code, "exists");
        let left: Vec<(String, i64)> =
            sqlx::query_as("SELECT name, count FROM things").fetch_all(&mut *connection).await.unwrap();
        assert_eq!(left, [("two".to_owned(), 12)]);
    }
}
