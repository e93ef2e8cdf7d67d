//! What those who share a PostgreSQL database tell each other, by its `NOTIFY` and `LISTEN`.

use crate::{Database, DatabasePlace, Dialect, failed};
use fuseml_domain::{Error, Result};
use sqlx::postgres::PgListener;

/// Hears what others tell on one channel.
pub struct Listener(PgListener);

impl Listener {
    /// On a connection of its own; `None` where nobody else can be: a file is one program's.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn on(place: &DatabasePlace, channel: &str) -> Result<Option<Self>> {
        if place.dialect() == Dialect::Sqlite {
            return Ok(None);
        }
        let mut listener = PgListener::connect(&place.url()?).await.map_err(failed)?;
        listener.listen(channel).await.map_err(failed)?;
        Ok(Some(Self(listener)))
    }

    /// What was told next; `None` when the connection was lost meanwhile, so that something may have been missed.
    ///
    /// # Errors
    /// When the database cannot be reached again.
    pub async fn next(&mut self) -> Result<Option<String>> {
        Ok(self.0.try_recv().await.map_err(failed)?.map(|told| told.payload().to_owned()))
    }
}

impl Database {
    /// Tells all that listen to the channel, this program too; at most 8,000 bytes. Nobody hears of it in SQLite.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn tell(&self, channel: &str, text: &str) -> Result<()> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(());
        }
        if text.len() >= 8_000 {
            return Err(Error::internal("signal", "a signal is longer than PostgreSQL passes on"));
        }
        let tell = sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(text);
        tell.execute(&self.pool).await.map_err(failed).map(drop)
    }
}
