//! Where a database is.

use crate::Dialect;
use fuseml_domain::{Error, Result};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};
use url::Url;

/// A file, or `postgres://user:password@host/database`.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabasePlace {
    Sqlite(PathBuf),
    Postgres(Url),
}

impl DatabasePlace {
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(crate) fn url(&self) -> Result<String> {
        match self {
            Self::Sqlite(path) => {
                let path = std::path::absolute(path).map_err(|error| Error::io(path.display(), &error))?;
                let url = Url::from_file_path(&path)
                    .map_err(|()| Error::invalid("database", format!("{} has no whole path", path.display())))?;
                Ok(format!("sqlite://{}?mode=rwc", url.path()))
            }
            Self::Postgres(url) => Ok(url.to_string()),
        }
    }
}

impl From<&Path> for DatabasePlace {
    fn from(path: &Path) -> Self {
        Self::Sqlite(path.to_owned())
    }
}

impl FromStr for DatabasePlace {
    type Err = Error;
    /// Only an address: files are named by their folder.
    fn from_str(text: &str) -> Result<Self> {
        // The text is not said again: there may be a password in it.
        let url = Url::parse(text)
            .map_err(|error| Error::invalid("database", format!("the database's address is not one: {error}")))?;
        match url.scheme() {
            "postgres" | "postgresql" => Ok(Self::Postgres(url)),
            other => {
                let message = format!("the database's address begins with `{other}:`; it must be postgres://…");
                Err(Error::invalid("database", message))
            }
        }
    }
}

/// Without its password.
impl fmt::Display for DatabasePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => {
                let host = url.host_str().unwrap_or("localhost");
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                write!(f, "postgres://{host}{port}{}", url.path())
            }
        }
    }
}

impl fmt::Debug for DatabasePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let place: DatabasePlace =
            "postgres://fuseml:secret@db.example:5433/market?sslmode=require".parse().expect("place");
        assert_eq!(place.to_string(), "postgres://db.example:5433/market");
        assert_eq!(format!("{place:?}"), place.to_string());
        for text in ["mysql://user:secret@db.example/x", "user:secret@db", "market.db", ""] {
            let refused = text.parse::<DatabasePlace>().expect_err(text);
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
    }

    #[test]
    fn a_file_with_an_odd_name_is_named_whole() {
        let place = DatabasePlace::from(Path::new("/srv/a market?/100%.db"));
        assert_eq!(place.url().expect("url"), "sqlite:///srv/a%20market%3F/100%25.db?mode=rwc");
    }
}
