//! The contender of this house: a server, a storage node and mounted devices, all on loopback.

use super::contender::Contender;
use super::process::Process;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the two devices may take to find each other.
const MEETING: Duration = Duration::from_secs(60);

/// The account's password: it guards a folder that is removed after the run.
const PASSWORD: &str = "only for the time of a benchmark";

/// The running system.
pub(super) struct Freehold {
    // Dropped in this order: devices, node, server.
    devices: Vec<Device>,
    node: Process,
    server: Process,
}

struct Device {
    process: Process,
    daemon: PathBuf,
    log: PathBuf,
    home: PathBuf,
    mount: PathBuf,
    cli: PathBuf,
}

impl Freehold {
    /// Starts everything in `dir`, with the programs of `programs` and a device of each name.
    pub(super) fn start(programs: &Path, dir: &Path, names: &[&str]) -> Result<Self> {
        let password = dir.join("password");
        fs::write(&password, PASSWORD)?;
        let data = dir.join("server");
        let mut command = Command::new(programs.join("freehold-server"));
        command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
        let (server, url) = Process::start_ready(&mut command, &dir.join("server.log")).context("server")?;
        let node = start_node(programs, dir, &data, &url)?;
        let devices =
            names.iter().map(|name| Device::start(programs, dir, name)).collect::<Result<Vec<_>>>()?;
        let password = password.to_str().context("the folder's path is not UTF-8")?;
        for (index, device) in devices.iter().enumerate() {
            let verb = if index == 0 { "signup" } else { "login" };
            device.ok(&[verb, "--server", &url, "--user", "bench", "--password-file", password])?;
            device.ok(&["mount", device.mount.to_str().context("the folder's path is not UTF-8")?])?;
        }
        let deadline = Instant::now() + MEETING;
        while devices[0].ok(&["status"])?["devices_connected"] != names.len() - 1 {
            ensure!(Instant::now() < deadline, "the devices do not find each other");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { devices, node, server })
    }

    /// Where the first device is mounted.
    pub(super) fn mount(&self) -> &Path {
        &self.devices[0].mount
    }

    /// The daemon of the first device.
    pub(super) fn clientd(&self) -> &Process {
        &self.devices[0].process
    }

    /// Stops that daemon, which unmounts.
    pub(super) fn stop_clientd(&mut self) {
        self.devices[0].process.stop();
    }

    /// Starts it again; it mounts where it was mounted.
    pub(super) fn start_clientd(&mut self, is_strict: bool) -> Result<()> {
        let device = &mut self.devices[0];
        device.process = start_clientd(&device.daemon, &device.home, &device.log, is_strict)?;
        ensure!(
            device.ok(&["status"])?["mount"] == *device.mount.to_string_lossy(),
            "clientd has not mounted"
        );
        Ok(())
    }

    /// A command that tells how much of the first device waits to be sent.
    pub(super) fn status_command(&self) -> Command {
        let device = &self.devices[0];
        let mut command = Command::new(&device.cli);
        command.args(["status", "--json"]).env("FREEHOLD_HOME", &device.home).stdin(Stdio::null());
        command
    }
}

fn start_node(programs: &Path, dir: &Path, server_data: &Path, url: &str) -> Result<Process> {
    let mut admin = Command::new(programs.join("freehold-server"));
    let token = admin.args(["admin", "join-token", "--data-dir"]).arg(server_data).output()?;
    ensure!(token.status.success(), "no join token: {}", String::from_utf8_lossy(&token.stderr).trim());
    let token = String::from_utf8(token.stdout)?;
    let mut command = Command::new(programs.join("freehold-storaged"));
    command.args(["--server", url, "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.join("node"));
    // Not on the command line, which other users of the machine can read.
    command.env("FREEHOLD_STORAGED_JOIN", token.trim());
    Ok(Process::start_ready(&mut command, &dir.join("node.log")).context("node")?.0)
}

impl Device {
    fn start(programs: &Path, dir: &Path, name: &str) -> Result<Self> {
        let (home, mount) = (dir.join(name), dir.join(format!("{name}.mount")));
        fs::create_dir_all(&home)?;
        fs::create_dir_all(&mount)?;
        let (daemon, log) = (programs.join("freehold-clientd"), dir.join(format!("{name}.log")));
        let process = start_clientd(&daemon, &home, &log, false)?;
        Ok(Self { process, daemon, log, home, mount, cli: programs.join("freehold") })
    }

    /// Runs the command line and returns the `data` of its answer.
    fn ok(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = Command::new(&self.cli);
        command.args(arguments).arg("--json").env("FREEHOLD_HOME", &self.home).stdin(Stdio::null());
        let output = command.output().context("could not run freehold")?;
        let answer: Value = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("freehold {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim())
        })?;
        if answer["ok"] != Value::Bool(true) {
            bail!("freehold {}: {}", arguments.join(" "), answer["error"]["message"]);
        }
        Ok(answer["data"].clone())
    }
}

/// Starts a device's daemon, which mounts where it was mounted before.
fn start_clientd(daemon: &Path, home: &Path, log: &Path, is_strict: bool) -> Result<Process> {
    let mut command = Command::new(daemon);
    command.env("FREEHOLD_HOME", home).env("FREEHOLD_CLIENTD_LISTEN", "127.0.0.1:0");
    // What lets the kernel hold no written data back; a daemon that does not know the setting ignores it.
    command.env("FREEHOLD_CLIENTD_MOUNT_STRICT", if is_strict { "true" } else { "false" });
    if let Some(level) = std::env::var_os("FREEHOLD_CLIENTD_LOG") {
        command.env("FREEHOLD_CLIENTD_LOG", level);
    }
    Ok(Process::start_ready(&mut command, log).context("clientd")?.0)
}

impl Contender for Freehold {
    fn name(&self) -> &'static str {
        "freehold"
    }

    fn folders(&self) -> [&Path; 2] {
        [&self.devices[0].mount, &self.devices[1].mount]
    }

    fn processes(&self) -> Vec<&Process> {
        self.devices.iter().map(|device| &device.process).chain([&self.node, &self.server]).collect()
    }

    fn latency_files(&self) -> usize {
        100
    }

    fn settle(&self) -> Result<()> {
        for device in &self.devices {
            device.ok(&["wait", "--timeout", "600"])?;
        }
        Ok(())
    }
}
