//! Which database, as `--database` names it, and opening it.

use super::{MetaStore, OpenError, PostgresStore, PostgresUrl, SqliteStore, UrlError};
use std::path::PathBuf;
use std::sync::Arc;

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file, for one server.
    Sqlite(PathBuf),
    /// A PostgreSQL database, for one server or several.
    Postgres(PostgresUrl),
}

/// It names no database. The text does not quote it: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Of no kind that is known.
    #[error("a database is sqlite:PATH or postgres://USER@HOST:PORT/NAME")]
    Unknown,
    /// Of PostgreSQL, but not usable.
    #[error(transparent)]
    Url(#[from] UrlError),
}

/// An open database.
#[derive(Clone)]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn MetaStore>,
    /// The same, when other servers may be using it too.
    pub shared: Option<PostgresStore>,
}

impl Location {
    /// Reads `sqlite:PATH` or a PostgreSQL URL.
    ///
    /// # Errors
    /// [`LocationError`] when it names no database.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        if PostgresUrl::is_one(text) {
            return Ok(Self::Postgres(PostgresUrl::parse(text)?));
        }
        let path = text.strip_prefix("sqlite:").ok_or(LocationError::Unknown)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.contains(['?', '#']) {
            return Err(LocationError::Unknown);
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }

    /// Whether whoever reads its text learns a password.
    #[must_use]
    pub fn holds_password(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(url) => url.holds_password(),
        }
    }

    /// Opens it and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`], whose text is fit to end the program with.
    pub async fn open(&self, now: i64) -> Result<Opened, OpenError> {
        match self {
            Self::Sqlite(path) => {
                let store = SqliteStore::open(path, now).await?;
                Ok(Opened { store: Arc::new(store), shared: None })
            }
            Self::Postgres(url) => {
                let store = PostgresStore::open(url, now).await?;
                Ok(Opened { store: Arc::new(store.clone()), shared: Some(store) })
            }
        }
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("shared", &self.shared).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_taken_and_nothing_else() {
        assert_eq!(Location::parse("sqlite:///a"), Ok(Location::Sqlite("/a".into())));
        assert_eq!(Location::parse("sqlite:a"), Ok(Location::Sqlite("a".into())));
        assert!(matches!(Location::parse("postgres://db/x"), Ok(Location::Postgres(_))));
        for text in ["mysql://x", "sqlite:", "sqlite:a?mode=ro", "/plain/path"] {
            assert_eq!(Location::parse(text), Err(LocationError::Unknown), "{text}");
        }
        assert_eq!(Location::parse("postgres:x"), Err(LocationError::Url(UrlError::Malformed)));
    }
}
