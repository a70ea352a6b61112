//! Settings: flags, then `FREEHOLD_SERVER_*` in the environment, then a TOML file, then defaults.
//!
//! The command line parser already puts flags before the environment, so only the file is merged
//! here. `FREEHOLD_HOME=DIR` moves everything: data in `DIR/server`, file `DIR/server/server.toml`.
//! A database URL with a password is taken from a file only: arguments and environment of a process
//! can be read by others.

use crate::db::{Location, LocationError};
use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where the server listens when nothing is said.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8440);

const CONFIG_NAME: &str = "server.toml";

/// Freehold's coordination server: accounts, devices, sealed metadata, placement.
#[derive(Debug, Parser)]
#[command(name = "freehold-server", version, args_conflicts_with_subcommands = false)]
pub struct Cli {
    /// Settings.
    #[command(flatten)]
    pub options: Options,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Settings that flags and environment can give.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// Address to serve on [default: 127.0.0.1:8440]; only loopback, since this is plain HTTP.
    #[arg(long, global = true, env = "FREEHOLD_SERVER_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Directory for keys and database.
    #[arg(long, global = true, env = "FREEHOLD_SERVER_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Database: sqlite:PATH, or postgres://USER@HOST/NAME without a password, which then comes
    /// from PGPASSFILE or ~/.pgpass [default: server.db in the data directory].
    #[arg(long, global = true, env = "FREEHOLD_SERVER_DATABASE", value_name = "URL")]
    pub database: Option<String>,
    /// File whose first line is the database URL, with or without a password.
    #[arg(long, global = true, env = "FREEHOLD_SERVER_DATABASE_FILE", value_name = "FILE")]
    pub database_file: Option<PathBuf>,
    /// TOML file with `listen`, `data_dir`, `database`, `database_file`.
    #[arg(long, global = true, env = "FREEHOLD_SERVER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Administer the server of this data directory, also while it runs.
    Admin {
        /// The task.
        #[command(subcommand)]
        task: AdminTask,
    },
}

/// Administrative tasks.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum AdminTask {
    /// Print a token that lets one storage node join within 24 hours.
    JoinToken,
    /// Print a code that lets one person register within 24 hours.
    Invite,
}

/// The file's settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileOptions {
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    database: Option<String>,
    database_file: Option<PathBuf>,
}

/// Settings as they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address to serve on.
    pub listen: SocketAddr,
    /// Directory for keys and database.
    pub data_dir: PathBuf,
    /// The database.
    pub database: Location,
}

/// The settings cannot be used. Each text is the one line the program ends with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not what it must be.
    #[error("the settings {path} are not valid: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What and where.
        reason: String,
    },
    /// Plain HTTP would leave the machine.
    #[error(
        "refusing to listen on {0}: this release serves plain HTTP, so only on a loopback address such as 127.0.0.1:8440"
    )]
    NotLoopback(SocketAddr),
    /// The database cannot be used.
    #[error("the setting `database`: {0}")]
    Database(#[from] LocationError),
    /// The file with the database URL cannot be read.
    #[error("cannot read the database URL in {path}: {source}")]
    DatabaseFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database is named twice.
    #[error("the database is named twice; give `database` or `database_file`, not both")]
    TwoDatabases,
    /// A password stands where other users of the machine can read it.
    #[error(
        "refusing a database password in the arguments or the environment, where others can read it: put the URL into a file for --database-file, or the password into PGPASSFILE"
    )]
    PasswordInTheOpen,
    /// There is no home directory to put the data in.
    #[error("no home directory found; name one with --data-dir DIR")]
    NoHome,
}

impl Config {
    /// Merges flags and environment with the file.
    ///
    /// # Errors
    /// [`ConfigError`] when a setting cannot be used.
    pub fn load(options: &Options, places: &Places) -> Result<Self, ConfigError> {
        let file = read_file(options, places)?;
        let listen = options.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN);
        if !listen.ip().is_loopback() {
            return Err(ConfigError::NotLoopback(listen));
        }
        let data_dir = options.data_dir.clone().or(file.data_dir).or_else(|| places.data_dir.clone());
        let data_dir = data_dir.ok_or(ConfigError::NoHome)?;
        let database = match database(options, file.database, file.database_file)? {
            Some(database) => database,
            None => Location::Sqlite(data_dir.join("server.db")),
        };
        Ok(Self { listen, data_dir, database })
    }
}

/// Default places.
#[derive(Clone, Debug, Default)]
pub struct Places {
    data_dir: Option<PathBuf>,
    config: Option<PathBuf>,
}

impl Places {
    /// Below `home` when `FREEHOLD_HOME` names one, else in the user's own directories.
    #[must_use]
    pub fn new(home: Option<&Path>) -> Self {
        if let Some(home) = home {
            let dir = home.join("server");
            return Self { config: Some(dir.join(CONFIG_NAME)), data_dir: Some(dir) };
        }
        Self {
            data_dir: dirs::data_dir().map(|dir| dir.join("freehold").join("server")),
            config: dirs::config_dir().map(|dir| dir.join("freehold").join(CONFIG_NAME)),
        }
    }
}

/// A file named must be there; the default one may be absent.
fn read_file(options: &Options, places: &Places) -> Result<FileOptions, ConfigError> {
    let Some(path) = options.config.as_ref().or(places.config.as_ref()) else {
        return Ok(FileOptions::default());
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && options.config.is_none() => {
            return Ok(FileOptions::default());
        }
        Err(source) => return Err(ConfigError::File { path: path.clone(), source }),
    };
    toml::from_str(&text).map_err(|error| {
        let reason = error.message().replace('\n', " ");
        ConfigError::Syntax { path: path.clone(), reason }
    })
}

/// The database by flags and environment, else by the file.
fn database(
    options: &Options,
    url_in_file: Option<String>,
    path_in_file: Option<PathBuf>,
) -> Result<Option<Location>, ConfigError> {
    match (&options.database, &options.database_file) {
        (None, None) => match (url_in_file, path_in_file) {
            (None, None) => Ok(None),
            (Some(url), None) => Ok(Some(Location::parse(&url)?)),
            (None, Some(path)) => read_url(&path).map(Some),
            (Some(_), Some(_)) => Err(ConfigError::TwoDatabases),
        },
        (Some(url), None) => {
            let database = Location::parse(url)?;
            if database.holds_password() {
                return Err(ConfigError::PasswordInTheOpen);
            }
            Ok(Some(database))
        }
        (None, Some(path)) => read_url(path).map(Some),
        (Some(_), Some(_)) => Err(ConfigError::TwoDatabases),
    }
}

/// The URL on the first line of a file.
fn read_url(path: &Path) -> Result<Location, ConfigError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| ConfigError::DatabaseFile { path: path.to_owned(), source })?;
    Ok(Location::parse(text.lines().next().unwrap_or_default().trim())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(dir: &Path) -> Places {
        Places::new(Some(dir))
    }

    #[test]
    fn defaults_lie_below_the_home_given() {
        let home = Path::new("/nowhere");
        let config = Config::load(&Options::default(), &places(home)).expect("defaults are valid");
        assert_eq!(config.listen, DEFAULT_LISTEN);
        assert_eq!(config.data_dir, home.join("server"));
        assert_eq!(config.database, Location::Sqlite(home.join("server/server.db")));
    }

    #[test]
    fn flags_win_over_the_file() {
        let home = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(home.path().join("server")).expect("a directory");
        let text = "listen = \"127.0.0.1:1\"\ndatabase = \"sqlite:/a/b.db\"\n";
        std::fs::write(home.path().join("server/server.toml"), text).expect("a file");
        let listen = "[::1]:2".parse().ok();
        let config = Config::load(&Options { listen, ..Options::default() }, &places(home.path()));
        let config = config.expect("both are valid");
        assert_eq!(Some(config.listen), listen);
        assert_eq!(config.database, Location::Sqlite("/a/b.db".into()));
    }

    #[test]
    fn a_setting_nobody_knows_is_refused() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let file = home.path().join("x.toml");
        std::fs::write(&file, "listne = \"127.0.0.1:1\"\n").expect("a file");
        let options = Options { config: Some(file), ..Options::default() };
        assert!(matches!(Config::load(&options, &places(home.path())), Err(ConfigError::Syntax { .. })));
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let options = Options { config: Some("/nowhere/x.toml".into()), ..Options::default() };
        assert!(matches!(Config::load(&options, &Places::new(None)), Err(ConfigError::File { .. })));
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for listen in ["0.0.0.0:8440", "192.0.2.1:80", "[::]:1"] {
            let options = Options { listen: listen.parse().ok(), ..Options::default() };
            let refused = Config::load(&options, &places(Path::new("/nowhere")));
            assert!(matches!(refused, Err(ConfigError::NotLoopback(_))), "{listen}");
        }
    }

    #[test]
    fn a_password_is_taken_from_files_only() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let load = |options: &Options| Config::load(options, &places(home.path()));
        let url = "postgres://ada:s3cret@db/freehold";
        let in_the_open = Options { database: Some(url.to_owned()), ..Options::default() };
        let refused = load(&in_the_open).expect_err("a refusal");
        assert!(matches!(refused, ConfigError::PasswordInTheOpen));
        assert!(!format!("{refused} {refused:?}").contains("s3cret"));
        let expected = Location::parse(url).expect("a sound URL");
        let file = home.path().join("url");
        std::fs::write(&file, format!("{url}\n")).expect("a file");
        let named = load(&Options { database_file: Some(file), ..Options::default() }).expect("a config");
        assert_eq!(named.database, expected);
        std::fs::create_dir(home.path().join("server")).expect("a directory");
        let text = format!("database = \"{url}\"\n");
        std::fs::write(home.path().join("server/server.toml"), text).expect("a file");
        let settings = load(&Options::default()).expect("a config");
        assert_eq!(settings.database, expected);
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn a_database_is_named_once() {
        let both = Options {
            database: Some("sqlite:/a".to_owned()),
            database_file: Some("/b".into()),
            ..Options::default()
        };
        let refused = Config::load(&both, &places(Path::new("/nowhere")));
        assert!(matches!(refused, Err(ConfigError::TwoDatabases)));
    }
}
