//! A statement that is put together.

use sqlx::{
    Any, Arguments as _, AssertSqlSafe, Decode, Encode, Type,
    any::{AnyArguments, AnyRow},
    query::{Query, QueryAs, QueryScalar},
};

/// Text with numbered values. The library's own builder numbers nothing where it does not know the database.
#[derive(Default)]
pub struct Sql {
    text: String,
    values: AnyArguments,
}

impl Sql {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), values: AnyArguments::default() }
    }

    /// Adds text of this program's own: nothing that came from outside.
    pub fn push(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.text.push_str(text.as_ref());
        self
    }

    /// Adds a value.
    pub fn push_bind<'t, T: Encode<'t, Any> + Type<Any>>(&mut self, value: T) -> &mut Self {
        match self.values.add(value) {
            Ok(()) => self.text.push_str(&format!("${}", self.values.len())),
            // What both databases have alike can be encoded; nothing else has an encoding for `Any`.
            Err(error) => unreachable!("a value cannot be encoded: {error}"),
        }
        self
    }

    pub fn query(self) -> Query<'static, Any, AnyArguments> {
        sqlx::query_with(AssertSqlSafe(self.text), self.values)
    }

    /// Rows of several columns.
    pub fn rows<T>(self) -> QueryAs<'static, Any, T, AnyArguments>
    where
        T: for<'r> sqlx::FromRow<'r, AnyRow>,
    {
        sqlx::query_as_with(AssertSqlSafe(self.text), self.values)
    }

    /// Rows of one column.
    pub fn scalar<T>(self) -> QueryScalar<'static, Any, T, AnyArguments>
    where
        T: for<'r> Decode<'r, Any> + Type<Any>,
        (T,): for<'r> sqlx::FromRow<'r, AnyRow>,
    {
        sqlx::query_scalar_with(AssertSqlSafe(self.text), self.values)
    }
}
