//! Settings: `storaged.toml`, then `FREEHOLD_STORAGED_*`, then flags; the later wins.
//!
//! `FREEHOLD_HOME=DIR` moves everything under one folder: data to `DIR/storaged`, the settings file
//! to `DIR/config/storaged.toml`. A data folder named explicitly wins over that.

use crate::error::StartError;
use clap::Parser;
use freehold_net::Transport;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8450);

/// Flags, with their environment twins.
#[derive(Debug, Default, Parser)]
#[command(
    name = "freehold-storaged",
    version,
    about = "A Freehold storage node: keeps sealed chunks it cannot read"
)]
pub struct Flags {
    /// Coordination server, `http://` on this machine or `https://`.
    #[arg(long, value_name = "URL", env = "FREEHOLD_STORAGED_SERVER")]
    server: Option<String>,
    /// One-time token of `freehold-server admin join-token`; needed at the first start only.
    #[arg(long, value_name = "TOKEN", env = "FREEHOLD_STORAGED_JOIN", hide_env_values = true)]
    join: Option<String>,
    /// UDP address to serve on [default: 127.0.0.1:8450].
    #[arg(long, value_name = "ADDR", env = "FREEHOLD_STORAGED_LISTEN")]
    listen: Option<SocketAddr>,
    /// Address clients reach the node at, if not the one it listens on; may be given several times.
    #[arg(long, value_name = "ADDR", env = "FREEHOLD_STORAGED_ADVERTISE", value_delimiter = ',')]
    advertise: Vec<SocketAddr>,
    /// Folder for chunks, key and state.
    #[arg(long, value_name = "DIR", env = "FREEHOLD_STORAGED_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Failure zone: copies prefer distinct zones [default: 0].
    #[arg(long, value_name = "N", env = "FREEHOLD_STORAGED_ZONE")]
    zone: Option<u16>,
    /// Settings file [default: storaged.toml in the config folder].
    #[arg(long, value_name = "FILE", env = "FREEHOLD_STORAGED_CONFIG")]
    config: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or a tracing filter [default: info].
    #[arg(long, value_name = "LEVEL", env = "FREEHOLD_STORAGED_LOG")]
    log: Option<String>,
    /// What carries links from clients: auto (FHP and QUIC), fhp, quic.
    #[arg(long, value_name = "NAME", env = "FREEHOLD_STORAGED_TRANSPORT")]
    transport: Option<Transport>,
    /// Folder for a trace of each link by FHP, as lines of JSON [default: none are written].
    #[arg(long, value_name = "DIR", env = "FREEHOLD_STORAGED_TRACE_LINKS")]
    trace_links: Option<PathBuf>,
}

/// What the file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: Option<String>,
    join: Option<String>,
    listen: Option<SocketAddr>,
    #[serde(default)]
    advertise: Vec<SocketAddr>,
    data_dir: Option<PathBuf>,
    zone: Option<u16>,
    log: Option<String>,
    transport: Option<Transport>,
    trace_links: Option<PathBuf>,
}

/// The settings in force.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// The coordination server; once joined, the one remembered does.
    pub server: Option<String>,
    /// Join token.
    pub join: Option<String>,
    /// Where to serve.
    pub listen: SocketAddr,
    /// Where clients reach the node; empty means where it serves.
    pub advertise: Vec<SocketAddr>,
    /// Everything the node keeps.
    pub data_dir: PathBuf,
    /// Failure zone.
    pub zone: u16,
    /// Log filter.
    pub log: String,
    /// What carries links.
    pub transport: Transport,
    /// Where traces of links are written, if anywhere.
    pub trace_links: Option<PathBuf>,
}

impl Config {
    /// Merges file, environment and flags.
    ///
    /// # Errors
    /// `Config` for a named file that cannot be read, an unknown key, a bad value, or when there is
    /// no home folder.
    pub fn load(flags: Flags) -> Result<Self, StartError> {
        let home = std::env::var_os("FREEHOLD_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        Self::merge(flags, home.as_deref())
    }

    fn merge(flags: Flags, home: Option<&Path>) -> Result<Self, StartError> {
        let file = read_file(flags.config.as_deref(), home)?;
        let default_dir = || match home {
            Some(home) => Some(home.join("storaged")),
            None => dirs::data_dir().map(|data| data.join("freehold").join("storaged")),
        };
        let data_dir = flags
            .data_dir
            .or(file.data_dir)
            .or_else(default_dir)
            .ok_or_else(|| StartError::Config("no home folder: name one with --data-dir".to_owned()))?;
        Ok(Self {
            server: flags.server.or(file.server),
            join: flags.join.or(file.join),
            listen: flags.listen.or(file.listen).unwrap_or(LISTEN),
            advertise: if flags.advertise.is_empty() { file.advertise } else { flags.advertise },
            data_dir,
            zone: flags.zone.or(file.zone).unwrap_or(0),
            log: flags.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            transport: flags.transport.or(file.transport).unwrap_or_default(),
            trace_links: flags.trace_links.or(file.trace_links),
        })
    }
}

/// Shows no token.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("listen", &self.listen).finish_non_exhaustive()
    }
}

fn read_file(named: Option<&Path>, home: Option<&Path>) -> Result<File, StartError> {
    let folder = home.map_or_else(
        || dirs::config_dir().map(|config| config.join("freehold")),
        |home| Some(home.join("config")),
    );
    let path = match (named, folder) {
        (Some(path), _) => path.to_owned(),
        (None, Some(folder)) => folder.join("storaged.toml"),
        (None, None) => return Ok(File::default()),
    };
    let unreadable = |error: &dyn std::fmt::Display| {
        StartError::Config(format!("could not read {}: {error}", path.display()))
    };
    match std::fs::read_to_string(&path) {
        // The message of the parser spans lines and quotes the file, which may hold the token.
        Ok(text) => toml::from_str(&text).map_err(|error| unreadable(&error.message())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok(File::default()),
        Err(error) => Err(unreadable(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(arguments: &[&str], home: &Path) -> Result<Config, StartError> {
        let flags = Flags::try_parse_from([&["freehold-storaged"], arguments].concat()).unwrap();
        Config::merge(flags, Some(home))
    }

    #[test]
    fn flags_win_over_the_file() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("config")).unwrap();
        let file = "server = \"http://127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"\nzone = 7\n";
        std::fs::write(home.path().join("config/storaged.toml"), file).unwrap();
        let config = merge(&["--listen", "127.0.0.1:3", "--join", "t"], home.path()).unwrap();
        assert_eq!(config.listen.port(), 3);
        assert_eq!((config.zone, config.server.as_deref()), (7, Some("http://127.0.0.1:1")));
        assert_eq!(config.data_dir, home.path().join("storaged"));
        assert!(!format!("{config:?}").contains("\"t\""));
    }

    #[test]
    fn nothing_set_means_the_defaults() {
        let home = tempfile::tempdir().unwrap();
        let config = merge(&[], home.path()).unwrap();
        assert_eq!((config.listen, config.zone, config.join), (LISTEN, 0, None));
    }

    #[test]
    fn a_wrong_or_missing_file_is_named_in_one_line() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("some.toml");
        let path_text = path.to_str().unwrap();
        let missing = merge(&["--config", path_text], home.path()).unwrap_err().to_string();
        std::fs::write(&path, "jion = \"secret\"\n").unwrap();
        let wrong = merge(&["--config", path_text], home.path()).unwrap_err().to_string();
        for message in [missing, wrong] {
            assert!(message.contains(path_text) && !message.contains('\n'), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
