//! One program of ours as a child process, with its log and its `ready` line.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to say `ready`, and to stop. Generous: it is a bound, not a measurement.
const PATIENCE: Duration = Duration::from_secs(120);

/// The top of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// A program from `target/dist/bin`, where `./x build` puts it.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let path = root().join("target/dist/bin").join(name);
    assert!(path.exists(), "{} is missing; run `./x build` first", path.display());
    path
}

/// A TCP port that was free a moment ago.
///
/// # Errors
/// When the machine has none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    ready: String,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program and waits for its `ready` line. `log` gets its standard error, appended.
    ///
    /// # Errors
    /// With the last log line when it stops instead.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let stdout = log.with_extension("out");
        command.stdin(Stdio::null());
        command.stdout(File::create(&stdout).context("the ready file")?);
        command.stderr(File::options().create(true).append(true).open(log).context("the log file")?);
        let child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let mut daemon = Self { child, ready: String::new(), log: log.to_owned() };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(&stdout)?;
            if let Some((line, _)) = text.split_once('\n') {
                let ready =
                    line.strip_prefix("ready").with_context(|| format!("not a ready line: {line}"))?;
                daemon.ready = ready.trim().to_owned();
                return Ok(daemon);
            }
            if let Some(status) = daemon.child.try_wait()? {
                bail!("it stopped ({status}): {}", daemon.last_line());
            }
            if Instant::now() > deadline {
                bail!("not ready in time: {}", daemon.last_line());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a program that is expected to refuse to start; returns its exit status and standard error.
    ///
    /// # Errors
    /// When it does not end by itself.
    pub fn refuse(command: &mut Command) -> Result<(ExitStatus, String)> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                child.kill()?;
                bail!("it runs although it should refuse to start");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = child.wait_with_output()?;
        Ok((output.status, String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// What it printed after `ready`.
    #[must_use]
    pub fn ready(&self) -> &str {
        &self.ready
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        Ok(rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)?)
    }

    /// Asks it to stop and waits.
    ///
    /// # Errors
    /// When it does not stop in time, or not cleanly.
    pub fn stop(mut self) -> Result<()> {
        self.signal(rustix::process::Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("it stopped with {status}: {}", self.last_line());
            }
            if Instant::now() > deadline {
                bail!("it does not stop: {}", self.last_line());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `kill -9`: no goodbye.
    ///
    /// # Errors
    /// When the process cannot be killed.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn last_line(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().last().unwrap_or("it said nothing").to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already ended is fine; anything else has nobody left to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
