//! Settings: `clientd.toml`, then `FREEHOLD_CLIENTD_*`, then flags; the later wins.

use crate::paths::Paths;
use anyhow::{Context, Result};
use clap::Parser;
use freehold_engine::Transport;
use freehold_engine::limits::FILES_IN_MEMORY;
use freehold_vfs::MountOptions;
use serde::Deserialize;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Ciphertext kept on this device when nothing says otherwise: 20 GiB.
const CACHE_BYTES: u64 = 20 << 30;

/// The fewest files in memory: what one program looks at in turns.
const FILES_IN_MEMORY_MIN: usize = 16;

/// Every interface, any port: devices tell each other which.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// The least cache that can work: two segments and a few pinned chunks.
const CACHE_BYTES_MIN: u64 = 256 << 20;

/// Flags, with their environment twins.
#[derive(Debug, Default, Parser)]
#[command(name = "freehold-clientd", version, about = "The Freehold daemon: mounts and syncs your vault")]
pub(crate) struct Flags {
    /// Settings file [default: clientd.toml in the config folder].
    #[arg(long, value_name = "FILE", env = "FREEHOLD_CLIENTD_CONFIG")]
    config: Option<PathBuf>,
    /// Bytes of sealed data kept on this device.
    #[arg(long, value_name = "BYTES", env = "FREEHOLD_CLIENTD_CACHE_BYTES")]
    cache_bytes: Option<u64>,
    /// Files whose names and attributes stay in memory, about half a KiB each [default: 32768].
    #[arg(long, value_name = "COUNT", env = "FREEHOLD_CLIENTD_FILES_IN_MEMORY")]
    files_in_memory: Option<usize>,
    /// Where other devices of the account reach this one, as IP:PORT over UDP.
    #[arg(long, value_name = "IP:PORT", env = "FREEHOLD_CLIENTD_LISTEN")]
    listen: Option<SocketAddr>,
    /// Whether to find devices on the local network, by multicast DNS [default: unless --listen names one address].
    #[arg(long, value_name = "BOOL", env = "FREEHOLD_CLIENTD_LAN")]
    lan: Option<bool>,
    /// What carries links to devices and nodes: auto (FHP, and QUIC where that is not answered), fhp, quic.
    #[arg(long, value_name = "NAME", env = "FREEHOLD_CLIENTD_TRANSPORT")]
    transport: Option<Transport>,
    /// Folder for a trace of each link by FHP, as lines of JSON [default: none are written].
    #[arg(long, value_name = "DIR", env = "FREEHOLD_CLIENTD_TRACE_LINKS")]
    trace_links: Option<PathBuf>,
    /// Whether every write reaches the daemon before it returns, without the kernel's write cache.
    #[arg(long, value_name = "BOOL", env = "FREEHOLD_CLIENTD_MOUNT_STRICT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    mount_strict: Option<bool>,
    /// Whether other users may use the mount, as far as permission bits let them.
    #[arg(long, value_name = "BOOL", env = "FREEHOLD_CLIENTD_MOUNT_ALLOW_OTHER", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    mount_allow_other: Option<bool>,
    /// Whether set-user-id programs and device nodes work on the mount; needs root.
    #[arg(long, value_name = "BOOL", env = "FREEHOLD_CLIENTD_MOUNT_SUID_DEV", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    mount_suid_dev: Option<bool>,
    /// Whether the kernel's requests may come through io_uring, where the kernel has that on; it
    /// is the default.
    #[arg(long, value_name = "BOOL", env = "FREEHOLD_CLIENTD_MOUNT_RINGS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    mount_rings: Option<bool>,
    /// What to log: error, warn, info, debug, trace, or a tracing filter.
    #[arg(long, value_name = "LEVEL", env = "FREEHOLD_CLIENTD_LOG")]
    log: Option<String>,
}

/// What the file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cache_bytes: Option<u64>,
    files_in_memory: Option<usize>,
    listen: Option<SocketAddr>,
    lan: Option<bool>,
    transport: Option<Transport>,
    trace_links: Option<PathBuf>,
    mount_strict: Option<bool>,
    mount_allow_other: Option<bool>,
    mount_suid_dev: Option<bool>,
    mount_rings: Option<bool>,
    log: Option<String>,
}

/// The settings in force.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Bytes of ciphertext kept on this device.
    pub(crate) cache_bytes: u64,
    /// Files whose names and attributes stay in memory when nobody looks at them.
    pub(crate) files_in_memory: usize,
    /// Where other devices of the account reach this one.
    pub(crate) listen: SocketAddr,
    /// Whether devices on the local network are looked for.
    pub(crate) lan: bool,
    /// What carries links.
    pub(crate) transport: Transport,
    /// Where traces of links are written, if anywhere.
    pub(crate) trace_links: Option<PathBuf>,
    /// How the vault is mounted.
    pub(crate) mount: MountOptions,
    /// Log filter.
    pub(crate) log: String,
}

impl Config {
    /// Merges file, environment and flags.
    ///
    /// # Errors
    /// A named file that cannot be read, an unknown key or a value out of range, with file and line.
    pub(crate) fn load(paths: &Paths, flags: &Flags) -> Result<Self> {
        let named = flags.config.clone();
        let path = named.clone().unwrap_or_else(|| paths.config.join("clientd.toml"));
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => {
                toml::from_str(&text).with_context(|| format!("could not read {}", path.display()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => File::default(),
            Err(error) => return Err(error).with_context(|| format!("could not read {}", path.display())),
        };
        let cache_bytes = flags.cache_bytes.or(file.cache_bytes).unwrap_or(CACHE_BYTES);
        anyhow::ensure!(
            cache_bytes >= CACHE_BYTES_MIN,
            "cache_bytes is {cache_bytes}; the least that works is {CACHE_BYTES_MIN}"
        );
        let files_in_memory = flags.files_in_memory.or(file.files_in_memory).unwrap_or(FILES_IN_MEMORY);
        anyhow::ensure!(
            files_in_memory >= FILES_IN_MEMORY_MIN,
            "files_in_memory is {files_in_memory}; the least that works is {FILES_IN_MEMORY_MIN}"
        );
        let log = flags.log.clone().or(file.log).unwrap_or_else(|| "info".to_owned());
        let listen = flags.listen.or(file.listen).unwrap_or(LISTEN);
        // Whoever listens at one address only wants no more of the network than that.
        let lan = flags.lan.or(file.lan).unwrap_or(listen.ip().is_unspecified());
        let transport = flags.transport.or(file.transport).unwrap_or_default();
        let trace_links = flags.trace_links.clone().or(file.trace_links);
        let mount = MountOptions {
            strict: flags.mount_strict.or(file.mount_strict).unwrap_or(false),
            allow_other: flags.mount_allow_other.or(file.mount_allow_other).unwrap_or(false),
            suid_dev: flags.mount_suid_dev.or(file.mount_suid_dev).unwrap_or(false),
            helper: false,
            classic: !flags.mount_rings.or(file.mount_rings).unwrap_or(true),
        };
        Ok(Self { cache_bytes, files_in_memory, listen, lan, transport, trace_links, mount, log })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: Option<&str>, flags: &Flags) -> Result<Config> {
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);
        let paths = Paths { config: at("config"), data: at("data"), cache: at("cache"), run: at("run") };
        paths.create()?;
        if let Some(text) = text {
            std::fs::write(paths.config.join("clientd.toml"), text)?;
        }
        Config::load(&paths, flags)
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_default() {
        let text =
            "cache_bytes = 1073741824\nfiles_in_memory = 100\nlog = \"debug\"\ntrace_links = \"/traces\"\n";
        let flags = Flags { log: Some("warn".into()), ..Flags::default() };
        let config = load(Some(text), &flags).expect("a valid file");
        assert_eq!(
            config,
            Config {
                cache_bytes: 1 << 30,
                files_in_memory: 100,
                listen: LISTEN,
                lan: true,
                transport: Transport::Auto,
                trace_links: Some("/traces".into()),
                mount: MountOptions::default(),
                log: "warn".into()
            }
        );
        assert_eq!(load(None, &Flags::default()).expect("no file is fine").cache_bytes, CACHE_BYTES);
    }

    #[test]
    fn a_mount_setting_comes_from_a_bare_flag_or_the_file_and_a_flag_can_take_it_back() {
        let flags = Flags::parse_from(["freehold-clientd", "--mount-strict", "--mount-suid-dev=false"]);
        let text = "mount_allow_other = true\nmount_suid_dev = true\n";
        let mount = load(Some(text), &flags).expect("a valid file").mount;
        let expected = MountOptions { strict: true, allow_other: true, ..MountOptions::default() };
        assert_eq!(mount, expected);
    }

    #[test]
    fn a_misspelt_key_and_an_impossible_size_are_refused() {
        let error = load(Some("cache_byte = 1\n"), &Flags::default()).expect_err("unknown key");
        assert!(format!("{error:#}").contains("cache_byte"), "{error:#}");
        assert!(load(Some("cache_bytes = 1\n"), &Flags::default()).is_err());
        assert!(load(Some("files_in_memory = 1\n"), &Flags::default()).is_err());
    }
}
