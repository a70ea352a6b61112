//! One device: a daemon with a `FREEHOLD_HOME` of its own, a mount point, and the command line.

use crate::daemon::{Daemon, program};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the command line answered.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code.
    pub code: i32,
    /// The JSON envelope, or null when standard output held none.
    pub json: Value,
    /// Standard error.
    pub stderr: String,
}

/// A device. Its mount is taken down and its daemon killed when it is dropped.
#[derive(Debug)]
pub struct Device {
    home: PathBuf,
    mount: PathBuf,
    log: PathBuf,
    daemon: Option<Daemon>,
    environment: Vec<(String, String)>,
}

impl Device {
    /// A device in `home`, its daemon started.
    ///
    /// # Errors
    /// When the daemon does not come up.
    pub fn start(home: &Path) -> Result<Self> {
        Self::start_with(home, &[])
    }

    /// A device whose daemon gets more environment.
    ///
    /// # Errors
    /// When the daemon does not come up.
    pub fn start_with(home: &Path, environment: &[(&str, &str)]) -> Result<Self> {
        let mut device = Self::at_rest(home, home)?;
        device.environment =
            environment.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        device.restart()?;
        Ok(device)
    }

    /// A device whose daemon does not run yet. Its mount point and its log are beside `beside`.
    ///
    /// # Errors
    /// When the folders cannot be made.
    pub fn at_rest(home: &Path, beside: &Path) -> Result<Self> {
        let (mount, log) = (beside.with_extension("mount"), beside.with_extension("log"));
        std::fs::create_dir_all(home)?;
        match std::fs::create_dir_all(&mount) {
            // A mount whose daemon was killed: it is there, and nothing more can be said of it.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        Ok(Self { home: home.to_owned(), mount, log, daemon: None, environment: Vec::new() })
    }

    /// Its `FREEHOLD_HOME`.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Its mount point.
    #[must_use]
    pub fn mount_point(&self) -> &Path {
        &self.mount
    }

    /// Its daemon's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.log.clone()
    }

    /// Starts the daemon again in a network of its own, with every interface of it to listen on.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart_in(&mut self, namespace: &str) -> Result<()> {
        // Only the network: mounts stay those of everybody.
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{namespace}")).arg(program("freehold-clientd"));
        command.env("FREEHOLD_HOME", &self.home).envs(self.environment.iter().cloned());
        command.env("FREEHOLD_CLIENTD_LOG", "debug").env("FREEHOLD_CLIENTD_LISTEN", "[::]:0");
        self.daemon =
            Some(Daemon::start(&mut command, &self.log()).context("freehold-clientd in a namespace")?);
        Ok(())
    }

    /// Starts the daemon again after [`Self::stop`] or [`Self::kill`].
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        let mut command = Command::new(program("freehold-clientd"));
        command.env("FREEHOLD_HOME", &self.home).envs(self.environment.iter().cloned());
        command.env("FREEHOLD_CLIENTD_LOG", "debug").env("FREEHOLD_CLIENTD_LISTEN", "127.0.0.1:0");
        self.daemon = Some(Daemon::start(&mut command, &self.log()).context("freehold-clientd")?);
        Ok(())
    }

    /// Stops the daemon cleanly.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(&mut self) -> Result<()> {
        self.daemon.take().context("the daemon is not running")?.stop()
    }

    /// `kill -9` of the daemon.
    ///
    /// # Errors
    /// When it was not running.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.take().context("the daemon is not running")?.kill()
    }

    /// Runs the command line with `--json`.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn cli(&self, arguments: &[&str]) -> Result<Outcome> {
        let output = Command::new(program("freehold"))
            .args(arguments)
            .arg("--json")
            .env("FREEHOLD_HOME", &self.home)
            .stdin(Stdio::null())
            .output()?;
        Ok(Outcome {
            code: output.status.code().context("killed by a signal")?,
            json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs the command line and expects it to succeed; returns `data`.
    ///
    /// # Errors
    /// With the envelope when it fails.
    pub fn ok(&self, arguments: &[&str]) -> Result<Value> {
        let outcome = self.cli(arguments)?;
        if outcome.code != 0 {
            bail!("freehold {arguments:?}: exit {}, {}{}", outcome.code, outcome.json, outcome.stderr);
        }
        Ok(outcome.json["data"].clone())
    }

    /// Creates the account.
    ///
    /// # Errors
    /// When the server or the daemon refuses.
    pub fn signup(&self, server: &str, user: &str, password_file: &Path) -> Result<Value> {
        self.ok(&["signup", "--server", server, "--user", user, "--password-file", text(password_file)?])
    }

    /// Signs in.
    ///
    /// # Errors
    /// When the server or the daemon refuses.
    pub fn login(&self, server: &str, user: &str, password_file: &Path) -> Result<Value> {
        self.ok(&["login", "--server", server, "--user", user, "--password-file", text(password_file)?])
    }

    /// Mounts the vault at the device's mount point.
    ///
    /// # Errors
    /// When it is refused.
    pub fn mount(&self) -> Result<Value> {
        self.ok(&["mount", text(&self.mount)?])
    }

    /// Waits until there are direct links to so many other devices.
    ///
    /// # Errors
    /// When they do not come.
    pub fn wait_for_devices(&self, count: u64) -> Result<()> {
        crate::wait_until("links to other devices", crate::ARRIVAL, || {
            self.ok(&["status"]).is_ok_and(|status| status["devices_connected"] == count)
        })?;
        Ok(())
    }

    /// Waits until everything is synced.
    ///
    /// # Errors
    /// When five minutes are not enough.
    pub fn wait(&self) -> Result<Value> {
        self.ok(&["wait", "--timeout", "300"])
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            drop(daemon.stop());
        }
        // A mount left behind by a killed daemon; "not mounted" is the usual answer.
        drop(Command::new("umount").args(["-l", "--"]).arg(&self.mount).stderr(Stdio::null()).status());
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path is not UTF-8")
}
