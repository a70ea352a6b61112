//! Where a PostgreSQL database is, as the operator writes it.
//!
//! The URL may hold a password, so it prints as host, port and name only. Settings it does not
//! know are refused here, because the library would log them with their values.

use sqlx::postgres::PgConnectOptions;
use std::fmt;
use std::str::FromStr;

/// Settings a URL may have behind `?`, by the names libpq gives them.
const SETTINGS: [&str; 11] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    PASSWORD,
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "application_name",
];

const PASSWORD: &str = "password";

/// The URL of a PostgreSQL database.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

/// A URL that cannot be used. The text never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is of another form.
    #[error("the database URL cannot be read; write it as postgres://USER@HOST:PORT/NAME")]
    Malformed,
    /// It has a setting of another name.
    #[error("the database URL has a setting that is not one of {}", SETTINGS.join(", "))]
    UnknownSetting,
}

impl PostgresUrl {
    /// Reads a URL, without connecting.
    ///
    /// # Errors
    /// [`UrlError`] when it cannot be used.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = Self(text.to_owned());
        if url.settings().any(|(name, _)| !SETTINGS.contains(&name)) {
            return Err(UrlError::UnknownSetting);
        }
        url.options().map(|_| url)
    }

    /// Whether this is the URL of a PostgreSQL database rather than of another kind.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with("postgres:") || text.starts_with("postgresql:")
    }

    /// Whether whoever reads the URL learns a password.
    #[must_use]
    pub fn holds_password(&self) -> bool {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        user.contains(':') || self.settings().any(|(name, _)| name == PASSWORD)
    }

    /// The settings behind `?`, as they stand.
    fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let query = self.0.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let settings = query.split('&').filter(|setting| !setting.is_empty());
        settings.map(|setting| setting.split_once('=').unwrap_or((setting, "")))
    }

    /// What the URL says, then `PGPASSFILE` and the other variables that libpq knows.
    pub(super) fn options(&self) -> Result<PgConnectOptions, UrlError> {
        if !Self::is_one(&self.0) || !self.0.contains("://") {
            return Err(UrlError::Malformed);
        }
        PgConnectOptions::from_str(&self.0).map_err(|_| UrlError::Malformed)
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(options) = self.options() else { return f.write_str("postgres://") };
        let name = options.get_database().unwrap_or_else(|| options.get_username());
        match options.get_socket() {
            Some(socket) => write!(f, "postgres:{name} in {}", socket.display()),
            None => write!(f, "postgres://{}:{}/{name}", options.get_host(), options.get_port()),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_and_never_printed() {
        for text in [
            "postgres://ada:s3cret@db/freehold",
            "postgresql://ada:s3cret@db:5433/freehold?sslmode=verify-full",
            "postgres://ada@db/freehold?password=s3cret",
            "postgres://ada:a%40s3cret@db/freehold",
        ] {
            let url = PostgresUrl::parse(text).expect("a sound URL");
            assert!(url.holds_password(), "{text}");
            let printed = format!("{url} {url:?}");
            assert!(!printed.contains("s3cret") && printed.contains("freehold"), "{printed}");
        }
    }

    #[test]
    fn a_url_without_password_says_so() {
        for text in [
            "postgres://ada@db/freehold",
            "postgres://db:5432/freehold",
            "postgres:///freehold?host=/run/postgresql&user=ada",
            "postgres://ada@%2Frun%2Fpostgresql/freehold",
        ] {
            assert!(!PostgresUrl::parse(text).expect("a sound URL").holds_password(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_a_quote() {
        assert_eq!(PostgresUrl::parse("postgres://db:port/x"), Err(UrlError::Malformed));
        assert_eq!(PostgresUrl::parse("postgres:x"), Err(UrlError::Malformed));
        assert_eq!(PostgresUrl::parse("postgres://db/x?sslmode=maybe"), Err(UrlError::Malformed));
        for text in ["postgres://db/x?passwd=s3cret", "postgres://db/x?p%61ssword=s3cret"] {
            assert_eq!(PostgresUrl::parse(text), Err(UrlError::UnknownSetting));
        }
    }
}
