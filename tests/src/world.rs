//! A server, a storage node and devices in one temporary folder.

use crate::daemon::{Daemon, free_port, program};
use crate::device::Device;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The password of the scenarios' user: long and unlike anything else, so that a leak is found.
pub const PASSWORD: &str = "zebra-unfold-7193-kettle-quartz";

/// The programs of one scenario.
#[derive(Debug)]
pub struct World {
    dir: TempDir,
    server_dir: PathBuf,
    node_dir: PathBuf,
    port: u16,
    node_port: u16,
    server: Option<Daemon>,
    node: Option<Daemon>,
}

impl World {
    /// A server and a node that has joined it.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn start() -> Result<Self> {
        let dir = folder()?;
        let node_dir = dir.path().join("node");
        Self::start_in(dir, node_dir)
    }

    /// As [`Self::start`], with the node's data somewhere else.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn start_with_node_dir(node_dir: &Path) -> Result<Self> {
        Self::start_in(folder()?, node_dir.to_owned())
    }

    fn start_in(dir: TempDir, node_dir: PathBuf) -> Result<Self> {
        let mut world = Self::at_rest_in(dir)?;
        world.node_dir = node_dir;
        world.start_server()?;
        world.join_node()?;
        Ok(world)
    }

    /// A world in which nothing runs yet.
    ///
    /// # Errors
    /// When there is no temporary folder, or no free port.
    pub fn at_rest() -> Result<Self> {
        Self::at_rest_in(folder()?)
    }

    fn at_rest_in(dir: TempDir) -> Result<Self> {
        std::fs::write(dir.path().join("password"), PASSWORD)?;
        let (port, node_port) = (free_port()?, free_port()?);
        let (server_dir, node_dir) = (dir.path().join("server"), dir.path().join("node"));
        Ok(Self { dir, server_dir, node_dir, port, node_port, server: None, node: None })
    }

    /// Keeps the server's data below another folder. It does not run now.
    pub fn keep_server_in(&mut self, data: &Path) {
        self.server_dir = data.join("server");
    }

    /// Keeps the node's data below another folder. It does not run now.
    pub fn keep_node_in(&mut self, data: &Path) {
        self.node_dir = data.join("node");
    }

    /// The temporary folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The server's data folder.
    #[must_use]
    pub fn server_dir(&self) -> PathBuf {
        self.server_dir.clone()
    }

    /// The node's data folder.
    #[must_use]
    pub fn node_dir(&self) -> PathBuf {
        self.node_dir.clone()
    }

    /// The user's password file.
    #[must_use]
    pub fn password_file(&self) -> PathBuf {
        self.dir().join("password")
    }

    /// The server's address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The command that starts the server, for scenarios that expect it to refuse.
    #[must_use]
    pub fn server_command(&self) -> Command {
        let mut command = Command::new(program("freehold-server"));
        command.args(["--listen", &format!("127.0.0.1:{}", self.port), "--data-dir"]).arg(self.server_dir());
        command
    }

    /// The command that starts the node.
    #[must_use]
    pub fn node_command(&self) -> Command {
        let mut command = Command::new(program("freehold-storaged"));
        command.args(["--server", &self.url(), "--listen", &format!("127.0.0.1:{}", self.node_port)]);
        command.arg("--data-dir").arg(self.node_dir());
        command
    }

    /// Starts the server.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_server(&mut self) -> Result<()> {
        let log = self.dir().join("server.log");
        self.server = Some(Daemon::start(&mut self.server_command(), &log).context("freehold-server")?);
        Ok(())
    }

    /// Starts the server with its clock two hours slow: what it signs has expired when it is signed.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_slow_server(&mut self) -> Result<()> {
        // The library itself: the `faketime` command would stay in between and take our signals.
        let folders = std::fs::read_dir("/usr/lib").context("/usr/lib")?.flatten();
        let library =
            folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|path| path.exists());
        let mut slow = self.server_command();
        slow.env("LD_PRELOAD", library.context("the package faketime is not installed")?);
        slow.envs([("FAKETIME", "-2h"), ("DONT_FAKE_MONOTONIC", "1")]);
        let log = self.dir().join("server.log");
        self.server = Some(Daemon::start(&mut slow, &log).context("freehold-server under faketime")?);
        Ok(())
    }

    /// Stops the server.
    ///
    /// # Errors
    /// When it does not stop cleanly.
    pub fn stop_server(&mut self) -> Result<()> {
        self.server.take().context("the server is not running")?.stop()
    }

    /// `kill -9` of the server.
    ///
    /// # Errors
    /// When it was not running.
    pub fn kill_server(&mut self) -> Result<()> {
        self.server.take().context("the server is not running")?.kill()
    }

    /// A fresh join token.
    ///
    /// # Errors
    /// When the server gives none.
    pub fn join_token(&self) -> Result<String> {
        let mut admin = Command::new(program("freehold-server"));
        let output = admin.args(["admin", "join-token", "--data-dir"]).arg(self.server_dir()).output()?;
        anyhow::ensure!(output.status.success(), "join-token: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Starts a node that has not joined yet.
    ///
    /// # Errors
    /// When the server does not take it, or it does not come up.
    pub fn join_node(&mut self) -> Result<()> {
        let token = self.join_token()?;
        let mut command = self.node_command();
        command.args(["--join", &token]);
        self.node = Some(Daemon::start(&mut command, &self.node_log()).context("freehold-storaged")?);
        Ok(())
    }

    /// The server's log.
    #[must_use]
    pub fn server_log(&self) -> PathBuf {
        self.dir().join("server.log")
    }

    fn node_log(&self) -> PathBuf {
        self.dir().join("node.log")
    }

    /// Starts the node again; it has joined already.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_node(&mut self) -> Result<()> {
        self.node =
            Some(Daemon::start(&mut self.node_command(), &self.node_log()).context("freehold-storaged")?);
        Ok(())
    }

    /// Stops the node.
    ///
    /// # Errors
    /// When it does not stop cleanly.
    pub fn stop_node(&mut self) -> Result<()> {
        self.node.take().context("the node is not running")?.stop()
    }

    /// `kill -9` of the node.
    ///
    /// # Errors
    /// When it was not running.
    pub fn kill_node(&mut self) -> Result<()> {
        self.node.take().context("the node is not running")?.kill()
    }

    /// Stops server and node where they are: connections stay, nobody answers.
    ///
    /// # Errors
    /// When one does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal(rustix::process::Signal::STOP)
    }

    /// Lets server and node go on after [`Self::freeze`].
    ///
    /// # Errors
    /// When one does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal(rustix::process::Signal::CONT)
    }

    fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        for daemon in [&self.server, &self.node] {
            daemon.as_ref().context("it does not run")?.signal(signal)?;
        }
        Ok(())
    }

    /// A new device, not signed in.
    ///
    /// # Errors
    /// When its daemon does not come up.
    pub fn device(&self, name: &str) -> Result<Device> {
        Device::start(&self.dir().join(name))
    }

    /// A new device with a new account, mounted.
    ///
    /// # Errors
    /// When a step fails.
    pub fn first_device(&self, name: &str) -> Result<Device> {
        let device = self.device(name)?;
        device.signup(&self.url(), "eva", &self.password_file())?;
        device.mount()?;
        Ok(device)
    }

    /// A new device signed in to the account, mounted.
    ///
    /// # Errors
    /// When a step fails.
    pub fn next_device(&self, name: &str) -> Result<Device> {
        let device = self.device(name)?;
        device.login(&self.url(), "eva", &self.password_file())?;
        device.mount()?;
        Ok(device)
    }
}

/// A temporary folder; with `FREEHOLD_TEST_KEEP` set it stays, for the logs in it.
fn folder() -> Result<TempDir> {
    let keep = std::env::var_os("FREEHOLD_TEST_KEEP").is_some();
    Ok(tempfile::Builder::new().prefix("freehold-").disable_cleanup(keep).tempdir()?)
}
