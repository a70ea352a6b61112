//! The three daemons as `up` and `down` handle them: started detached, known by their pid files.
//!
//! A pid file holds `pid start-time`, the start time as `/proc/PID/stat` has it, so that a recycled
//! pid is never taken for ours.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a daemon may take to say it is ready: the first start creates keys and databases.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long a daemon may take to stop: the client flushes and unmounts first.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// The folder with pid files and logs of what `up` started.
pub(crate) fn state_dir() -> Result<PathBuf> {
    let base = match std::env::var_os("FREEHOLD_HOME") {
        Some(home) => PathBuf::from(home),
        None => data_home()?.join("freehold"),
    };
    let dir = base.join("up");
    fs::create_dir_all(&dir).with_context(|| format!("could not create {}", dir.display()))?;
    dir.canonicalize().with_context(|| format!("could not open {}", dir.display()))
}

fn data_home() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("XDG_DATA_HOME") {
        return Ok(dir.into());
    }
    let home = std::env::var_os("HOME").context("neither FREEHOLD_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".local/share"))
}

/// One daemon, by the name of its program.
pub(crate) struct Daemon {
    name: &'static str,
    dir: PathBuf,
}

impl Daemon {
    /// The daemon of that name.
    pub(crate) fn named(name: &'static str) -> Result<Self> {
        Ok(Self { name, dir: state_dir()? })
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.join(format!("{}.pid", self.name))
    }

    fn ready_file(&self) -> PathBuf {
        self.dir.join(format!("{}.ready", self.name))
    }

    fn log_file(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }

    /// The pid, when the process that `up` started still runs.
    pub(crate) fn running(&self) -> Option<i32> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let pid: i32 = pid.parse().ok()?;
        (start_time(pid)? == started).then_some(pid)
    }

    /// What the running daemon printed after `ready`, for example its address.
    pub(crate) fn ready_line(&self) -> Option<String> {
        let text = fs::read_to_string(self.ready_file()).ok()?;
        let (line, _) = text.split_once('\n')?;
        Some(line.strip_prefix("ready")?.trim().to_owned())
    }

    /// Starts the daemon unless it runs, and returns what it printed after `ready`.
    pub(crate) fn start(&self, command: &mut Command) -> Result<String> {
        if self.running().is_some() {
            return self
                .ready_line()
                .with_context(|| format!("{} runs but never said it is ready", self.name));
        }
        let log = File::options().create(true).append(true).open(self.log_file());
        let log = log.with_context(|| format!("could not open {}", self.log_file().display()))?;
        let ready = File::create(self.ready_file())
            .with_context(|| format!("could not create {}", self.ready_file().display()))?;
        // A process group of its own: Ctrl-C in this terminal does not reach it.
        command.stdin(Stdio::null()).stdout(ready).stderr(log).process_group(0);
        let mut child = command.spawn().with_context(|| format!("could not start {}", self.name))?;
        let pid = i32::try_from(child.id()).context("the process id is out of range")?;
        let started = start_time(pid).unwrap_or_default();
        fs::write(self.pid_file(), format!("{pid} {started}\n"))
            .with_context(|| format!("could not write {}", self.pid_file().display()))?;
        self.wait_ready(&mut child)
    }

    fn wait_ready(&self, child: &mut Child) -> Result<String> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(line) = self.ready_line() {
                return Ok(line);
            }
            if let Some(status) = child.try_wait()? {
                bail!("{} stopped at once ({status}): {}", self.name, self.last_log_line());
            }
            if Instant::now() > deadline {
                bail!(
                    "{} is not ready after {} s; see {}",
                    self.name,
                    READY_WITHIN.as_secs(),
                    self.log_file().display()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks the daemon to stop and waits until it has; true when it ran.
    pub(crate) fn stop(&self) -> Result<bool> {
        let Some(pid) = self.running() else { return Ok(false) };
        // SAFETY: kill takes no pointers; the start time just matched, so the pid is ours.
        #[expect(unsafe_code, reason = "std has no call that signals another process")]
        let sent = unsafe { libc::kill(pid, libc::SIGTERM) };
        if sent != 0 {
            return Err(std::io::Error::last_os_error())
                .with_context(|| format!("could not stop {}", self.name));
        }
        let deadline = Instant::now() + STOP_WITHIN;
        while self.running().is_some() {
            if Instant::now() > deadline {
                bail!(
                    "{} (pid {pid}) has not stopped after {} s; see {}",
                    self.name,
                    STOP_WITHIN.as_secs(),
                    self.log_file().display()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        fs::remove_file(self.pid_file())
            .with_context(|| format!("could not remove {}", self.pid_file().display()))?;
        Ok(true)
    }

    fn last_log_line(&self) -> String {
        let tail = || -> std::io::Result<String> {
            let mut log = File::open(self.log_file())?;
            let len = log.metadata()?.len();
            log.seek(std::io::SeekFrom::Start(len.saturating_sub(4096)))?;
            let mut bytes = Vec::new();
            log.read_to_end(&mut bytes)?;
            let text = String::from_utf8_lossy(&bytes);
            Ok(text.lines().last().unwrap_or("it said nothing").to_owned())
        };
        tail().unwrap_or_else(|error| format!("its log cannot be read: {error}"))
    }
}

/// Field 22 of `/proc/PID/stat` (proc(5)); none for a process that is gone or a zombie.
fn start_time(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}
