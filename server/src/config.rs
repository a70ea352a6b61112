//! Settings: flags, then `FREEHOLD_SERVER_*` in the environment, then a TOML file, then defaults.
//!
//! The command line parser already puts flags before the environment, so only the file is merged
//! here. `FREEHOLD_HOME=DIR` moves everything: data in `DIR/server`, file `DIR/server/server.toml`.

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
    /// Database, `sqlite:PATH` [default: server.db in the data directory].
    #[arg(long, global = true, env = "FREEHOLD_SERVER_DATABASE", value_name = "URL")]
    pub database: Option<String>,
    /// TOML file with `listen`, `data_dir`, `database`.
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
}

/// Settings as they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address to serve on.
    pub listen: SocketAddr,
    /// Directory for keys and database.
    pub data_dir: PathBuf,
    /// The SQLite file.
    pub database: PathBuf,
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
    /// The database is of a kind that is not there yet.
    #[error("PostgreSQL comes with the next release; use sqlite:PATH or leave --database out")]
    Postgres,
    /// The database is of no kind at all.
    #[error("--database takes sqlite:PATH")]
    UnknownDatabase,
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
        let database = match options.database.as_ref().or(file.database.as_ref()) {
            Some(url) => database_path(url)?,
            None => data_dir.join("server.db"),
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

fn database_path(url: &str) -> Result<PathBuf, ConfigError> {
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        return Err(ConfigError::Postgres);
    }
    let path = url.strip_prefix("sqlite:").ok_or(ConfigError::UnknownDatabase)?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.contains(['?', '#']) {
        return Err(ConfigError::UnknownDatabase);
    }
    Ok(PathBuf::from(path))
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
        assert_eq!(config.database, home.join("server/server.db"));
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
        assert_eq!(config.database, Path::new("/a/b.db"));
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
    fn only_sqlite_is_taken() {
        assert!(matches!(database_path("postgres://db/x"), Err(ConfigError::Postgres)));
        for url in ["mysql://x", "sqlite:", "sqlite:a?mode=ro", "/plain/path"] {
            assert!(matches!(database_path(url), Err(ConfigError::UnknownDatabase)), "{url}");
        }
        assert_eq!(database_path("sqlite:///a").ok(), Some(PathBuf::from("/a")));
        assert_eq!(database_path("sqlite:a").ok(), Some(PathBuf::from("a")));
    }
}
